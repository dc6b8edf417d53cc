"""Prompts that may ask the same in another order and in other words: pairs by the words that count (`apart`).

Why: sketches of letters find prompts that are alike from end to end. A sentence of politeness more than
doubles a short question, and a clause that changes its place cuts windows; the words that count stay.
What: two prompts are a pair where `LEAST` of all words that count in one of them do so in both, and neither
has a word that the other cannot have (`apart`), nor other numbers. Such pairs share one of the rarest words
of each, as many as it takes; a word that stands so in more than `MOST` prompts is asked of equal bags alone.

Cost: some 35 bytes a word of prompts of `LONGEST` different words at most (longer ones stay alike in
letters), some 2 us a pair that is looked at.
Source: Chaudhuri et al. 2006 (prefix filter), https://doi.org/10.1109/ICDE.2006.9; Xiao et al. 2008 (by
place), https://doi.org/10.1145/1367497.1367516.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from headrace.pipelines import arrays
from headrace.pipelines.examine.contradictions import apart, asking, coded
from headrace.pipelines.stages.dedup import candidates

LEAST = 0.5
LONGEST = 128  # different words of a prompt
AT_ONCE = 1 << 23  # words of the prompts of one pass: of more, the longest prompts are left out
MOST = 500  # prompts that a word is looked up in
NO_PAIRS = np.zeros((0, 2), np.int64)


class Passes(NamedTuple):
    """Prompts that are looked at together, by their places, and how many different words they may have."""

    places: list[NDArray[np.int64]]
    longest: int


def passes(counts: NDArray[np.integer[Any]], numbers: NDArray[np.uint64]) -> Passes:
    """Part prompts so that no pair lies in two passes, and that each has `AT_ONCE` words at most.

    counts: different words of each prompt, 0 where it is not to be looked at; numbers: as in `pairs`. Those
    without a number, 0, are one pass; of these the longest are left out where they are too many.
    """
    bare = numbers == 0
    many = 1 + 2 * int(counts[~bare].sum()) // AT_ONCE  # half full: they are not all of one size
    number = np.where(bare, 0, 1 + arrays.finalised(numbers) % np.uint64(many)).astype(np.int64)
    found, least = [], LONGEST
    for k in range(many + 1):
        places = np.flatnonzero((number == k) & (counts > 0))
        most = longest(counts[places])
        found.append(places[counts[places] <= most])
        least = min(least, most)
    return Passes(found, least)


def longest(counts: NDArray[np.integer[Any]]) -> int:
    """How many different words a prompt may have, at most, where prompts have so many: ``int[N]``.

    Long prompts are the ones to leave out: in other words they stay alike in most of their letters.
    """
    words = np.bincount(counts, counts, minlength=LONGEST + 1)
    return min(LONGEST, int(np.flatnonzero(np.cumsum(words) <= AT_ONCE)[-1]))


def pairs(
    offsets: NDArray[np.int64],
    codes: NDArray[np.uint64],
    numbers: NDArray[np.uint64],
    marks: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """Pairs of N prompts, ``int64[M, 2]``, the lower one first.

    offsets, codes: their words, as `coded.Words`; a prompt that has none is in no pair. numbers: a hash of
    the numbers of each, ``uint64[N]``, which those of a pair share. marks: `apart.marks` of each.
    """
    codes = codes.view()
    codes.flags.writeable = False  # as Arrow's are, for jitted code is compiled for either
    ends, rare = _rarest(offsets, codes, arrays.finalised(numbers))
    if not len(rare):
        return NO_PAIRS
    sizes = np.diff(ends)
    telling = np.where(sizes > 0, sizes - np.ceil(LEAST * sizes).astype(np.int64) + 1, 0)
    first = arrays.offsets(telling)
    held, behind = _first(ends, telling, rare)
    order = candidates.order_by(arrays.finalised(held))
    begins = np.flatnonzero(np.concatenate([[True], held[order[1:]] != held[order[:-1]]]))
    lists = np.append(begins, len(order))
    word = np.empty(len(order), np.int32)
    word[order] = np.repeat(np.arange(len(begins), dtype=np.int32), np.diff(lists))
    del held
    holders = np.repeat(np.arange(len(sizes), dtype=np.int32), telling)[order]
    behind = behind[order]
    del order
    lists_ = word, lists, holders, behind
    found = _joined(ends, rare, first, *lists_, offsets, codes, marks, asking.SLIP, LEAST, MOST)
    return np.unique(np.concatenate([found, _equal(_bags(ends, rare))]), axis=0)


def _equal(bags: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pairs of the first prompt with some words that count and every other one that has the same.

    bags: one number for the words of each prompt, 0 where none counts.
    """
    some = np.flatnonzero(bags)
    _, first, of = np.unique(bags[some], return_index=True, return_inverse=True)
    both = np.stack([some[first][of], some], axis=1)
    equal: NDArray[np.int64] = both[both[:, 0] != both[:, 1]]
    return equal


@njit(cache=True, nogil=True)
def _rarest(offsets, codes, numbers):  # type: ignore[no-untyped-def]
    """The words that count of each prompt, the rarest first: ``int64[N + 1], uint64[W]``.

    A word is how often its like stands anywhere (20 bits), above its hash: the order of all words is the same
    in all prompts. A word beside other numbers is another one: none of its prompts asks the same.
    """
    n = len(offsets) - 1
    used = np.zeros(1 << 22, np.int32)
    ends = np.zeros(n + 1, np.int64)
    for row in range(n):
        ends[row + 1] = ends[row]
        for at in range(offsets[row], offsets[row + 1]):
            if codes[at] & coded.COUNTS:
                ends[row + 1] += 1
                used[_hash(codes[at], numbers[row]) >> np.uint64(42)] += 1
    rare = np.empty(ends[n], np.uint64)
    for row in range(n):
        out = ends[row]
        for at in range(offsets[row], offsets[row + 1]):
            if codes[at] & coded.COUNTS:
                word = _hash(codes[at], numbers[row])
                often = np.uint64(min(used[word >> np.uint64(42)], (1 << 20) - 1))
                rare[out] = often << np.uint64(44) | word >> np.uint64(20)
                out += 1
        rare[ends[row] : out].sort()
    return ends, rare


@njit(cache=True, nogil=True)
def _hash(code, number):  # type: ignore[no-untyped-def]
    """A word beside some numbers, however often it stands there."""
    mixed = ((code | coded.SEVERAL) ^ number) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


@njit(cache=True, nogil=True)
def _first(ends, telling, rare):  # type: ignore[no-untyped-def]
    """The rarest words of each, one prompt after the other, and how many words each has behind them."""
    held = np.empty(telling.sum(), np.uint64)
    behind = np.empty(len(held), np.uint8)
    out = 0
    for row in range(len(telling)):
        for at in range(ends[row], ends[row] + telling[row]):
            held[out] = rare[at]
            behind[out] = ends[row + 1] - at - 1
            out += 1
    return held, behind


@njit(cache=True, nogil=True)
def _bags(ends, rare):  # type: ignore[no-untyped-def]
    """One number for all words that count of a prompt, 0 where there is none."""
    found = np.zeros(len(ends) - 1, np.uint64)
    for row in range(len(found)):
        for at in range(ends[row], ends[row + 1]):
            mixed = (rare[at] + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
            found[row] += mixed * np.uint64(0xBF58476D1CE4E5B9)
    return found


@njit(cache=True, nogil=True)
def _joined(  # type: ignore[no-untyped-def]
    ends, rare, first, word, lists, holders, behind, offsets, codes, marks, slip, least, most
):
    """Pairs by the rarest words of each.

    Where two meet at a word, they share no rarer one but such as are not looked up, and behind it no more
    than the one of them has that has fewer there: most pairs fall by that (Xiao et al. 2008).
    """
    n = len(ends) - 1
    seen = np.full(n, -1, np.int64)
    found = np.empty((1024, 2), np.int64)
    out = 0
    for row in range(n):
        own, passed = ends[row + 1] - ends[row], 0
        for at in range(first[row], first[row + 1]):
            begin, last = lists[word[at]], lists[word[at] + 1]
            if last - begin > most:
                passed += 1
                continue
            left_over = own - (at - first[row]) - 1
            for k in range(begin, last):
                other = holders[k]
                if other >= row:
                    break
                if seen[other] == row:
                    continue
                seen[other] = row
                size = ends[other + 1] - ends[other]
                most_both = passed + 1 + min(left_over, np.int64(behind[k]))
                if size < least * own or own < least * size or most_both < least * (own + size - most_both):
                    continue
                if apart.shows_apart(marks, row, other):
                    continue
                a, b, both = ends[row], ends[other], 0
                while a < ends[row + 1] and b < ends[other + 1]:
                    both += rare[a] == rare[b]
                    step = rare[a] <= rare[b]
                    b += rare[b] <= rare[a]
                    a += step
                if both < least * (own + size - both):
                    continue
                left = codes[offsets[row] : offsets[row + 1]]
                right = codes[offsets[other] : offsets[other + 1]]
                if apart.stands_alone(left, right, slip) or apart.stands_alone(right, left, slip):
                    continue
                if out == len(found):
                    more = np.empty((2 * len(found), 2), np.int64)
                    more[:out] = found
                    found = more
                found[out, 0], found[out, 1] = other, row
                out += 1
    return found[:out].copy()


def warm() -> None:
    """Compile, or load from Numba's cache."""
    found = coded.words(pa.array(["a b", "b a"], pa.large_string()))
    pairs(found.offsets, found.codes, np.zeros(2, np.uint64), apart.marks(found))
