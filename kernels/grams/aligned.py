"""How far one text stands in another, in Numba: the longest common subsequence of words, by two rows."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels import grams as contract
from headrace.kernels.dispatch import cut, each

LEAST = 1 << 18  # pairs of words below which a thread of its own does not pay


def alignment(
    items: contract.Words,
    weights: NDArray[np.float32],
    hashes: NDArray[np.uint32],
    item: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int16]]:
    """What `Aligned` holds."""
    ends = np.zeros(len(item) + 1, np.int64)
    lengths = np.diff(items.offsets)[item]
    ends[1:] = np.cumsum(lengths)
    alike, runs = np.zeros(len(item)), np.zeros(len(item), np.int64)
    reach = np.zeros(ends[-1], np.int16)
    given = items.offsets, items.hashes, weights, hashes, item, begin, end, ends, alike, runs, reach
    if len(item):
        work = np.zeros(len(item) + 1, np.int64)
        work[1:] = np.cumsum(lengths * (end - begin))
        each(lambda first, last: _alignment(*given, first, last), cut(work, LEAST))
    return alike, runs, reach


@njit(nogil=True, cache=True)
def _alignment(offsets, own, weights, hashes, item, begin, end, ends, alike, runs, reach, first, last):  # type: ignore[no-untyped-def]
    widest = np.max(end[first:last] - begin[first:last])
    best, run = np.zeros(widest + 1), np.zeros(widest + 1, np.int32)
    for number in range(first, last):
        start, count = offsets[item[number]], offsets[item[number] + 1] - offsets[item[number]]
        left, width = begin[number], end[number] - begin[number]
        best[: width + 1] = 0.0
        run[: width + 1] = 0
        total, longest = 0.0, np.int32(0)
        # From the last words to the first: `best[j]` and `run[j]` are of the words from i and from j on.
        for i in range(count - 1, -1, -1):
            word, weight, most = own[start + i], np.float64(weights[start + i]), np.int32(0)
            corner = 0.0  # best of i + 1, j + 1
            behind = np.int32(0)
            for j in range(width - 1, -1, -1):
                under, below = best[j], run[j]
                value, length = max(under, best[j + 1]), np.int32(0)
                if hashes[left + j] == word:
                    value = max(value, corner + weight)
                    length = behind + np.int32(1)
                    most = max(most, length)
                best[j], run[j] = value, length
                corner, behind = under, below
            reach[ends[number] + i] = min(most, 32767)
            longest = max(longest, most)
        for i in range(count):
            total += np.float64(weights[start + i])
        alike[number] = best[0] / max(total, 1e-9)
        runs[number] = longest
