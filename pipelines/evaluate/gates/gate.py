"""What a gate says, and the rule by which every one of them rings.

A gate rings where its whole interval lies beyond its threshold; where two models are held against each other,
also the exact test of McNemar must leave no room for chance.

Source: Clopper and Pearson 1934 (exact interval of a share); McNemar 1947.
Cost: none.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate import metrics, statistics
from headrace.pipelines.evaluate.gates.config import THRESHOLDS

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Interval = tuple[float, float]

LEAST = 20  # answers below which a gate says nothing
LISTED = 20  # rows that are named


class Gate(NamedTuple):
    """One gate: its value with a 95% interval, what it was held against, and what to do where it rings.

    rows: numbers of the samples (names of battery items) that show it, most telling first; facts: numbers
    beside the value. No text of a row or of an answer.
    """

    value: float
    interval: Interval
    threshold: float
    rings: bool
    words: str
    rows: tuple[int | str, ...] = ()
    facts: Mapping[str, Any] = MappingProxyType({})


class Unmeasured(NamedTuple):
    """A gate that could not be held, and why."""

    why: str


Outcome = Gate | Unmeasured


def exact(count: int, n: int) -> Interval:
    """Exact 95% interval of a share of `count` in `n`; (0, 1) of none."""
    from scipy.special import betaincinv  # type: ignore[import-untyped]

    low = float(betaincinv(count, n - count + 1, statistics.ALPHA / 2)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - statistics.ALPHA / 2)) if count < n else 1.0
    return low, high


def beyond(name: str, interval: Interval, threshold: float) -> bool:
    """Whether all of an interval lies beyond the threshold of gate `name`."""
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return False
    return high < threshold if THRESHOLDS[name].lower else low > threshold


def of_share(
    name: str, found: Bools, threshold: float, what: str, fix: str, facts: dict[str, Any] | None = None
) -> Outcome:
    """A gate on the share of True in ``bool[N]``. what: what these are, behind "3 of 40 "."""
    if len(found) < LEAST:
        return too_few(len(found))
    count, n = int(found.sum()), len(found)
    interval = exact(count, n)
    rings = beyond(name, interval, threshold)
    words = f"{count:,} of {n:,} {what} ({percent(count / n, interval)})"
    return Gate(count / n, interval, threshold, rings, sentence(words, fix, rings), where(found), facts or {})


def of_pairs(
    name: str, base: Bools, tuned: Bools, threshold: float, what: str, fix: str, facts: dict[str, Any]
) -> Outcome:
    """A gate on the difference of two shares over the same samples, ``bool[N]`` each: tuned - base.

    It rings where interval and test agree. what: what the True ones are.
    """
    if len(tuned) < LEAST:
        return too_few(len(tuned))
    sides = (metrics.mean_of(np.asarray(side, np.float64)) for side in (base, tuned))
    compared = statistics.compare(statistics.share(metrics.ratio, *sides), seed=0)
    value, interval = compared.tuned - compared.base, (compared.low, compared.high)
    rings = beyond(name, interval, threshold) and compared.p <= statistics.ALPHA
    words = f"{int(tuned.sum()):,} of {len(tuned):,} {what}, {int(base.sum()):,} beside them"
    words += f" (difference {percent(value, interval)})"
    rows = where(tuned & ~base)
    return Gate(value, interval, threshold, rings, sentence(words, fix, rings), rows, facts)


def too_few(n: int) -> Unmeasured:
    """Of so few samples nothing is said."""
    return Unmeasured(f"{n} answers to look at, and fewer than {LEAST} show nothing")


def percent(value: float, interval: Interval) -> str:
    """A share with its interval, in words."""
    return f"{value:.1%}, 95% interval {interval[0]:.1%} to {interval[1]:.1%}"


def sentence(words: str, fix: str, rings: bool) -> str:
    """What was seen and, where the gate rings, what to do."""
    return f"{words}. {fix}" if rings else words


def where(found: Bools) -> tuple[int, ...]:
    """Numbers of the first of those that are True."""
    return tuple(np.flatnonzero(found)[:LISTED].tolist())


def said(gate: Gate, ship: str) -> dict[str, Any]:
    """A gate as run.json holds it. ship: what one that rings means, warn or fail."""
    return {
        "value": _rounded(gate.value),
        "interval": [_rounded(end) for end in gate.interval],
        "threshold": gate.threshold,
        "state": ship if gate.rings else "pass",
        "words": gate.words,
        "rows": list(gate.rows),
        "facts": dict(gate.facts),
    }


def _rounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def named(rows: Sequence[int | str], names: Sequence[str]) -> tuple[str, ...]:
    """Numbers of rows as the names that stand for them."""
    return tuple(names[int(row)] for row in rows)
