"""Whether an adapter is of today's packed rows, and an evaluation of today's adapter and rows.

What: a training and an evaluation say what they were made of (digests of the sides of packed/, the training's
key). Where one of these has changed since, what they say is true of something that is not there any more: it
is called stale, and why, and is not shown as a result.

Reads run.json and two small files.
"""

from collections.abc import Mapping
from typing import Any

from headrace.cluster import storage
from headrace.pipelines import trainings
from headrace.pipelines.evaluate import decision
from headrace.pipelines.schema import SPLITS

AGAIN = "run `headrace train` again"
# Paths below a run. Those who write there import PyTorch, which takes seconds.
SCORES, SAMPLES = "evaluation/scores.json", "evaluation/samples.json"
SPEED = "evaluation/speed.json"

# Sections that decide what is packed, and keys of theirs that do not.
PACKED = (
    *("model", "seed", "fragment_size", "clean", "steps", "quality", "traits", "pii", "fingerprint"),
    *("dedup", "decontaminate", "examine", "split", "tokenise", "pack"),
)
NOT_PACKED = {
    *("dedup.alarm", "dedup.on_alarm", "dedup.device", "pii.gate"),
    *(f"examine.{name}" for name in ("diversity", "formats", "reasoning", "bias", "spot_check")),
}


def look(run: str, run_json: Mapping[str, Any]) -> dict[str, str]:
    """What is stale in a run, "train" or "evaluate", and why: as the end of a sentence.

    A result that is not there cannot be stale.
    """
    packed = digests(run_json)
    stale: dict[str, str] = {}
    card = storage.read_object(storage.join(run, trainings.CARD))
    if card and (words := of_adapter(card, packed)):
        stale["train"] = words
    elif stopped := _stopped(run_json, card):
        stale["train"] = stopped
    elif run_json.get("train") and not card:
        stale["train"] = f"is told of in run.json, and its files are gone; {AGAIN}"
    elif card and run_json.get("train", {}).get("key", card["key"]) != card["key"]:
        stale["train"] = f"is of another training than the one that is told; {AGAIN}"
    scores = storage.read_object(storage.join(run, SCORES))
    if scores and (words := _of_evaluation(scores, card, packed)):
        stale["evaluate"] = words
    return stale


def _stopped(run_json: Mapping[str, Any], card: Mapping[str, Any] | None) -> str | None:
    """What became of the adapter of a training that what it showed has stopped; None of any other."""
    told = run_json.get("train") or {}
    why = (told.get("stopped") or {}).get("reason")
    if why in (None, "patience") or (card and card.get("key") == told.get("key")):
        return None
    if card:
        return f"is that of an earlier training: the last one was stopped ({why}), and published nothing"
    return f"is not there: its training was stopped ({why}), and published nothing"


def of_run(run: str) -> dict[str, str]:
    """`look`, by the run.json that is there."""
    return look(run, storage.read_object(storage.join(run, "run.json")) or {})


def sections(run: str, run_json: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json is to say now: `stale`, `evaluate` as it is or why it is stale, and the verdict."""
    stale = look(run, run_json)
    said: dict[str, Any] = {"stale": stale}
    if "evaluate" in stale:
        said["evaluate"] = {"stale": True, "why": stale["evaluate"]}
    elif (run_json.get("evaluate") or {}).get("stale"):  # what it was of is there again
        scores = storage.read_object(storage.join(run, SCORES))
        said["evaluate"] = (scores or {}).get("metrics", {})
    if review := run_json.get("review"):
        scores = storage.read_object(storage.join(run, SCORES)) or {}
        said["review"] = None if stale or review["evaluation"] != scores.get("key") else review
    if run_json.get("evaluate") or "evaluate" in said:
        unknown = stale or run_json.get("unheld")  # a gate that rang may be among those that are gone
        said["verdict"] = None if unknown else decision.decide({**run_json, **said})
    return said


def digests(run_json: Mapping[str, Any]) -> dict[str, str]:
    """Digest of each side of packed/, as run.json has them; empty where nothing is packed to the end."""
    sides = run_json.get("packed") or {}
    return {side: str(about["digest"]) for side, about in sides.items() if about.get("digest")}


def of_adapter(card: Mapping[str, Any], packed: Mapping[str, str]) -> str | None:
    """Why the adapter of this card is not one of the rows that are packed now; None where it is."""
    of = card.get("packed")
    if of is None:
        return f"does not say which packed rows it was trained on (it is of an older version); {AGAIN}"
    changed = [side for side in SPLITS if of.get(side) != packed.get(side)]
    if not changed:
        return None
    return (
        f"was trained when packed/{changed[0]} held other rows: what is held out now may be what it learned "
        f"from; {AGAIN}, which does nothing where its own rows are the same"
    )


def _of_evaluation(
    scores: Mapping[str, Any], card: Mapping[str, Any] | None, packed: Mapping[str, str]
) -> str | None:
    again = "run `headrace evaluate` again"
    if card is None or scores.get("adapter") != card.get("key"):
        return f"is of another adapter than the one that is there; {again}"
    if of_adapter(card, packed):
        return f"is of an adapter that was trained on other packed rows; {AGAIN}, and evaluate"
    if scores.get("packed") != packed.get(str(scores.get("split"))):
        return f"is of other rows than packed/{scores.get('split')} holds now; {again}"
    return None


def other_keys(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Keys of a recipe that decide what is packed and have another value, with their sections."""
    changed = []
    for section in PACKED:
        old, new = before.get(section), now.get(section)
        if isinstance(old, dict) and isinstance(new, dict):
            keys = [f"{section}.{key}" for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
            changed += [key for key in keys if key not in NOT_PACKED]
        elif old != new:
            changed.append(section)
    for key in ("side", "weights"):  # one that an older version did not have is empty
        own = [
            [source.get(key) or None for source in recipe.get("sources") or ()] for recipe in (before, now)
        ]
        changed += [f"sources[].{key}"] if own[0] != own[1] else []
    return changed
