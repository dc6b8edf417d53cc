"""Bottom-k sketches: what is kept of a text to tell its similarity to another one later, without it.

The features are those of `kernels.sketch`: hashed n-byte windows, each counted once a text. A sketch
holds the upper 32 bits of the `k` least hashes, in ascending order; of a text with fewer features, all
of them. The k least of two texts' union are a sample of it without replacement, so the share that lies
in both estimates Jaccard J with a standard error of sqrt(J (1 - J) / k) or less: .025 at .8 with 256.
Where both sketches are whole it is exact, but that two features
with the same upper half count as one (in 1 of 1,000 texts of 2 KB).

Cost: hashing, and sorting a little over k values a text. Memory: 4 k bytes a text.
Source: Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches", https://doi.org/10.1145/1281100.1281133
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.kernels.arrow import Texts, one_span
from headrace.kernels.dispatch import Implementation, choose


def bottom_sketches(
    texts: Texts, *, k: int = 256, ngram: int = 8, implementation: Implementation = "auto"
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Sketch of each text: (offsets ``int64[N + 1]``, values ``uint32[offsets[-1]]``, ascending in a text).

    A text that is null or shorter than `ngram` (1 to 16 bytes) has none.

    Raises: ValueError for an ngram outside 1 to 16 or a k below 1.
    """
    if not 1 <= ngram <= 16:
        raise ValueError(f"ngram must be 1 to 16 bytes, got {ngram}")
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}")
    rows = one_span(texts)
    windows = np.maximum(rows.stops - rows.starts - ngram + 1, 0)
    room = np.concatenate([[0], np.cumsum(np.minimum(windows, k))]).astype(np.int64)
    held, counts = np.zeros(int(room[-1]), np.uint32), np.zeros(len(rows), np.int64)
    choose(__name__, implementation).sketches(rows, k, ngram, room, held, counts)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    if offsets[-1] == len(held):
        return offsets, held
    inside = np.arange(len(held)) - np.repeat(room[:-1], np.diff(room))
    return offsets, held[inside < np.repeat(counts, np.diff(room))]


def bottom_jaccard(
    offsets: NDArray[np.int64],
    values: NDArray[np.uint32],
    pairs: ArrayLike,
    *,
    k: int = 256,
    implementation: Implementation = "auto",
) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of pairs of sketches: ``pairs int64[M, 2] -> float64[M]``.

    0 where both are empty: texts without features must be compared as they are.

    Raises: ValueError for a pair that names no sketch.
    """
    wanted = np.ascontiguousarray(pairs, np.int64).reshape(-1, 2)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(offsets) - 1):
        raise ValueError(f"pairs name a sketch outside 0..{len(offsets) - 2}")
    found = np.empty(len(wanted), np.float64)
    choose(__name__, implementation).jaccard(offsets, values, wanted, k, found)
    return found


__all__ = ["bottom_jaccard", "bottom_sketches"]
