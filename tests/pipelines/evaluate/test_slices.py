"""Where it is worse: no part is named by chance, however many are looked at, and one that is worse is."""

from typing import Any

import numpy as np

from headrace.pipelines.evaluate import metrics, slices, statistics

PARTS, SIZE = 10, 40


def compared(seed: int, lost: int = 0) -> list[dict[str, Any]]:
    """Two models that are as good on every one of ten parts; on the first, `lost` right answers are lost."""
    draw = np.random.default_rng(seed)
    n = PARTS * SIZE
    base = (draw.random(n) < 0.6).astype(np.float64)
    tuned = np.where(draw.random(n) < 0.3, draw.random(n) < 0.6, base).astype(np.float64)
    tuned[np.flatnonzero((np.arange(n) < SIZE) & (tuned == 1))[:lost]] = 0
    paired = statistics.share(metrics.ratio, *(metrics.mean_of(side) for side in (base, tuned)))
    by = {"label": [f"part {at // SIZE}" for at in range(n)]}
    return slices.compared("exact_match", paired, np.arange(n), by, seed)


def worse(parts: list[dict[str, Any]]) -> list[str]:
    return [part["value"] for part in parts if part["verdict"] == "worse"]


def test_no_part_is_named_by_chance() -> None:
    """Of ten parts of equal models one would be called worse in a fifth of trials, each by itself."""
    named = [worse(compared(seed)) for seed in range(30)]
    assert sum(map(bool, named)) <= 1


def test_a_part_that_is_worse_is_named_first_and_in_words() -> None:
    parts = compared(3, lost=25)
    assert worse(parts) == ["part 0"]
    assert parts[0]["value"] == "part 0"
    told = slices.told(parts[0], "exact match")
    assert told.startswith("where the label is part 0, exact match went from ")
    low, high = parts[0]["interval"]
    assert f"95% interval of the change {low:+.3g} to {high:+.3g}, 40 samples" in told
