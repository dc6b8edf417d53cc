"""What a gate says, and the rule by which every one of them rings.

A gate rings where its whole interval lies beyond its threshold; where two models are held against each other,
also the exact test of McNemar must leave no room for chance. What was measured hangs on no threshold: it is
kept, and another threshold asks no model again.

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
CERTAIN = 0.01  # p-value that a test must not exceed: some twenty gates are held at once


class Gate(NamedTuple):
    """What a gate has measured, before anything is asked of it: a value with a 95% interval.

    words, fix: what was seen, and what to do where that is too much. rows: numbers of the samples (names of
    battery items) that show it, most telling first; facts: numbers beside the value. certain: whether a test
    leaves no room for chance, where there is one beside the interval. No text of a row or of an answer.
    """

    value: float
    interval: Interval
    words: str
    fix: str
    rows: tuple[int | str, ...] = ()
    facts: Mapping[str, Any] = MappingProxyType({})
    certain: bool = True


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


def rings(name: str, gate: Gate, threshold: float) -> bool:
    """Whether all of the interval lies beyond the threshold of gate `name`, and the test agrees."""
    low, high = gate.interval
    if math.isnan(low) or math.isnan(high):
        return False
    return gate.certain and (high < threshold if THRESHOLDS[name].lower else low > threshold)


def of_share(found: Bools, what: str, fix: str, facts: dict[str, Any] | None = None) -> Outcome:
    """A gate on the share of True in ``bool[N]``. what: what these are, behind "3 of 40 "."""
    if len(found) < LEAST:
        return too_few(len(found))
    count, n = int(found.sum()), len(found)
    interval = exact(count, n)
    words = f"{count:,} of {n:,} {what} ({percent(count / n, interval)})"
    return Gate(count / n, interval, words, fix, where(found), facts or {})


def of_pairs(base: Bools, tuned: Bools, what: str, beside: str, fix: str, facts: dict[str, Any]) -> Outcome:
    """A gate on the difference of two shares over the same samples, ``bool[N]`` each: tuned - base.

    what: what the True ones are, behind "3 of 40 "; beside: whose the base's are, before "2".
    """
    if len(tuned) < LEAST:
        return too_few(len(tuned))
    sides = (metrics.mean_of(np.asarray(side, np.float64)) for side in (base, tuned))
    compared = statistics.compare(statistics.share(metrics.ratio, *sides), seed=0)
    value, interval = compared.tuned - compared.base, (compared.low, compared.high)
    words = f"{int(tuned.sum()):,} of {len(tuned):,} {what}, {beside} {int(base.sum()):,}"
    words += f" (difference {points(value, interval)})"
    certain = compared.p <= CERTAIN
    return Gate(value, interval, words, fix, where(tuned & ~base), facts, certain)


def too_few(n: int) -> Unmeasured:
    """Of so few samples nothing is said."""
    return Unmeasured(f"{n} answers to look at, and fewer than {LEAST} show nothing")


def percent(value: float, interval: Interval) -> str:
    """A share with its interval, in words."""
    return f"{value:.1%}, 95% interval {interval[0]:.1%} to {interval[1]:.1%}"


def points(value: float, interval: Interval) -> str:
    """A difference of two shares with its interval, in words."""
    value, low, high = (100 * number for number in (value, *interval))
    return f"{value:+.1f} points of 100, 95% interval {low:+.1f} to {high:+.1f}"


def where(found: Bools) -> tuple[int, ...]:
    """Numbers of the first of those that are True."""
    return tuple(np.flatnonzero(found)[:LISTED].tolist())


def said(name: str, gate: Gate, threshold: float, ship: str) -> dict[str, Any]:
    """A gate as run.json has it, beside a threshold. ship: what one that rings means, warn or fail."""
    ringing = rings(name, gate, threshold)
    return {
        "value": _rounded(gate.value),
        "interval": [_rounded(end) for end in gate.interval],
        "threshold": threshold,
        "state": ship if ringing else "pass",
        "words": f"{gate.words}. {gate.fix}" if ringing else gate.words,
        "rows": list(gate.rows),
        "facts": dict(gate.facts),
    }


def kept(gate: Gate) -> dict[str, Any]:
    """A gate as an evaluation keeps it, for whichever thresholds come later."""
    return {
        **gate._asdict(),
        "value": _rounded(gate.value),
        "interval": [_rounded(end) for end in gate.interval],
        "rows": list(gate.rows),
        "facts": dict(gate.facts),
    }


def taken_up(kept: Mapping[str, Any]) -> Gate:
    """The gate of what `kept` gave; an end that is not there is infinite."""
    low, high = kept["interval"]
    value = math.nan if kept["value"] is None else kept["value"]
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return Gate(value, ends, kept["words"], kept["fix"], tuple(kept["rows"]), kept["facts"], kept["certain"])


def _rounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def named(rows: Sequence[int | str], names: Sequence[str]) -> tuple[str, ...]:
    """Numbers of rows as the names that stand for them."""
    return tuple(names[int(row)] for row in rows)
