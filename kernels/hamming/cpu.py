"""Pairs within a Hamming distance, in Numba: tiles of population counts, or buckets of some of the bits.

Exact, where few or far: one row against a tile of rows is counted first, in vectors; only a tile with a hit
is looked at pair by pair. Exact, else: the bits are cut into blocks and a table is made for every choice of
all but `max_distance` of them, so that every pair agrees in one. Tables: a counting sort by a multiplicative
hash of their bits (twice as many buckets as there are samples of the bits keep chance meetings few), then
every pair of a bucket.
"""

import math
from itertools import combinations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.bits import popcount
from headrace.kernels.dispatch import cut, each

TILE = 1024  # rows a tile: 8 kB of 64-bit signatures
LEAST = 1 << 24  # pairs below which a thread of its own does not pay
LEAST_ROWS = 1 << 16  # the same for rows times tables
MOST_TABLES = 4096  # of an exact search
TABLE_ROW = 64.0  # what a table takes for a row, in comparisons of a tile
LOOPED = 4.0  # and a comparison in a bucket
NEAR = 6  # rows of one bucket that are this close are compared in vectors
RUN = 64  # rows at a time
FINE = 11  # bits of the bucket that are told apart within a part: some thousand rows
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
ZERO = np.uint64(0)


def all_pairs(words: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """Pairs i < j of ``uint64[N, W]`` within `max_distance`: ``int64[M, 2]``."""
    n = len(words)
    masks = covering(n, words.shape[1] * 64, max_distance)
    if len(masks):
        return table_pairs(words, masks, 0, len(masks), max_distance, n)
    found: dict[int, NDArray[np.int64]] = {}

    def run(first: int, last: int) -> None:
        found[first] = _tiles(words, np.uint64(max_distance), first, last)

    work = np.concatenate([[0], np.cumsum(n - 1 - np.arange(n))]).astype(np.int64)
    each(run, cut(work, LEAST))
    return np.concatenate([found[first] for first in sorted(found)])


def covering(n: int, bits: int, max_distance: int) -> NDArray[np.uint64]:
    """Tables one of which groups any pair within `max_distance`: ``uint64[T, bits // 64]``.

    Without any (T 0) where comparing all `n` with all costs less. Source: Manku, Jain & Das Sarma 2007.
    """
    least, chosen = n * n / 2, 0
    for blocks in range(max_distance + 1, bits + 1):
        tables = math.comb(blocks, max_distance)
        if tables > MOST_TABLES:
            break
        sampled = (blocks - max_distance) * (bits // blocks)
        cost = tables * n * (TABLE_ROW + LOOPED * n / 2**sampled)
        if cost < least:
            least, chosen = cost, blocks
    if not chosen:
        return np.zeros((0, bits // 64), np.uint64)
    block = np.arange(bits) * chosen // bits
    masks = []
    for kept in combinations(range(chosen), chosen - max_distance):
        on = np.packbits(np.isin(block, kept), bitorder="little")
        masks.append(on.view("<u8").astype(np.uint64))
    return np.array(masks)


def table_pairs(
    words: NDArray[np.uint64],
    masks: NDArray[np.uint64],
    first: int,
    last: int,
    max_distance: int,
    crowd: int,
) -> NDArray[np.int64]:
    """Pairs that agree on the bits of a mask of ``masks[first:last]`` and on those of no earlier mask.

    Of the rows that agree on its bits only the first `crowd` are paired with those behind them.
    """
    found: dict[int, NDArray[np.int64]] = {}
    bits = min(int(np.bitwise_count(masks[0]).sum()) + 1, len(words).bit_length() + 1, 30)

    def run(begin: int, end: int) -> None:
        distance = np.uint64(max_distance)
        pairs = [_table(words, masks, first + t, bits, distance, crowd) for t in range(begin, end)]
        found[begin] = np.concatenate(pairs)

    each(run, cut(np.arange(last - first + 1) * len(words), LEAST_ROWS))
    return np.concatenate([found[begin] for begin in sorted(found)])


@njit(nogil=True, cache=True)
def _append(pairs, size, i, j):  # type: ignore[no-untyped-def]
    """`pairs` with (i, j), the lesser first, at `size`, moved to twice the room where it was full."""
    if size == len(pairs):
        grown = np.empty((2 * size, 2), np.int64)
        grown[:size] = pairs
        pairs = grown
    pairs[size, 0], pairs[size, 1] = min(i, j), max(i, j)
    return pairs


@njit(inline="always")
def _distance(words, i, j):  # type: ignore[no-untyped-def]
    total = ZERO
    for word in range(words.shape[1]):
        total += popcount(words[i, word] ^ words[j, word])
    return total


@njit(nogil=True, cache=True)
def _tiles(words, max_distance, first, last):  # type: ignore[no-untyped-def]
    pairs, size = np.empty((64, 2), np.int64), 0
    n = len(words)
    for start in range(first + 1, n, TILE):
        stop = min(start + TILE, n)
        for i in range(first, min(last, stop - 1)):
            begin, hits = max(start, i + 1), 0
            if words.shape[1] == 1:
                flat = words.reshape(-1)
                ours = flat[i]
                for theirs in flat[begin:stop]:
                    hits += popcount(theirs ^ ours) <= max_distance
            else:
                for j in range(begin, stop):
                    hits += _distance(words, i, j) <= max_distance
            if hits:
                for j in range(begin, stop):
                    if _distance(words, i, j) <= max_distance:
                        pairs = _append(pairs, size, i, j)
                        size += 1
    return pairs[:size]


@njit(inline="always")
def _key(words, i, mask):  # type: ignore[no-untyped-def]
    key = ZERO
    for word in range(words.shape[1]):
        key = (key + (words[i, word] & mask[word])) * MULTIPLIER
    return key


@njit(inline="always")
def _bucket(words, i, mask, shift):  # type: ignore[no-untyped-def]
    return np.int64(_key(words, i, mask) >> shift)


@njit(nogil=True, cache=True)
def _table(words, masks, table, bits, max_distance, crowd):  # type: ignore[no-untyped-def]
    """Pairs of one table of ``2**bits`` buckets: parts that fit a cache, then the buckets of each."""
    mask, coarse = masks[table], max(0, bits - FINE)
    grouped, rows, ends = _sort(words, np.arange(len(words)).astype(np.int32), mask, coarse, coarse)
    pairs, size, start = np.empty((64, 2), np.int64), 0, 0
    for stop in ends:
        near, near_rows, buckets = _sort(grouped[start:stop], rows[start:stop], mask, bits - coarse, bits)
        pairs, size = _compare(near, near_rows, buckets, masks, table, max_distance, crowd, pairs, size)
        start = stop
    return pairs[:size]


@njit(nogil=True, cache=True)
def _sort(words, rows, mask, width, upto):  # type: ignore[no-untyped-def]
    """Counting sort by the last `width` of the first `upto` bits of the bucket's number.

    Returns (signatures, their rows, the end of each group).
    """
    shift, low = np.uint64(64 - upto), (1 << width) - 1
    if width == 0:
        return words, rows, np.full(1, len(words), np.int32)
    ends = np.zeros(1 << width, np.int32)
    for i in range(len(words)):
        ends[_bucket(words, i, mask, shift) & low] += 1
    at = 0
    for group in range(len(ends)):
        at, ends[group] = at + ends[group], at
    grouped, grouped_rows = np.empty_like(words), np.empty_like(rows)
    for i in range(len(words)):
        group = _bucket(words, i, mask, shift) & low
        to = ends[group]
        ends[group] = to + 1
        grouped_rows[to] = rows[i]
        for word in range(words.shape[1]):
            grouped[to, word] = words[i, word]
    return grouped, grouped_rows, ends


@njit(nogil=True, cache=True)
def _compare(words, rows, ends, masks, table, max_distance, crowd, pairs, size):  # type: ignore[no-untyped-def]
    """Append the pairs within each bucket.

    Buckets are small: rows up to `NEAR` apart are compared in vectors across their borders (`_first`
    turns away who is not of one bucket), and only what lies farther apart in a large one by loops. Those of
    more than `crowd` rows are left to `_crowded`.
    """
    found = np.empty(RUN, np.int64)
    for begin in range(0, len(words), RUN):
        for step in range(1, NEAR + 1):
            end = min(begin + RUN, len(words) - step)
            if _hits(words, begin, end, step, max_distance):
                for i in found[: _places(words, begin, end, step, max_distance, found)]:
                    if crowd < len(words) and _size(ends, i) > crowd:
                        continue
                    if _first(words, i, i + step, masks, table):
                        pairs = _append(pairs, size, np.int64(rows[i]), np.int64(rows[i + step]))
                        size += 1
    start = 0
    for stop in ends:
        if stop - start > crowd:
            pairs, size = _crowded(words, rows, start, stop, masks, table, max_distance, crowd, pairs, size)
            start = stop
            continue
        for i in range(start, stop - NEAR):
            for j in range(i + NEAR + 1, stop):
                near = _distance(words, i, j) <= max_distance
                if near and _first(words, i, j, masks, table):
                    pairs = _append(pairs, size, np.int64(rows[i]), np.int64(rows[j]))
                    size += 1
        start = stop
    return pairs, size


@njit(nogil=True, cache=True)
def _size(ends, i):  # type: ignore[no-untyped-def]
    """Rows of the bucket that row `i` lies in."""
    bucket = np.searchsorted(ends, i, side="right")
    return ends[bucket] - (ends[bucket - 1] if bucket else 0)


@njit(nogil=True, cache=True)
def _crowded(words, rows, start, stop, masks, table, max_distance, crowd, pairs, size):  # type: ignore[no-untyped-def]
    """Append the pairs of a large bucket: of rows with equal samples, the first `crowd` with all behind."""
    keys = np.empty(stop - start, np.uint64)
    for i in range(len(keys)):
        keys[i] = _key(words, start + i, masks[table])
    order = np.argsort(keys, kind="mergesort")  # stable: equal samples in the order of their rows
    begin = 0
    for end in range(1, len(order) + 1):
        if end < len(order) and keys[order[end]] == keys[order[begin]]:
            continue
        for one in range(begin, min(end, begin + crowd)):
            for other in range(one + 1, end):
                i, j = start + order[one], start + order[other]
                near = _distance(words, i, j) <= max_distance
                if near and _first(words, i, j, masks, table):
                    pairs = _append(pairs, size, np.int64(rows[i]), np.int64(rows[j]))
                    size += 1
        begin = end
    return pairs, size


@njit(nogil=True, cache=True)
def _hits(words, begin, end, step, max_distance):  # type: ignore[no-untyped-def]
    """How many rows of ``begin:end`` are near the row `step` behind them."""
    hits = 0
    if words.shape[1] == 1:
        flat = words.reshape(-1)
        ours, theirs = flat[begin:end], flat[begin + step : end + step]
        for i in range(len(ours)):
            hits += popcount(ours[i] ^ theirs[i]) <= max_distance
    else:
        for i in range(begin, end):
            hits += _distance(words, i, i + step) <= max_distance
    return hits


@njit(nogil=True, cache=True)
def _places(words, begin, end, step, max_distance, found):  # type: ignore[no-untyped-def]
    """Write the rows that `_hits` counts to `found`, and return how many."""
    hits = 0
    for i in range(begin, end):
        found[hits] = i
        hits += _distance(words, i, i + step) <= max_distance
    return hits


@njit(nogil=True, cache=True)
def _first(words, i, j, masks, table):  # type: ignore[no-untyped-def]
    """Whether mask `table` is the first on whose bits the two agree."""
    for t in range(table + 1):
        difference = ZERO
        for word in range(words.shape[1]):
            difference |= (words[i, word] ^ words[j, word]) & masks[t, word]
        if difference == ZERO:
            return t == table
    return False


def warm() -> None:
    """Compile, or load from Numba's cache."""
    words = np.arange(2, dtype=np.uint64).reshape(2, 1)
    all_pairs(words, 1)
    table_pairs(words, words, 0, 2, 1, 2)
