"""Words of prompts as codes of 64 bits, so that prompts are compared without their texts.

What: a word is a run of letters and digits, without regard to case. Its code is a hash (32 bits), which
letters it has (14, a bit for some of them), its first letter (8), its length (8, at most 255), whether it
stands more than once, and whether it *counts*. One of politeness, an article, and part of a contraction or of
a phrase that others may stand for do not. Words that may stand for each other are one, and one of these with
a slip of the pen in it does not count. Nothing is said of prompts with a letter that is another number of
letters in another case, or of a script that writes no spaces.

A *tally* counts the words of a prompt by their first letter, which no slip changes: two prompts that ask the
same have as many under each letter, but where a word that does not count stands under it.

Cost: some 6 ns a byte; a table of 82,000 words that do not count, .15 s a process.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.bits import pointer
from headrace.kernels.utf8 import decoded
from headrace.pipelines.examine.contradictions import asking, synonyms

HASH, LETTERS, FIRST, LENGTH = np.uint64(32), np.uint64(18), np.uint64(10), np.uint64(2)
KINDS = np.uint64(14)  # of letters
BYTE, SEVERAL, COUNTS = np.uint64(255), np.uint64(2), np.uint64(1)
PAIR, LETTER = np.uint64(3), np.uint64(31)  # of a tally
BEGUN, TIMES = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a
UNTOLD = np.uint32(1)  # of `_letters`: with this letter nothing is said of a prompt
HAN = ((0x3400, 0x9FFF), (0xF900, 0xFAFF))
POINTS = 0x20000  # beyond these are Chinese characters
N, T = np.uint64(ord("n")), np.uint64(ord("t"))
BUCKETS = 1 << 15  # of words that are sorted, at most
SLOTS = 18  # bits of a place in the table of known words, a third full
LAST = np.int64((1 << SLOTS) - 1)
MAYBE = np.uint64(64 - 20)  # behind the bits of a hash by which a word may be known
IDLE, CONTRACTED, MEANS = np.uint8(1), np.uint8(2), np.uint8(4)  # of a known word


class Words(NamedTuple):
    """Different words of N texts, sorted by text: ``offsets int64[N + 1]``, ``codes uint64[W]``."""

    offsets: NDArray[np.int64]
    codes: NDArray[np.uint64]
    plain: NDArray[np.bool_]  # [N]: something can be said of the text
    # [N, 2], two bits for each of 32 first letters: how many words that count, after three none; ones where
    # another word begins so, or nothing can be said.
    tally: NDArray[np.uint64]


class _Known(NamedTuple):
    """Words that are no words like others, a table by their codes, with open addressing.

    codes: ``uint64[2**SLOTS]``, 0 where none is; kinds: `IDLE` (does not count), `CONTRACTED` (ends a
    contraction), `MEANS` (one with a slip of the pen, or that stands for another: `means`); maybe: a bit for
    each that is there, 2**20 of them, as most words are none and the table fits no cache; put: words that may
    be put in place of a contraction, sorted.
    """

    codes: NDArray[np.uint64]
    kinds: NDArray[np.uint8]
    means: NDArray[np.uint64]
    maybe: NDArray[np.uint64]
    put: NDArray[np.uint64]


def words(texts: pa.Array) -> Words:
    """Words of texts (large_string[N] without nulls)."""
    return _found(texts, _known())


@lru_cache(maxsize=1)
def _known() -> _Known:
    found = [pattern.pattern.replace(r"\b", " ") for _, pattern, _ in asking.APART]
    put = _plain(" ".join(words for _, _, words in asking.APART))
    ends = re.findall(r"([a-z]+) (?:\||$)", "\n".join(found), re.M)
    taken = _plain(" ".join([asking.POLITE.pattern, asking.ASKED_FOR.pattern, *asking.ARTICLES, *found]))
    alone = synonyms.alone()
    known = {*asking.MANNERS, *synonyms.parts(), *alone}
    slips = {slip: word for word in sorted(known) for slip in asking.slips(word)}
    meant = {slip: alone[word] for slip, word in slips.items() if word in alone and slip not in known}
    # Numbers that say what a phrase says do not count either: "50%" is half.
    idle = _codes(taken + put + [*slips] + re.findall(r"\w+", " ".join(synonyms.parts())))
    table = _unknown()
    for codes, kind in ((idle, IDLE), (_codes(ends), CONTRACTED)):
        _put(*table[:3], codes, codes, kind)
    same, first = _stand_for(alone)
    other = ~np.isin(same, idle)
    for codes, means in (_stand_for(meant), (same[other], first[other])):
        _put(*table[:3], codes, means, MEANS)
    there = (table.codes[table.codes > 0] >> MAYBE).astype(np.int64)
    np.bitwise_or.at(table.maybe, there >> 6, np.uint64(1) << (there & 63).astype(np.uint64))
    return table._replace(put=_codes(put))


def _unknown() -> _Known:
    """No word is known."""
    n, none = 1 << SLOTS, np.zeros(0, np.uint64)
    bits = np.zeros(1 << 64 - int(MAYBE) - 6, np.uint64)
    return _Known(np.zeros(n, np.uint64), np.zeros(n, np.uint8), np.zeros(n, np.uint64), bits, none)


def _stand_for(words: Mapping[str, str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Codes of words, and of those that they stand for."""
    of = _codes_of([*words, *words.values()])
    return of[: len(words)], of[len(words) :]


@lru_cache(maxsize=1)
def _letters() -> NDArray[np.uint32]:
    """What each code point is in a word without regard to case, 0 where it stands in none; what comes last
    stands for all beyond."""
    found = np.zeros(POINTS + 1, np.uint32)
    for point in range(POINTS):
        letter = chr(point)
        if letter.isalnum() or letter == "_":
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
    """Codes of some words, sorted, each once, that do not count."""
    texts = pa.array([" ".join(words)], pa.large_string())
    return _found(texts, _unknown()).codes & ~(SEVERAL | COUNTS)


def _codes_of(words: Sequence[str]) -> NDArray[np.uint64]:
    """The code of each of some words, that does not count."""
    return _found(pa.array(words, pa.large_string()), _unknown()).codes & ~(SEVERAL | COUNTS)


def _found(texts: pa.Array, known: _Known) -> Words:
    n = len(texts)
    ends = np.frombuffer(texts.buffers()[1] or bytes(8), np.int64)[texts.offset : texts.offset + n + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    for view in (ends, data):  # of a buffer that may be written or not: jitted code is compiled for either
        view.flags.writeable = False
    codes = np.empty(int(ends[-1] - ends[0]) + n * (1 + len(known.put)) + 1, np.uint64)
    offsets, plain = np.zeros(n + 1, np.int64), np.ones(n, np.bool_)
    spare = np.empty(int(np.diff(ends).max(initial=0)) + 2 + len(known.put), np.uint64)
    sizes, tally = np.empty(BUCKETS + 1, np.int32), np.zeros((n, 2), np.uint64)
    used = _words(data, ends, _letters(), *known, codes, offsets, plain, tally, sizes, spare)
    return Words(offsets, codes[:used].copy(), plain, tally)


@njit(inline="always")
def _letter(data, letters, most, at, end):  # type: ignore[no-untyped-def]
    """What the character at `at` is in a word, none behind the end; and how many bytes it has."""
    if at >= end:
        return np.uint64(0), 1
    point, size = np.int64(data[at]), 1
    if point >= 128:
        point, size = decoded(data, at)
    return np.uint64(letters[min(point, most)]), size


@njit(inline="always")
def _kind(known, kinds, maybe, code):  # type: ignore[no-untyped-def]
    """What a word is, 0 where it is none that is known; and where it stands among these."""
    bit = code >> MAYBE
    if maybe[np.int64(bit >> np.uint64(6))] >> (bit & np.uint64(63)) & np.uint64(1):
        place = _place(known, code & ~COUNTS)
        if known[place]:
            return kinds[place], place
    return np.uint8(0), np.int64(-1)


@njit(inline="always")
def _with(sums, code):  # type: ignore[no-untyped-def]
    """A tally with one more of the words that begin as this one does."""
    at = _tallied(code)
    return sums + (((sums >> at) + np.uint64(1) & PAIR) - (sums >> at & PAIR) << at)


@njit(inline="always")
def _likewise(codes, put, out):  # type: ignore[no-untyped-def]
    """Put the words that may stand for a contraction into `codes`; returns them in a tally."""
    loose = np.uint64(0)
    for code in put:
        codes[out] = code
        loose |= PAIR << _tallied(code)
        out += 1
    return loose


@njit(cache=True, nogil=True)
def _words(  # type: ignore[no-untyped-def]
    data, ends, letters, known, kinds, means, maybe, put, codes, offsets, plain, tally, sizes, spare
):
    """Fill `codes` with the words of ``data[ends[i]:ends[i + 1]]``; returns how many there are."""
    data_, letters_, maybe_ = pointer(data), pointer(letters), pointer(maybe)
    known_, kinds_, means_ = pointer(known), pointer(kinds), pointer(means)
    codes_, sizes_, spare_ = pointer(codes), pointer(sizes), pointer(spare)
    most = len(letters) - 1
    out = 0
    for text in range(len(ends) - 1):
        begin = out
        word, stem, first, last, length = BEGUN, BEGUN, np.uint64(0), np.uint64(0), 0
        has, stem_has = np.uint64(0), np.uint64(0)
        contracts, sums, loose = False, np.uint64(0), np.uint64(0)
        before, stem_before = np.int64(-1), np.uint64(0)  # where the word before stands, if it ends in n
        at, end = ends[text], ends[text + 1]
        while at <= end:
            letter, size = _letter(data_, letters_, most, at, end)
            at += size
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
                codes_[before] = codes_[before] & ~COUNTS
                codes_[out] = stem_before
                loose |= PAIR << _tallied(codes_[before]) | PAIR << _tallied(stem_before)
                out += 1
            kind, place = _kind(known_, kinds_, maybe_, code)
            contracts = contracts or kind & CONTRACTED
            if kind & IDLE:
                code &= ~COUNTS
                if kind & MEANS:  # what it was meant for stands there, too
                    codes_[out] = means_[place]
                    loose |= PAIR << _tallied(codes_[out])
                    out += 1
            elif kind & MEANS:
                code = means_[place] | COUNTS
            if code & COUNTS:
                sums = _with(sums, code)
            else:
                loose |= PAIR << _tallied(code)
            codes_[out] = code
            before = np.int64(-1)
            if last == N and length > 1:
                before, stem_before = np.int64(out), _code(stem, stem_has, first, length - 1) & ~COUNTS
            out += 1
            word, stem, has, length = BEGUN, BEGUN, np.uint64(0), 0
        if contracts:
            loose |= _likewise(codes_, put, out)
            out += len(put)
        if not plain[text]:
            out, loose = begin, ~np.uint64(0)
        tally[text, 0], tally[text, 1] = sums, loose
        out = _distinct(codes_, begin, out, sizes_, spare_)
        offsets[text + 1] = out
    return out


@njit(cache=True, nogil=True)
def _tallied(code):  # type: ignore[no-untyped-def]
    """Where in a tally words are counted that begin as this one does."""
    return (code >> FIRST & LETTER) << np.uint64(1)


@njit(cache=True, nogil=True)
def _one_more(sums, at):  # type: ignore[no-untyped-def]
    """A tally with one word more at a place: after three comes none."""
    return sums & ~(PAIR << at) | ((sums >> at) + np.uint64(1) & PAIR) << at


@njit(cache=True, nogil=True)
def _distinct(codes, begin, end, sizes, spare):  # type: ignore[no-untyped-def]
    """Sort ``codes[begin:end]``, each word once, marked if it stood more often; returns the new end."""
    _sort(codes, begin, end, sizes, spare)
    kept, several = begin, np.uint64(0)
    for place in range(begin, end):  # of one word that stands twice, the one that counts comes last
        if place + 1 < end and codes[place] >> LENGTH == codes[place + 1] >> LENGTH:
            several = SEVERAL
            continue
        codes[kept] = codes[place] | several
        kept, several = kept + 1, np.uint64(0)
    return kept


@njit(cache=True, nogil=True)
def _sort(codes, begin, end, sizes, spare):  # type: ignore[no-untyped-def]
    """Sort ``codes[begin:end]``: hashes fall into as many buckets evenly, and what is near its place is soon
    put there. sizes: of `BUCKETS` buckets and one; spare: for as many codes."""
    bits = 1
    while 1 << bits < min(end - begin, BUCKETS):
        bits += 1
    shift = np.uint64(64 - bits)
    for bucket in range((1 << bits) + 1):
        sizes[bucket] = 0
    for at in range(begin, end):
        behind = np.int64(codes[at] >> shift) + 1
        sizes[behind] = sizes[behind] + 1
    for bucket in range(1 << bits):
        sizes[bucket + 1] = sizes[bucket + 1] + sizes[bucket]
    for at in range(begin, end):
        of = np.int64(codes[at] >> shift)
        spare[sizes[of]] = codes[at]
        sizes[of] = sizes[of] + 1
    for at in range(begin, end):
        code, place = spare[at - begin], at
        while place > begin and codes[place - 1] > code:
            codes[place] = codes[place - 1]
            place -= 1
        codes[place] = code


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
def _place(known, code):  # type: ignore[no-untyped-def]
    """Where a code stands in the table, or the empty place where it would."""
    place = np.int64(code >> np.uint64(64 - SLOTS))
    while known[place] and known[place] != code:
        place = (place + 1) & LAST
    return place


@njit(cache=True, nogil=True)
def _put(known, kinds, means, codes, others, kind):  # type: ignore[no-untyped-def]
    """Put some codes into the table; others: what they mean, if that is their kind."""
    for k in range(len(codes)):
        place = _place(known, codes[k])
        known[place] = codes[k]
        kinds[place] |= kind
        if kind == MEANS:
            means[place] = others[k]


def warm() -> None:
    """Compile, or load from Numba's cache."""
    words(pa.array(["a"], pa.large_string()))
