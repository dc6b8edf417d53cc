"""Pairs within a Hamming distance, by looking at each."""

import numpy as np
from numpy.typing import NDArray


def all_pairs(words: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """Pairs i < j of ``uint64[N, W]`` within `max_distance`: ``int64[M, 2]``."""
    values = [_number(row) for row in words]
    pairs = [
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= max_distance
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def table_pairs(
    words: NDArray[np.uint64],
    masks: NDArray[np.uint64],
    first: int,
    last: int,
    max_distance: int,
    crowd: int,
) -> NDArray[np.int64]:
    """Pairs that agree on the bits of a mask of ``masks[first:last]`` and on those of no earlier mask.

    Of the rows that agree on its bits only the first `crowd` are paired with those behind them.
    """
    values, samples = [_number(row) for row in words], [_number(row) for row in masks]
    kept = []
    for i, j in all_pairs(words, max_distance).tolist():
        difference = values[i] ^ values[j]
        agreeing = [t for t, sample in enumerate(samples) if difference & sample == 0]
        if not agreeing or not first <= agreeing[0] < last:
            continue
        sample = samples[agreeing[0]]
        before = sum((values[i] ^ value) & sample == 0 for value in values[:i])
        if before < crowd:
            kept.append((i, j))
    return np.array(kept, np.int64).reshape(-1, 2)


def _number(row: NDArray[np.uint64]) -> int:
    return sum(int(word) << (64 * place) for place, word in enumerate(row))
