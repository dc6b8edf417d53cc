"""Bottom-k sketches by Python's sets."""

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.sketch.reference import window_hashes


def sketches(
    texts: Spans,
    k: int,
    ngram: int,
    room: NDArray[np.int64],
    held: NDArray[np.uint32],
    counts: NDArray[np.int64],
) -> None:
    """Fill ``held[room[i]:room[i] + counts[i]]`` with the sketch of row i, and `counts`."""
    for row in range(len(texts)):
        text = texts.data[texts.starts[row] : texts.stops[row]].tobytes()
        least = sorted({h >> 32 for h in window_hashes(text, ngram)})[:k]
        counts[row] = len(least)
        held[room[row] : room[row] + len(least)] = least


def jaccard(
    offsets: NDArray[np.int64],
    values: NDArray[np.uint32],
    pairs: NDArray[np.int64],
    k: int,
    found: NDArray[np.float64],
) -> None:
    """Fill ``found[M]``: share of the k least of both that lies in each of them."""
    for place, pair in enumerate(pairs):
        left, right = (set(values[offsets[row] : offsets[row + 1]].tolist()) for row in pair)
        least = sorted(left | right)[:k]
        found[place] = sum(v in left and v in right for v in least) / len(least) if least else 0.0
