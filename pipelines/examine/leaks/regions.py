"""Stretches of texts in which an item may stand: where n-grams that are evidence lie close together.

Of most items a single n-gram is met, by chance. That is enough where an item and a text are both short, and
for what is asked in fewer than `index.SHORT` words where few rows of the corpus hold it; else some of the
item's evidence must stand in one stretch.

Cost: 10 ns for each item of each n-gram that is met; what remains is sorted.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels import grams
from headrace.kernels.arrow import frozen
from headrace.pipelines.examine.leaks.index import Index

SEEN = 1 / 12  # share of an entry's evidence that makes a candidate
FEW = 3  # rows that may hold an n-gram which by itself makes one
LONGER = 1.6, 3  # how long a text is that asks little else: times the words of the item, and words more
BLOCK = 1 << 20  # words of entries that are compared at a time


class Regions(NamedTuple):
    """Stretches of texts that may hold an entry: text, entry, words begin to end of the text, int64[M];
    lonely bool[M]: there is nothing but an n-gram that few rows hold."""

    text: NDArray[np.int64]
    entry: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    lonely: NDArray[np.bool_]

    def of(self, chosen: NDArray[Any] | slice) -> "Regions":
        """Some of them: a mask, numbers or a slice."""
        places = (self.text[chosen], self.entry[chosen], self.begin[chosen], self.end[chosen])
        return Regions(*places, self.lonely[chosen])


def blocks(found: Regions, index: Index) -> Iterator[Regions]:
    """Regions in parts of about `BLOCK` words of their entries, which bounds what comparing them takes."""
    number = np.cumsum(index.lengths[found.entry]) // BLOCK
    edges = np.append(np.flatnonzero(np.append(True, np.diff(number) != 0)), len(number))
    for first, last in pairwise(edges if len(number) else ()):
        yield found.of(slice(first, last))


def regions(words: grams.Words, seen: grams.Hits, few: NDArray[np.bool_], index: Index) -> Regions:
    """Where enough of an entry's evidence stands close together.

    seen: where n-grams of the index stand in `words`; few bool[K]: which of them few rows hold.
    """
    evidence = np.bincount(index.entry, minlength=len(index.lengths))
    most = np.where(index.asked, LONGER[0] * index.lengths + LONGER[1], 0).astype(np.int64)
    least = np.minimum(np.maximum(2, np.ceil(evidence * SEEN)), evidence).astype(np.int64)
    given = (words.offsets, *seen, few[seen.key], index.firsts, index.entry, index.place)
    text, place, entry, own, rare = _met(*map(frozen, (*given, least, most, index.asked))).T
    order = np.lexsort((place, entry, text))
    text, place, entry, own, rare = (values[order] for values in (text, place, entry, own, rare))
    length = index.lengths[entry]
    new = np.ones(len(text), np.bool_)
    far = np.diff(place) > length[1:] // 2 + 8
    new[1:] = (np.diff(text) != 0) | (np.diff(entry) != 0) | far
    first, stretch = np.flatnonzero(new), np.cumsum(new) - 1
    if not len(first):
        none = np.zeros(0, np.int64)
        return Regions(none, none, none, none, np.zeros(0, np.bool_))
    enough = _distinct(stretch, own, len(first)) >= least[entry[first]]
    enough |= by_itself(words, text[first], entry[first], index)
    lonely = ~enough & (np.maximum.reduceat(rare, first) > 0)
    slack = length[first] // 4 + 4
    begin = np.maximum(np.minimum.reduceat(place - own, first) - slack, 0)
    end = np.maximum.reduceat(place + length - own, first) + slack
    end = np.minimum(end, np.diff(words.offsets)[text[first]])
    return Regions(text[first], entry[first], begin, end, lonely).of(enough | lonely)


@njit(nogil=True, cache=True)
def _met(offsets, row, where, key, few, firsts, entries, places, least, most, asked):  # type: ignore[no-untyped-def]
    """Text, place there, entry, place there, and whether few rows hold the n-gram, int64[M, 5]: of entries
    of which a text holds `least` n-grams, or one that few hold, or has `most` words and not more.
    """
    out, total = np.empty((1024, 5), np.int64), 0
    counts = np.zeros(len(least), np.int64)
    start = 0
    while start < len(row):
        text, stop = row[start], start
        size = offsets[text + 1] - offsets[text]
        while stop < len(row) and row[stop] == text:
            for at in range(firsts[key[stop]], firsts[key[stop] + 1]):
                entry = entries[at]
                counts[entry] += least[entry] if few[stop] and asked[entry] else 1
            stop += 1
        for n in range(start, stop):
            for at in range(firsts[key[n]], firsts[key[n] + 1]):
                entry = entries[at]
                if counts[entry] >= least[entry] or size <= most[entry]:
                    if total == len(out):
                        wider = np.empty((2 * total, 5), np.int64)
                        wider[:total] = out
                        out = wider
                    out[total, 0], out[total, 1], out[total, 2] = text, where[n], entry
                    out[total, 3], out[total, 4] = places[at], few[n] and asked[entry]
                    total += 1
        for n in range(start, stop):
            for at in range(firsts[key[n]], firsts[key[n] + 1]):
                counts[entries[at]] = 0
        start = stop
    return out[:total]


def by_itself(
    words: grams.Words, text: NDArray[np.int64], entry: NDArray[np.int64], index: Index
) -> NDArray[np.bool_]:
    """Whether an entry is what a text asks as a whole: both are short, and the text is not much longer."""
    lengths, sizes = index.lengths[entry], np.diff(words.offsets)[text]
    short: NDArray[np.bool_] = index.asked[entry] & (sizes <= LONGER[0] * lengths + LONGER[1])
    return short


def _distinct(group: NDArray[np.int64], value: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """How many different values each group has, int64[groups]; `group` ascends."""
    order = np.lexsort((value, group))
    group, value = group[order], value[order]
    new = np.append(True, (np.diff(group) != 0) | (np.diff(value) != 0))[: len(group)]
    return np.bincount(group, new, minlength=groups).astype(np.int64)


def warm() -> None:
    """Compile, or load from Numba's cache."""
    long, short, mask = (
        frozen(np.zeros(0, np.int64)),
        frozen(np.zeros(0, np.int32)),
        frozen(np.zeros(0, np.bool_)),
    )
    _met(long, long, long, long, mask, long, short, short, long, long, mask)
