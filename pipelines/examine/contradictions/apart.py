"""Prompts that cannot ask the same, told by hashes of their words before anybody reads them (`asking`).

Why: nine of ten pairs that a search by sketches finds alike ask something else, and it shows: a word stands
in one prompt that `asking` takes away from none, and no word of the other could be it with a slip of the pen.
What: words are runs of letters and digits, as `coded` has them. What is told apart here,
`asking.same_question` tells apart as well; it is asked about the rest.

Before texts are brought together at all, marks of the words (`marks`, 32 bytes a prompt) tell most of these
pairs apart (`marked_apart`): the bits of the words that count in one prompt, and of all words that may stand
for one in the other; and its tally of first letters (`coded`), by which a word falls that is hidden by others
like it. At 500 MB of real rows bits alone, 256 of them, left 2.6 million pairs, both together .76 million.

Cost: some 200 ns a pair; by marks some 10.
"""

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import frozen
from headrace.kernels.bits import popcount
from headrace.pipelines.examine.contradictions import asking
from headrace.pipelines.examine.contradictions.coded import (
    BYTE,
    COUNTS,
    FIRST,
    HASH,
    LENGTH,
    LETTERS,
    SEVERAL,
    Words,
    words,
)

MARKS = 4  # columns of 64 bits: words that count, words that may stand for one, and the tally
CHANGED = 2  # kinds of letters that a slip of the pen changes at most


def told_apart(found: Words, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs of texts, int64[M, 2], cannot ask the same: ``bool[M]``."""
    apart, codes = np.zeros(len(pairs), np.bool_), found.codes.view()
    codes.flags.writeable = False  # as Arrow's are, for jitted code is compiled for either
    _told_apart(*found._replace(codes=codes), np.ascontiguousarray(pairs), asking.SLIP, apart)
    return apart


def marks(found: Words) -> NDArray[np.uint64]:
    """What tells most pairs apart without their words: ``uint64[N, MARKS]``."""
    made = np.zeros((len(found.plain), MARKS), np.uint64)
    _marks(found.offsets, found.codes, found.plain, asking.SLIP, made)
    made[:, -2:] = found.tally
    return made


def marked_apart(marks: NDArray[np.uint64], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs of texts `told_apart` tells apart, as far as their `marks` show it: ``bool[M]``."""
    apart = np.zeros(len(pairs), np.bool_)
    _marked_apart(marks, pairs, apart)
    return apart


@njit(cache=True, nogil=True)
def _told_apart(offsets, codes, plain, tally, pairs, slip, apart):  # type: ignore[no-untyped-def]
    """Fill `apart`; slip: as in `asking`, an argument because what is compiled is kept by this file alone."""
    for k in range(len(pairs)):
        a, b = pairs[k, 0], pairs[k, 1]
        if counts_apart(tally[a, 0], tally[a, 1], tally[b, 0], tally[b, 1]):
            apart[k] = True
        elif plain[a] and plain[b]:
            left, right = codes[offsets[a] : offsets[a + 1]], codes[offsets[b] : offsets[b + 1]]
            apart[k] = stands_alone(left, right, slip) or stands_alone(right, left, slip)


@njit(cache=True, nogil=True)
def stands_alone(left, right, slip):  # type: ignore[no-untyped-def]
    """Whether a word of `left` counts and is none of `right`, nor one with a slip of the pen.

    A word that stands once in `right` and counts in both is no other word with a slip.
    """
    at = 0
    for code in left:
        while at < len(right) and right[at] >> LENGTH < code >> LENGTH:
            at += 1
        if not code & COUNTS or (at < len(right) and right[at] >> LENGTH == code >> LENGTH):
            continue
        first, length = code >> FIRST & BYTE, code >> LENGTH & BYTE
        alike = False
        for other in right:
            size = other >> LENGTH & BYTE
            if other >> FIRST & BYTE != first or size + 1 < length or length + 1 < size:
                continue
            if min(size, length) < slip - 2 or max(size, length) < slip - 1:
                continue
            if popcount((code ^ other) << HASH >> HASH + LETTERS) > CHANGED:
                continue
            if not other & COUNTS or other & SEVERAL or not _counted(left, other):
                alike = True
                break
        if not alike:
            return True
    return False


@njit(cache=True, nogil=True)
def _counted(codes, code):  # type: ignore[no-untyped-def]
    """Whether a word is one of some, sorted, and counts there."""
    place = np.searchsorted(codes, code >> LENGTH << LENGTH)
    return place < len(codes) and codes[place] >> LENGTH == code >> LENGTH and bool(codes[place] & COUNTS)


@njit(cache=True, nogil=True)
def _marks(offsets, codes, plain, slip, made):  # type: ignore[no-untyped-def]
    """Fill `made`. A word that may hold a slip has the bit of its first letter and length, and stands for
    those a letter longer and shorter; a shorter word has a bit of its own."""
    for text in range(len(plain)):
        if not plain[text]:  # told from none, and none from it
            made[text, 1] = ~np.uint64(0)
            continue
        for code in codes[offsets[text] : offsets[text + 1]]:
            length = np.int64(code >> LENGTH & BYTE)
            if length < slip - 2:
                bit = _bit(code >> LENGTH)
                made[text, 1] |= bit
            else:
                first = (code >> FIRST & BYTE) << np.uint64(8)
                bit = _bit(first | np.uint64(length))
                for size in range(max(length - 1, slip - 2), length + 2):
                    made[text, 1] |= _bit(first | np.uint64(size))
            if code & COUNTS:
                made[text, 0] |= bit


@njit(cache=True, nogil=True)
def _bit(value):  # type: ignore[no-untyped-def]
    """One of 64 bits."""
    return np.uint64(1) << (value * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40) & np.uint64(63))


@njit(cache=True, nogil=True)
def _marked_apart(marks, pairs, apart):  # type: ignore[no-untyped-def]
    """Fill `apart`."""
    for k in range(len(pairs)):
        a, b = pairs[k, 0], pairs[k, 1]
        alone = marks[a, 0] & ~marks[b, 1] | marks[b, 0] & ~marks[a, 1]
        apart[k] = alone != 0 or counts_apart(marks[a, 2], marks[a, 3], marks[b, 2], marks[b, 3])


@njit(cache=True, nogil=True)
def counts_apart(sums, loose, others, other_loose):  # type: ignore[no-untyped-def]
    """Whether two tallies differ where only words that count begin so."""
    return ((sums ^ others) & ~(loose | other_loose)) != 0


def passes(counts: NDArray[np.int64], pairs: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Part pairs, as they come, so that texts of a part have `most` words at most: its number, ``int64[M]``.

    counts: words of each text.
    """
    number = np.zeros(len(pairs), np.int64)
    _passes(frozen(np.ascontiguousarray(counts, np.int64)), frozen(np.ascontiguousarray(pairs)), most, number)
    return number


@njit(cache=True, nogil=True)
def _passes(counts, pairs, most, number):  # type: ignore[no-untyped-def]
    """Fill `number`."""
    seen = np.full(len(counts), -1, np.int64)
    now, held = 0, 0
    for k in range(len(pairs)):
        more = 0
        for side in range(2):
            more += counts[pairs[k, side]] * (seen[pairs[k, side]] < now)
        if held + more > most and held:
            now, held = now + 1, 0
            more = counts[pairs[k, 0]] + counts[pairs[k, 1]]
        seen[pairs[k, 0]], seen[pairs[k, 1]] = now, now
        held += more
        number[k] = now


def warm() -> None:
    """Compile, or load from Numba's cache."""
    found, pairs = words(pa.array(["a"], pa.large_string())), np.zeros((1, 2), np.int64)
    told_apart(found, pairs)
    marked_apart(marks(found), pairs)
    passes(np.ones(1, np.int64), pairs, 1)
