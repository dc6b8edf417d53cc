"""What may be claimed of two models on the same samples: a test, an interval, and the verdict they allow.

The test asks how often the difference would be as large if each sample's two results were swapped at random:
right answers by the exact binomial test on the samples where one model alone is right (McNemar), all else by
`DRAWS` random swaps, whose p-value is never too small. The interval weighs the samples at random (a Bayesian
bootstrap) together with one sample more, the worst or the best that could have been: so it does not claim
what a few samples cannot show. Where nothing bounds a sample (the loss), that one lies by the farthest seen,
or beyond it, the farther the fewer they are. One metric, named before, decides; of the others the p-values
are corrected for their number (Holm).

Source: McNemar 1947; https://aclanthology.org/W05-0908 (swaps); Gaffke 2005 and
https://arxiv.org/abs/1905.06208 (one sample more); Holm 1979; figures in tests/benchmarks/verdicts.py.
Cost: `DRAWS` weighted sums of all samples for the test and twice as many for the interval.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate.config import LEAST, VERDICTS, Verdict

Floats = NDArray[np.float64]
Metric = Callable[[Floats], Floats]

DRAWS = 1999
STEP = 250  # draws at a time
ALPHA = 0.05
# One sample more lies ``(FARTHER / n) ** 0.6`` times as far off as the farthest seen: 3 times for 5 samples,
# once for 30, a third for 200. Found by trial, as are the figures that it gives: see verdicts.py.
FARTHER = 30.0


class Paired(NamedTuple):
    """One metric over the same samples of both models.

    base, tuned: what `metric` takes sums of, ``float64[N, K]``, row i of both being of the same sample. low,
    high: what the one sample more brings for the interval's ends, ``float64[2, K]`` of base and tuned. right:
    results are 1 or 0.
    """

    metric: Metric
    base: Floats
    tuned: Floats
    low: Floats
    high: Floats
    right: bool = False


class Comparison(NamedTuple):
    """A metric of both models; low and high: interval of tuned - base; p of no difference; n samples."""

    base: float
    tuned: float
    low: float
    high: float
    p: float
    n: int


def bounded(metric: Metric, base: Floats, tuned: Floats, worst: Floats, best: Floats) -> Paired:
    """A metric of which a sample brings `worst` at the least and `best` at the most, ``float64[K]``."""
    values = {tuple(row) for row in np.concatenate([base, tuned]).tolist()}
    right = values <= {(0.0, 1.0), (1.0, 1.0)}
    return Paired(metric, base, tuned, np.stack([best, worst]), np.stack([worst, best]), right)


def share(values: Metric, base: Floats, tuned: Floats) -> Paired:
    """A share of (right ones, all): a sample of the mean size, with none of them right or all."""
    size = float(base[:, 1].mean())
    return bounded(values, base, tuned, np.array([0.0, size]), np.array([size, size]))


def unbounded(metric: Metric, base: Floats, tuned: Floats) -> Paired:
    """A metric of (sum, weight) that nothing bounds: one of the mean weight, by the farthest seen."""
    weight = base[:, 1]
    moved = tuned[:, 0] - base[:, 0]
    change = moved.sum() / weight.sum()
    # How far samples lie apart cannot be seen of one: it has no interval.
    farthest = np.abs(moved / weight - change).max(initial=0) if len(base) > 1 else math.inf
    farthest *= (FARTHER / len(base)) ** 0.6
    before, size = base[:, 0].sum() / weight.sum(), float(weight.mean())
    low, high = (
        np.array([[before * size, size], [(before + change + sign * farthest) * size, size]])
        for sign in (-1, 1)
    )
    return Paired(metric, base, tuned, low, high)


def compare(paired: Paired, *, seed: int) -> Comparison:
    """The metric of both models, the interval of tuned - base, and the p-value.

    The same seed gives the same.
    """
    metric, base, tuned = paired.metric, paired.base, paired.tuned
    assert base.shape == tuned.shape, (base.shape, tuned.shape)
    assert len(base), "nothing to compare"
    p = _binomial(base[:, 0], tuned[:, 0]) if paired.right else _swapped(paired, seed)
    low, high = _interval(paired, seed)
    return Comparison(float(metric(base.sum(0))), float(metric(tuned.sum(0))), low, high, p, len(base))


def _binomial(base: Floats, tuned: Floats) -> float:
    """Two-sided exact p-value of how often one of two models alone is right."""
    won, lost = int((tuned > base).sum()), int((tuned < base).sum())
    n = won + lost
    tail = sum(math.comb(n, k) for k in range(min(won, lost) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def _swapped(paired: Paired, seed: int) -> float:
    """Two-sided p-value by random swaps of each sample's results."""
    metric, base, moved = paired.metric, paired.base, paired.tuned - paired.base
    ours, theirs = base.sum(0), moved.sum(0)
    generator = np.random.default_rng([seed % 2**64, 1])

    def difference(taken: Floats) -> Floats:
        return np.asarray(metric(ours + theirs - taken) - metric(ours + taken), np.float64)

    seen = float(difference(np.zeros(base.shape[1])))
    if not math.isfinite(seen):
        return 1.0
    as_large = 0
    for size in _steps():
        swapped = generator.random((size, len(base))) < 0.5
        drawn = np.abs(difference(swapped.astype(np.float64) @ moved))
        # What is no number cannot speak for a difference; rounding must not either.
        as_large += int((~(drawn < abs(seen) * (1 - 1e-9))).sum())
    return (1 + as_large) / (1 + DRAWS)


def _interval(paired: Paired, seed: int) -> tuple[float, float]:
    """Ends of the interval of tuned - base at ``1 - ALPHA``; nan where it cannot be told."""
    generator = np.random.default_rng([seed % 2**64, 2])
    n, metric = len(paired.base), paired.metric
    lows: list[Floats] = []
    highs: list[Floats] = []
    for size in _steps():
        weights = generator.standard_exponential((size, n + 1))
        weights *= (n + 1) / weights.sum(1, keepdims=True)
        sums = [weights[:, :n] @ side for side in (paired.base, paired.tuned)]
        for found, more in ((lows, paired.low), (highs, paired.high)):
            ends = [metric(s + weights[:, n:] * row) for s, row in zip(sums, more, strict=True)]
            found.append(np.asarray(ends[1] - ends[0], np.float64))
    low, high = np.concatenate(lows), np.concatenate(highs)
    low, high = low[np.isfinite(low)], high[np.isfinite(high)]
    if not (len(low) and len(high)):
        return math.nan, math.nan
    return float(np.quantile(low, ALPHA / 2)), float(np.quantile(high, 1 - ALPHA / 2))


def _steps() -> list[int]:
    return [min(STEP, DRAWS - at) for at in range(0, DRAWS, STEP)]


def corrected(p: Mapping[str, float]) -> dict[str, float]:
    """p-values of several metrics, each corrected for how many there are (Holm)."""
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p, key=lambda name: (p[name], name))):
        least = max(least, min(1.0, (len(p) - place) * p[name]))
        adjusted[name] = least
    return adjusted


def verdict(compared: Comparison, p: float, *, lower_is_better: bool) -> Verdict:
    """What may be claimed, with `p` as it is or corrected: nothing of fewer than `LEAST` samples, and nothing
    where the test or the interval leaves room for no difference."""
    better, worse, unclear, too_few = VERDICTS
    if compared.n < LEAST:
        return too_few
    if not p <= ALPHA or not (compared.low > 0 or compared.high < 0):
        return unclear
    return better if (compared.high < 0) == lower_is_better else worse
