"""Evaluations without models: what two models said is made up, and kept as an evaluation keeps it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headrace.cluster import storage
from headrace.pipelines.evaluate.arms import kept, wanted
from headrace.pipelines.evaluate.arms.measured import Measured, Outcome
from headrace.pipelines.evaluate.config import Config


def outcome(
    base: Sequence[str],
    tuned: Sequence[str],
    references: Sequence[str],
    rows: Sequence[int] | None = None,
    **more: Any,
) -> Outcome:
    """What two models said where `references` were right, one a sample; the loss of the tuned is half."""
    n = len(references)
    ids = tuple(range(n) if rows is None else rows)
    forced = np.tile([[2.0, 1.0, 0.0]], (n, 1))
    made = [
        Measured(forced * [share, 1, 1], list(said), [""] * n, 0, (True,) * n)
        for said, share in ((base, 1.0), (tuned, 0.5))
    ]
    given = {
        "prompts": [f"prompt {row}" for row in ids],
        "row_ids": ids,
        "lengths": (8,) * n,
        "marks": tuple(f"tokens {row}" for row in ids),
        "asked": tuple(range(n)),
        "fits": (True,) * n,
        **more,
    }
    return Outcome(base=made[0], tuned=made[1], references=list(references), **given)


def evaluate(
    run: Path, made: Outcome, config: Config | None = None, key: str = "evaluation", **settings: Any
) -> str:
    """A run directory with this evaluation; settings: of its training, by key. Returns its path."""
    config = config or Config(metrics=("loss", "exact_match"), primary="exact_match")
    keys = {wanted.BASE: f"base of {key}", wanted.TUNED: f"tuned of {key}"}
    scores = {"key": key, "keys": keys, "config": config.model_dump(mode="json"), "metrics": {}}
    for name, held in {
        "adapter/headrace.json": {"key": "training", "packed": {}, "settings": settings},
        "evaluation/scores.json": {**scores, "adapter": "training", "packed": None, "split": "test"},
    }.items():
        storage.put(storage.join(str(run), name), json.dumps(held).encode())
    kept.keep_questions(str(run), keys[wanted.BASE], made.questions)
    kept.keep(str(run), wanted.BASE, keys[wanted.BASE], made.base)
    kept.keep(str(run), wanted.TUNED, keys[wanted.TUNED], made.tuned)
    return str(run)
