"""Exact overlap of the sets of hashed n-byte windows of two texts, for given pairs.

The features are those of `kernels.sketch`, each counted once a text: for 8-byte windows the hash is
one-to-one, so the answer is exact for the windows themselves.

No set is kept: a text's set is built once for all the pairs that it leads (the pairs are grouped by
their more frequent member) and the windows of its partners are looked up in it. Memory: 8 bytes a text,
some 60 a pair, under 200 a byte of the longest text a thread. Cost: 6 to 8 ns a byte of text
beyond what both begin with.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.kernels.arrow import Texts, one_span
from headrace.kernels.dispatch import Implementation, choose


def overlap(
    texts: Texts, pairs: ArrayLike, *, ngram: int = 8, implementation: Implementation = "auto"
) -> NDArray[np.int64]:
    """Sizes of two texts' feature sets: ``pairs int64[M, 2] -> int64[M, 3]`` (shared, left's, right's).

    `pairs` are row numbers of `texts`, in any order, repeats allowed; `ngram` is 1 to 16 bytes. A text
    that is null or shorter than `ngram` has the empty set.

    Raises: ValueError for a pair that names no row, or an ngram outside 1 to 16.
    """
    if not 1 <= ngram <= 16:
        raise ValueError(f"ngram must be 1 to 16 bytes, got {ngram}")
    rows = one_span(texts)
    wanted = np.ascontiguousarray(pairs, np.int64).reshape(-1, 2)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(rows)):
        raise ValueError(f"pairs name a row outside 0..{len(rows) - 1}: {wanted.min()}..{wanted.max()}")
    sizes = np.empty((len(wanted), 3), np.int64)
    choose(__name__, implementation).overlap(rows, wanted, ngram, sizes)
    return sizes


def jaccard(
    texts: Texts, pairs: ArrayLike, *, ngram: int = 8, implementation: Implementation = "auto"
) -> NDArray[np.float64]:
    """Jaccard similarity of each pair, |A & B| / |A | B|: ``pairs int64[M, 2] -> float64[M]``.

    0 where both sets are empty: texts without features must be compared as they are. Raises: as `overlap`.
    """
    shared, left, right = overlap(texts, pairs, ngram=ngram, implementation=implementation).T
    similarity: NDArray[np.float64] = shared / np.maximum(left + right - shared, 1)
    return similarity


def containment(
    texts: Texts, pairs: ArrayLike, *, ngram: int = 8, implementation: Implementation = "auto"
) -> NDArray[np.float64]:
    """Share of the left text's features that the right one has, |A & B| / |A|: ``-> float64[M]``.

    0 where the left set is empty. Raises: as `overlap`.
    """
    shared, left, _ = overlap(texts, pairs, ngram=ngram, implementation=implementation).T
    share: NDArray[np.float64] = shared / np.maximum(left, 1)
    return share


__all__ = ["containment", "jaccard", "overlap"]
