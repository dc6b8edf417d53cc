"""What the page says of an evaluation beside its metrics: parts of the samples, labels, cut answers.

`scores` is evaluation/scores.json. Texts of labels are the references' own, masked as those are.
"""

from collections.abc import Mapping
from typing import Any

from headrace.pipelines.evaluate.config import LEAST

WEAKEST = 12  # labels that are shown, those with the least F1 first
PARTS = 14


def view(scores: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Everything beside the metrics; None before an evaluation, and of one of an older version."""
    if not scores or "power" not in scores:
        return None
    answers = scores["answers"]
    return {
        "answers": answers,
        "power": scores["power"]["words"],
        "longest": scores["longest_answer"],
        "unfinished": {
            name: (n, n / answers if answers else 0.0) for name, n in scores["unfinished"].items()
        },
        "without": scores["without_answer"],
        "beyond": scores["beyond_context"],
        "parts": scores["slices"][:PARTS],
        "more_parts": max(0, len(scores["slices"]) - PARTS),
        "least": LEAST,
        **_labels(scores["labels"]),
    }


def _labels(labels: Mapping[str, Any] | None) -> dict[str, Any]:
    """The labels with which the tuned model has most trouble, and what it takes for what."""
    if not labels:
        return {"labels": [], "more_labels": 0, "confused": []}
    weakest = sorted(labels["by_label"], key=lambda row: (row["tuned"]["f1"], -row["n"], row["label"]))
    return {
        "labels": weakest[:WEAKEST],
        "more_labels": max(0, len(weakest) - WEAKEST),
        "confused": labels["confused"]["tuned"][:WEAKEST],
    }
