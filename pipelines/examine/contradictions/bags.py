"""Prompts that may ask the same in another order and in other words: pairs by the words that count (`apart`).

Why: sketches of letters find prompts that are alike from end to end. A sentence of politeness more than
doubles a short question, and a clause that changes its place cuts windows; the words that count stay.
What: two prompts are a pair where `LEAST` of all words that count in one of them do so in both, and neither
has a word that the other cannot have (`apart`), nor other numbers. Such pairs share one of the rarest words
of each, as many as it takes: a *posting* of each of these stands under its word with all that tells most
prompts apart, so that postings are parted by words and pairs are made without the prompts. A word that stands
so in more than `MOST` prompts is asked of equal bags alone.

Cost: 48 bytes a posting, some five a prompt of `LONGEST` different words at most (longer ones stay alike in
letters); 2 ns a meeting of two.
Source: Chaudhuri et al. 2006 (prefix filter), https://doi.org/10.1109/ICDE.2006.9; Xiao et al. 2008 (by
place), https://doi.org/10.1145/1367497.1367516.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.bits import pointer
from headrace.pipelines import arrays
from headrace.pipelines.examine.contradictions import apart, asking, coded
from headrace.pipelines.stages.dedup import candidates

U64 = NDArray[np.uint64]
LEAST = 0.5
LONGEST = 128  # different words of a prompt
MOST = 500  # prompts under a word that meet, those of the fewest words
SLOTS = 1 << 22  # of the table that counts words
FEW = np.int32(2)  # rows that a word must stand in to bring two together


class Postings(NamedTuple):
    """Rare words of prompts, in any order, each array of P."""

    key: U64  # of the word
    prompt: NDArray[np.int64]  # a number of the prompt: of two the lower one comes first
    size: NDArray[np.uint8]  # words that count in the prompt
    before: NDArray[np.uint8]  # of these, how many are rarer
    marks: U64  # [P, apart.MARKS] of the prompt


def bags(found: coded.Words, numbers: U64) -> U64:
    """One number for all words that count in a text, beside its numbers; 0 where none does, or too many are
    there: ``uint64[N]``."""
    made = np.zeros(len(found.plain), np.uint64)
    _bags(found.offsets, _frozen(found.codes), numbers, LONGEST, made)
    return made


def counted(found: coded.Words) -> pa.Table:
    """How often words that count stand in texts: ``slot int64, count int32``, by hash."""
    used = np.zeros(SLOTS, np.int32)
    _counted(found.offsets, _frozen(found.codes), LONGEST, used)
    slots = np.flatnonzero(used)
    return pa.table({"slot": slots, "count": used[slots]})


def postings(
    found: coded.Words, rows: NDArray[np.int64], numbers: U64, marks: U64, used: NDArray[Any]
) -> Postings:
    """Rare words of the texts `rows` of `found`, int64[R]: `prompt` is a place of `rows`.

    numbers, marks: of each of the R; used: how often words stand in all texts, `int32[SLOTS]`.
    """
    rows = np.ascontiguousarray(rows, np.int64)
    codes = _frozen(found.codes)
    room = _telling(found.offsets, codes, rows, LONGEST, LEAST)
    key, size, before, prompt = (np.empty(room, kind) for kind in (np.uint64, np.uint8, np.uint8, np.int64))
    n = _postings(found.offsets, codes, rows, numbers, used, LONGEST, LEAST, FEW, key, prompt, size, before)
    prompt = prompt[:n]
    return Postings(key[:n], prompt, size[:n], before[:n], marks[prompt])


def pairs(found: Postings) -> U64:
    """Pairs of prompts that may ask the same, each once, as `candidates.unpack` takes them: ``uint64[M]``."""
    if not len(found.key):
        return np.zeros(0, np.uint64)
    order = np.argsort(found.size, kind="stable")
    order = order[candidates.order_by(found.key[order])]
    key = found.key[order]
    begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    wide = np.diff(begins, append=len(order))
    some = wide > 1
    wide = np.minimum(wide[some], MOST)
    order = order[arrays.ranges(begins[some], wide)]
    lists = arrays.offsets(wide)
    columns = (np.ascontiguousarray(values[order]) for values in found[1:])
    made: U64 = candidates.distinct(_meet(lists, *columns, LEAST))
    return made


def equal(bag: U64, prompt: NDArray[np.int64]) -> U64:
    """Pairs of the first prompt with a bag and every other one that has it, as `pairs` gives them."""
    if not len(bag):
        return np.zeros(0, np.uint64)
    order = np.lexsort((prompt, bag))
    bag, prompt = bag[order], prompt[order].astype(np.uint64)
    new = np.concatenate([[True], bag[1:] != bag[:-1]])
    first = prompt[np.flatnonzero(new)[np.cumsum(new) - 1]]
    made: U64 = np.sort((first << candidates.S32 | prompt)[~new])
    return made


def agreed(found: coded.Words, some: NDArray[np.int64], letters: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs of texts, int64[M, 2], may ask the same by all their words: ``bool[M]``.

    letters: pairs that are alike in letters, which need not share `LEAST` of their words.
    """
    kept = np.zeros(len(some), np.bool_)
    some = np.ascontiguousarray(some)
    _agreed(found.offsets, _frozen(found.codes), some, letters, asking.SLIP, LEAST, kept)
    return kept


def _frozen(codes: U64) -> U64:
    """A view that cannot be written to, as Arrow's are: jitted code is compiled for either."""
    view = codes.view()
    view.flags.writeable = False
    return view


@njit(cache=True, nogil=True)
def _hash(code, number):  # type: ignore[no-untyped-def]
    """A word beside some numbers, however often it stands there."""
    mixed = ((code | coded.SEVERAL) ^ number) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


@njit(cache=True, nogil=True)
def _slot(code):  # type: ignore[no-untyped-def]
    """The place of a word in a table of `SLOTS`."""
    return np.int64(_hash(code, np.uint64(0)) >> np.uint64(42))


@njit(cache=True, nogil=True)
def _bags(offsets, codes, numbers, longest, made):  # type: ignore[no-untyped-def]
    """Fill `made`."""
    for row in range(len(made)):
        if offsets[row + 1] - offsets[row] > longest:
            continue
        for at in range(offsets[row], offsets[row + 1]):
            if codes[at] & coded.COUNTS:
                mixed = _hash(codes[at], numbers[row])
                made[row] += mixed ^ mixed >> np.uint64(29)


@njit(cache=True, nogil=True)
def _counted(offsets, codes, longest, used):  # type: ignore[no-untyped-def]
    """Fill `used`."""
    for row in range(len(offsets) - 1):
        if offsets[row + 1] - offsets[row] <= longest:
            for at in range(offsets[row], offsets[row + 1]):
                if codes[at] & coded.COUNTS:
                    used[_slot(codes[at])] += 1


@njit(cache=True, nogil=True)
def _rarest(size, least):  # type: ignore[no-untyped-def]
    """How many of so many words, the rarest ones, two alike texts share one of."""
    return size - np.int64(np.ceil(least * size)) + 1


@njit(cache=True, nogil=True)
def _telling(offsets, codes, rows, longest, least):  # type: ignore[no-untyped-def]
    """How many postings there are, at most."""
    room = 0
    for row in rows:
        if offsets[row + 1] - offsets[row] <= longest:
            size = 0
            for at in range(offsets[row], offsets[row + 1]):
                size += 1 if codes[at] & coded.COUNTS else 0
            room += _rarest(size, least) if size else 0
    return room


@njit(cache=True, nogil=True)
def _postings(  # type: ignore[no-untyped-def]
    offsets, codes, rows, numbers, used, longest, least, few, key, prompt, size, before
):
    """Fill `key`, `prompt`, `size` and `before`; returns how many there are.

    A word is how often its like stands anywhere (20 bits), above its hash: the order of all words is the same
    in all prompts. A word beside other numbers is another one: none of its prompts asks the same.
    """
    words = np.empty(longest, np.uint64)
    out = 0
    for k in range(len(rows)):
        row, n = rows[k], 0
        if offsets[row + 1] - offsets[row] > longest:
            continue
        for at in range(offsets[row], offsets[row + 1]):
            if codes[at] & coded.COUNTS:
                often = np.uint64(min(used[_slot(codes[at])], (1 << 20) - 1))
                words[n] = often << np.uint64(44) | _hash(codes[at], numbers[k]) >> np.uint64(20)
                n += 1
        _sort(words, n)
        for at in range(_rarest(n, least) if n else 0):
            if words[at] >> np.uint64(44) < few:
                continue
            mixed = words[at] * np.uint64(0x9E3779B97F4A7C15)
            key[out] = (mixed ^ mixed >> np.uint64(32)) * np.uint64(0xBF58476D1CE4E5B9)
            prompt[out], size[out], before[out] = k, n, at
            out += 1
    return out


@njit(cache=True, nogil=True)
def _sort(words, n):  # type: ignore[no-untyped-def]
    """Sort the first few by putting each in its place."""
    for at in range(1, n):
        word, place = words[at], at
        while place and words[place - 1] > word:
            words[place] = words[place - 1]
            place -= 1
        words[place] = word


@njit(cache=True, nogil=True)
def _meet(lists, prompt, size, before, marks, least):  # type: ignore[no-untyped-def]
    """Pairs of prompts that stand under one word, as often as they do so.

    What two prompts share is at most this word, the rarer words of either and the more frequent ones
    (Xiao et al. 2008); nearly all pairs have fallen by their marks before that is asked.
    """
    found, out = np.empty(1024, np.uint64), 0
    flat = pointer(marks)
    for place in range(len(lists) - 1):
        for j in range(lists[place] + 1, lists[place + 1]):
            counts, may, sums, loose = flat[4 * j], flat[4 * j + 1], flat[4 * j + 2], flat[4 * j + 3]
            for i in range(lists[place], j):
                alone = flat[4 * i] & ~may | counts & ~flat[4 * i + 1]
                alone |= (flat[4 * i + 2] ^ sums) & ~(flat[4 * i + 3] | loose)  # `apart.counts_apart`
                if alone:
                    continue
                own, other = np.int64(size[i]), np.int64(size[j])
                a, b = np.int64(before[i]), np.int64(before[j])
                both = 1 + min(a, b) + min(own - a, other - b) - 1
                if own < least * other or other < least * own or both < least * (own + other - both):
                    continue
                if out == len(found):
                    more = np.empty(2 * len(found), np.uint64)
                    more[:out] = found
                    found = more
                low, high = min(prompt[i], prompt[j]), max(prompt[i], prompt[j])
                found[out] = np.uint64(low) << np.uint64(32) | np.uint64(high)
                out += 1
    return found[:out].copy()


@njit(cache=True, nogil=True)
def _agreed(offsets, codes, some, letters, slip, least, kept):  # type: ignore[no-untyped-def]
    """Fill `kept`; slip: as in `asking`, an argument because what is compiled is kept by this file alone."""
    for k in range(len(some)):
        a, b = some[k, 0], some[k, 1]
        left, right = codes[offsets[a] : offsets[a + 1]], codes[offsets[b] : offsets[b + 1]]
        if letters[k]:
            kept[k] = True
            if not (len(left) and len(right)):
                continue
        else:
            own, other, both = _shared(left, right)
            kept[k] = both >= least * (own + other - both)
        if kept[k]:
            kept[k] = not (apart.stands_alone(left, right, slip) or apart.stands_alone(right, left, slip))


@njit(cache=True, nogil=True)
def _shared(left, right):  # type: ignore[no-untyped-def]
    """How many words count in either, and in both."""
    own, other, both = 0, 0, 0
    for code in left:
        own += 1 if code & coded.COUNTS else 0
    at = 0
    for code in right:
        other += 1 if code & coded.COUNTS else 0
        while at < len(left) and left[at] >> coded.LENGTH < code >> coded.LENGTH:
            at += 1
        if at < len(left) and left[at] >> coded.LENGTH == code >> coded.LENGTH:
            both += 1 if code & left[at] & coded.COUNTS else 0
    return own, other, both


def warm() -> None:
    """Compile, or load from Numba's cache."""
    found = coded.words(pa.array(["a b", "b a"], pa.large_string()))
    numbers = np.zeros(2, np.uint64)
    bags(found, numbers)
    counted(found)
    used = np.full(SLOTS, FEW)
    pairs(postings(found, np.arange(2), numbers, apart.marks(found), used))
    agreed(found, np.array([[0, 1]]), np.zeros(1, np.bool_))
