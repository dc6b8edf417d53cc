"""Text statistics in one pass over the UTF-8 bytes, where most are ASCII and mean nothing eight at a time.

Windows go into an open-addressing table of positions: the two 64-bit words of a window are hashed, and a
hit is compared byte by byte, so the counts are exact. The table is never cleared: a position before the
text in hand is as good as an empty slot.
"""

import functools
import unicodedata

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.bits import EACH, HIGH, between, load64, popcount, trailing_zeros
from headrace.kernels.textstats.reference import (
    DIGIT,
    LETTER,
    OTHER,
    REPLACED,
    REPLACEMENT,
    SPACE,
    SYMBOL_SCRIPTS,
    WINDOW,
    of_category,
)

SPACES, THREE = np.uint64(0x2020202020202020), np.uint64(3)
NEAR = 1 << 16  # slots that the second cache holds
MIXER = np.uint64(0x9E3779B97F4A7C15)
# Beyond these planes nothing is assigned but tags, variation selectors (marks) and private use.
ASSIGNED = ((0, 0x32400), (0xE0000, 0xE0200))


@functools.cache
def kinds() -> NDArray[np.uint8]:
    """`reference.kind` of every code point: ``uint8[0x110000]``."""
    table = np.full(0x110000, OTHER, np.uint8)
    for first, last in ASSIGNED:
        categories = list(map(unicodedata.category, map(chr, range(first, last))))
        kinds_of = {category: of_category(category) for category in set(categories)}
        table[first:last] = [kinds_of[category] for category in categories]
    for first, last in SYMBOL_SCRIPTS:
        table[first : last + 1] = LETTER
    table[REPLACED] = REPLACEMENT
    return table


def character_classes(texts: Spans, table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Union of ``table[code point]`` over each text, and over its first and last: ``uint16[2, N]``."""
    found = np.zeros((2, len(texts)), np.uint16)
    visible = 32 + np.flatnonzero(table[32:127]).astype(np.uint64)
    _character_classes(texts.data, texts.starts, texts.stops, table, visible * EACH, found)
    return found


def contains(texts: Spans, wanted: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each text holds these bytes: ``bool[N]``."""
    found = np.zeros(len(texts), np.bool_)
    _contains(texts.data, texts.starts, texts.stops, wanted, found)
    return found


def measure(texts: Spans) -> NDArray[np.int64]:
    """Counts in the order of `Statistics`: ``int64[N, 7]``."""
    counts = np.zeros((len(texts), 7), np.int64)
    if not len(texts):
        return counts
    seen = np.full(_slots(int((texts.stops - texts.starts).max())), -1, np.int64)
    _measure(texts.data, texts.starts, texts.stops, kinds(), seen, counts)
    return counts


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
def _character_classes(data, starts, stops, table, visible, found):  # type: ignore[no-untyped-def]
    """visible: the bytes from a space to a tilde that have a class, eight times each in a word."""
    for row in range(len(starts)):
        at, stop = starts[row], stops[row]
        if at == stop:
            continue
        last = stop - 1
        while data[last] & 0xC0 == 0x80:
            last -= 1
        found[1, row] = table[_character(data, at)[0]] | table[_character(data, last)[0]]
        classes = np.uint16(0)
        while at < stop:
            if at + 8 <= stop:
                word = load64(data, at)
                odd = word | (word + EACH) | ((word - SPACES) & ~word)
                for i in range(len(visible)):
                    other = word ^ visible[i]
                    odd |= (other - EACH) & ~other
                odd &= HIGH
                if not odd:
                    at += 8
                    continue
                at += np.int64(trailing_zeros(odd) >> THREE)
            code, size = _character(data, at)
            classes |= table[code]
            at += size
        found[0, row] = classes


@njit(nogil=True, cache=True)
def _contains(data, starts, stops, wanted, found):  # type: ignore[no-untyped-def]
    first = np.uint64(wanted[0]) * EACH
    for row in range(len(starts)):
        at, stop = starts[row], stops[row]
        while at + len(wanted) <= stop:
            if at + 8 <= stop:
                other = load64(data, at) ^ first
                hits = (other - EACH) & ~other & HIGH
                if not hits:
                    at += 8
                    continue
                at += np.int64(trailing_zeros(hits) >> THREE)
            k = 0
            while k < len(wanted) and at + k < stop and data[at + k] == wanted[k]:
                k += 1
            if k == len(wanted):
                found[row] = True
                break
            at += 1


@njit(nogil=True, cache=True)
def _measure(data, starts, stops, kinds, seen, counts):  # type: ignore[no-untyped-def]
    tally = np.zeros(5, np.int64)
    for row in range(len(starts)):
        start, stop = starts[row], stops[row]
        tally[:] = 0
        at = start
        characters = letters = digits = spaces = np.int64(0)
        while at < stop:
            word = load64(data, at) if at + 8 <= stop else HIGH
            if not word & HIGH:  # eight of ASCII
                letters += np.int64(popcount(between(word | SPACES, 0x61, 0x7A)))
                digits += np.int64(popcount(between(word, 0x30, 0x39)))
                spaces += np.int64(popcount(HIGH ^ between(word, 0x21, 0x7E)))
                characters += 8
                at += 8
                continue
            code, size = _character(data, at)
            tally[kinds[code]] += 1
            at += size
        counts[row, 0] = tally.sum() + characters
        counts[row, 1:5] = tally[LETTER:]
        counts[row, LETTER] += letters
        counts[row, DIGIT] += digits
        counts[row, SPACE] += spaces
        counts[row, 5] = max(0, stop - start - WINDOW + 1)
        counts[row, 6] = _repeated(data, start, stop, seen)


@njit(nogil=True, cache=True)
def _slots(size):  # type: ignore[no-untyped-def]
    """Slots for the windows of a text: few are met as taken, which no processor foresees."""
    slots = 256
    while slots < 2 * size or (slots < 16 * size and slots < NEAR):
        slots *= 2
    return slots


@njit(inline="always")
def _repeated(data, start, stop, seen):  # type: ignore[no-untyped-def]
    """Windows of ``data[start:stop]`` that equal an earlier one; `seen` int64[2**k], positions in `data`."""
    mask = np.uint64(_slots(stop - start) - 1)
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
    character_classes(text, np.zeros(0x110000, np.uint16))
    contains(text, np.frombuffer(b"B", np.uint8))
    measure(text)
