"""Whether the sides of a split can tell anything, and whether they are alike.

What: a share measured on n held-out samples has a 95% interval of up to 1.96 * sqrt(.25 / n) to both sides;
where that is wider than `WIDE`, nothing but a very large gain can be told. And the mix of traits (language,
task) of a held-out side beside that of train: the largest difference of a value's share, where it is larger
than `UNLIKE` and than chance gives (four standard errors).

Cost: none; counts alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

WIDE = 0.1
UNLIKE = 0.1
TRAITS = ("language", "task")
Mixes = Mapping[str, Mapping[str, int]]  # rows by trait and value


def report(samples: Mapping[str, int], mixes: Mapping[str, Mixes]) -> dict[str, Any]:
    """Intervals, differences and sentences. samples: by side; mixes: traits of the rows of each side."""
    intervals, unlike, words = {}, [], []
    for side in ("validation", "test"):
        n = samples.get(side, 0)
        if not n:
            continue
        intervals[side] = round(interval(n), 4)
        if intervals[side] > WIDE:
            words.append(
                f"{side} has {n:,} samples: a share is told to {100 * intervals[side]:.0f} points up or "
                "down, so a smaller gain cannot be told from none; hold out more rows"
            )
        found = differences(mixes.get("train", {}), mixes.get(side, {}))
        unlike += [{"side": side, **one} for one in found]
        words += [
            f"{side} is unlike train: {one['trait']} {one['value']} is {one['share']:.0%} of it, and "
            f"{one['train']:.0%} of train"
            for one in found
        ]
    return {"intervals": intervals, "unlike": unlike, "words": words}


def interval(n: int) -> float:
    """Half of the widest 95% interval of a share of `n` samples."""
    return float(1.96 * np.sqrt(0.25 / n))


def differences(train: Mixes, held: Mixes) -> list[dict[str, Any]]:
    """Of each trait the value whose share differs most, where that is more than chance gives."""
    found = []
    for trait in TRAITS:
        of_train, of_held = train.get(trait, {}), held.get(trait, {})
        n, m = sum(of_train.values()), sum(of_held.values())
        if not n or not m:
            continue
        values = sorted({*of_train, *of_held})
        one = np.array([of_train.get(v, 0) for v in values]) / n
        other = np.array([of_held.get(v, 0) for v in values]) / m
        both = (one * n + other * m) / (n + m)
        noise = 4 * np.sqrt(both * (1 - both) * (1 / n + 1 / m))
        gap = np.abs(one - other)
        gap[(gap < UNLIKE) | (gap <= noise)] = 0
        if gap.any():
            at = int(np.argmax(gap))
            shares = {"share": round(float(other[at]), 4), "train": round(float(one[at]), 4)}
            found.append({"trait": trait, "value": values[at], **shares})
    return found
