"""What stages and training both do with arrays: offsets of lists, values put among rows, a hash's end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray


def offsets(lengths: ArrayLike) -> NDArray[np.int64]:
    """Where lists that lie end to end begin, and where the last one ends: ``int[N] -> int64[N + 1]``."""
    ends = np.zeros(np.size(lengths) + 1, np.int64)
    ends[1:] = np.cumsum(lengths, dtype=np.int64)
    return ends


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """``starts[0], starts[0] + 1, ...`` (`counts[0]` of them), and so on, end to end."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - ends + counts, counts)


def among(values: NDArray[Any], known: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are known, ``bool[N]``; `known` ascending (`np.isin` sorts both)."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found


def spread(values: NDArray[Any], rows: NDArray[Any], n: int) -> NDArray[Any]:
    """Values of some of `n` rows at their places, 0 elsewhere: ``T[K] -> T[n]``.

    rows: whose they are, ascending: a mask, bool[n], or numbers of rows, int64[K].
    """
    if len(values) == n:
        return values
    whole = np.zeros(n, values.dtype)
    whole[rows] = values
    return whole


def last(owners: NDArray[np.int64], places: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Of each of `n` owners the last of `places`, as they come: ``int64[n]``, -1 where it has none.

    owners: of every place.
    """
    found = np.full(n, -1, np.int64)
    found[owners[places]] = places
    return found


def put(texts: pa.Array, rows: NDArray[np.int64] | Sequence[int], values: pa.Array) -> pa.Array:
    """`texts` with ``texts[rows[i]] = values[i]``, both of one type; `rows` in any order, each once."""
    if not len(rows):
        return texts
    mask = np.zeros(len(texts), np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(texts, pa.array(mask), values.take(pa.array(np.argsort(rows))))


def finalised(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64, ``uint64[N] -> uint64[N]``: any bit may change any other.

    Source: https://prng.di.unimi.it/splitmix64.c
    """
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
