"""README.md, the model card, and serve.md of an export: from run.json and the recipe, without a row's text.

What: the card says where the weights come from: sources, what was dropped and why, personal data, the split's
proof, how the tuned model compares with its base, what is not known, versions and digests. serve.md has the
commands. Names that people chose are escaped.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from headrace.cluster import storage
from headrace.pipelines.commands.export import serve
from headrace.pipelines.commands.export.tuned import Tuned
from headrace.pipelines.stages.pii import coverage

ON_TWO = "_on_two_sides"


def write(made: str, target: str, all_of: Sequence[Tuned], asked: Any, figures: Mapping[str, Any]) -> None:
    """Write both pages into `made`, naming `target` as the place; of several adapters a card each."""
    if len(all_of) == 1:
        one = all_of[0]
        _put(made, "README.md", card(one, asked, figures[one.name]))
    else:
        for one in all_of:
            _put(os.path.join(made, one.name), "README.md", card(one, asked, figures[one.name]))
        _put(made, "README.md", _several(all_of))
    _put(made, "serve.md", serve.page(target, all_of, asked, figures))


def _put(folder: str, name: str, lines: Iterator[str]) -> None:
    storage.put(os.path.join(folder, name), ("\n".join(lines) + "\n").encode())


def plain(value: object) -> str:
    """A name as Markdown shows it, whatever it holds."""
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~!])", r"\\\1", text)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """A table in Markdown."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(plain(cell) for cell in row)} |"
    yield ""


def _several(all_of: Sequence[Tuned]) -> Iterator[str]:
    yield f"# Adapters of {plain(all_of[0].base)}"
    yield ""
    yield from table(("adapter", "run", "card"), [(t.name, t.run, f"{t.name}/README.md") for t in all_of])
    yield "They share their base; `serve.md` has the commands that serve them side by side."


def card(one: Tuned, asked: Any, figures: Mapping[str, Any]) -> Iterator[str]:
    """The model card of one adapter."""
    run = one.run_json
    yield from _head(one, asked)
    yield from _use(one, asked, figures)
    yield from _sources(one)
    yield from _dropped(run)
    yield from _personal(one)
    yield from _held_out(run)
    yield from _training(one)
    yield from _measured(run)
    yield from _equal(figures, asked)
    yield from _limits(one, figures)
    yield from _lineage(one, figures)


def _head(one: Tuned, asked: Any) -> Iterator[str]:
    adapter_only = asked.form == "adapter"
    about = {
        "base_model": one.base,
        "library_name": "peft" if adapter_only else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "headrace"],
    }
    yield "---"
    yield yaml.safe_dump(about, sort_keys=True, allow_unicode=True).strip()
    yield "---"
    yield ""
    yield f"# {plain(one.name)}"
    yield ""
    what = "A LoRA adapter of" if adapter_only else "Weights of a LoRA adapter merged into"
    yield f"{what} {plain(one.base)}, trained and exported by headrace."
    yield ""


def _use(one: Tuned, asked: Any, figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## Use"
    yield ""
    stops = ", ".join(map(str, figures.get("stops", [])))
    yield f"Answers end with the tokens {stops} (ids, as `generation_config.json` says)."
    template = one.recipe.tokenise.chat_template_kwargs
    if "chat_template.jinja" in one.card["files"]:
        yield "Conversations are rendered by `chat_template.jinja`, the one that the rows were rendered by."
    else:
        yield "There is no chat template beside the tokenizer: rows without turns need none."
    if template:
        yield f"The template was told `{json.dumps(template, sort_keys=True)}` besides: tell it the same."
    yield "Answers were measured greedily; sampling settings of the base were not, and are not exported."
    yield "`serve.md` has the commands."
    yield ""


def _sources(one: Tuned) -> Iterator[str]:
    yield "## Data"
    yield ""
    books = one.run_json.get("sources") or {}
    rows = []
    for source in one.recipe.sources:
        name = str(source.name)
        own = books.get(name) or {"in": "?", "kept": "?", "dropped": {}, "quarantined": {}}
        gone = sum(own["dropped"].values()) + sum(own["quarantined"].values())
        licence = source.licence or "not named in the recipe"
        rows.append((name, licence, own["in"], own["kept"], gone))
    yield from table(("source", "licence", "records", "kept", "left out"), rows)


def _dropped(run: Mapping[str, Any]) -> Iterator[str]:
    rows = run.get("rows")
    if not rows:
        return
    counts: list[tuple[str, int]] = [
        (reason, n) for kind in ("dropped", "quarantined") for reason, n in rows[kind].items()
    ]
    yield f"{rows['in']:,} records in, {rows['kept']:,} kept. Left out, by reason:"
    yield ""
    if counts:
        counts.sort(key=lambda count: (-count[1], count[0]))
        yield from table(("reason", "records"), counts)
    else:
        yield "None."
        yield ""


def _personal(one: Tuned) -> Iterator[str]:
    pii, run = one.recipe.pii, one.run_json
    yield "## Personal data"
    yield ""
    said = plain(coverage.sentence(run.get("pii_coverage") or coverage.coverage(pii)))
    yield f"{said[:1].upper()}{said[1:]}."
    yield ""
    if not pii.enabled:
        return
    policy = pii.model_dump(mode="json", exclude={"ner"})
    yield from table(("key of `pii`", "value"), [(k, json.dumps(v)) for k, v in policy.items()])
    found = [(kind, n) for kind, n in sorted((run.get("pii") or {}).items()) if isinstance(n, int)]
    if found:
        yield from table(("entity", "found"), found)


def _held_out(run: Mapping[str, Any]) -> Iterator[str]:
    yield "## Held-out rows"
    yield ""
    packed = run.get("packed") or {}
    rows = [(s, p["samples"], p["tokens"], p.get("digest", "")) for s, p in packed.items()]
    yield from table(("side", "samples", "tokens", "digest"), rows)
    proof = (run.get("examine") or {}).get("splits") or {}
    kinds = [k.removesuffix(ON_TWO) for k in proof if k.endswith(ON_TWO)]
    if kinds:
        yield "Proved of the packed rows: how many were looked at, and how many stand on two sides."
        yield ""
        told = [(kind, proof.get(kind, "?"), proof[f"{kind}{ON_TWO}"]) for kind in kinds]
        yield from table(("what", "looked at", "on two sides"), told)
    else:
        yield "run.json holds no proof that nothing stands on two sides of the split."
        yield ""


def _training(one: Tuned) -> Iterator[str]:
    history = one.run_json.get("train") or {}
    yield "## Training"
    yield ""
    told = [(key, json.dumps(value)) for key, value in (one.card.get("settings") or {}).items()]
    keys = ("steps", "epochs", "best_step", "best_validation", "tokens")
    told += [(key, json.dumps(history[key])) for key in keys if key in history]
    yield from table(("what", "value"), told)


def _measured(run: Mapping[str, Any]) -> Iterator[str]:
    scores = run.get("evaluate") or {}
    yield "## Measured"
    yield ""
    if not scores or scores.get("stale"):
        yield "This adapter was not evaluated: whether it is better than its base is not known."
        yield ""
        return
    yield "Difference to the base with its 95% interval; p of the primary metric, of others corrected."
    yield ""
    rows = []
    for name, m in scores.items():
        if not isinstance(m, dict) or "interval" not in m:
            continue
        low, high = (_number(v) for v in m["interval"])
        base, tuned, p = (_number(m.get(key)) for key in ("base", "tuned", "p"))
        told = f"{name} (primary)" if m.get("primary") else name
        rows.append((told, base, tuned, f"{low} to {high}", p, m.get("verdict", ""), m.get("n", "")))
    yield from table(("metric", "base", "tuned", "difference", "p", "verdict", "n"), rows)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "?"


def _equal(figures: Mapping[str, Any], asked: Any) -> Iterator[str]:
    yield "## Equal to what was measured"
    yield ""
    if "logits" not in figures:
        yield "It could not be loaded again."
        yield ""
        return
    answers, tokens, loss = figures["answers"], figures["next_tokens"], figures["loss"]
    yield (
        f"Loaded again in a fresh process, without headrace, and asked {answers['n']} held-out prompts of "
        f"packed/{figures['split']}, beside the adapter as it was measured (both computed in "
        f"{'their own types' if asked.quantise else 'float32'}):"
    )
    yield ""
    rows = [
        ("largest difference of logits, of the largest", f"{figures['logits']['largest_difference']:.3g}"),
        ("greedy answers that are the same", f"{answers['same']} of {answers['n']}"),
        ("next tokens that agree", f"{tokens['same']:,} of {tokens['n']:,}"),
        ("loss of the run, and of the export", f"{loss['run']:.4f}, {loss['exported']:.4f}"),
    ]
    yield from table(("what", "figure"), rows)
    gguf = figures.get("gguf") or {}
    if "next_tokens" in gguf:
        moved, told = gguf["logits"]["largest_difference"], gguf["answers"]
        yield (
            f"model.gguf, loaded by {gguf['read_by']}: logits differ by {moved:.3g} of the largest, "
            f"{told['same']} of {told['n']} greedy answers are the same, {gguf['next_tokens']['same']:,} of "
            f"{gguf['next_tokens']['n']:,} next tokens agree."
        )
        if gguf["read_by"] == "transformers":
            yield "llama.cpp itself was not asked: its binding (llama-cpp-python) was not installed."
        yield ""


def _limits(one: Tuned, figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "- It was tuned for the task of its rows; on other tasks it may be worse than its base."
    yield "- Its licence is bound by those of the base and of the sources above."
    if one.recipe.pii.enabled:
        yield "- Personal data was looked for as said above; what no recogniser knows may have stayed."
    else:
        yield "- Personal data was not looked for: answers may hold what the sources hold."
    if (one.card.get("settings") or {}).get("train.method") == "qlora":
        yield "- It was trained over its base in 4 bits, and exported over the base's own weights."
    for name, gate in (one.run_json.get("gates") or {}).items():
        if isinstance(gate, dict) and gate.get("passed") is False:
            yield f"- The gate {plain(name)} was not passed: {plain(gate.get('words', ''))}"
    yield ""


def _lineage(one: Tuned, figures: Mapping[str, Any]) -> Iterator[str]:
    run = one.run_json
    yield "## Lineage"
    yield ""
    rows = [
        ("run", one.run),
        ("digest of the run", run.get("digest", "?")),
        ("key of the training", one.card["key"]),
        ("step", one.card["step"]),
        ("base", one.base),
        ("digest of the base", one.card["base_mark"]),
        *((f"adapter/{file}", about["xxh3"]) for file, about in sorted(one.card["files"].items())),
        *((f"version of {name}", v) for name, v in sorted((run.get("versions") or {}).items())),
    ]
    yield from table(("what", "value"), rows)
