"""Overlap by open addressing: one table for the set that leads a group of pairs, one for its partners."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.arrow import Spans
from kernels.dispatch import cut, each
from kernels.sketch.cpu import window_hash

LEAST = 1 << 17  # bytes of text below which a thread of its own does not pay


def overlap(texts: Spans, pairs: NDArray[np.int64], ngram: int, sizes: NDArray[np.int64]) -> None:
    """Fill ``sizes[M, 3]`` with (shared, left's, right's) feature counts of ``pairs[M, 2]``."""
    if not len(pairs):
        return
    lengths = texts.stops - texts.starts
    degree = np.bincount(pairs.ravel(), minlength=len(texts))
    left_leads = degree[pairs[:, 0]] >= degree[pairs[:, 1]]
    lead, partner = np.where(left_leads, pairs.T, pairs.T[::-1])
    order = np.lexsort((partner, lead))
    lead, partner = lead[order], partner[order]
    found = np.empty((len(pairs), 3), np.int64)
    known = np.full(len(texts), -1, np.int64)
    longest = int(max(lengths[lead].max(), lengths[partner].max()))
    rest = texts.data, texts.starts, texts.stops, ngram, lead, partner, known, longest, found
    weights = np.concatenate([[0], np.cumsum(lengths[lead] + lengths[partner])])
    each(lambda first, last: _overlap(*rest, first, last), cut(weights, LEAST))
    swapped = ~left_leads[order]
    found[swapped, 1], found[swapped, 2] = found[swapped, 2], found[swapped, 1].copy()
    sizes[order] = found


@njit(nogil=True, cache=True)
def _put(data, start, windows, ngram, table, stamps, stamp, shift):  # type: ignore[no-untyped-def]
    """Enter a text's windows under `stamp`; returns how many are distinct."""
    mask = len(table) - 1
    distinct = 0
    for at in range(start, start + windows):
        h = window_hash(data, at, ngram)
        place = np.int64(h >> shift)
        while stamps[place] == stamp and table[place] != h:
            place = (place + 1) & mask
        if stamps[place] != stamp:
            stamps[place], table[place] = stamp, h
            distinct += 1
    return distinct


@njit(nogil=True, cache=True)
def _overlap(data, starts, stops, ngram, lead, partner, known, longest, found, first, last):  # type: ignore[no-untyped-def]
    bits = 4
    while (1 << bits) < 2 * longest:
        bits += 1
    shift = np.uint64(64 - bits)
    tables = np.zeros((2, 1 << bits), np.uint64)
    stamps = np.zeros((2, 1 << bits), np.int64)
    for pair in range(first, last):
        a, b = lead[pair], partner[pair]
        if pair == first or lead[pair - 1] != a:
            windows = max(0, stops[a] - starts[a] - ngram + 1)
            stamp_a = pair + 1
            size_a = _put(data, starts[a], windows, ngram, tables[0], stamps[0], stamp_a, shift)
        windows = max(0, stops[b] - starts[b] - ngram + 1)
        size_b = _put(data, starts[b], windows, ngram, tables[1], stamps[1], pair + 1, shift)
        shared = 0
        for place in range(1 << bits):
            if stamps[1, place] != pair + 1:
                continue
            h = tables[1, place]
            at = np.int64(h >> shift)
            while stamps[0, at] == stamp_a and tables[0, at] != h:
                at = (at + 1) & ((1 << bits) - 1)
            shared += stamps[0, at] == stamp_a
        found[pair, 0], found[pair, 1], found[pair, 2] = shared, size_a, size_b


def warm() -> None:
    """Compile, or load from Numba's cache."""
    texts = Spans(np.zeros(9, np.uint8), np.zeros(1, np.int64), np.full(1, 9), None)
    overlap(texts, np.zeros((1, 2), np.int64), 8, np.empty((1, 3), np.int64))
