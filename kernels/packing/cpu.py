"""Best-fit decreasing with a stack of bins for each amount of room, found through a tree of bit sets.

`head[r]` is the bin last left with room r, `below[b]` the one under it on the same stack. Level 0 of the
tree has a bit for every non-empty stack, each higher level a bit for every non-zero word below, so that
the least sufficient room is found in a word a level.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.bits import trailing_zeros

ONE, FULL = np.uint64(1), np.uint64(2**64 - 1)


def pack(lengths: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """Bin of each item: ``int64[N], capacity -> int64[N]``."""
    order = np.argsort(-lengths, kind="stable")
    sizes = [capacity + 1]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 63) // 64)
    levels = np.concatenate([[0], np.cumsum(sizes[1:])]).astype(np.int64)
    bins = np.empty(len(lengths), np.int64)
    _pack(lengths, order, capacity, levels, np.zeros(levels[-1], np.uint64), bins)
    return bins


@njit(nogil=True, cache=True)
def _insert(tree, levels, room):  # type: ignore[no-untyped-def]
    for level in range(len(levels) - 1):
        tree[levels[level] + (room >> 6)] |= ONE << np.uint64(room & 63)
        room >>= 6


@njit(nogil=True, cache=True)
def _remove(tree, levels, room):  # type: ignore[no-untyped-def]
    for level in range(len(levels) - 1):
        word = levels[level] + (room >> 6)
        tree[word] &= ~(ONE << np.uint64(room & 63))
        if tree[word]:
            return
        room >>= 6


@njit(nogil=True, cache=True)
def _least(tree, levels, room):  # type: ignore[no-untyped-def]
    """Least member >= `room`, or -1."""
    for level in range(len(levels) - 1):
        if (room >> 6) >= levels[level + 1] - levels[level]:
            return -1
        word = tree[levels[level] + (room >> 6)] & (FULL << np.uint64(room & 63))
        if word:
            found = (room & ~63) + np.int64(trailing_zeros(word))
            for lower in range(level - 1, -1, -1):
                found = (found << 6) + np.int64(trailing_zeros(tree[levels[lower] + found]))
            return found
        room = (room >> 6) + 1
    return -1


@njit(nogil=True, cache=True)
def _pack(lengths, order, capacity, levels, tree, bins):  # type: ignore[no-untyped-def]
    head = np.full(capacity + 1, -1, np.int64)
    below = np.empty(len(lengths), np.int64)
    opened = 0
    for item in order:
        length = lengths[item]
        room = _least(tree, levels, length)
        if room < 0:
            chosen, room = opened, capacity
            opened += 1
        else:
            chosen = head[room]
            head[room] = below[chosen]
            if head[room] < 0:
                _remove(tree, levels, room)
        left = room - length
        if head[left] < 0:
            _insert(tree, levels, left)
        below[chosen] = head[left]
        head[left] = chosen
        bins[item] = chosen


def warm() -> None:
    """Compile, or load from Numba's cache."""
    pack(np.ones(2, np.int64), 2)
