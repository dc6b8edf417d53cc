"""Bottom-k sketches: only values below a bound that some 1.3 k of the windows pass are sorted.

Hashes are uniform, so the bound is known beforehand; where repeats leave fewer than k distinct values
below it, the text is done again without one.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.dispatch import cut, each
from headrace.kernels.sketch.cpu import window_hashes
from headrace.kernels.sketch.lanes import BLOCK

LEAST = 1 << 17  # bytes of text below which a thread of its own does not pay
S32 = np.uint64(32)
ALL = np.uint64(2**32)


def sketches(
    texts: Spans,
    k: int,
    ngram: int,
    room: NDArray[np.int64],
    held: NDArray[np.uint32],
    counts: NDArray[np.int64],
) -> None:
    """Fill ``held[room[i]:room[i] + counts[i]]`` with the sketch of row i, and `counts`."""
    weights = np.concatenate([[0], np.cumsum(texts.stops - texts.starts)]).astype(np.int64)
    given = texts.data, texts.starts, texts.stops, k, ngram, room, held, counts
    each(lambda first, last: _sketches(*given, first, last), cut(weights, LEAST))


@njit(nogil=True, cache=True)
def _sketches(data, starts, stops, k, ngram, room, held, counts, first, last):  # type: ignore[no-untyped-def]
    hashes = np.empty(BLOCK, np.uint64)
    longest = 0
    for row in range(first, last):
        longest = max(longest, stops[row] - starts[row])
    passed = np.empty(longest + 1, np.uint32)
    for row in range(first, last):
        windows = stops[row] - starts[row] - ngram + 1
        counts[row] = 0
        if windows <= 0:
            continue
        bound = ALL
        if windows > 2 * k:
            wanted = k + 4.0 * np.sqrt(k) + 8
            bound = np.uint64(min(wanted / windows, 1.0) * 2.0**32)
        while True:
            count = _below(data, starts[row], windows, ngram, bound, hashes, passed)
            kept = _distinct(passed[:count], held[room[row] : room[row + 1]])
            if kept == min(windows, k) or bound == ALL:
                break
            bound = ALL
        counts[row] = kept


@njit(nogil=True, cache=True)
def _below(data, start, windows, ngram, bound, hashes, passed):  # type: ignore[no-untyped-def]
    """Upper halves below `bound` into `passed`; returns how many."""
    count = 0
    for done in range(0, windows, BLOCK):
        size = min(BLOCK, windows - done)
        window_hashes(data, start + done, size, ngram, hashes)
        for i in range(size):
            value = hashes[i] >> S32
            passed[count] = value
            count += value < bound
    return count


@njit(nogil=True, cache=True)
def _distinct(passed, into):  # type: ignore[no-untyped-def]
    """The least distinct values, ascending, as many as `into` has room for; returns how many."""
    passed.sort()
    kept = 0
    for i in range(len(passed)):
        if kept == len(into):
            break
        if i == 0 or passed[i] != passed[i - 1]:
            into[kept] = passed[i]
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def _jaccard(offsets, values, pairs, k, found, first, last):  # type: ignore[no-untyped-def]
    for place in range(first, last):
        a, b = pairs[place]
        i, j = offsets[a], offsets[b]
        seen = shared = 0
        while seen < k and (i < offsets[a + 1] or j < offsets[b + 1]):
            left = np.uint64(values[i]) if i < offsets[a + 1] else ALL
            right = np.uint64(values[j]) if j < offsets[b + 1] else ALL
            shared += left == right
            i += left <= right
            j += right <= left
            seen += 1
        found[place] = shared / max(seen, 1)


def jaccard(
    offsets: NDArray[np.int64],
    values: NDArray[np.uint32],
    pairs: NDArray[np.int64],
    k: int,
    found: NDArray[np.float64],
) -> None:
    """Fill ``found[M]``: share of the k least of both that lies in each of them."""
    weights = np.arange(0, (len(pairs) + 1) * k, k, dtype=np.int64)
    each(lambda first, last: _jaccard(offsets, values, pairs, k, found, first, last), cut(weights, LEAST))


def warm() -> None:
    """Compile, or load from Numba's cache."""
    texts = Spans(np.zeros(9, np.uint8), np.zeros(1, np.int64), np.full(1, 9), None)
    held = np.zeros(2, np.uint32)
    sketches(texts, 256, 8, np.array([0, 2]), held, np.zeros(1, np.int64))
    jaccard(np.array([0, 2]), held, np.zeros((1, 2), np.int64), 256, np.empty(1))
