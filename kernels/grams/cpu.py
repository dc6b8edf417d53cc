"""Word n-grams in Numba: rolling hashes, a filter of bits before the table, a filter of counts before those
that are counted.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels import grams as contract
from headrace.kernels.arrow import Spans
from headrace.kernels.bits import EACH, HIGH, loaded, prefetch, trailing_zeros
from headrace.kernels.dispatch import cut, each
from headrace.kernels.grams.aligned import alignment as alignment

FACTOR, MIXER = np.uint64(contract.FACTOR), np.uint64(contract.MIXER)
S6, S29, S32, S63, ONE, TWO, LOW = (np.uint64(n) for n in (6, 29, 32, 63, 1, 2, 2**32 - 1))
SPACES = EACH * np.uint64(32)
AHEAD = 24  # keys between asking memory for a slot and looking at it
AT_ONCE = 64  # words whose n-grams are looked up side by side
FIRST = np.array([first for first, _ in contract.UNSPACED], np.int64)
LAST = np.array([last for _, last in contract.UNSPACED], np.int64)
LEAST = 1 << 18  # bytes or words below which a thread of its own does not pay


def words(texts: Spans) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Number of words of each text, int64[N], and all their hashes."""
    counts = np.zeros(len(texts), np.int64)
    pieces: dict[int, NDArray[np.uint32]] = {}

    def run(first: int, last: int) -> None:
        # No word is shorter than a byte and a space, but characters that are words: three bytes each.
        room = int((texts.stops[first:last] - texts.starts[first:last] + 2).sum()) // 2 + 1
        out = np.empty(room, np.uint32)
        spans = texts.data, texts.starts[first:last], texts.stops[first:last]
        total = _words(*spans, FIRST, LAST, out, counts[first:last])
        pieces[first] = out[:total]

    if len(texts):
        each(run, cut(np.append(texts.starts, texts.stops[-1]), LEAST))
    found = [pieces[first] for first in sorted(pieces)]
    return counts, found[0] if len(found) == 1 else np.concatenate([np.zeros(0, np.uint32), *found])


@njit(inline="always")
def _unspaced(data, at, lead, firsts, lasts):  # type: ignore[no-untyped-def]
    """Bytes of the character at `at` if it is a word of its own, else 0."""
    if lead < 0xF0:
        code = ((lead & 0x0F) << 12) | ((np.int64(data[at + 1]) & 0x3F) << 6) | (data[at + 2] & 0x3F)
        size = 3
    else:
        high = ((lead & 0x07) << 18) | ((np.int64(data[at + 1]) & 0x3F) << 12)
        code = high | ((np.int64(data[at + 2]) & 0x3F) << 6) | (data[at + 3] & 0x3F)
        size = 4
    for n in range(len(firsts)):
        if firsts[n] <= code <= lasts[n]:
            return size
    return 0


@njit(inline="always")
def _hashed(data, at, stop):  # type: ignore[no-untyped-def]
    value = np.uint64(0)
    while at < stop:
        word = loaded(data, at)
        if stop - at < 8:
            word &= (ONE << np.uint64(8 * (stop - at))) - ONE
        value = (value ^ word) * FACTOR
        value ^= value >> S32
        at += 8
    return np.uint32(value >> S32)


@njit(nogil=True, cache=True)
def _words(data, starts, stops, firsts, lasts, out, counts):  # type: ignore[no-untyped-def]
    total = 0
    for row in range(len(starts)):
        at, stop, before = starts[row], stops[row], total
        begin = at
        while at < stop:
            word = loaded(data, at)
            blank = word ^ SPACES
            # The lowest space, and bytes whose three upper bits are set: characters of three bytes and more.
            ends = (((blank - EACH) & ~blank) | (word & (word << ONE) & (word << TWO))) & HIGH
            if not ends:
                at += 8
                continue
            at += np.int64(trailing_zeros(ends)) >> 3
            if at >= stop:
                break
            lead = np.int64(data[at])
            size = 1
            if lead >= 0xE0:
                size = _unspaced(data, at, lead, firsts, lasts)
                if not size:
                    at += 3 if lead < 0xF0 else 4
                    continue
            if at > begin:
                out[total] = _hashed(data, begin, at)
                total += 1
            if size > 1:
                out[total] = _hashed(data, at, at + size)
                total += 1
            at += size
            begin = at
        if stop > begin:
            out[total] = _hashed(data, begin, stop)
            total += 1
        counts[row] = total - before
    return total


@njit(inline="always")
def _mixed(value):  # type: ignore[no-untyped-def]
    value = (value ^ (value >> S29)) * MIXER
    return value ^ (value >> S32)


def grams(offsets: NDArray[np.int64], hashes: NDArray[np.uint32], size: int) -> NDArray[np.uint64]:
    """Hash of the `size` words from each word on; 0 where the text has fewer left."""
    found = np.zeros(len(hashes), np.uint64)
    _grams(offsets, hashes, size, found)
    return found


@njit(inline="always")
def _gram(hashes, place, size):  # type: ignore[no-untyped-def]
    value = np.uint64(0)
    for k in range(size):
        value = value * FACTOR + np.uint64(hashes[place + k]) + ONE
    return _mixed(value)


@njit(nogil=True, cache=True)
def _grams(offsets, hashes, size, found):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1] - size + 1):
            found[place] = _gram(hashes, place, size)


def held(keys: NDArray[np.uint64], owners: NDArray[np.int64]) -> NDArray[np.int32]:
    """How many different owners have each key."""
    slots = np.full(1 << max(4, (2 * len(keys) - 1).bit_length()), -1, np.int32)
    first, last = np.empty(len(keys), np.int32), np.empty(len(keys), np.int64)
    counts = np.zeros(len(keys), np.int32)
    _held(keys, owners, slots, first, last, counts)
    return counts[first]


@njit(nogil=True, cache=True)
def _held(keys, owners, slots, first, last, counts):  # type: ignore[no-untyped-def]
    shift, top = _shift(slots), len(slots) - 1
    for place in range(len(keys)):
        if place + AHEAD < len(keys):
            prefetch(slots, np.int64(_mixed(keys[place + AHEAD]) >> shift))
        key = keys[place]
        at = np.int64(_mixed(key) >> shift)
        while slots[at] >= 0 and keys[slots[at]] != key:
            at = (at + 1) & top
        if slots[at] < 0:
            slots[at] = place
            last[place] = owners[place] - 1
        own = slots[at]
        first[place] = own
        if last[own] != owners[place]:
            last[own] = owners[place]
            counts[own] += 1


def enter(made: contract.Table, begun: NDArray[np.uint64]) -> None:
    """Fill the slots of a table from its keys, the bits from these and from what longer ones begin with."""
    _enter(made.keys, made.slots)
    for keys in (made.keys, begun):
        _mark(keys, made.bits)


@njit(inline="always")
def _shift(slots):  # type: ignore[no-untyped-def]
    """How far a key is shifted for its place among 2**s slots."""
    shift, size = np.uint64(65), len(slots)
    while size:
        shift -= ONE
        size >>= 1
    return shift


@njit(nogil=True, cache=True)
def _mark(keys, bits):  # type: ignore[no-untyped-def]
    for key in keys:
        bits[np.int64((key >> S6) & np.uint64(len(bits) - 1))] |= ONE << (key & S63)


@njit(nogil=True, cache=True)
def _enter(keys, slots):  # type: ignore[no-untyped-def]
    shift, last = _shift(slots), len(slots) - 1
    for number in range(len(keys)):
        key = keys[number]
        at = np.int64(key >> shift)
        while slots[at] >= 0:
            at = (at + 1) & last
        slots[at] = number


def lookup(
    offsets: NDArray[np.int64], hashes: NDArray[np.uint32], held: contract.Table
) -> tuple[NDArray[np.int64], ...]:
    """Rows, places and numbers of the n-grams that the table holds."""
    pieces: dict[int, NDArray[np.int64]] = {}

    def run(first: int, last: int) -> None:
        found = _lookup(offsets, hashes, held.sizes, held.keys, held.slots, held.bits, first, last)
        pieces[first] = found

    if len(offsets) > 1:
        each(run, cut(offsets, LEAST))
    found = np.concatenate([np.zeros((0, 3), np.int64), *(pieces[n] for n in sorted(pieces))])
    row, place, key = np.ascontiguousarray(found.T)
    return row, place, key


@njit(nogil=True, cache=True)
def _lookup(offsets, hashes, sizes, keys, slots, bits, first, last):  # type: ignore[no-untyped-def]
    out, total = np.empty((1024, 3), np.int64), 0
    shift, top, low = _shift(slots), len(slots) - 1, np.uint64(len(bits) - 1)
    shortest = sizes[0]
    block, places = np.empty(AT_ONCE, np.uint64), np.empty(AT_ONCE + 1, np.int64)
    for row in range(first, last):
        start, stop = offsets[row], offsets[row + 1]
        for begin in range(start, stop - shortest + 1, AT_ONCE):
            count = min(AT_ONCE, stop - shortest + 1 - begin)
            for i in range(count):
                block[i] = _gram(hashes, begin + i, shortest)
            # Which places may hold one: without a branch, and memory is asked for all of them at once.
            held = np.int64(0)
            for i in range(count):
                places[held] = i
                held += np.int64((bits[np.int64((block[i] >> S6) & low)] >> (block[i] & S63)) & ONE)
            for i in range(held):
                prefetch(slots, np.int64(block[places[i]] >> shift))
            for i in range(held):
                place, key, n = begin + places[i], block[places[i]], 0
                while True:
                    at = np.int64(key >> shift)
                    while slots[at] >= 0:
                        if keys[slots[at]] == key:
                            if total == len(out):
                                wider = np.empty((2 * total, 3), np.int64)
                                wider[:total] = out
                                out = wider
                            out[total, 0], out[total, 1], out[total, 2] = row, place - start, slots[at]
                            total += 1
                            break
                        at = (at + 1) & top
                    n += 1
                    if n == len(sizes) or place + sizes[n] > stop:
                        break
                    key = _gram(hashes, place, sizes[n])
                    if not (bits[np.int64((key >> S6) & low)] >> (key & S63)) & ONE:
                        break
    return out[:total]


def shared(
    offsets: NDArray[np.int64], found: NDArray[np.uint64], owners: NDArray[np.int64], size: int, least: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """What `Shared` holds; `found` are the hashes of n-grams, 0 for none; those of few owners are put out."""
    n = len(offsets) - 1
    covered, gram, counts = np.zeros(n, np.int64), np.zeros(n, np.uint64), np.zeros(n, np.int64)
    often = _sift(found, np.zeros(2 << max(4, len(found).bit_length()), np.uint8), min(least, 255))
    if often:
        table = _counted(offsets, found, owners, often // least)
        _shared(offsets, found, size, least, table, covered, gram, counts)
    return covered, gram, counts


@njit(nogil=True, cache=True)
def _sift(found, seen, least):  # type: ignore[no-untyped-def]
    """Put out what occurs fewer than `least` times, and say how many occurrences are left; some that are as
    rare stay, as others of theirs fall on the same place of `seen`."""
    shift, left = _shift(seen), 0
    for gram in found:
        at = np.int64(gram >> shift)
        seen[at] += seen[at] < least
    for place in range(len(found)):
        if seen[np.int64(found[place] >> shift)] < least:
            found[place] = 0
        left += found[place] != 0
    return left


@njit(nogil=True, cache=True)
def _counted(offsets, found, owners, expected):  # type: ignore[no-untyped-def]
    """A table by open addressing, uint64[2**b, 2]: an n-gram (0: free place), and in one word the last of its
    owners, above, and their number."""
    bits = 6
    while (1 << bits) < 4 * expected:
        bits += 1
    table, entered = np.zeros((1 << bits, 2), np.uint64), 0
    for row in range(len(offsets) - 1):
        owner = np.uint64(owners[row])
        for place in range(offsets[row], offsets[row + 1]):
            gram = found[place]
            if not gram:
                continue
            at = _slot(table, bits, gram)
            if not table[at, 0]:
                table[at, 0], table[at, 1] = gram, owner << S32 | ONE
                entered += 1
                if 2 * entered > len(table):
                    table, bits = _doubled(table, bits), bits + 1
            elif table[at, 1] >> S32 != owner:
                table[at, 1] = owner << S32 | ((table[at, 1] & LOW) + ONE)
    return table


@njit(inline="always")
def _slot(table, bits, gram):  # type: ignore[no-untyped-def]
    """Place of an n-gram, or the free one where it belongs."""
    at = np.int64(gram >> np.uint64(64 - bits))
    while table[at, 0] != gram and table[at, 0]:
        at = (at + 1) & ((1 << bits) - 1)
    return at


@njit(nogil=True, cache=True)
def _doubled(table, bits):  # type: ignore[no-untyped-def]
    wider = np.zeros((2 * len(table), 2), np.uint64)
    for old in range(len(table)):
        if table[old, 0]:
            at = _slot(wider, bits + 1, table[old, 0])
            wider[at, 0], wider[at, 1] = table[old, 0], table[old, 1]
    return wider


@njit(nogil=True, cache=True)
def _shared(offsets, found, size, least, table, covered, most, counts):  # type: ignore[no-untyped-def]
    bits = 64 - np.int64(_shift(table))
    for row in range(len(offsets) - 1):
        upto = offsets[row]  # words before this one have been counted
        for place in range(offsets[row], offsets[row + 1]):
            gram = found[place]
            if not gram:
                continue
            held = np.int64(table[_slot(table, bits, gram), 1] & LOW)
            if held < least:
                continue
            covered[row] += place + size - max(upto, place)
            upto = place + size
            if held > counts[row] or (held == counts[row] and gram < most[row]):
                counts[row], most[row] = held, gram


def warm() -> None:
    """Compile, or load from Numba's cache."""
    text = Spans(np.full(9, 97, np.uint8), np.zeros(1, np.int64), np.full(1, 9), None)
    counts, hashes = words(text)
    given = contract.Words(np.array([0, counts[0]]), hashes)
    keys = grams(*given, 1)
    held(keys, np.zeros(1, np.int64))
    made = contract.table(np.sort(keys), [1], np.zeros(0, np.uint64), implementation="cpu")
    lookup(*given, made)
    zero = np.zeros(1, np.int64)
    shared(given.offsets, grams(*given, 1), zero, 1, 1)
    alignment(given, np.ones(1, np.float32), hashes, zero, zero, zero + 1)
