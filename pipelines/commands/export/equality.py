"""Does what was exported answer as the adapter of the run does: figures, and what is wrong in words.

What: `inspect` reads the exported files and holds scaling, weights, base, template, tokenizer and end token
against what training left. `compare` holds what the directory answered in a fresh process against what
headrace's adapter answered to the same request. Weights in float32 must give the same logits, up to rounding
(`TOLERANCE` of the largest), and the same greedy answers; coarser ones the same next tokens at a share of
places that the user sets, and how the loss changes is told. `cause_of` says of merged weights what they hold
instead.

A greedy answer may part from the other where two tokens are as likely up to that rounding: counted as a tie.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xxhash
from safetensors import safe_open

from headrace.cluster import storage
from headrace.cluster.errors import HeadraceError
from headrace.pipelines import model_files
from headrace.pipelines.commands.export.tuned import Tuned, scaling
from headrace.pipelines.train import adapter

TOLERANCE = 1e-4  # share of the largest logit
# The same of another engine's arithmetic: llama.cpp takes GELU from a table in float16, which moves those of
# GPT-2 by 5.9e-4.
OF_ENGINE = 1e-3
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
Said = dict[str, Any]


def largest(ours: torch.Tensor, theirs: torch.Tensor) -> float | None:
    """Largest difference of two sets of logits, as a share of the largest of `ours`; None of other sizes."""
    if ours.shape != theirs.shape:
        return None
    return float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1e-30))


def compare(
    ours: Said, theirs: Said, *, exact: bool, least: float, tolerance: float = TOLERANCE
) -> tuple[dict[str, Any], list[str]]:
    """Figures of an export, and in words what fails.

    ours, theirs: what the run's adapter and the exported thing said. exact: its weights are in float32.
    least: share of next tokens that must agree where they are not. tolerance: share of the largest logit.
    """
    difference = largest(ours["logits"], theirs["logits"])
    answers = _answers(ours, theirs, tolerance)
    guesses = [np.concatenate([np.array(g) for g in said["guesses"]]) for said in (ours, theirs)]
    same = int((guesses[0] == guesses[1]).sum())
    agreement = same / max(1, len(guesses[0]))
    before, after = (sum(said["nats"]) / max(1, len(guesses[0])) for said in (ours, theirs))
    figures = {
        "prompts": len(ours["answers"]),
        "logits": {"compared": ours["logits"].numel(), "largest_difference": difference},
        "answers": answers,
        "next_tokens": {"n": len(guesses[0]), "same": same, "agreement": round(agreement, 6)},
        "loss": {"run": before, "exported": after, "change": after - before},
        "tolerance": tolerance if exact else None,
        "least_agreement": None if exact else least,
    }
    wrong = []
    if ours["logits"].shape != theirs["logits"].shape:
        tokens = [said["logits"].shape[1] for said in (ours, theirs)]
        wrong.append(f"it tells {tokens[1]:,} tokens apart, and the run's model {tokens[0]:,}")
    elif exact and not (difference is not None and difference <= tolerance):
        wrong.append(f"logits differ by {difference:.2g} of the largest, over {tolerance:g}")
    if exact and answers["same"] + answers["ties"] < answers["n"]:
        other = answers["n"] - answers["same"] - answers["ties"]
        wrong.append(f"{other} of {answers['n']} greedy answers are not the same")
    if exact and not abs(after - before) <= 10 * tolerance * max(1.0, abs(before)):
        wrong.append(f"the loss on held-out rows is {after:.4f} instead of {before:.4f}")
    if not exact and not agreement >= least:
        wrong.append(f"next tokens agree in {agreement:.2%} of {len(guesses[0]):,} places, under {least:.0%}")
    return figures, [*wrong, *_spoken(ours, theirs)]


def _answers(ours: Said, theirs: Said, tolerance: float) -> dict[str, int]:
    """Greedy answers that are the same, and those that part where two tokens were as likely."""
    near = 2 * tolerance * float(ours["logits"].abs().max())
    same = ties = 0
    for a, b, lead in zip(ours["answers"], theirs["answers"], ours["margins"], strict=True):
        at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        same += a == b
        ties += a != b and at < len(lead) and lead[at] <= near
    return {"n": len(ours["answers"]), "same": same, "ties": ties}


def _spoken(ours: Said, theirs: Said) -> Iterator[str]:
    """What is wrong with the exported tokenizer and its chat template, as far as it has said."""
    for name, what in (("encoded", "encodes"), ("decoded", "decodes")):
        if name not in theirs:
            continue
        other = sum(a != b for a, b in zip(ours[name], theirs[name], strict=True))
        if other:
            yield f"wrong tokenizer: it {what} {other} of {len(ours[name])} texts otherwise than the run's"
    if ours["vocabulary"] != theirs.get("vocabulary", ours["vocabulary"]):
        yield f"wrong tokenizer: {theirs['vocabulary']:,} tokens instead of {ours['vocabulary']:,}"
    if ours["template"] and not theirs["template"]:
        yield "missing chat template: the run's has one, by which its rows were rendered"
    elif ours["template"] != theirs["template"]:
        yield "wrong chat template: its text is not that of the run's"
    rendered = theirs["rendered"] if "rendered" in theirs else ours["rendered"]
    other = sum(a != b for a, b in zip(ours["rendered"], rendered, strict=True))
    if other and theirs["template"]:
        yield f"wrong chat template: {other} of {len(ours['rendered'])} conversations are rendered otherwise"


def missing_ends(
    theirs: Said, wanted: set[int], tokenizer: Any, who: str = "generation_config.json"
) -> Iterator[str]:
    """What is wrong with the tokens that the export stops on; wanted: those that answers end with; who: what
    says on which it stops.
    """
    if missing := sorted(wanted - set(theirs["stops"])):
        named = ", ".join(f"{token} ({tokenizer.convert_ids_to_tokens(token)})" for token in missing)
        yield (
            f"missing end token: answers were trained to end with {named}, and {who} stops on "
            f"{theirs['stops'] or 'nothing'}"
        )


def inspect(directory: str, tuned: Tuned, form: str) -> list[str]:
    """What is wrong with the files of an export, before any model is loaded."""
    names = sorted(os.listdir(directory))
    wrong = [f"{name} may run code when it is loaded" for name in names if name.endswith(PICKLES)]
    if form == "adapter":
        wrong += _adapter_files(directory, tuned)
    else:
        config = storage.read_object(os.path.join(directory, "config.json")) or {}
        wrong += ["config.json names code of the model's own (auto_map)"] if "auto_map" in config else []
    return wrong


def _adapter_files(directory: str, tuned: Tuned) -> Iterator[str]:
    """What is wrong with scaling, weights and base of an exported adapter."""
    config = storage.read_object(os.path.join(directory, adapter.CONFIG))
    if config is None:
        yield f"{adapter.CONFIG} is missing"
        return
    ours = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")
    if any(config.get(key) != tuned.config.get(key) for key in ours):
        yield (
            f"wrong scaling: {adapter.CONFIG} says {scaling(config):g} ({_alpha(config)}), and it was "
            f"trained with {tuned.scaling:g} ({_alpha(tuned.config)})"
        )
    with open(os.path.join(directory, adapter.WEIGHTS), "rb") as file:
        digest = xxhash.xxh3_64_hexdigest(file.read())
    if digest != tuned.card["files"][adapter.WEIGHTS]["xxh3"]:
        yield f"weights of another adapter: {adapter.WEIGHTS} is not that of {tuned.run}"
    named = str(config.get("base_model_name_or_path"))
    if named != tuned.base:
        yield _other_base(named, tuned)


def _alpha(config: Mapping[str, Any]) -> str:
    return f"alpha {config.get('lora_alpha')} / rank {config.get('r')}"


def _other_base(named: str, tuned: Tuned) -> str:
    try:
        digest = model_files.digest(named)
    except (HeadraceError, OSError):
        digest = "nothing that can be read"
    return (
        f"wrong base: {adapter.CONFIG} names {named!r} ({digest}), and it was trained on {tuned.base!r} "
        f"({tuned.card['base_mark']})"
    )


def cause_of(directory: str, tuned: Tuned) -> list[str]:
    """What merged weights hold instead of base + scaling x adapter, from their files.

    The difference to the base of each adapted layer is held against the adapter's product: how often it
    stands in it, and what else does.
    """
    if tuned.config.get("use_dora"):  # what it adds is no multiple of a product
        return []
    weights = _tensors(storage.read_bytes(adapter.path(tuned.run, adapter.WEIGHTS)))
    base, merged = (_files(d) for d in (tuned.base_files, directory))
    times, rest, rounded, seen = 0.0, 0.0, 0.0, 0
    for name, product in _products(weights):
        key = f"{name}.weight"
        if key not in base or key not in merged:
            continue
        before, after = _tensor(base[key], key), _tensor(merged[key], key)
        kind = after.dtype
        before, after = before.float(), after.float()
        product = product if product.shape == before.shape else product.T
        if product.shape != after.shape:
            continue
        change = after - before
        share = float((change * product).sum() / (product * product).sum().clamp_min(1e-30))
        left = float((change - share * product).norm() / product.norm().clamp_min(1e-30))
        times, rest, seen = times + share, rest + left, seen + 1
        rounded += float(after.norm() / product.norm().clamp_min(1e-30)) * torch.finfo(kind).eps
    if not seen:
        return []
    times, rest, rounded = (total / seen for total in (times, rest, rounded))
    others = _others(base, merged, {name for name, _ in _products(weights)})
    if others:
        return [
            f"wrong base: {others} tensors that the adapter does not touch are not those of {tuned.base!r}"
        ]
    if rest > 0.1 * tuned.scaling + rounded:
        return [f"weights of another adapter: what was added to the base is not the adapter of {tuned.run}"]
    if abs(times - tuned.scaling) > 0.01 * tuned.scaling + rounded:
        said = f"the adapter was added {times:.4g} times, and it was trained with {tuned.scaling:g}"
        return [
            f"wrong scaling: {said} (alpha {tuned.config.get('lora_alpha')} / rank {tuned.config.get('r')})"
        ]
    return []


def _products(weights: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Module and B x A of each pair of an adapter."""
    for name, a in sorted(weights.items()):
        if name.endswith(".lora_A.weight"):
            b = weights[name.replace(".lora_A.", ".lora_B.")]
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            yield module, b.float() @ a.float()


def _others(base: Mapping[str, str], merged: Mapping[str, str], adapted: set[str]) -> int:
    """Tensors without an adapter that are not the same in both, beyond rounding."""
    count = 0
    for key in sorted(base.keys() & merged.keys()):
        if key.removesuffix(".weight") not in adapted:
            before, after = _tensor(base[key], key), _tensor(merged[key], key)
            alike = before.shape == after.shape
            count += not (alike and torch.allclose(before.float(), after.float(), rtol=1e-2, atol=1e-3))
    return count


def _tensors(data: bytes) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    return dict(load(data))


def _files(directory: str) -> dict[str, str]:
    """File of each tensor of a model directory."""
    found: dict[str, str] = {}
    if not os.path.isdir(directory):
        return {}
    for file in sorted(os.listdir(directory)):
        if file.endswith(".safetensors"):
            path = os.path.join(directory, file)
            with safe_open(path, "pt") as opened:
                found |= dict.fromkeys(opened.keys(), path)
    return found


def _tensor(path: str, key: str) -> torch.Tensor:
    with safe_open(path, "pt") as opened:
        return opened.get_tensor(key)


def read_answer(answer: str, tensors: str) -> Said:
    """What a fresh process has said."""
    from safetensors.torch import load_file

    with open(answer, encoding="utf-8") as file:
        said: Said = json.load(file)
    return said | load_file(tensors)


def words(wrong: Sequence[str]) -> str:
    """Faults as the end of a sentence."""
    return "; ".join(dict.fromkeys(wrong))
