"""Folding through a table of all code points, in one pass over the UTF-8 bytes.

ASCII bytes go eight at a time in one machine word, and are written at once where no two spaces meet;
other characters are decoded, looked up in a table and encoded again. The result may be longer than the
text (U+023A has two bytes, its lower case three) but never by more than half. Bytes that are no UTF-8 are
copied as they are.
"""

import functools
from unicodedata import category

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.bits import HIGH, between, load64, store64
from headrace.kernels.dispatch import cut, each
from headrace.kernels.folding.reference import fold_character

SPACE, GONE = np.int32(32), np.int32(-1)
SPACES, BYTE = np.uint64(0x2020202020202020), np.uint64(0xFF)
ZERO, ONE, TWO, SEVEN, EIGHT, LAST = (np.uint64(n) for n in (0, 1, 2, 7, 8, 63))
# Where a code point may fold to anything but itself; between them lie ideographs and Hangul.
MUTABLE = ((0, 0x3400), (0x4DC0, 0x4E00), (0xA000, 0xAC00), (0xE000, 0x20000), (0xE0000, 0xE1000))
UNASSIGNED = ("Cn", "Co")  # two of three of those, which fold to themselves
LEAST = 1 << 20  # bytes below which a thread of its own does not pay


@functools.cache
def table(keep_punctuation: bool) -> NDArray[np.int32]:
    """What each code point becomes: ``int32[0x110000]``, `GONE` for nothing."""
    folded = np.arange(0x110000, dtype=np.int32)
    for first, last in MUTABLE:
        for code in range(first, last):
            if category(chr(code)) not in UNASSIGNED:
                character = fold_character(chr(code), keep_punctuation)
                folded[code] = ord(character) if character else GONE
    return folded


def fold(texts: Spans, keep_punctuation: bool) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Pieces (bytes uint8[], end of each row int64[N]) that together hold all rows of `texts` in order."""
    if not len(texts):
        return []
    codes = table(keep_punctuation)
    ranges = cut(np.append(texts.starts, texts.stops[-1]), LEAST)
    pieces: dict[int, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}

    def run(first: int, last: int) -> None:
        room = int((texts.stops[first:last] - texts.starts[first:last]).sum()) * 3 // 2 + 8
        out, ends = np.empty(room, np.uint8), np.empty(last - first, np.int64)
        given = texts.data, texts.starts[first:last], texts.stops[first:last]
        _fold(*given, codes, keep_punctuation, out, ends)
        pieces[first] = out[: ends[-1]], ends

    each(run, ranges)
    return [pieces[first] for first, _ in ranges]


@njit(inline="always")
def _decode(data, at, stop):  # type: ignore[no-untyped-def]
    """(code point, bytes) of the character at `at`; (-1, 1) where the bytes are no UTF-8."""
    lead = np.int32(data[at])
    if 0xC0 <= lead < 0xE0 and at + 2 <= stop:
        return ((lead & 0x1F) << 6) | (data[at + 1] & 0x3F), 2
    if 0xE0 <= lead < 0xF0 and at + 3 <= stop:
        return ((lead & 0x0F) << 12) | ((data[at + 1] & 0x3F) << 6) | (data[at + 2] & 0x3F), 3
    if 0xF0 <= lead < 0xF8 and at + 4 <= stop:
        high = ((lead & 0x07) << 18) | ((data[at + 1] & 0x3F) << 12)
        code = high | ((data[at + 2] & 0x3F) << 6) | (data[at + 3] & 0x3F)
        if code < 0x110000:
            return code, 4
    return -1, 1


@njit(inline="always")
def _encode(out, to, code):  # type: ignore[no-untyped-def]
    """Write `code` as UTF-8 at `to`; returns where it ends."""
    if code < 0x80:
        out[to] = code
        return to + np.uint64(1)
    if code < 0x800:
        out[to] = 0xC0 | (code >> 6)
        out[to + np.uint64(1)] = 0x80 | (code & 0x3F)
        return to + np.uint64(2)
    if code < 0x10000:
        out[to] = 0xE0 | (code >> 12)
        out[to + np.uint64(1)] = 0x80 | ((code >> 6) & 0x3F)
        out[to + np.uint64(2)] = 0x80 | (code & 0x3F)
        return to + np.uint64(3)
    out[to] = 0xF0 | (code >> 18)
    out[to + np.uint64(1)] = 0x80 | ((code >> 12) & 0x3F)
    out[to + np.uint64(2)] = 0x80 | ((code >> 6) & 0x3F)
    out[to + np.uint64(3)] = 0x80 | (code & 0x3F)
    return to + np.uint64(4)


@njit(inline="always")
def _put(out, to, byte, blank):  # type: ignore[no-untyped-def]
    """Write a folded ASCII byte, but no space behind a blank; returns (where it ends, is it blank)."""
    out[to] = byte
    space = byte == 32
    return to + np.uint64(not (space and blank)), space


@njit(inline="always")
def _fold_word(word, keep_punctuation):  # type: ignore[no-untyped-def]
    """Eight ASCII bytes folded, and the high bit of each that has become a space."""
    word |= between(word, 0x41, 0x5A) >> TWO
    if keep_punctuation:
        blank = HIGH ^ between(word, 0x21, 0x7E)
    else:
        blank = HIGH ^ (between(word, 0x61, 0x7A) | between(word, 0x30, 0x39))
    mask = (blank >> SEVEN) * BYTE
    return (word & ~mask) | (SPACES & mask), blank


@njit(nogil=True, cache=True)
def _fold(data, starts, stops, codes, keep_punctuation, out, ends):  # type: ignore[no-untyped-def]
    ascii = codes[:128].astype(np.uint8)
    to = np.uint64(0)  # unsigned, as a signed index costs a look at its sign
    for row in range(len(starts)):
        begin, at, stop = to, starts[row], stops[row]
        blank = True  # at the start, and after a space: another space is swallowed
        while at < stop:
            word = load64(data, at) if at + 8 <= stop else HIGH
            if not word & HIGH:
                word, blanks = _fold_word(word, keep_punctuation)
                if blanks & (blanks << EIGHT | np.uint64(blank) << SEVEN):
                    for _ in range(8):
                        to, blank = _put(out, to, np.uint8(word & BYTE), blank)
                        word >>= EIGHT
                else:
                    store64(out, to, word)
                    to, blank = to + EIGHT, blanks >> LAST != ZERO
                at += 8
                continue
            byte = data[at]
            if byte < 128:
                to, blank = _put(out, to, ascii[byte], blank)
                at += 1
                continue
            code, size = _decode(data, at, stop)
            at += size
            if code < 0:
                out[to] = byte
                to, blank = to + ONE, False
                continue
            code = codes[code]
            if code == SPACE:
                to, blank = _put(out, to, np.uint8(32), blank)
            elif code != GONE:
                to, blank = _encode(out, to, code), False
        if to > begin and blank:
            to -= ONE
        ends[row] = to


def warm() -> None:
    """Compile, or load from Numba's cache."""
    fold(Spans(np.zeros(1, np.uint8), np.zeros(1, np.int64), np.ones(1, np.int64), None), False)
