"""Overlap by open addressing: a table for the set that leads a group of pairs, one for a new partner.

A partner's windows are looked up in the leader's table; when it is met for the first time, those that are
not there are entered into a table of their own, to count its distinct features. Where both texts begin alike,
as under one system prompt, nothing is looked up: how many features the leader has up to any window is known,
and of the partner's others those count that the leader has for the first time behind that.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.bits import load64, trailing_zeros
from headrace.kernels.dispatch import cut, each
from headrace.kernels.sketch.cpu import window_hashes
from headrace.kernels.sketch.lanes import BLOCK

FREE = np.uint64(2**64 - 1)  # an unused place; the one window that hashes to it is kept beside the table
SPARSE = 4  # places a feature: long probes would cost more in mispredictions than a larger table does
LEAST = 1 << 17  # bytes of text below which a thread of its own does not pay


def overlap(texts: Spans, pairs: NDArray[np.int64], ngram: int, sizes: NDArray[np.int64]) -> None:
    """Fill ``sizes[M, 3]`` with (shared, left's, right's) feature counts of ``pairs[M, 2]``."""
    if not len(pairs):
        return
    lengths = texts.stops - texts.starts
    degree = np.bincount(pairs.ravel(), minlength=len(texts))
    swapped = degree[pairs[:, 0]] < degree[pairs[:, 1]]
    lead, partner = np.where(swapped, pairs[:, 1], pairs[:, 0]), np.where(swapped, pairs[:, 0], pairs[:, 1])
    order = np.lexsort((partner, lead))
    lead, partner = lead[order], partner[order]
    found = np.empty((len(pairs), 3), np.int64)
    room = 16
    while room < SPARSE * int(lengths[pairs].max()):
        room *= 2
    # Threads may both count a partner and write the same number; no lock is needed.
    known = np.full(len(texts), -1, np.int64)
    given = texts.data, texts.starts, texts.stops, ngram, lead, partner, known, room, found
    weights = np.concatenate([[0], np.cumsum(lengths[lead] + lengths[partner])])
    each(lambda first, last: _overlap(*given, first, last), cut(weights, LEAST))
    sizes[order] = found
    sizes[swapped] = sizes[swapped][:, [0, 2, 1]]


@njit(nogil=True, cache=True)
def _overlap(data, starts, stops, ngram, lead, partner, known, room, found, first, last):  # type: ignore[no-untyped-def]
    ours, theirs = np.empty(room, np.uint64), np.empty(room, np.uint64)
    marks, hashes = np.full(room, -1, np.int32), np.empty(BLOCK, np.uint64)
    rest, born, fresh = np.empty(room, np.uint64), np.empty(room, np.int32), np.empty(room, np.int32)
    shift, max_at = np.uint64(0), -1
    for pair in range(first, last):
        a, b = lead[pair], partner[pair]
        mine, other = max(0, stops[a] - starts[a] - ngram + 1), max(0, stops[b] - starts[b] - ngram + 1)
        if pair == first or lead[pair - 1] != a:
            shift = _clear(ours, mine)
            known[a], max_at = _enter(data, starts[a], mine, ngram, hashes, ours, shift, born, fresh)
        alike = _beginning(data, starts[a], starts[b], min(mine, other) + ngram - 1)
        begin = max(0, alike - ngram + 1) if min(mine, other) else 0
        shared, others, max_theirs = _look_up(
            data, starts[b], begin, other, ngram, hashes, ours, shift, born, marks, pair - first, rest
        )
        shared += fresh[begin]
        max_theirs |= 0 <= max_at < begin
        if known[b] < 0:
            known[b] = shared + _distinct(rest[:others], theirs) + max_theirs
        found[pair, 0], found[pair, 1], found[pair, 2] = (
            shared + (max_at >= 0 and max_theirs),
            known[a],
            known[b],
        )


@njit(nogil=True, cache=True)
def _beginning(data, a, b, most):  # type: ignore[no-untyped-def]
    """Bytes, `most` at most, in which ``data[a:]`` and ``data[b:]`` begin alike."""
    at = 0
    while at + 8 <= most:
        differing = load64(data, a + at) ^ load64(data, b + at)
        if differing:
            return at + np.int64(trailing_zeros(differing) >> np.uint64(3))
        at += 8
    while at < most and data[a + at] == data[b + at]:
        at += 1
    return at


@njit(nogil=True, cache=True)
def _clear(table, windows):  # type: ignore[no-untyped-def]
    """Free as much of the table as `windows` features need; returns the shift from hash to place."""
    bits = 4
    while (1 << bits) < SPARSE * windows:
        bits += 1
    table[: 1 << bits] = FREE
    return np.uint64(64 - bits)


@njit(inline="always")
def _find(table, shift, h):  # type: ignore[no-untyped-def]
    """Place of `h`, or the free place where it belongs."""
    place = np.int64(h >> shift)
    last = (1 << np.int64(np.uint64(64) - shift)) - 1
    while table[place] != h and table[place] != FREE:
        place = (place + 1) & last
    return place


@njit(nogil=True, cache=True)
def _enter(data, start, windows, ngram, hashes, table, shift, born, fresh):  # type: ignore[no-untyped-def]
    """Enter a text's features; returns (how many distinct, the first window that is `FREE`, or -1).

    born: first window of each feature, by its place; fresh: features but `FREE` in the first 0, 1, ...
    """
    distinct, max_at = 0, -1
    fresh[0] = 0
    for done in range(0, windows, BLOCK):
        count = min(BLOCK, windows - done)
        window_hashes(data, start + done, count, ngram, hashes)
        for i in range(count):
            h = hashes[i]
            place = _find(table, shift, h)
            new = table[place] != h
            table[place] = h
            born[place] = done + i if new else born[place]
            distinct += new
            fresh[done + i + 1] = distinct
            max_at = done + i if h == FREE and max_at < 0 else max_at
    return distinct + (max_at >= 0), max_at


@njit(nogil=True, cache=True)
def _look_up(data, start, begin, windows, ngram, hashes, table, shift, born, marks, mark, rest):  # type: ignore[no-untyped-def]
    """Of the windows from `begin` on: (distinct features that the table has since its own window `begin`,
    windows that it does not have, whether `FREE` is one).

    The windows that it does not have are written to `rest`, with repeats and without `FREE`.
    """
    shared, others, has_max = 0, 0, False
    for done in range(begin, windows, BLOCK):
        count = min(BLOCK, windows - done)
        window_hashes(data, start + done, count, ngram, hashes)
        for i in range(count):
            h = hashes[i]
            place = _find(table, shift, h)
            held = table[place] != FREE
            shared += held and marks[place] != mark and born[place] >= begin
            marks[place] = mark if held else marks[place]
            rest[others] = h
            others += not held and h != FREE
            has_max |= h == FREE
    return shared, others, has_max


@njit(nogil=True, cache=True)
def _distinct(hashes, table):  # type: ignore[no-untyped-def]
    """How many different hashes there are; none of them is `FREE`."""
    shift, distinct = _clear(table, len(hashes)), 0
    for h in hashes:
        place = _find(table, shift, h)
        distinct += table[place] != h
        table[place] = h
    return distinct


def warm() -> None:
    """Compile, or load from Numba's cache."""
    texts = Spans(np.zeros(9, np.uint8), np.zeros(1, np.int64), np.full(1, 9), None)
    overlap(texts, np.zeros((1, 2), np.int64), 8, np.empty((1, 3), np.int64))
