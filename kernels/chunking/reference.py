"""Content-defined chunking, a byte at a time."""

import numpy as np
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans

WINDOW = 32  # bytes that a cut depends on: the hash moves one bit a byte, and bits below this one decide
SEED = 0x6865616472616365
NORMALISATION = 2  # bits that a cut below the average needs more, and one above it fewer
MASK = 2**64 - 1


def gear() -> NDArray[np.uint64]:
    """A random word for each byte, ``uint64[256]``: SplitMix64 from `SEED`, so that it never changes."""
    state, words = SEED, []
    for _ in range(256):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        word = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
        words.append(word ^ (word >> 31))
    return np.array(words, np.uint64)


def masks(average: int) -> tuple[int, int]:
    """Bits that must be zero at a cut below the average size, and above it."""
    bits = round(np.log2(average))
    strict, loose = (2 ** (bits + step) - 1 for step in (NORMALISATION, -NORMALISATION))
    return strict << (WINDOW - bits - NORMALISATION), loose << (WINDOW - bits + NORMALISATION)


def chunks(
    texts: Spans, smallest: int, average: int, largest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Chunks of each text ``int64[N]``, and their starts and stops in ``texts.data``, ``int64[C]`` each."""
    table, both = [int(word) for word in gear()], masks(average)
    counts, starts, stops = [], [], []
    for first, stop in zip(texts.starts.tolist(), texts.stops.tolist(), strict=True):
        start, count = first, 0
        while start < stop:
            cut = _next(texts.data, first, start, stop, table, both, (smallest, average, largest))
            starts.append(start)
            stops.append(cut)
            start, count = cut, count + 1
        counts.append(count)
    return np.array(counts, np.int64), np.array(starts, np.int64), np.array(stops, np.int64)


def _next(
    data: NDArray[np.uint8],
    first: int,
    start: int,
    stop: int,
    table: list[int],
    both: tuple[int, int],
    sizes: tuple[int, int, int],
) -> int:
    """Where the chunk ends that begins at `start` of the text ``data[first:stop]``."""
    smallest, average, largest = sizes
    end = min(start + largest, stop - smallest)
    for at in range(start + smallest, end + 1):
        mask = both[0] if at < start + average else both[1]
        window = data[max(first, at - WINDOW) : at].tolist()
        value = sum(table[byte] << place for place, byte in enumerate(reversed(window)))
        if not value & mask and _begins(data, at):
            return at
    if end < start + largest:
        return stop
    return next(at for at in range(end, start, -1) if _begins(data, at))


def _begins(data: NDArray[np.uint8], at: int) -> bool:
    """Whether a character begins at `at`."""
    return int(data[at]) & 0xC0 != 0x80
