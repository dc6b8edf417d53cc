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

from headrace.pipelines.evaluate.config import LEAST, LOWER_IS_BETTER, VERDICTS, Verdict
from headrace.pipelines.report import plots

# What the page calls each metric, in the order in which it shows them: first what people read.
NAMES: Mapping[str, str] = {
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
# Of what a metric is a number, where it is no share between 0 and 1.
UNITS: Mapping[str, str] = {"loss": "nats a token", "bleu": "of 100", "chrf": "of 100"}
# What is told of a training beside its curves, by key of run.json.
FACTS = {"epochs": "epochs", "tokens": "tokens with a loss, over all epochs"}
WARNINGS = 12
DRAWN = 6  # metrics in the plot; the table has all

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Compared:
    """One metric of both models; `interval` is that of `tuned - base`, None where nothing can be told of it.

    few_shot: the base with examples in its prompt, where that was asked.
    """

    metric: str
    base: float
    tuned: float
    interval: tuple[float, float] | None
    verdict: Verdict
    n: int
    p: float | None
    primary: bool
    few_shot: float | None
    test: str

    @property
    def name(self) -> str:
        """What the page calls it."""
        return called(self.metric)

    @property
    def unit(self) -> str:
        """Of what it is a number; "" of shares."""
        return UNITS.get(self.metric, "")

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

    `scores` is run.json's `evaluate`: by metric base, tuned, interval, p, verdict, n and primary, and where
    they were measured few_shot, test, arms and clean. A metric that is not finite for one of the models has
    null there and is left out.
    """
    shown = [_compared(metric, scores[metric]) for metric in _measured(scores)]
    if not shown:
        return None
    shown.sort(key=lambda one: not one.primary)  # the one that decides comes first
    return {
        "shown": shown,
        "few_shot": any(one.few_shot is not None for one in shown),
        "plot": plots.comparison([(one.name, _models(one)) for one in shown[:DRAWN]]),
        **_judged(shown),
    }


def _measured(scores: Mapping[str, Any]) -> list[str]:
    """Metrics that have a value for both models, in the order of `NAMES`, then others by name."""
    own = sorted(name for name in scores if name not in NAMES)
    both = {
        n for n, s in scores.items() if isinstance(s, Mapping) and None not in (s.get("base"), s.get("tuned"))
    }
    return [name for name in (*NAMES, *own) if name in both]


def called(metric: str) -> str:
    """What the page calls a metric; one of the recipe's own as it is named there."""
    return NAMES.get(metric, metric.replace("_", " "))


def _models(one: Compared) -> list[tuple[str, float]]:
    between = [("few-shot", one.few_shot)] if one.few_shot is not None else []
    return [("base", one.base), *between, ("tuned", one.tuned)]


def _compared(metric: str, score: Mapping[str, Any]) -> Compared:
    n = score["n"]
    few = n < LEAST  # whatever was made of so few
    verdict: Verdict = "too few samples" if few else score["verdict"]
    primary = score.get("primary", False)
    told = (n, None if few else score.get("p"), primary, score.get("few_shot"), score.get("test", ""))
    interval = None if few else finite(score["interval"])
    return Compared(metric, score["base"], score["tuned"], interval, verdict, *told)


def finite(interval: Sequence[float | None] | None) -> tuple[float, float] | None:
    """An interval that has a width; None of one that is open or none at all."""
    if interval is None or None in interval:
        return None
    low, high = (float(end) for end in interval if end is not None)
    return (low, high) if low < high else None


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
    before = (history.get("base") or {}).get("validation")
    drawn = [*_curve([0], [before]), *validation] if validation else []
    best = (history["best_step"], history["best_validation"])
    warnings = history.get("warnings") or []
    learnt_by_heart = any(warning["code"] == "overfitting" for warning in warnings)
    return {
        "steps": history["steps"],
        "first": loss[0][1] if loss else None,
        "last": loss[-1][1] if loss else None,
        "best": best if best[1] is not None else None,
        "base": before,
        "rising": _rises(validation) and not learnt_by_heart,
        "warnings": warnings[:WARNINGS],
        "more": max(0, len(warnings) - WARNINGS),
        "stopped": (history.get("stopped") or {}).get("words"),
        "plot": plots.training(loss, drawn, rate, [w["step"] for w in warnings[:WARNINGS]]),
        "preference": history.get("preference"),
        "facts": {said: _fact(history[key]) for key, said in FACTS.items() if history[key] is not None},
    }


def _fact(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else plots.figures(value)


def _curve(steps: Sequence[int], values: Sequence[float | None]) -> Curve:
    """(step, value) pairs; what is not finite cannot be drawn and is left out."""
    pairs = zip(steps, values, strict=True)  # of a step that was left out there is no value
    return [(float(s), float(value)) for s, value in pairs if value is not None and math.isfinite(value)]


def _rises(validation: Curve) -> bool:
    """Whether validation loss rose at each of the last two measurements: a sign of overfitting."""
    return len(validation) > 2 and all(b[1] > a[1] for a, b in pairwise(validation[-3:]))
