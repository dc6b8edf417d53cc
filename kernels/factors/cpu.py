"""Factors by Shift-And: bit `i` of the state is one where the places up to `i` of its factor match here."""

import functools

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.arrow import Spans
from kernels.factors.reference import Factor

ABREAST = 4  # words whose states are carried side by side, to hide the latency of each


@functools.lru_cache(maxsize=8)
def layout(
    groups: tuple[tuple[Factor, ...], ...],
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Byte masks uint64[256, W], first bits uint64[W], last bits uint64[groups, W].

    Factors are laid out one after the other; none crosses a word. W is a multiple of `ABREAST`.
    """
    places, at = [], 0
    for factor in (factor for group in groups for factor in group):
        if at % 64 + len(factor) > 64:
            at += 64 - at % 64
        places.append(at)
        at += len(factor)
    words = ABREAST * (at // (64 * ABREAST) + 1)
    masks, first = np.zeros((256, words), np.uint64), np.zeros(words, np.uint64)
    last = np.zeros((len(groups), words), np.uint64)
    starts = iter(places)
    for which, group in enumerate(groups):
        for factor in group:
            start = next(starts)
            for step, allowed in enumerate(factor):
                word, bit = divmod(start + step, 64)
                masks[list(allowed), word] |= np.uint64(1 << bit)
            first[start // 64] |= np.uint64(1 << start % 64)
            last[which, start // 64] |= np.uint64(1 << (start + len(factor) - 1) % 64)
    return masks, first, last


def factors(texts: Spans, groups: tuple[tuple[Factor, ...], ...]) -> NDArray[np.bool_]:
    """Whether a text holds any factor of a group: ``bool[N, len(groups)]``."""
    masks, first, last = layout(groups)
    found = np.zeros((len(texts), len(groups)), np.bool_)
    for word in range(0, len(first), ABREAST):
        four = slice(word, word + ABREAST)
        part = np.ascontiguousarray(masks[:, four])
        _factors(texts.data, texts.starts, texts.stops, part, first[four], last[:, four], found)
    return found


@njit(nogil=True, cache=True)
def _factors(data, starts, stops, masks, first, last, found):  # type: ignore[no-untyped-def]
    one = np.uint64(1)
    a0, b0, c0, d0 = first
    for row in range(len(starts)):
        a = b = c = d = np.uint64(0)
        seen_a = seen_b = seen_c = seen_d = np.uint64(0)
        for at in range(starts[row], stops[row]):
            mask = masks[data[at]]
            a = ((a << one) | a0) & mask[0]
            b = ((b << one) | b0) & mask[1]
            c = ((c << one) | c0) & mask[2]
            d = ((d << one) | d0) & mask[3]
            seen_a |= a
            seen_b |= b
            seen_c |= c
            seen_d |= d
        for group in range(len(last)):
            ends = last[group]
            hit = (seen_a & ends[0]) | (seen_b & ends[1]) | (seen_c & ends[2]) | (seen_d & ends[3])
            if hit:
                found[row, group] = True


def warm() -> None:
    """Compile, or load from Numba's cache."""
    text = Spans(np.full(1, 65, np.uint8), np.zeros(1, np.int64), np.ones(1, np.int64), None)
    factors(text, (((frozenset((65,)),),),))
