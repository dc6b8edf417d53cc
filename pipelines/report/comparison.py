"""Training curves and the judgement of tuned beside base, for the report.

What: brings what training and evaluation wrote to one form, and says in plain words whether the
tuned model is better than its base.

The judgement: a metric counts as better or worse only where the bootstrap interval of its gain does
not hold zero; without an interval the sign alone is told, and the report says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

from headrace.pipelines.report import plots

LOWER = ("loss", "perplexity")  # the smaller the better
FIRST = ("exact_match", "rougeL", "rouge_l", "rouge", "bleu", "loss", "perplexity")  # told in this order
NAMES = {
    "rougeL": "ROUGE-L",
    "rouge_l": "ROUGE-L",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rouge": "ROUGE",
    "bleu": "BLEU",
}
# Names that curves go by, in run.json and in a training's history.
LOSS = ("loss", "train_loss")
VALIDATION = ("validation", "validation_loss", "eval_loss")
RATE = ("lr", "learning_rate", "rate")
SAMPLES = 8
CHARACTERS = 1200  # of one text of a sample
METRICS = 24
FACTS = 30

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Metric:
    """One metric of both models; `interval` is that of `tuned - base`, None where not measured."""

    name: str
    base: float
    tuned: float
    interval: tuple[float, float] | None
    lower_is_better: bool

    @property
    def change(self) -> float:
        """Tuned minus base."""
        return self.tuned - self.base

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "same" (no difference that the interval allows to claim)."""
        if self.change == 0 or (self.interval and self.interval[0] <= 0 <= self.interval[1]):
            return "same"
        return "better" if (self.change < 0) == self.lower_is_better else "worse"


def metrics(told: Any, outputs: Sequence[Any]) -> dict[str, Any] | None:
    """The table of metrics, their plot and the verdict; None before evaluation.

    `told` is run.json's `evaluate` ({metric: {base, tuned, interval?}}), `outputs` what
    evaluation/*.json hold: their "metrics" add what run.json leaves out.
    """
    merged: dict[str, dict[str, Any]] = {}
    for part in [*(o.get("metrics") for o in outputs if isinstance(o, dict)), told]:
        for name, values in (part or {}).items() if isinstance(part, dict) else ():
            if isinstance(values, dict):
                merged.setdefault(str(name), {}).update(values)
    found = [m for m in (_metric(n, v) for n, v in merged.items()) if m]
    if not found:
        return None
    found = sorted(found, key=lambda m: (_rank(m.name), m.name))[:METRICS]
    return {
        "shown": found,
        "names": {m.name: NAMES.get(m.name, m.name.replace("_", " ")) for m in found},
        "plot": plots.comparison(
            [(NAMES.get(m.name, m.name.replace("_", " "))[:40], m.base, m.tuned) for m in found]
        ),
        "intervals": any(m.interval for m in found),
        **verdict(found),
    }


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST) - len(LOWER)


def _metric(name: str, values: Mapping[str, Any]) -> Metric | None:
    base, tuned = values.get("base"), values.get("tuned")
    if not _number(base) or not _number(tuned):
        return None
    interval = values.get("interval")
    if isinstance(interval, Mapping):
        interval = (interval.get("low"), interval.get("high"))
    ends = [float(x) for x in interval or () if _number(x)]
    lower = any(name == word or name.endswith(f"_{word}") for word in LOWER)
    return Metric(name, float(base), float(tuned), (ends[0], ends[1]) if len(ends) == 2 else None, lower)


def verdict(found: Sequence[Metric]) -> dict[str, Any]:
    """Whether the tuned model is better than its base, in one word and with the counts."""
    counts = {word: sum(m.verdict == word for m in found) for word in ("better", "worse", "same")}
    if counts["better"] and counts["worse"]:
        word = "mixed"
    elif counts["better"] or counts["worse"]:
        word = "better" if counts["better"] else "worse"
    else:
        word = "same"
    return {"verdict": word, "counts": counts}


def training(told: Any, history: Any) -> dict[str, Any] | None:
    """Curves of a training, from checkpoints/history.json, else run.json's `train`; None before training.

    Either may hold a curve as plain numbers (with `<name>_steps` beside them where not every step has
    one), as [step, value] pairs or as records with `step`; the history may also be one list of records
    that hold several values of a step.
    """
    told = told if isinstance(told, dict) else {}
    held = _columns(history)
    steps = told.get("steps") if isinstance(told.get("steps"), int) else None
    loss, validation, rate = (_first((held, told), names, steps) for names in (LOSS, VALIDATION, RATE))
    if not loss and not validation:
        return None
    facts = {k: v for k, v in told.items() if k != "steps" and isinstance(v, int | float | str)}
    return {
        "steps": steps or int(max(x for x, _ in [*loss, *validation])),
        "first": loss[0][1] if loss else None,
        "last": loss[-1][1] if loss else None,
        "best": min(validation, key=lambda p: p[1]) if validation else None,
        "rising": _rises(validation),
        "plot": plots.training(loss, validation, rate),
        "facts": {k: facts[k] for k in list(facts)[:FACTS]},
    }


def _columns(history: Any) -> dict[str, Any]:
    """A history by name: as it is, or from a list of records that hold several values of a step."""
    if isinstance(history, dict):
        return history
    columns: dict[str, Any] = {}
    for record in history if isinstance(history, list) else ():
        for name, value in record.items() if isinstance(record, dict) else ():
            columns.setdefault(str(name), []).append([record.get("step"), value])
    return columns


def _first(places: Sequence[Mapping[str, Any]], names: Sequence[str], steps: int | None) -> Curve:
    """The first curve that is there, by place and then by name."""
    for place in places:
        for name in names:
            found = _curve(place.get(name), place.get(f"{name}_steps"), steps)
            if found:
                return found
    return []


def _curve(values: Any, at: Any, steps: int | None) -> Curve:
    """(step, value) pairs; plain numbers stand at the steps `at`, or evenly over all `steps`."""
    if not isinstance(values, list) or not values:
        return []
    if isinstance(at, list) and len(at) == len(values):
        values = [[x, y] for x, y in zip(at, values, strict=True)]
    if all(_number(v) for v in values):
        every = (steps or len(values)) / len(values)
        return [((i + 1) * every, float(v)) for i, v in enumerate(values)]
    found = []
    for value in values:
        if isinstance(value, dict):
            measured = next((value[n] for n in (*LOSS, *VALIDATION, *RATE) if n in value), None)
            value = [value.get("step"), measured]
        if isinstance(value, list) and len(value) == 2 and all(_number(v) for v in value):
            found.append((float(value[0]), float(value[1])))
    return found


def _number(value: Any) -> TypeGuard[float]:
    """Whether `value` can be drawn and compared: JSON may hold NaN, and true is no number here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rises(validation: Sequence[tuple[float, float]]) -> bool:
    """Whether validation loss rose at each of the last two measurements: a sign of overfitting."""
    return len(validation) > 2 and all(b[1] > a[1] for a, b in pairwise(validation[-3:]))


def samples(outputs: Sequence[Any]) -> list[dict[str, str]]:
    """Some answers of both models: {prompt, reference, base, tuned}, cut to a readable length."""
    found = []
    for output in outputs:
        rows = output.get("samples") if isinstance(output, dict) else output
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and {"base", "tuned"} <= row.keys():
                names = ("prompt", "reference", "base", "tuned")
                found.append({n: _cut(row.get(n)) for n in names})
    return found[:SAMPLES]


def _cut(text: Any) -> str:
    text = "" if text is None else str(text)
    return (
        text
        if len(text) <= CHARACTERS
        else f"{text[:CHARACTERS]} … {len(text) - CHARACTERS:,} characters more"
    )
