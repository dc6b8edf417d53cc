"""Prompts that cannot ask the same, told by hashes of their words before anybody reads them (`asking`).

Why: nine of ten pairs that a search by sketches finds alike ask something else, and it shows: a word stands
in one prompt that `asking` takes away from none, and no word of the other could be it with a slip of the pen.
What: words are runs of letters and digits; a word *counts* unless it is one of politeness, an article, or
part of a contraction or of a phrase that others may stand for. Words that may stand for each other are one,
and one of these with a slip of the pen in it does not count. Nothing is said of prompts with letters beyond
ASCII. What is told apart here, `asking.same_question` tells apart as well; it is asked about the rest.

Before texts are brought together at all, marks of the words (`marks`, 64 bytes a prompt) tell most of these
pairs apart (`marked_apart`): the bits of the words that count in one prompt, and of all words that may stand
for one in the other.

Cost: 5 ns a byte, and some 200 ns a pair; by marks some 10.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.bits import popcount
from headrace.pipelines.examine.contradictions import asking, synonyms

# A word: hash (32 bits), which letters it has (14, a bit for some of them), first letter (8), length (8, at
# most 255), whether it stands more than once, and whether it counts.
MARKS = 8  # columns of 64 bits: four for the words that count, four for those that may stand for one
HASH, LETTERS, FIRST, LENGTH = np.uint64(32), np.uint64(18), np.uint64(10), np.uint64(2)
LISTED = 20  # bits of a hash of which a table says whether a known word begins so: 82,000 are known
KINDS, CHANGED = np.uint64(14), 2  # of letters; bits of these that a slip of the pen changes at most
BYTE, SEVERAL, COUNTS = np.uint64(255), np.uint64(2), np.uint64(1)
BEGUN, TIMES = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a
UNTOLD = np.uint32(1)  # of `_letters`: with this letter nothing is said of a prompt
HAN = ((0x3400, 0x9FFF), (0xF900, 0xFAFF))
POINTS = 0x20000  # beyond these are Chinese characters
N, T = np.uint64(ord("n")), np.uint64(ord("t"))


class Words(NamedTuple):
    """Different words of N texts, sorted by text: ``offsets int64[N + 1]``, ``codes uint64[W]``."""

    offsets: NDArray[np.int64]
    codes: NDArray[np.uint64]
    plain: NDArray[np.bool_]  # [N]: something can be said of the text


class _Known(NamedTuple):
    """Words that are no words like others, sorted codes: they do not count; they end a contraction; they may
    be put in place of one; they stand for others (`same`), each for one (`first`); they are that with a slip
    of the pen (`slipped`), each of one (`meant`). listed: a bit for the beginning of each hash among
    these; what has none there is not looked for."""

    idle: NDArray[np.uint64]
    contracted: NDArray[np.uint64]
    put: NDArray[np.uint64]
    same: NDArray[np.uint64]
    first: NDArray[np.uint64]
    slipped: NDArray[np.uint64]
    meant: NDArray[np.uint64]
    listed: NDArray[np.uint64]


def words(texts: pa.Array) -> Words:
    """Words of texts (large_string[N] without nulls)."""
    return _found(texts, _known())


@lru_cache(maxsize=1)
def _known() -> _Known:
    found = [pattern.pattern.replace(r"\b", " ") for pattern, _ in asking.APART]
    put = _plain(" ".join(words for _, words in asking.APART))
    ends = re.findall(r"([a-z]+) (?:\||$)", "\n".join(found), re.M)
    taken = _plain(" ".join([asking.POLITE.pattern, asking.ASKED_FOR.pattern, *asking.ARTICLES, *found]))
    alone = synonyms.alone()
    known = {*asking.MANNERS, *synonyms.parts(), *alone}
    slips = {slip: word for word in sorted(known) for slip in asking.slips(word)}
    meant = {slip: alone[word] for slip, word in slips.items() if word in alone and slip not in known}
    # Numbers that say what a phrase says do not count either: "50%" is half.
    idle = _codes(taken + put + [*slips] + re.findall(r"\w+", " ".join(synonyms.parts())))
    contracted, (same, first), slips_for = _codes(ends), _stand_for(alone), _stand_for(meant)
    listed = _listed(np.concatenate([idle, contracted, same]))
    return _Known(idle, contracted, _codes(put), same, first, *slips_for, listed)


def _listed(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`_Known.listed` of some codes."""
    listed = np.zeros(1 << LISTED - 6, np.uint64)
    places = codes >> np.uint64(64 - LISTED)
    np.bitwise_or.at(listed, places >> np.uint64(6), np.uint64(1) << (places & np.uint64(63)))
    return listed


def _unknown() -> _Known:
    """No word is known."""
    none = np.zeros(0, np.uint64)
    return _Known(none, none, none, none, none, none, none, _listed(none))


def _stand_for(words: Mapping[str, str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Codes of words, sorted, and of those that they stand for."""
    of = _code_of([*words, *words.values()])
    own = np.array([of[word] for word in words], np.uint64)
    other = np.array([of[word] for word in words.values()], np.uint64)
    order = np.argsort(own)
    return own[order], other[order]


@lru_cache(maxsize=1)
def _letters() -> NDArray[np.uint32]:
    """What each code point is in a word without regard to case, 0 where it stands in none; what comes last
    stands for all beyond."""
    found = np.zeros(POINTS + 1, np.uint32)
    for point in range(POINTS):
        letter = chr(point)
        if letter == "_" or letter.isalnum():
            folded = letter.casefold()
            found[point] = ord(folded) if len(folded) == 1 else UNTOLD
    for first, last in HAN:
        found[first : last + 1] = UNTOLD
    found[POINTS] = UNTOLD
    found.flags.writeable = False
    return found


def _plain(pattern: str) -> list[str]:
    """Words of a pattern, or of what is put in its place."""
    return re.findall(r"[a-z]+", re.sub(r"\\.", " ", pattern))


def _codes(words: Sequence[str]) -> NDArray[np.uint64]:
    """Codes of some words, sorted, that do not count."""
    texts = pa.array([" ".join(words)], pa.large_string())
    return _found(texts, _unknown()).codes & ~(SEVERAL | COUNTS)


def _code_of(words: Sequence[str]) -> dict[str, np.uint64]:
    """The code of each of some words, that does not count."""
    found = _found(pa.array(words, pa.large_string()), _unknown())
    return dict(zip(words, found.codes & ~(SEVERAL | COUNTS), strict=True))


def _found(texts: pa.Array, known: _Known) -> Words:
    n = len(texts)
    ends = np.frombuffer(texts.buffers()[1] or bytes(8), np.int64)[texts.offset : texts.offset + n + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    for view in (ends, data):  # of a buffer that may be written or not: jitted code is compiled for either
        view.flags.writeable = False
    codes = np.empty(int(ends[-1] - ends[0]) + n * (1 + len(known.put)) + 1, np.uint64)
    offsets, plain = np.zeros(n + 1, np.int64), np.ones(n, np.bool_)
    used = _words(data, ends, _letters(), *known, codes, offsets, plain)
    return Words(offsets, codes[:used].copy(), plain)


def told_apart(found: Words, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs of texts, int64[M, 2], cannot ask the same: ``bool[M]``."""
    apart = np.zeros(len(pairs), np.bool_)
    _told_apart(found.offsets, found.codes, found.plain, np.ascontiguousarray(pairs), asking.SLIP, apart)
    return apart


def marks(found: Words) -> NDArray[np.uint64]:
    """What tells most pairs apart without their words: ``uint64[N, MARKS]``."""
    made = np.zeros((len(found.plain), MARKS), np.uint64)
    _marks(found.offsets, found.codes, found.plain, asking.SLIP, made)
    return made


def marked_apart(marks: NDArray[np.uint64], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs of texts `told_apart` tells apart, as far as their `marks` show it: ``bool[M]``."""
    apart = np.zeros(len(pairs), np.bool_)
    _marked_apart(marks, pairs, apart)
    return apart


@njit(cache=True, nogil=True)
def _point(data, at):  # type: ignore[no-untyped-def]
    """The code point that begins at a byte of UTF-8, and how many bytes it has."""
    byte = np.int64(data[at])
    if byte < 128:
        return byte, 1
    size = 2 + (byte >= 224) + (byte >= 240)
    point = byte & (127 >> size)
    for k in range(1, size):
        point = point << 6 | np.int64(data[at + k]) & 63
    return point, size


@njit(cache=True, nogil=True)
def _words(  # type: ignore[no-untyped-def]
    data, ends, letters, idle, contracted, put, same, firsts, slipped, meant, listed, codes, offsets, plain
):
    """Fill `codes` with the words of ``data[ends[i]:ends[i + 1]]``; returns how many there are."""
    out = 0
    for text in range(len(ends) - 1):
        begin = out
        word, stem, first, last, length = BEGUN, BEGUN, np.uint64(0), np.uint64(0), 0
        has, stem_has = np.uint64(0), np.uint64(0)
        contracts = False
        before, stem_before = np.int64(-1), np.uint64(0)  # where the word before stands, if it ends in n
        at = ends[text]
        while at <= ends[text + 1]:
            letter = np.uint64(0)
            if at < ends[text + 1]:
                point, size = _point(data, at)
                letter = np.uint64(letters[min(point, len(letters) - 1)])
                at += size
            else:
                at += 1
            if letter == UNTOLD:
                plain[text] = False
                break
            if letter:
                if not length:
                    first = letter & BYTE
                stem, word, last, length = word, (word ^ letter) * TIMES, letter, length + 1
                stem_has, has = has, has | np.uint64(1) << letter % KINDS
                continue
            if not length:
                continue
            code = _code(word, has, first, length)
            if length == 1 and first == T and before >= 0:
                # "isn t" may be "is not": neither counts, and both are there.
                codes[before] &= ~COUNTS
                codes[out] = stem_before
                out += 1
            known = _has(listed, code)
            contracts = contracts or (known and _among(contracted, code & ~COUNTS))
            if known and _among(idle, code & ~COUNTS):
                code &= ~COUNTS
                if _among(slipped, code):  # what it was meant for stands there, too
                    codes[out] = meant[np.searchsorted(slipped, code)]
                    out += 1
            elif known and _among(same, code & ~COUNTS):
                code = firsts[np.searchsorted(same, code & ~COUNTS)] | COUNTS
            codes[out] = code
            before = np.int64(-1)
            if last == N and length > 1:
                before, stem_before = np.int64(out), _code(stem, stem_has, first, length - 1) & ~COUNTS
            out += 1
            word, stem, has, length = BEGUN, BEGUN, np.uint64(0), 0
        if contracts:
            codes[out : out + len(put)] = put
            out += len(put)
        if not plain[text]:
            out = begin
        out = _distinct(codes, begin, out)
        offsets[text + 1] = out
    return out


@njit(cache=True, nogil=True)
def _distinct(codes, begin, end):  # type: ignore[no-untyped-def]
    """Sort ``codes[begin:end]``, each word once, marked if it stood more often; returns the new end."""
    codes[begin:end].sort()
    kept, several = begin, np.uint64(0)
    for place in range(begin, end):  # of one word that stands twice, the one that counts comes last
        if place + 1 < end and codes[place] >> LENGTH == codes[place + 1] >> LENGTH:
            several = SEVERAL
            continue
        codes[kept] = codes[place] | several
        kept, several = kept + 1, np.uint64(0)
    return kept


@njit(cache=True, nogil=True)
def _has(listed, code):  # type: ignore[no-untyped-def]
    """Whether a code may be one of those that are `listed`."""
    place = code >> np.uint64(64 - LISTED)
    return listed[place >> np.uint64(6)] >> (place & np.uint64(63)) & np.uint64(1) != 0


@njit(cache=True, nogil=True)
def _among(codes, code):  # type: ignore[no-untyped-def]
    """Whether a code is one of some, sorted."""
    place = np.searchsorted(codes, code)
    return place < len(codes) and codes[place] == code


@njit(cache=True, nogil=True)
def _code(word, has, first, length):  # type: ignore[no-untyped-def]
    """A word that counts."""
    mixed = (word ^ (word >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return (
        mixed >> HASH << HASH
        | has << LETTERS
        | first << FIRST
        | np.uint64(min(length, 255)) << LENGTH
        | COUNTS
    )


@njit(cache=True, nogil=True)
def _told_apart(offsets, codes, plain, pairs, slip, apart):  # type: ignore[no-untyped-def]
    """Fill `apart`; slip: as in `asking`, an argument because what is compiled is kept by this file alone."""
    for k in range(len(pairs)):
        a, b = pairs[k, 0], pairs[k, 1]
        if plain[a] and plain[b]:
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
    half = made.shape[1] // 2
    for text in range(len(plain)):
        if not plain[text]:  # told from none, and none from it
            made[text, half:] = ~np.uint64(0)
            continue
        for code in codes[offsets[text] : offsets[text + 1]]:
            length = np.int64(code >> LENGTH & BYTE)
            if length < slip - 2:
                bit = _bit(code >> LENGTH, half)
                made[text, half + (bit >> 6)] |= np.uint64(1) << np.uint64(bit & 63)
            else:
                bit = _bit((code >> FIRST & BYTE) << np.uint64(8) | np.uint64(length), half)
                for size in range(max(length - 1, slip - 2), length + 2):
                    near = _bit((code >> FIRST & BYTE) << np.uint64(8) | np.uint64(size), half)
                    made[text, half + (near >> 6)] |= np.uint64(1) << np.uint64(near & 63)
            if code & COUNTS:
                made[text, bit >> 6] |= np.uint64(1) << np.uint64(bit & 63)


@njit(cache=True, nogil=True)
def _bit(value, words):  # type: ignore[no-untyped-def]
    """One of the bits of so many words."""
    return np.int64((value * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)) % np.uint64(64 * words))


@njit(cache=True, nogil=True)
def _marked_apart(marks, pairs, apart):  # type: ignore[no-untyped-def]
    """Fill `apart`."""
    for k in range(len(pairs)):
        apart[k] = shows_apart(marks, pairs[k, 0], pairs[k, 1])


@njit(cache=True, nogil=True)
def shows_apart(marks, a, b):  # type: ignore[no-untyped-def]
    """Whether the marks of two texts tell them apart."""
    half = marks.shape[1] // 2
    alone = np.uint64(0)
    for at in range(half):
        alone |= marks[a, at] & ~marks[b, half + at] | marks[b, at] & ~marks[a, half + at]
    return alone != 0


def warm() -> None:
    """Compile, or load from Numba's cache."""
    found, pairs = words(pa.array(["a"], pa.large_string())), np.zeros((1, 2), np.int64)
    told_apart(found, pairs)
    marked_apart(marks(found), pairs)
