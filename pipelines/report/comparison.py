"""Training curves and the judgement of tuned beside base, for the report.

What: takes what training and evaluation wrote into run.json, draws it, and says in plain words whether the
tuned model is better than its base.

The judgement of one metric is evaluation's (`evaluate.statistics`), and so is which metric decides: how many
others are better is told beside it and changes nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from headrace.pipelines.evaluate.config import LEAST, LOWER_IS_BETTER, VERDICTS, Metric, Verdict
from headrace.pipelines.report import plots

# What the page calls each metric, in the order in which it shows them: first what people read.
NAMES: dict[Metric, str] = {
    "exact_match": "exact match",
    "label_f1": "macro F1",
    "json_valid": "valid JSON",
    "json_schema": "JSON that fits the schema",
    "entity_f1": "entity F1",
    "sql": "SQL with the same rows",
    "code": "code that passes its tests",
    "score": "score by your function",
    "token_f1": "token F1",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "chrf": "chrF",
    "meteor": "METEOR",
    "token_accuracy": "token accuracy",
    "loss": "loss",
    "perplexity": "perplexity",
    "preference_accuracy": "preference accuracy",
}
# What is told of a training beside its curves.
FACTS = ("epochs", "best_step", "best_validation", "tokens", "seconds", "tokens_per_second")
SAMPLES = 8
WARNINGS = 12
CHARACTERS = 1200  # of one text of a sample

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Compared:
    """One metric of both models; `interval` is that of `tuned - base`, None where it is not finite."""

    metric: Metric
    base: float
    tuned: float
    interval: tuple[float, float] | None
    verdict: Verdict
    n: int
    p: float | None
    primary: bool

    @property
    def name(self) -> str:
        """What the page calls it."""
        return NAMES[self.metric]

    @property
    def change(self) -> float:
        """Tuned minus base."""
        return self.tuned - self.base

    @property
    def lower_is_better(self) -> bool:
        """Whether less of it is better."""
        return self.metric in LOWER_IS_BETTER


def metrics(scores: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of metrics, their plot and the verdict; None before evaluation.

    `scores` is run.json's `evaluate`: by metric base, tuned, interval, p, verdict, n and primary. A metric
    that is not finite for one of the models has null there and is left out.
    """
    shown = [
        _compared(metric, scores[metric])
        for metric in NAMES
        if metric in scores and None not in (scores[metric]["base"], scores[metric]["tuned"])
    ]
    if not shown:
        return None
    return {
        "shown": shown,
        "plot": plots.comparison([(one.name, one.base, one.tuned) for one in shown]),
        **_judged(shown),
    }


def _compared(metric: Metric, score: Mapping[str, Any]) -> Compared:
    low, high = score["interval"]
    interval = None if low is None or high is None else (low, high)
    told = (score["n"], score.get("p"), score.get("primary", False))
    return Compared(metric, score["base"], score["tuned"], interval, score["verdict"], *told)


def _judged(shown: Sequence[Compared]) -> dict[str, Any]:
    """Whether the tuned model is better than its base: the verdict of the metric that decides (None where it
    was not measured), and how many of the others say what."""
    primary = next((one for one in shown if one.primary), None)
    others = [one.verdict for one in shown if not one.primary]
    return {
        "verdict": primary.verdict if primary else None,
        "primary": primary,
        "others": len(others),
        "counts": {verdict: others.count(verdict) for verdict in VERDICTS},
        "least": LEAST,
    }


def training(history: Mapping[str, Any]) -> dict[str, Any] | None:
    """Curves of a training, of run.json's `train` as `train.driver.run` returns it; None before training."""
    if not history:
        return None
    loss, rate = (_curve(range(1, history["steps"] + 1), history[name]) for name in ("loss", "learning_rate"))
    validation = _curve(history["validation_steps"], history["validation"])
    best = (history["best_step"], history["best_validation"])
    warnings = history.get("warnings") or []
    learnt_by_heart = any(warning["code"] == "overfitting" for warning in warnings)
    return {
        "steps": history["steps"],
        "first": loss[0][1] if loss else None,
        "last": loss[-1][1] if loss else None,
        "best": best if best[1] is not None else None,
        "base": (history.get("base") or {}).get("validation"),
        "rising": _rises(validation) and not learnt_by_heart,
        "warnings": warnings[:WARNINGS],
        "stopped": (history.get("stopped") or {}).get("words"),
        "plot": plots.training(loss, validation, rate, [w["step"] for w in warnings]),
        "preference": history.get("preference"),
        "facts": {name: history[name] for name in FACTS if history[name] is not None},
    }


def _curve(steps: Sequence[int], values: Sequence[float]) -> Curve:
    """(step, value) pairs; what is not finite cannot be drawn and is left out."""
    pairs = zip(steps, values, strict=True)  # of a step that was left out there is no value
    return [(float(s), float(value)) for s, value in pairs if value is not None and math.isfinite(value)]


def _rises(validation: Curve) -> bool:
    """Whether validation loss rose at each of the last two measurements: a sign of overfitting."""
    return len(validation) > 2 and all(b[1] > a[1] for a, b in pairwise(validation[-3:]))


def samples(written: Mapping[str, Any]) -> list[dict[str, str]]:
    """Some answers of both models: {prompt, reference, base, tuned}, cut to a readable length.

    `written` is evaluation/samples.json; empty before evaluation.
    """
    rows = written.get("samples", ())
    return [{name: _cut(text) for name, text in row.items()} for row in rows[:SAMPLES]]


def _cut(text: str) -> str:
    more = len(text) - CHARACTERS
    return text if more <= 0 else f"{text[:CHARACTERS]} … {more:,} characters more"
