"""serve.md: the commands by which an export answers, with its own paths, stop tokens and template."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace.cluster import storage
from headrace.pipelines.commands.export.tuned import Tuned

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM takes as the largest of its adapters
TEMPLATE = "chat_template.jinja"


def page(target: str, all_of: Sequence[Tuned], asked: Any, figures: Mapping[str, Any]) -> Iterator[str]:
    """Commands for transformers, vLLM and llama.cpp; of several adapters, all in one server."""
    several = len(all_of) > 1
    places = {t.name: storage.join(target, t.name) if several else target for t in all_of}
    stops = sorted({s for t in all_of for s in figures[t.name].get("stops", [])})
    yield "# Serve it"
    yield ""
    if storage.is_remote(target):
        yield f"Copy {target} to a local directory first, and write that one for it below."
        yield ""
    told = ", ".join(map(str, stops)) or "(none)"
    yield f"Answers end with the tokens {told}, as `generation_config.json` says."
    yield from _template(all_of)
    yield ""
    if asked.form == "merged":
        yield from _merged(target, all_of[0], asked)
    else:
        yield from _adapters(all_of, places)


def _template(all_of: Sequence[Tuned]) -> Iterator[str]:
    if TEMPLATE in all_of[0].card["files"]:
        yield f"The chat template is `{TEMPLATE}`, the one that the rows were rendered by."
    for one in all_of:
        if told := one.recipe.tokenise.chat_template_kwargs:
            yield (
                f"Requests of {one.name} must say `chat_template_kwargs`: "
                f"`{json.dumps(told, sort_keys=True)}`, as its rows were rendered."
            )


def _code(kind: str, *lines: str) -> Iterator[str]:
    yield f"```{kind}"
    yield from lines
    yield "```"
    yield ""


def _python(*load: str) -> Iterator[str]:
    yield "## transformers"
    yield ""
    yield from _code(
        "python",
        *load,
        'chat = [{"role": "user", "content": "..."}]',
        "ids = tokenizer.apply_chat_template(",
        '    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True',
        ")",
        "out = model.generate(**ids, max_new_tokens=256)",
        'print(tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))',
    )


def _merged(target: str, one: Tuned, asked: Any) -> Iterator[str]:
    where = repr(target)
    yield from _python(
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({where})",
        f'model = AutoModelForCausalLM.from_pretrained({where}, dtype="auto")',
    )
    path = shlex.quote(target)
    yield "## vLLM"
    yield ""
    yield from _code("sh", f"vllm serve {path} --served-model-name {shlex.quote(one.name)}")
    yield "## llama.cpp"
    yield ""
    if asked.quantise:
        yield "llama.cpp does not read weights of bitsandbytes: export with --merge alone, quantise there."
        return
    out = shlex.quote(storage.join(target, "model.gguf"))
    convert = f"python llama.cpp/convert_hf_to_gguf.py {path} --outfile {out} --outtype auto"
    yield from _code(
        "sh",
        *([] if asked.gguf else [convert]),
        f"llama-server -m {out} --jinja",
    )


def _adapters(all_of: Sequence[Tuned], places: Mapping[str, str]) -> Iterator[str]:
    first = all_of[0]
    base, place = first.base, places[first.name]
    yield from _python(
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({place!r})",
        f'base = AutoModelForCausalLM.from_pretrained({base!r}, dtype="auto")',
        f"model = PeftModel.from_pretrained(base, {place!r})",
        f"model.generation_config = GenerationConfig.from_pretrained({place!r})",
        *(f"model.load_adapter({places[t.name]!r}, {t.name!r})" for t in all_of[1:]),
        *([f"model.set_adapter({all_of[1].name!r})  # and back: 'default'"] if len(all_of) > 1 else []),
    )
    yield "## vLLM"
    yield ""
    if beyond := [t.name for t in all_of if t.config.get("use_dora") or t.config.get("modules_to_save")]:
        yield (
            f"Neither vLLM nor llama.cpp loads {', '.join(beyond)} as an adapter, as more than low-rank "
            "matrices was trained (DoRA, or whole modules): export each by --merge for them."
        )
        return
    rank = max(_rank(t) for t in all_of)
    most = next((r for r in RANKS if r >= rank), rank)
    modules = " ".join(shlex.quote(f"{t.name}={places[t.name]}") for t in all_of)
    template = f"  --chat-template {shlex.quote(storage.join(place, TEMPLATE))} \\"
    yield from _code(
        "sh",
        f"vllm serve {shlex.quote(base)} \\",
        f"  --enable-lora --max-loras {len(all_of)} --max-lora-rank {most} \\",
        *([template] if TEMPLATE in first.card["files"] else []),
        f"  --generation-config {shlex.quote(place)} \\",
        f"  --lora-modules {modules}",
    )
    yield f"A request names its adapter as the model: {', '.join(t.name for t in all_of)}."
    yield ""
    yield "## llama.cpp"
    yield ""
    yield from _llama(all_of, places)


def _llama(all_of: Sequence[Tuned], places: Mapping[str, str]) -> Iterator[str]:
    first = all_of[0]
    base = shlex.quote(first.base)
    files = {t.name: shlex.quote(storage.join(places[t.name], "adapter.gguf")) for t in all_of}
    yield from _code(
        "sh",
        f"python llama.cpp/convert_hf_to_gguf.py {base} --outfile base.gguf --outtype auto",
        *(
            f"python llama.cpp/convert_lora_to_gguf.py {shlex.quote(places[t.name])} --base {base} "
            f"--outfile {files[t.name]}"
            for t in all_of
        ),
        f"llama-server -m base.gguf {' '.join(f'--lora {f}' for f in files.values())} --jinja",
    )
    if len(all_of) > 1:
        picked = json.dumps([{"id": n, "scale": float(n == 0)} for n in range(len(all_of))])
        yield f'A request picks one by `"lora": {picked}`, in the order above.'


def _rank(one: Tuned) -> int:
    return max([int(one.config.get("r") or 1), *map(int, (one.config.get("rank_pattern") or {}).values())])
