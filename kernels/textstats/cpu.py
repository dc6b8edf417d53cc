"""Text statistics in one pass over the UTF-8 bytes.

Windows go into an open-addressing table of positions: the two 64-bit words of a window are hashed, and a
hit is compared byte by byte, so the counts are exact. The table is never cleared: a position before the
text in hand is as good as an empty slot.
"""

import functools

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.bits import load64
from headrace.kernels.textstats.reference import LETTER, OTHER, WINDOW, kind

MIXER = np.uint64(0x9E3779B97F4A7C15)
# Beyond these planes nothing is assigned but tags, variation selectors (marks) and private use.
ASSIGNED = ((0, 0x32400), (0xE0000, 0xE0200))


@functools.cache
def kinds() -> NDArray[np.uint8]:
    """`kind` of every code point: ``uint8[0x110000]``."""
    table = np.full(0x110000, OTHER, np.uint8)
    for first, last in ASSIGNED:
        table[first:last] = [kind(chr(code)) for code in range(first, last)]
    return table


def byte_classes(texts: Spans, table: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Union of ``table[byte]`` over each text: ``uint64[N]``."""
    found = np.empty(len(texts), np.uint64)
    _byte_classes(texts.data, texts.starts, texts.stops, table, found)
    return found


def measure(texts: Spans) -> NDArray[np.int64]:
    """Counts in the order of `Statistics`: ``int64[N, 7]``."""
    counts = np.zeros((len(texts), 7), np.int64)
    if not len(texts):
        return counts
    longest = int((texts.stops - texts.starts).max())
    slots = 1 << max(8, (2 * longest - 1).bit_length())
    seen = np.full(slots, -1, np.int64)
    _measure(texts.data, texts.starts, texts.stops, kinds(), seen, counts)
    return counts


@njit(nogil=True, cache=True)
def _byte_classes(data, starts, stops, table, found):  # type: ignore[no-untyped-def]
    for row in range(len(starts)):
        classes = np.uint64(0)
        for at in range(starts[row], stops[row]):
            classes |= table[data[at]]
        found[row] = classes


@njit(inline="always")
def _character(data, at):  # type: ignore[no-untyped-def]
    """(code point, bytes) of the character that starts at `at` in valid UTF-8."""
    lead = np.int32(data[at])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0:
        return ((lead & 0x1F) << 6) | (data[at + 1] & 0x3F), 2
    if lead < 0xF0:
        return ((lead & 0x0F) << 12) | ((data[at + 1] & 0x3F) << 6) | (data[at + 2] & 0x3F), 3
    high = ((lead & 0x07) << 18) | ((data[at + 1] & 0x3F) << 12)
    return high | ((data[at + 2] & 0x3F) << 6) | (data[at + 3] & 0x3F), 4


@njit(nogil=True, cache=True)
def _measure(data, starts, stops, kinds, seen, counts):  # type: ignore[no-untyped-def]
    tally = np.zeros(5, np.int64)
    for row in range(len(starts)):
        start, stop = starts[row], stops[row]
        tally[:] = 0
        at = start
        while at < stop:
            code, size = _character(data, at)
            tally[kinds[code]] += 1
            at += size
        counts[row, 0] = tally.sum()
        counts[row, 1:5] = tally[LETTER:]
        counts[row, 5] = max(0, stop - start - WINDOW + 1)
        counts[row, 6] = _repeated(data, start, stop, seen)


@njit(inline="always")
def _repeated(data, start, stop, seen):  # type: ignore[no-untyped-def]
    """Windows of ``data[start:stop]`` that equal an earlier one; `seen` int64[2**k], positions in `data`."""
    slots = 256
    while slots < 2 * (stop - start):
        slots *= 2
    mask = np.uint64(slots - 1)
    repeated = 0
    for at in range(start, stop - WINDOW + 1):
        low, high = load64(data, at), load64(data, at + 8)
        mixed = (low ^ (high * MIXER)) * MIXER
        slot = (mixed ^ (mixed >> np.uint64(32))) & mask
        while True:
            place = seen[slot]
            if place < start:
                seen[slot] = at
                break
            if load64(data, place) == low and load64(data, place + 8) == high:
                repeated += 1
                break
            slot = (slot + np.uint64(1)) & mask
    return repeated


def warm() -> None:
    """Compile, or load from Numba's cache."""
    text = Spans(np.full(20, 65, np.uint8), np.zeros(1, np.int64), np.full(1, 20, np.int64), None)
    byte_classes(text, np.zeros(256, np.uint64))
    measure(text)
