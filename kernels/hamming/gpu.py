"""Pairs within a Hamming distance on a GPU: a thread takes a row and looks at those behind it in its bucket.

One kernel serves all searches: rows lie in order of bucket, row i is compared with the rows up to the end
of its bucket (the whole is one bucket), neighbouring threads read neighbouring rows, and large buckets are
cut into strips so that few rows still fill the device. Pairs are counted first and then written where the
counts before them say, so that no buffer overflows and the order is always the same.

Cost: two population counts of 32 bits a pair and word (a multiprocessor of Hopper does 16 a clock); for
tables a radix sort of the rows for each, 40 bytes a row.
"""

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray

from headrace.kernels.device import device, staged, view

BLOCK = 128  # rows a program
UNROLL = 8  # comparisons a thread has in flight
LEAST = 1024  # comparisons of a row below which it is not cut
PROGRAMS = 1 << 14  # enough for any device
MULTIPLIER = 0x9E3779B97F4A7C15 - (1 << 64)  # as int64

STEPS = tl.constexpr(UNROLL)


def all_pairs(words: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """Pairs i < j of ``uint64[N, W]`` within `max_distance`: ``int64[M, 2]``."""
    rows = _send(words)
    return _fetch(pairs_in_buckets(rows, torch.zeros(1, dtype=torch.int64, device=rows.device), max_distance))


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
    rows, sampled = _send(words), _send(masks)
    found = [_table(rows, sampled, table, max_distance, crowd) for table in range(first, last)]
    return _fetch(torch.cat(found))


def pairs_in_buckets(words: torch.Tensor, starts: torch.Tensor, max_distance: int) -> torch.Tensor:
    """Pairs i < j within `max_distance` of rows of one bucket, on the device and the current stream.

    words (u)int64[N, W], in order of bucket; starts int64[B], ascending from 0: bucket b begins at row
    ``starts[b]`` ``-> int64[M, 2]`` in ascending order.
    """
    n = len(words)
    every = torch.arange(n, device=words.device)
    edges = torch.cat([starts, torch.full((1,), n, device=words.device)])
    ends = edges[torch.searchsorted(edges, every, right=True).clamp(max=len(starts))]
    return _within(words.view(torch.int64), ends, every, max_distance)


def _table(
    words: torch.Tensor, masks: torch.Tensor, table: int, max_distance: int, crowd: int
) -> torch.Tensor:
    key = torch.zeros(len(words), dtype=torch.int64, device=words.device)
    for word in range(words.shape[1]):
        key = (key + (words[:, word] & masks[table, word])) * MULTIPLIER
    key, order = key.sort(stable=True)
    # Unequal samples with one key of 64 bits share a bucket, and are parted by what looks at the pairs.
    ends = torch.searchsorted(key, key, right=True)
    if crowd < len(words):
        every = torch.arange(len(words), device=words.device)
        ends = torch.where(every - torch.searchsorted(key, key) < crowd, ends, every + 1)
    pairs = _within(words[order], ends, order, max_distance)
    keep = torch.empty(len(pairs), dtype=torch.bool, device=words.device)
    if len(pairs):
        found_first[(triton.cdiv(len(pairs), BLOCK),)](
            words, masks, pairs, keep, len(pairs), table, width=words.shape[1], block=BLOCK
        )
    return pairs[keep]


def _within(words: torch.Tensor, ends: torch.Tensor, order: torch.Tensor, max_distance: int) -> torch.Tensor:
    """Pairs ``order[i], order[j]``, the lesser first, of rows ``i < j < ends[i]`` within `max_distance`."""
    n, where = len(words), words.device
    nothing = torch.empty((0, 2), dtype=torch.int64, device=where)
    longest = int((ends - torch.arange(n, device=where)).max()) - 1 if n else 0
    if longest < 1:
        return nothing
    programs = triton.cdiv(n, BLOCK)
    strips = min(triton.cdiv(longest, LEAST), max(1, PROGRAMS // programs))
    columns = words.t().contiguous().view(torch.uint64)  # a word of neighbouring rows side by side
    counts = torch.empty(n * strips, dtype=torch.int32, device=where)
    given = columns, ends, order, counts
    shape = n, strips, triton.cdiv(longest, strips), max_distance
    fixed = {"width": words.shape[1], "block": BLOCK}
    compare[(programs, strips)](*given, counts, nothing, *shape, fill=False, **fixed)
    behind = counts.cumsum(0, dtype=torch.int64)
    total = int(behind[-1])
    if total == 0:
        return nothing
    pairs = torch.empty((total, 2), dtype=torch.int64, device=where)
    compare[(programs, strips)](*given, behind, pairs, *shape, fill=True, **fixed)
    return pairs


@triton.jit
def _ones(word):  # type: ignore[no-untyped-def]
    """Population count of a uint64, in the form that LLVM turns into the instruction."""
    word = word - ((word >> 1) & 0x5555555555555555)
    word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0F
    return ((word * 0x0101010101010101) >> 56).to(tl.int32)


@triton.jit
def compare(  # type: ignore[no-untyped-def]
    words,
    ends,
    order,
    counts,
    behind,
    pairs,
    n,
    strips,
    span,
    max_distance,
    fill: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
):
    """Count the pairs of each row with rows ``span * strip + 1`` and on behind it, or write them.

    words uint64[width, n], ends and order int64[n], counts int32[n, strips]; to `fill`, behind
    int64[n, strips] (running sum of counts) and pairs int64[M, 2].
    """
    row = tl.program_id(0) * block + tl.arange(0, block)
    strip = tl.program_id(1)
    live = row < n
    end = tl.load(ends + row, mask=live, other=0).to(tl.int32)
    first = row + 1 + strip * span
    last = tl.where(live, tl.minimum(end, first + span), 0)
    slot = row.to(tl.int64) * strips + strip
    own = ()
    for word in tl.static_range(width):
        own += (tl.load(words + word * n + row, mask=live, other=0),)  # type: ignore[assignment]
    found = tl.zeros((block,), tl.int32)
    at = slot
    number = slot
    if fill:
        count = tl.load(counts + slot, mask=live, other=0)
        last = tl.where(count > 0, last, 0)
        at = tl.load(behind + slot, mask=live, other=0) - count
        number = tl.load(order + row, mask=live, other=0)
    for begin in range(0, tl.max(last - first, 0), STEPS):
        for k in tl.static_range(STEPS):
            other = first + (begin + k)
            inside = other < last
            distance = tl.zeros((block,), tl.int32)
            for word in tl.static_range(width):
                distance += _ones(own[word] ^ tl.load(words + word * n + other, mask=inside, other=0))
            near = inside & (distance <= max_distance)
            if fill:
                theirs = tl.load(order + other, mask=near, other=0)
                tl.store(pairs + 2 * at, tl.minimum(number, theirs), mask=near)
                tl.store(pairs + 2 * at + 1, tl.maximum(number, theirs), mask=near)
                at += near.to(tl.int64)
            else:
                found += near.to(tl.int32)
    if not fill:
        tl.store(counts + slot, found, mask=live)


@triton.jit
def found_first(  # type: ignore[no-untyped-def]
    words, masks, pairs, keep, total, table, width: tl.constexpr, block: tl.constexpr
):
    """Whether mask `table` is the first on whose bits a pair agrees: keep bool[total].

    words int64[N, width], masks int64[T, width], pairs int64[total, 2].
    """
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    live = at < total
    one, other = tl.load(pairs + 2 * at, mask=live, other=0), tl.load(pairs + 2 * at + 1, mask=live, other=0)
    first = live
    for t in range(table + 1):
        difference = tl.zeros((block,), tl.int64)
        for word in tl.static_range(width):
            differs = tl.load(words + width * one + word) ^ tl.load(words + width * other + word)
            difference = difference | (differs & tl.load(masks + width * t + word))
        first = first & ((difference == 0) == (t == table))
    tl.store(keep + at, first, mask=live)


def _send(words: NDArray[np.uint64]) -> torch.Tensor:
    sent = staged(view(words)).to(device(), non_blocking=True)
    return sent.view(torch.int64).reshape(words.shape)


def _fetch(pairs: torch.Tensor) -> NDArray[np.int64]:
    fetched: NDArray[np.int64] = pairs.cpu().numpy()
    return fetched
