"""What was measured of each arm, as a run keeps it: nothing is asked twice.

::

    evaluation/questions.json      what was asked: prompts, references, rows
               baseline.json       the base
               tuned.json          the tuned model
               arms/<name>.json    each other arm

All hold the key of what they hang on (`wanted`). Prompts and answers are those of packed rows, masked as
these are.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from headrace.cluster import storage
from headrace.pipelines.evaluate.arms import wanted
from headrace.pipelines.evaluate.arms.measured import Measured, Questions

QUESTIONS, BASELINE, TUNED = "evaluation/questions.json", "evaluation/baseline.json", "evaluation/tuned.json"


def path(run: str, name: str) -> str:
    """Where what was measured of an arm is kept."""
    own = {wanted.BASE: BASELINE, wanted.TUNED: TUNED}
    return storage.join(run, own.get(name, f"evaluation/arms/{name}.json"))


def load(run: str, keys: Mapping[str, str]) -> dict[str, Measured]:
    """What was measured of the arms of these names, as far as it is there and of these keys."""
    found = {}
    for name, key in keys.items():
        held = storage.read_object(path(run, name))
        if held is not None and held.get("key") == key:
            found[name] = _measured(held)
    return found


def keep(run: str, name: str, key: str, measured: Measured) -> None:
    """Keep what was measured of an arm. Raises: StorageError."""
    held = {**vars(measured), "forced": measured.forced.tolist(), "pairs": measured.pairs.tolist()}
    storage.put(path(run, name), _json({"key": key, **held}))


def questions(run: str, key: str) -> Questions | None:
    """What the base of this key was asked; None where that is not kept."""
    held = storage.read_object(storage.join(run, QUESTIONS))
    if held is None or held.pop("key", None) != key:
        return None
    several = {name: tuple(held[name]) for name in ("row_ids", "lengths", "asked", "fits", "marks")}
    return Questions(**{**held, **several})


def keep_questions(run: str, key: str, asked: Questions) -> None:
    """Keep what was asked. Raises: StorageError."""
    storage.put(storage.join(run, QUESTIONS), _json({"key": key, **asked._asdict()}))


def _measured(held: Mapping[str, Any]) -> Measured:
    return Measured(
        forced=np.array(held["forced"], np.float64).reshape(-1, 3),
        answers=held["answers"],
        reasoning=held["reasoning"],
        unfinished=held["unfinished"],
        ended=tuple(held["ended"]),
        pairs=np.array(held["pairs"], np.float64).reshape(-1, 2),
        unasked=tuple(held.get("unasked", ())),
        fewer=held.get("fewer", 0),
    )


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
