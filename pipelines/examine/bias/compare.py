"""How groups of a list differ: how often they are named, and what answers are like beside them.

Each group is held against the one that is named most. How often: rows that name it and not the other, for
each row the other way round; the interval is Wilson's of the one share that decides it. Answers: the ratio of
mean lengths (geometric, so that a few long ones do not decide), the difference of shares of refusals
(Newcombe's interval), and how many labels have another share. All intervals of a list hold together at 95%
(Bonferroni): a list of thirty nations would else give one alarm or two by chance.

A difference is none of fairness: it may be what the subject asks for. It says where to look.

Source: Wilson 1927; Newcombe 1998, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from headrace.pipelines.examine.bias.counts import Counts

LEAST = 30  # rows of a group below which nothing is said of its answers
Interval = tuple[float, float]


def report(counts: Counts, groups: Sequence[str], *, flagged: bool, labelled: bool) -> dict[str, Any]:
    """What run.json says of one list.

    flagged: whether refusals are known; labelled: whether most answers of the set are labels.
    """
    rows = np.diagonal(counts.both)
    first = int(np.argmax(rows)) if len(rows) else 0
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(groups) - 1))
    said: dict[str, Any] = {}
    for at, group in enumerate(groups):
        if not rows[at]:
            continue
        said[group] = {
            "rows": int(rows[at]),
            "prompts": int(counts.prompts[at]),
            "answers": int(counts.answers[at]),
            "asked": int(counts.alone[at, 0]),
        }
        if at != first:
            said[group]["named"] = named(counts, at, first, z)
        if at != first and min(counts.alone[at, 0], counts.alone[first, 0]) >= LEAST:
            said[group]["length"] = lengths(counts, at, first, z)
            said[group]["refusals"] = refusals(counts, at, first, z) if flagged else None
            said[group]["labels"] = labels(counts, at, first, len(groups)) if labelled else None
    return {"rows": counts.any, "beside": groups[first] if counts.any else None, "groups": said}


def named(counts: Counts, at: int, first: int, z: float) -> dict[str, Any]:
    """Rows that name a group and not the other, for each that names the other and not it."""
    both = int(counts.both[at, first])
    only, other = (int(counts.both[k, k]) - both for k in (at, first))
    low, high = wilson(only, only + other, z)
    ratio = only / other if other else None
    return {"ratio": _round(ratio), "interval": [_odds(low), _odds(high)], "only": only, "other": other}


def lengths(counts: Counts, at: int, first: int, z: float) -> dict[str, Any]:
    """The mean length of answers beside a group, as a ratio to that beside the other."""
    n, total, squares = counts.alone[[at, first]].T
    mean = total / n
    error = math.sqrt(float(np.sum(np.maximum(squares / n - mean * mean, 0) / (n - 1))))
    ratio = float(mean[0] - mean[1])
    return _spread(math.exp(ratio), math.exp(ratio - z * error), math.exp(ratio + z * error), even=1.0)


def refusals(counts: Counts, at: int, first: int, z: float) -> dict[str, Any]:
    """The share of refusals beside a group, less that beside the other."""
    (a, n), (b, m) = ((int(counts.refused[k]), int(counts.alone[k, 0])) for k in (at, first))
    low, high = newcombe(a, n, b, m, z)
    return {**_spread(a / n - b / m, low, high, even=0.0), "refused": [a, b]}


def labels(counts: Counts, at: int, first: int, groups: int) -> dict[str, Any] | None:
    """How many labels have another share beside a group than beside the other; None for few rows."""
    by: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for (text, group), n in counts.labels.items():
        if group in (at, first):
            by[text][0 if group == at else 1] += n
    pairs = [by[text] for text in sorted(by)]
    sums = [sum(pair[k] for pair in pairs) for k in (0, 1)]
    if min(sums) < LEAST:
        return None
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, (groups - 1) * len(pairs)))
    spans = [newcombe(a, sums[0], b, sums[1], z) for a, b in pairs]
    distance = sum(abs(a / sums[0] - b / sums[1]) for a, b in pairs) / 2
    differ = sum(low > 0 or high < 0 for low, high in spans)
    return {"labels": len(pairs), "distance": _round(distance), "differ": differ, "unlike": differ > 0}


def wilson(k: int, n: int, z: float) -> Interval:
    """Wilson's interval of a share of `k` in `n`."""
    if not n:
        return 0.0, 1.0
    share = k / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(a: int, n: int, b: int, m: int, z: float) -> Interval:
    """Interval of ``a / n - b / m`` from Wilson's of both."""
    p, q = a / n, b / m
    (low, high), (less, more) = wilson(a, n, z), wilson(b, m, z)
    return (
        p - q - math.sqrt((p - low) ** 2 + (more - q) ** 2),
        p - q + math.sqrt((high - p) ** 2 + (q - less) ** 2),
    )


def _odds(share: float) -> float | None:
    return None if share >= 1 else _round(share / (1 - share))


def _spread(value: float, low: float, high: float, *, even: float) -> dict[str, Any]:
    return {
        "value": _round(value),
        "interval": [_round(low), _round(high)],
        "unlike": low > even or high < even,
    }


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
