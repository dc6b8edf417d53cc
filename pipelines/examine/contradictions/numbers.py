"""Numbers of prompts: those of prompts that ask the same are the same, in any order of their sentences.

What: a hash of all runs of digits of a prompt. "50%" is half, and no number to go by.

Cost: 1 to 2 ns a byte.
"""

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import arrays

ZERO, NINE, FIVE, PERCENT, SPACE, LOW_LINE = 48, 57, 53, 37, 32, 95  # bytes


def numbers(texts: pa.Array) -> NDArray[np.uint64]:
    """Hash of all numbers of each text (large_string[N] without nulls), 0 for none: ``uint64[N]``."""
    n = len(texts)
    ends = np.frombuffer(texts.buffers()[1] or bytes(8), np.int64)[texts.offset : texts.offset + n + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    for view in (ends, data):  # of a buffer that may be written or not: jitted code is compiled for either
        view.flags.writeable = False
    size = int(ends[-1] - ends[0])
    runs, digits, of = (
        np.zeros(size // 2 + n + 1, np.int64),
        np.empty(size, np.uint8),
        np.zeros(n + 1, np.int64),
    )
    used = _runs(data, ends, runs, digits, of)
    buffers = [None, pa.py_buffer(runs[: used + 1]), pa.py_buffer(digits[: runs[used]])]
    hashes = kernels.content_hash(pa.Array.from_buffers(pa.large_string(), used, buffers))[0]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(arrays.finalised(hashes), dtype=np.uint64)])
    found: NDArray[np.uint64] = sums[of[1:]] - sums[of[:-1]]
    return found


@njit(cache=True, nogil=True)
def _runs(data, ends, runs, digits, of):  # type: ignore[no-untyped-def]
    """Fill `digits` with runs of digits of ``data[ends[i]:ends[i + 1]]``, `runs` with where they end, `of`
    with how many there are; returns that of all."""
    used, out = 0, 0
    for text in range(len(ends) - 1):
        at, end = ends[text], ends[text + 1]
        while at < end:
            if not ZERO <= data[at] <= NINE:
                at += 1
                continue
            begin = at
            while at < end and ZERO <= data[at] <= NINE:
                at += 1
            if at - begin == 2 and data[begin] == FIVE and data[begin + 1] == ZERO:
                behind = at + (at < end and data[at] == SPACE)
                joined = begin > ends[text] and _is_letter(data[begin - 1])
                if behind < end and data[behind] == PERCENT and not joined:
                    continue
            for k in range(begin, at):
                digits[out] = data[k]
                out += 1
            used += 1
            runs[used] = out
        of[text + 1] = used
    return used


@njit(cache=True, nogil=True)
def _is_letter(byte):  # type: ignore[no-untyped-def]
    """Whether a byte is a letter of ASCII or a low line."""
    return 65 <= byte <= 90 or 97 <= byte <= 122 or byte == LOW_LINE


def warm() -> None:
    """Compile, or load from Numba's cache."""
    numbers(pa.array(["1"], pa.large_string()))
