"""What the page says of an evaluation beside its metrics: other ways to the task, clean rows, other seeds,
people and a judge, parts of the samples, labels, cut answers.

All of it is optional in run.json and evaluation/scores.json; what is there is shown. An arm is another way
to the same task; its interval is of tuned minus arm. Texts of labels are the references' own, masked as those
are.

Cost: none.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace.pipelines.evaluate import decision
from headrace.pipelines.evaluate.config import LEAST
from headrace.pipelines.report import comparison

WEAKEST = 12  # labels that are shown, those with the least F1 first
PARTS = 14


class Arm(NamedTuple):
    """Another way to the same task, by one metric. verdict: of the tuned model against it."""

    name: str
    metric: str
    value: float
    tuned: float
    interval: tuple[float, float] | None
    verdict: str
    n: int


def beside(run: Mapping[str, Any]) -> dict[str, Any]:
    """Arms of the metric that decides (of the first that has some, where it has none), and what else there
    is.
    """
    scores = {n: s for n, s in (run.get("evaluate") or {}).items() if isinstance(s, Mapping)}
    ordered = sorted(scores.items(), key=lambda pair: not pair[1].get("primary"))
    named = [(metric, score, arm) for metric, score in ordered for arm in score.get("arms") or {}]
    measured = [_arm(metric, score, name) for metric, score, name in named]
    arms = [arm for arm in measured if arm is not None]
    first = arms[0].metric if arms else ""
    return {
        "arms": [arm for arm in arms if arm.metric == first],
        "others": [arm for arm in arms if arm.metric != first],
        "clean": [one for metric, score in ordered if (one := _clean(metric, score)) is not None],
        "seeds": _seeds(run.get("seeds") or {}),
        "judge": _rated(run.get("judge")),
        "review": _rated(run.get("review")),
    }


def _arm(metric: str, score: Mapping[str, Any], name: str) -> Arm | None:
    arm = score["arms"][name]
    if arm.get("value") is None or score.get("tuned") is None:
        return None
    n = int(arm.get("n", score.get("n", 0)))
    verdict = "too few samples" if n < LEAST else str(arm.get("verdict", "no clear difference"))
    interval = None if n < LEAST else comparison.finite(arm.get("interval"))
    told = comparison.called(metric)
    return Arm(decision.named(name), told, float(arm["value"]), float(score["tuned"]), interval, verdict, n)


def _clean(metric: str, score: Mapping[str, Any]) -> dict[str, Any] | None:
    """A metric over the samples alone that do not stand in the training rows."""
    clean = score.get("clean")
    if not clean or None in (clean.get("base"), clean.get("tuned")) or clean.get("n") == score.get("n"):
        return None
    few = clean["n"] < LEAST
    told = comparison.called(metric)
    verdict = "too few samples" if few else clean["verdict"]
    interval = None if few else comparison.finite(clean.get("interval"))
    return {**clean, "metric": told, "verdict": verdict, "interval": interval, "of": score.get("n")}


def _seeds(seeds: Mapping[str, Any]) -> dict[str, Any] | None:
    """Trainings with other seeds: by how much they differ by chance."""
    values = [value for value in seeds.get("values") or () if value is not None]
    if len(values) < 2:
        return None
    metric = str(seeds.get("metric", ""))
    return {"metric": comparison.called(metric), "values": values, "spread": seeds.get("spread")}


def _rated(said: Mapping[str, Any] | None) -> str | None:
    """What people, or a judge, said of pairs of answers, as a sentence without its stop."""
    if not said:
        return None
    words, agreement = str(said["words"]).rstrip("."), said.get("agreement")
    told = (
        f"; agreement of the raters (Krippendorff's alpha) {agreement:.2f}" if agreement is not None else ""
    )
    return f"{words}{told}"


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
