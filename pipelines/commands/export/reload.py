"""Load what was exported, as its users will, and say what it answers: a program of its own.

What: ``python reload.py REQUEST`` reads the request (JSON), loads the directory that it names by transformers
and peft alone, and writes beside it what `answers` and `spoken` say. It imports nothing of headrace, so that
what passes here needs nothing of headrace either. headrace asks the adapter of the run by the same functions.

Cost: the model in memory, one pass over each sample and one greedy answer of each prompt.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch.nn import functional

Request = dict[str, Any]
Logits = Callable[[Any, list[int], list[int]], torch.Tensor]
TOGETHER = 8  # prompts that are answered at once


def main(path: str) -> None:
    """Answer the request in file `path`: tensors go to its `tensors`, the rest to its `answer`."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(request["directory"], trust_remote_code=False)
    said = spoken(tokenizer, request)
    model = opened(request)
    numbers, tensors = answers(model, request, plain_logits)
    save_file(tensors, request["tensors"])
    stops = model.generation_config.eos_token_id
    said |= {"stops": stops if isinstance(stops, list) else [stops] if stops is not None else []}
    with open(request["answer"], "w", encoding="utf-8") as file:
        json.dump({**said, **numbers}, file)


def opened(request: Request) -> Any:
    """The model of an exported directory, or of the GGUF file in it, as its README says to load it."""
    directory, base = request["directory"], request["base"]
    given = {"dtype": getattr(torch, request["dtype"], "auto"), "trust_remote_code": False}
    if request["gguf"]:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            directory, gguf_file=request["gguf"], **given
        )
        model.generation_config = transformers.GenerationConfig.from_pretrained(directory)
    elif request["form"] == "merged":
        model = transformers.AutoModelForCausalLM.from_pretrained(directory, use_safetensors=True, **given)
    else:
        import peft

        # Not by AutoPeftModel: it grows the embeddings of a model that has fewer tokens than its tokenizer.
        named = base or peft.PeftConfig.from_pretrained(directory).base_model_name_or_path
        loaded = transformers.AutoModelForCausalLM.from_pretrained(named, use_safetensors=True, **given)
        model = peft.PeftModel.from_pretrained(loaded, directory)
        model.generation_config = transformers.GenerationConfig.from_pretrained(directory)
    quantised = getattr(model, "is_quantized", False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval() if quantised else model.eval().to(device)


@torch.no_grad()
def plain_logits(model: Any, ids: list[int], places: list[int]) -> torch.Tensor:
    """Logits at `places` of one sample, ``float32[K, V]``."""
    row = torch.tensor([ids], device=model.device)
    kept = torch.tensor(places, device=model.device)
    return model(input_ids=row, logits_to_keep=kept, use_cache=False).logits[0].float()


@torch.no_grad()
def answers(model: Any, request: Request, logits_of: Logits) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a model says of the samples of a request: numbers for JSON, and tensors.

    A sample has `ids`, `places` (positions that predict a target), `kept` (indices of those whose logits are
    kept) and `prompt` (how many tokens of it are the prompt; 0: it is asked for no answer). Numbers: nats a
    sample, guesses (the likeliest token at each place), answers (tokens) and margins (by how much each token
    of an answer was likelier than the next: logits). Tensors: logits, ``float32[P, V]``.
    """
    nats, guesses, kept = [], [], []
    for sample in request["samples"]:
        logits = logits_of(model, sample["ids"], sample["places"])
        wanted = torch.tensor([sample["ids"][p + 1] for p in sample["places"]], device=logits.device)
        nats.append(float(functional.cross_entropy(logits, wanted, reduction="sum")))
        guesses.append(logits.argmax(-1).tolist())
        kept.append(logits[sample["kept"]].cpu())
    asked = [s["ids"][: s["prompt"]] for s in request["samples"] if s["prompt"]]
    made, margins = generated(model, asked, request["new_tokens"])
    numbers = {"nats": nats, "guesses": guesses, "answers": made, "margins": margins}
    return numbers, {"logits": torch.cat(kept).contiguous()}


class Margins(transformers.LogitsProcessor):
    """Notes by how much the likeliest token leads, at each step of each answer; changes nothing."""

    def __init__(self) -> None:
        self.steps: list[list[float]] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores as they are."""
        first = scores.float().topk(2, -1).values
        self.steps.append((first[:, 0] - first[:, 1]).tolist())
        return scores


@torch.no_grad()
def generated(
    model: Any, prompts: Sequence[list[int]], new_tokens: int
) -> tuple[list[list[int]], list[list[float]]]:
    """Answers by the model's own generation config, each up to and with its stop token, and their margins."""
    stops, padding = _stops(model), model.generation_config.pad_token_id or 0
    found: list[list[int]] = [[] for _ in prompts]
    leads: list[list[float]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    for start in range(0, len(order), TOGETHER):
        group = order[start : start + TOGETHER]
        length = len(prompts[group[0]])
        rows = [[padding] * (length - len(prompts[i])) + prompts[i] for i in group]
        seen = [[0] * (length - len(prompts[i])) + [1] * len(prompts[i]) for i in group]
        margins = Margins()
        made = model.generate(
            input_ids=torch.tensor(rows, device=model.device),
            attention_mask=torch.tensor(seen, device=model.device),
            max_new_tokens=new_tokens,
            use_cache=True,
            logits_processor=transformers.LogitsProcessorList([margins]),
        )[:, length:].tolist()
        for row, i in enumerate(group):
            end = next((n + 1 for n, token in enumerate(made[row]) if token in stops), len(made[row]))
            found[i] = made[row][:end]
            leads[i] = [step[row] for step in margins.steps[:end]]
    return found, leads


def _stops(model: Any) -> set[int]:
    stops = model.generation_config.eos_token_id
    return set(stops) if isinstance(stops, list) else set() if stops is None else {stops}


def spoken(tokenizer: Any, request: Request) -> dict[str, Any]:
    """What a tokenizer makes of a request: ids of its texts, texts of its samples, renderings of its chats.

    A rendering is None where there is no chat template, and begins with "error: " where the template refuses.
    """
    return {
        "encoded": [tokenizer.encode(text, add_special_tokens=False) for text in request["texts"]],
        "decoded": [tokenizer.decode(s["ids"], skip_special_tokens=False) for s in request["samples"]],
        "rendered": [_rendered(tokenizer, request, chat) for chat in request["chats"]],
        "template": tokenizer.chat_template,
        "vocabulary": len(tokenizer),
        "end": tokenizer.eos_token_id,
    }


def _rendered(tokenizer: Any, request: Request, chat: dict[str, Any]) -> str | None:
    if not tokenizer.chat_template:
        return None
    try:
        return str(
            tokenizer.apply_chat_template(
                chat["messages"],
                tokenize=False,
                add_generation_prompt=chat["generation"],
                **request["template_variables"],
            )
        )
    except Exception as error:  # noqa: BLE001 - a template may raise anything; both sides must do the same
        return f"error: {type(error).__name__}: {error}"


if __name__ == "__main__":
    main(sys.argv[1])
