"""Content-defined chunking in Numba: the hash rolls, so that a byte costs a shift, an addition and a test."""

import functools

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.chunking.reference import WINDOW, gear, masks
from headrace.kernels.dispatch import cut, each

LEAST = 1 << 20  # bytes below which a thread of its own does not pay
ONE, ZERO = np.uint64(1), np.uint64(0)


@functools.cache
def _table() -> NDArray[np.uint64]:
    return gear()


def chunks(
    texts: Spans, smallest: int, average: int, largest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Chunks of each text ``int64[N]``, and their starts and stops in ``texts.data``, ``int64[C]`` each."""
    counts = np.zeros(len(texts), np.int64)
    if not len(texts):
        return counts, counts, counts
    strict, loose = (np.uint64(mask) for mask in masks(average))
    given = _table(), strict, loose, smallest, average, largest
    ranges = cut(np.append(texts.starts, texts.stops[-1]), LEAST)
    pieces: dict[int, NDArray[np.int64]] = {}

    def run(first: int, last: int) -> None:
        starts, stops = texts.starts[first:last], texts.stops[first:last]
        room = int(((stops - starts) // smallest + 1).sum())  # no chunk of several is smaller
        ends = np.empty((room, 2), np.int64)
        found = _chunks(texts.data, starts, stops, *given, counts[first:last], ends)
        pieces[first] = ends[:found].copy() if found < room // 2 else ends[:found]

    each(run, ranges)
    spans = np.concatenate([pieces[first] for first, _ in ranges])
    return counts, np.ascontiguousarray(spans[:, 0]), np.ascontiguousarray(spans[:, 1])


@njit(nogil=True, cache=True)
def _chunks(data, starts, stops, table, strict, loose, smallest, average, largest, counts, ends):  # type: ignore[no-untyped-def]
    found = 0
    for row in range(len(starts)):
        first, start, stop = starts[row], starts[row], stops[row]
        before = found
        while start < stop:
            at = _next(data, first, start, stop, table, strict, loose, smallest, average, largest)
            ends[found, 0], ends[found, 1] = start, at
            start, found = at, found + 1
        counts[row] = found - before
    return found


@njit(inline="always")
def _begins(data, at):  # type: ignore[no-untyped-def]
    """Whether a character begins at `at`."""
    return data[at] & np.uint8(0xC0) != np.uint8(0x80)


@njit(nogil=True, cache=True)
def _next(data, first, start, stop, table, strict, loose, smallest, average, largest):  # type: ignore[no-untyped-def]
    """Where the chunk ends that begins at `start` of the text ``data[first:stop]``."""
    end = min(start + largest, stop - smallest)
    at = start + smallest
    value = ZERO
    for place in range(max(first, at - WINDOW), min(at, end)):
        value = (value << ONE) + table[data[place]]
    middle = min(start + average, end + 1)
    while at < middle:
        if value & strict == ZERO and _begins(data, at):
            return at
        value = (value << ONE) + table[data[at]]
        at += 1
    while at <= end:
        if value & loose == ZERO and _begins(data, at):
            return at
        value = (value << ONE) + table[data[at]]
        at += 1
    if end < start + largest:
        return stop
    at = end
    while not _begins(data, at):
        at -= 1
    return at


def warm() -> None:
    """Compile, or load from Numba's cache."""
    chunks(Spans(np.zeros(1, np.uint8), np.zeros(1, np.int64), np.ones(1, np.int64), None), 16, 64, 256)
