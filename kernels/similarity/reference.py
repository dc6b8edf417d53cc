"""Overlap by Python's sets."""

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.sketch.reference import window_hashes


def overlap(texts: Spans, pairs: NDArray[np.int64], ngram: int, sizes: NDArray[np.int64]) -> None:
    """Fill ``sizes[M, 3]`` with (shared, left's, right's) feature counts of ``pairs[M, 2]``."""
    for index, pair in enumerate(pairs):
        left, right = (
            set(window_hashes(texts.data[texts.starts[row] : texts.stops[row]].tobytes(), ngram))
            for row in pair
        )
        sizes[index] = len(left & right), len(left), len(right)
