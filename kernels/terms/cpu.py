"""Phrases found by hashes of words, which are computed as the text is read."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans, frozen, one_span
from headrace.kernels.bits import pointer

MOST = 8  # words of a phrase
OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
MIXER = np.uint64(0x9E3779B97F4A7C15)
FEW = np.uint64((1 << 14) - 1)
# What each byte of ASCII is in a word, in lower case; 0 for one that parts words.
LETTERS = np.array(
    [ord(c.lower()) if c.isalnum() or c == "_" else 0 for c in map(chr, range(128))], np.uint64
)


def table(phrases: Spans) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint8]]:
    """Keys, codes and firsts of `Terms`. Raises: ValueError."""
    size = 1 << max(4, (4 * len(phrases)).bit_length())
    keys, codes = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    firsts = np.zeros(1 << 14, np.uint8)
    wrong = _table(phrases.data, phrases.starts, phrases.stops, keys, codes, firsts)
    if wrong >= 0:
        raise ValueError(f"phrase {wrong} has no word, more than {MOST}, or is there already")
    return keys, codes, firsts


def find(texts: Spans, terms: Any) -> tuple[NDArray[np.int64], ...]:
    """All phrases of `terms` in `texts`."""
    given = (texts.data, texts.starts, texts.stops, *map(frozen, (terms.keys, terms.codes, terms.firsts)))
    found = np.empty((4, max(1024, len(texts.data) // 64)), np.int64)
    longest = int((texts.stops - texts.starts).max(initial=0)) // 2 + 2
    scratch = (np.empty(longest, np.uint64), np.empty((2, longest), np.int64))
    row = size = 0
    while row < len(texts):
        row, size = _find(*given, row, size, *scratch, found)
        if row < len(texts):  # a text's phrases may be more than there is room for: it is read again
            more = np.empty((4, 2 * found.shape[1]), np.int64)
            more[:, :size] = found[:, :size]
            found = more
    return tuple(np.ascontiguousarray(column[:size]) for column in found)


def beside(texts: Spans, owners: NDArray[np.int64], terms: Any, other: Any) -> tuple[Any, Any]:
    """All phrases of `terms` in `texts`, and of `other` in the texts of owners that have one of these."""
    given = texts.data, texts.starts, texts.stops, frozen(owners)
    tables = [tuple(map(frozen, (one.keys, one.codes, one.firsts))) for one in (terms, other)]
    # Memory that is never written to costs nothing, and small words are frequent.
    found = [np.empty((4, max(1024, len(texts.data) // share)), np.int64) for share in (64, 8)]
    ends = np.flatnonzero(np.append(np.diff(owners) != 0, True)[: len(owners)]) + 1
    begins = np.append(0, ends[:-1])[: len(ends)]
    # No word is shorter than a byte and what parts it from the next.
    room = int(np.add.reduceat((texts.stops - texts.starts) // 2 + 2, begins).max()) if len(ends) else 0
    most = int((ends - begins).max(initial=0)) + 1
    scratch = np.empty(room, np.uint64), np.empty((2, room), np.int64), np.zeros(most, np.int64)
    row, sizes = 0, np.zeros(2, np.int64)
    while row < len(texts):
        row = _beside(*given, *tables, row, sizes, *scratch, *found)
        if row < len(texts):  # an owner's phrases may be more than there is room for: it is read again
            found = [np.concatenate([one, np.empty_like(one)], axis=1) for one in found]
    first, second = (
        tuple(np.ascontiguousarray(column[:size]) for column in one)
        for one, size in zip(found, sizes.tolist(), strict=True)
    )
    return first, second


@njit(nogil=True, cache=True)
def _width(data, at, stop):  # type: ignore[no-untyped-def]
    """Bytes of the character beyond ASCII at `at`, negative where it parts words."""
    byte = data[at]
    size = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
    size = min(size, stop - at)
    second = data[at + 1] if size > 1 else np.uint8(0)
    if byte == 0xC2 or (byte == 0xE2 and second in (0x80, 0x81)) or (byte == 0xE3 and second == 0x80):
        return -size
    return size


@njit(nogil=True, cache=True)
def _words(array, start, stop, n, hashes, places):  # type: ignore[no-untyped-def]
    """Hashes of the words of a text, and where they begin and end, behind `n` others; returns how many there
    are then.
    """
    data = pointer(array)
    at, word, inside = start, OFFSET, False
    while at < stop:
        byte = data[at]
        if byte < 0x80:
            letter = LETTERS[byte]
            if letter:
                if not inside:
                    places[0, n] = at
                    inside = True
                word = (word ^ letter) * PRIME
                at += 1
                continue
            size = -1
        else:
            size = _width(data, at, stop)
        if size < 0:
            if inside:
                hashes[n] = word
                places[1, n] = at
                n += 1
                word, inside = OFFSET, False
            at -= size
            continue
        if not inside:
            places[0, n] = at
            inside = True
        if size == 1:
            word = (word ^ np.uint64(byte)) * PRIME
        else:
            latin = byte == 0xC3 and 0x80 <= data[at + 1] <= 0x9E and data[at + 1] != 0x97
            word = (word ^ np.uint64(byte)) * PRIME
            word = (word ^ np.uint64(data[at + 1] + 32 if latin else data[at + 1])) * PRIME
            for k in range(at + 2, at + size):
                word = (word ^ np.uint64(data[k])) * PRIME
        at += size
    if inside:
        hashes[n] = word
        places[1, n] = stop
        n += 1
    return n


@njit(nogil=True, cache=True)
def _key(hashes, at, size):  # type: ignore[no-untyped-def]
    key = np.uint64(size)
    for k in range(at, at + size):
        key = (key ^ hashes[k]) * MIXER
        key ^= key >> np.uint64(29)
    return key


@njit(nogil=True, cache=True)
def _slot(keys, codes, mask, key):  # type: ignore[no-untyped-def]
    """Where `key` stands among ``mask + 1`` slots, or the free slot where it would."""
    slot = key & mask
    while codes[slot] and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(nogil=True, cache=True)
def _table(data, starts, stops, keys, codes, firsts):  # type: ignore[no-untyped-def]
    """Fill a table; number of the first phrase that cannot stand in it, or -1."""
    longest, mask = 0, np.uint64(len(keys) - 1)
    for row in range(len(starts)):
        longest = max(longest, stops[row] - starts[row])
    hashes, places = np.empty(longest // 2 + 2, np.uint64), np.empty((2, longest // 2 + 2), np.int64)
    for row in range(len(starts)):
        n = _words(data, starts[row], stops[row], 0, hashes, places)
        if n == 0 or n > MOST:
            return row
        key = _key(pointer(hashes), 0, n)
        slot = _slot(pointer(keys), pointer(codes), mask, key)
        if codes[slot]:
            return row
        keys[slot], codes[slot] = key, row + 1
        firsts[hashes[0] & FEW] |= np.uint8(1 << (n - 1))
    return -1


@njit(inline="always")
def _taken(keys, codes, firsts, mask, hashes, places, at, n, row, start, found, size):  # type: ignore[no-untyped-def]
    """Put the phrases of text `row` into `found`, whose words are ``at..n`` and whose bytes begin at `start`;
    returns how many there are, -1 where there is no room.
    """
    words = pointer(hashes)
    while at < n:
        step, sizes = 1, firsts[hashes[at] & FEW]
        k = min(MOST, n - at) if sizes else 0
        while k:
            if sizes >> (k - 1) & 1:
                code = codes[_slot(keys, codes, mask, _key(words, at, k))]
                if code:
                    if size == found.shape[1]:
                        return -1
                    found[0, size] = row
                    found[1, size] = places[0, at] - start
                    found[2, size] = places[1, at + k - 1] - start
                    found[3, size] = code - 1
                    size += 1
                    step = k
                    break
            k -= 1
        at += step
    return size


@njit(nogil=True, cache=True)
def _find(data, starts, stops, keys, codes, firsts, row, size, hashes, places, found):  # type: ignore[no-untyped-def]
    """Put phrases into `found` from text `row` on; returns the text without room, and how many there are."""
    own, numbers, mask = pointer(keys), pointer(codes), np.uint64(len(keys) - 1)
    while row < len(starts):
        n = _words(data, starts[row], stops[row], 0, hashes, places)
        more = _taken(own, numbers, firsts, mask, hashes, places, 0, n, row, starts[row], found, size)
        if more < 0:
            break
        size, row = more, row + 1
    return row, size


@njit(nogil=True, cache=True)
def _beside(data, starts, stops, owners, table, other, row, sizes, hashes, places, ends, found, second):  # type: ignore[no-untyped-def]
    """The same of two tables, of the second in the texts of owners that have a phrase of the first; returns
    the first text of the owner without room. sizes int64[2]: how many there are.
    """
    keys, codes, masks = pointer(table[0]), pointer(table[1]), np.uint64(len(table[0]) - 1)
    keys2, codes2, masks2 = pointer(other[0]), pointer(other[1]), np.uint64(len(other[0]) - 1)
    while row < len(starts):
        stop, n = row, 0
        while stop < len(starts) and owners[stop] == owners[row]:
            n = _words(data, starts[stop], stops[stop], n, hashes, places)
            ends[stop - row + 1] = n
            stop += 1
        size, more = sizes[0], sizes[1]
        for k in range(row, stop):
            at, last = ends[k - row], ends[k - row + 1]
            size = _taken(keys, codes, table[2], masks, hashes, places, at, last, k, starts[k], found, size)
            if size < 0:
                return row
        if size > sizes[0]:
            for k in range(row, stop):
                at, last = ends[k - row], ends[k - row + 1]
                more = _taken(
                    keys2, codes2, other[2], masks2, hashes, places, at, last, k, starts[k], second, more
                )
                if more < 0:
                    return row
        sizes[0], sizes[1], row = size, more, stop
    return row


def warm() -> None:
    """Compile, or load from Numba's cache."""
    from headrace.kernels.terms import terms

    find(one_span(["a"]), terms(["a"]))
    beside(one_span(["a"]), np.zeros(1, np.int64), terms(["a"]), terms(["b"]))
