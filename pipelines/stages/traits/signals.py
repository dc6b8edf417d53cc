"""What a look at the ends of a text tells: phrases of the lists, numbers, questions, fences, bullets.

What: of each text the first `head` and the last `tail` bytes are taken, where what it is about stands, and
read once, byte by byte. Words are hashed as they end; phrases of up to `MOST` words are looked up in one
table.

Why: a regular expression a rule would read every text some twenty times.

Cost: some 200 MB/s of the bytes that are looked at.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans, frozen, one_span, strings
from headrace.kernels.bits import HIGH, between, load64, pointer, store64

MOST = 16  # words of a phrase, a power of two
OPENING = 12  # words of a text that count as its opening
OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
FEW = np.uint64((1 << 14) - 1)  # bits of a word by which most are known to end no phrase
MIXER = np.uint64(0x9E3779B97F4A7C15)
# Bits of `Signals.forms`.
ASKS, FENCE_CODE, FENCE_DATA, SUM, LONG = 1, 2, 4, 8, 16


class Signals(NamedTuple):
    """Of each text, ``[N]``: the lists with a phrase at its first word, in its first `OPENING` words, and
    anywhere (uint64, a bit a list); words, numbers and lines that begin as items of a list (int64); `forms`
    (int64): a question mark, a code fence, a fence of data, a sum in figures, more text than was looked at.
    """

    first: NDArray[np.uint64]
    opening: NDArray[np.uint64]
    anywhere: NDArray[np.uint64]
    words: NDArray[np.int64]
    numbers: NDArray[np.int64]
    items: NDArray[np.int64]
    forms: NDArray[np.int64]


def look(texts: pa.Array, table: Any, head: int, tail: int) -> Signals:
    """`Signals` of ``large_string[N]``; table: `words.Table`. A null text has none."""
    n = len(texts)
    bits, counts = np.zeros((3, n), np.uint64), np.zeros((4, n), np.int64)
    cut, long, wide = ends(texts, head, tail)
    ascii, rows = np.flatnonzero(~wide), np.flatnonzero(wide)
    given = one_span(cut)
    own = frozen(given.starts[ascii]), frozen(given.stops[ascii])
    _look(given.data, *own, ascii, *table, bits, counts)
    given = one_span(pc.utf8_lower(cut.take(pa.array(rows))))
    _look(given.data, given.starts, given.stops, rows, *table, bits, counts)
    counts[3] |= np.where(long, LONG, 0)
    return Signals(*bits, *counts)


def ends(texts: pa.Array, head: int, tail: int) -> tuple[pa.Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """The first `head` and last `tail` bytes of each text, at characters' bounds, a line break between, ASCII
    in lower case: large_string[N]; whether something is left out, and which hold a character beyond ASCII:
    bool[N] each.
    """
    whole = one_span(texts)
    until, since = np.empty(len(whole), np.int64), np.empty(len(whole), np.int64)
    offsets = np.zeros(len(whole) + 1, np.int64)
    _bounds(whole.data, whole.starts, whole.stops, head, tail, until, since, offsets)
    # Eight bytes are written at a time.
    data, wide = np.empty(int(offsets[-1]) + 8, np.uint8), np.zeros(len(whole), np.bool_)
    _copy(whole.data, whole.starts, whole.stops, until, since, offsets, data, wide)
    return strings(data, offsets, None), since > until, wide


def hashes(texts: Spans) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
    """Hash of each text's words, of its last word, and how many words it has: ``[N]`` each."""
    n = len(texts)
    whole, last, words = np.zeros(n, np.uint64), np.zeros(n, np.uint64), np.zeros(n, np.int64)
    _hashes(texts.data, texts.starts, texts.stops, whole, last, words)
    return whole, last, words


@njit(nogil=True, cache=True)
def _bounds(data, starts, stops, head, tail, until, since, offsets):  # type: ignore[no-untyped-def]
    for row in range(len(starts)):
        start, stop = starts[row], stops[row]
        if stop - start <= head + tail:
            until[row], since[row] = stop, stop
            offsets[row + 1] = offsets[row] + stop - start
            continue
        end, begin = start + head, stop - tail
        while end > start and data[end] & 0xC0 == 0x80:
            end -= 1
        while begin < stop and data[begin] & 0xC0 == 0x80:
            begin += 1
        until[row], since[row] = end, begin
        offsets[row + 1] = offsets[row] + end - start + 1 + stop - begin


@njit(inline="always")
def _copied(data, at, stop, out, to):  # type: ignore[no-untyped-def]
    """Put ``data[at:stop]`` to `to`, ASCII in lower case, and up to seven bytes behind it; returns the union
    of its words.
    """
    seen = np.uint64(0)
    while at < stop:
        size = stop - at
        word = load64(data, at) if at + 8 <= len(data) else _rest(data, at)
        if size < 8:
            word &= (np.uint64(1) << np.uint64(8 * size)) - np.uint64(1)
        seen |= word
        low = word & ~HIGH
        capitals = between(low, 65, 90) & ~word
        word |= capitals >> np.uint64(2)
        store64(out, to, word)
        at += 8
        to += 8
    return seen


@njit(inline="always")
def _rest(data, at):  # type: ignore[no-untyped-def]
    """The last bytes of `data`, fewer than eight."""
    word = np.uint64(0)
    for k in range(len(data) - at):
        word |= np.uint64(data[at + k]) << np.uint64(8 * k)
    return word


@njit(nogil=True, cache=True)
def _copy(data, starts, stops, until, since, offsets, out, wide):  # type: ignore[no-untyped-def]
    """Each text's ends into `out`, from the first to the last: what is written too far is written again."""
    for row in range(len(starts)):
        to = offsets[row]
        seen = _copied(data, starts[row], until[row], out, to)
        if since[row] > until[row]:
            to += until[row] - starts[row]
            out[to] = 10
            seen |= _copied(data, since[row], stops[row], out, to + 1)
        wide[row] = seen & HIGH != 0


def _of_ascii() -> NDArray[np.uint8]:
    kinds = np.zeros(128, np.uint8)
    kinds[[ord(c) for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"]] = 1
    kinds[ord("'")] = 3
    return kinds


# What of words each ASCII character is: 0 none, 1 part of a word, 2 a word, 3 nothing (an apostrophe).
KINDS = _of_ascii()


@njit(nogil=True, cache=True)
def _wide(data, at, stop):  # type: ignore[no-untyped-def]
    """What of words the character of several bytes at `at` is, and behind that, times 4, how many bytes."""
    byte, second = data[at], data[min(at + 1, stop - 1)]
    if byte < 0xE0:
        return (0 if byte == 0xC2 else 1) | 8
    if byte >= 0xF0:
        return (2 if byte == 0xF0 and second >= 0xA0 else 0) | 16
    if byte == 0xE2 and second == 0x80:
        return (3 if data[min(at + 2, stop - 1)] in (0x98, 0x99) else 0) | 12
    if (byte == 0xE3 and second == 0x80) or (byte == 0xEF and second in (0xBC, 0xBD)):
        return 12
    # Kana, ideographs and Thai: nobody puts spaces between words of these.
    if 0xE3 <= byte <= 0xE9 or (byte == 0xE0 and second in (0xB8, 0xB9)):
        return 2 | 12
    return 1 | 12


@njit(nogil=True, cache=True)
def _mixed(before, word):  # type: ignore[no-untyped-def]
    value = (before ^ word) * MIXER
    return value ^ (value >> np.uint64(29))


@njit(nogil=True, cache=True)
def _hashes(lying, starts, stops, whole, last, words):  # type: ignore[no-untyped-def]
    data, ring = pointer(lying), np.zeros(MOST, np.uint64)
    for row in range(len(starts)):
        at, stop = starts[row], stops[row]
        word, inside, n = OFFSET, False, 0
        while at <= stop:
            kind, size = (KINDS[data[at] & 127], 1) if at < stop else (0, 1)
            if at < stop and data[at] >= 0x80:
                wide = _wide(data, at, stop)
                kind, size = wide & 3, wide >> 2
            if inside and kind in (0, 2):
                ring[n & (MOST - 1)] = word
                n += 1
                word, inside = OFFSET, False
            if kind in (1, 2):
                for k in range(at, min(at + size, stop)):
                    word = (word ^ np.uint64(data[k])) * PRIME
                inside = True
                if kind == 2:
                    ring[n & (MOST - 1)] = word
                    n += 1
                    word, inside = OFFSET, False
            at += size
        words[row] = n
        if n:
            last[row] = ring[(n - 1) & (MOST - 1)]
        for k in range(min(n, MOST)):  # from the last word to the first, as a text is looked up
            whole[row] = _mixed(whole[row], ring[(n - 1 - k) & (MOST - 1)])


@njit(nogil=True, cache=True)
def _value(keys, values, mask, key):  # type: ignore[no-untyped-def]
    slot = key & mask
    while values[slot] != 0:
        if keys[slot] == key:
            return values[slot]
        slot = (slot + np.uint64(1)) & mask
    return np.uint64(0)


@njit(nogil=True, cache=True)
def _ended(word, n, ring, table, masks, bits, rows, row):  # type: ignore[no-untyped-def]
    """Note the phrases that `word`, number `n` of its text, ends; `ring` uint64[MOST]: the last words."""
    keys, values, ends, lengths = table
    of_keys, of_ends = masks
    sizes = _value(ends, lengths, of_ends, word)
    if sizes == 0:
        return
    key, k, most = np.uint64(0), 0, min(MOST, n + 1)
    while k < most and sizes >> np.uint64(k + 1):
        key = _mixed(key, ring[(n - k) & (MOST - 1)])
        k += 1
        if sizes >> np.uint64(k) & np.uint64(1):
            lists = _value(keys, values, of_keys, key)
            if lists:
                bits[2 * rows + row] |= lists
                if n + 1 - k < OPENING:
                    bits[rows + row] |= lists
                if n + 1 == k:
                    bits[row] |= lists


@njit(nogil=True, cache=True)
def _fence(data, at, stop):  # type: ignore[no-untyped-def]
    """Bit of the fence that begins at `at`: of data (json, xml, yaml, csv, text, markdown) or of code."""
    if at + 4 >= stop:
        return FENCE_CODE
    one, two = data[at + 3], data[at + 4]
    data_like = (
        (one == 106 and two == 115 and (at + 5 >= stop or data[at + 5] == 111))
        or (one == 120 and two == 109)
        or (one == 121 and (two == 97 or two == 109))
        or (one == 99 and two == 115 and (at + 5 >= stop or data[at + 5] == 118))
        or (one == 116 and two == 101)
        or (one == 109 and two in (97, 100))
    )
    return FENCE_DATA if data_like else FENCE_CODE


@njit(inline="always")
def _word(word, n, ring, some, table, masks, marks, rows, row):  # type: ignore[no-untyped-def]
    """Keep word number `n` of a text in the ring, and note the phrases that it ends; returns n + 1."""
    ring[n & (MOST - 1)] = word
    if some[word & FEW]:
        _ended(word, n, ring, table, masks, marks, rows, row)
    return n + 1


@njit(inline="always")
def _hashed(word, data, at, end):  # type: ignore[no-untyped-def]
    """`word` with the bytes ``data[at:end]`` behind it."""
    for k in range(at, end):
        word = (word ^ np.uint64(data[k])) * PRIME
    return word


@njit(inline="always")
def _asks(data, at, stop, byte, size):  # type: ignore[no-untyped-def]
    """Whether a question mark stands at `at`, of ASCII or the wide one."""
    return byte == 63 or (size == 3 and byte == 0xEF and at + 2 < stop and data[at + 2] == 0x9F)


@njit(inline="always")
def _operates(data, at, stop, byte, size):  # type: ignore[no-untyped-def]
    """Whether a sign of calculation stands at `at`."""
    return byte in (43, 42, 47, 61, 45) or (size == 2 and at + 1 < stop and data[at + 1] in (0xB7, 0x97))


@njit(nogil=True, cache=True)
def _look(lying, starts, stops, numbers, keys, values, ends, lengths, some, bits, counts):  # type: ignore[no-untyped-def]
    data, ring, marks, rows = pointer(lying), np.zeros(MOST, np.uint64), pointer(bits), bits.shape[1]
    table = pointer(keys), pointer(values), pointer(ends), pointer(lengths)
    masks, last = (np.uint64(len(keys) - 1), np.uint64(len(ends) - 1)), pointer(ring)
    for place in range(len(starts)):
        row, at, stop = numbers[place], starts[place], stops[place]
        word, inside, n, forms = OFFSET, False, 0, 0
        fresh, fence_open = True, False
        before, operator = np.uint8(0), False
        while at < stop:
            byte = data[at]
            kind, size = KINDS[byte & 127], 1
            if byte >= 0x80:
                wide = _wide(data, at, stop)
                kind, size = wide & 3, wide >> 2
            if kind == 1:
                if 48 <= byte <= 57:
                    counts[1, row] += not inside
                    forms |= SUM if operator and not inside else 0
                    # "1." or "1)" where a line begins
                    counts[2, row] += fresh and at + 1 < stop and data[at + 1] in (46, 41)
                operator, fresh, inside = False, False, True
                end = min(at + size, stop)
                while end < stop and (97 <= data[end] <= 122 or 48 <= data[end] <= 57):
                    end += 1
                word, at = _hashed(word, data, at, end), end
                before = data[at - 1]
                continue
            if kind == 3:
                at += size
                continue
            if inside:
                n = _word(word, n, last, some, table, masks, marks, rows, row)
                word, inside = OFFSET, False
            if kind == 2:
                word = _hashed(word, data, at, min(at + size, stop))
                n = _word(word, n, last, some, table, masks, marks, rows, row)
                word, fresh, operator = OFFSET, False, False
                at += size
                continue
            if byte == 32:
                at += 1
                continue
            if _asks(data, at, stop, byte, size):
                forms |= ASKS
            elif byte == 96 and at + 2 < stop and data[at + 1] == 96 and data[at + 2] == 96:
                forms |= 0 if fence_open else _fence(data, at, stop)
                fence_open, size = not fence_open, 3
            if _operates(data, at, stop, byte, size):
                operator = bool(48 <= before <= 57)
            elif byte != 36:
                operator = False
            counts[2, row] += fresh and byte in (45, 42, 35, 124) and at + 1 < stop and data[at + 1] == 32
            fresh = byte == 10 or (fresh and byte == 9)
            before = byte
            at += size
        if inside:
            n = _word(word, n, last, some, table, masks, marks, rows, row)
        counts[0, row], counts[3, row] = n, forms
