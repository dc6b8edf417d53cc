"""What each row came to, by people (`headrace review`) and by a model (`evaluate.judge`).

Rows by their id, each a win, a tie or a loss of the tuned model against the base; of one evaluation.
"""

import json
from collections.abc import Mapping
from typing import Any

from headrace.cluster import storage

REVIEW = "review/outcomes.json"
JUDGE = "evaluation/judged/outcomes.json"
BASE = "base"


def keep_review(run: str, key: Mapping[str, Any], found: Mapping[int, str]) -> None:
    """Write what people said. key: `evaluation`, and what the tuned model was held `against`."""
    _keep(storage.join(run, REVIEW), str(key["evaluation"]), str(key["against"]), found)


def keep_judge(run: str, evaluation: str, found: Mapping[int, str]) -> None:
    """Write what a model said of an evaluation's answers."""
    _keep(storage.join(run, JUDGE), evaluation, BASE, found)


def of_review(run: str, evaluation: str) -> dict[int, str]:
    """What people said of tuned against base in an evaluation; empty where they were not asked."""
    return _read(storage.join(run, REVIEW), evaluation, BASE)


def of_judge(run: str, key: Mapping[str, Any]) -> dict[int, str]:
    """What a model said of the same evaluation and opponent; empty where it was not asked."""
    return _read(storage.join(run, JUDGE), str(key["evaluation"]), str(key["against"]))


def _keep(path: str, evaluation: str, against: str, found: Mapping[int, str]) -> None:
    said = {
        "evaluation": evaluation,
        "against": against,
        "outcomes": {str(row): o for row, o in found.items()},
    }
    storage.put(path, json.dumps(said, indent=1).encode())


def _read(path: str, evaluation: str, against: str) -> dict[int, str]:
    said = storage.read_object(path) or {}
    if (said.get("evaluation"), said.get("against")) != (evaluation, against):
        return {}
    return {int(row): outcome for row, outcome in said["outcomes"].items()}
