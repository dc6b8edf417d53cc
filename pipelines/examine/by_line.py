"""Terms of texts line by line, so that a line of a preamble can count as one word of what a text says.

What a preamble is, and why: `pipelines.preambles`.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.kernels import grams
from headrace.pipelines import arrays, preambles
from headrace.pipelines.examine import vectors

IMPLIED = 0.9  # share of the texts with a line that hold another, which says nothing beside it then


class Lines(NamedTuple):
    """Terms of the lines of N texts, end to end; ``ends int64[N + 1]``: of each text among the lines."""

    terms: vectors.Terms
    ends: NDArray[np.int64]

    @property
    def whole(self) -> vectors.Terms:
        """Terms of the texts as they are."""
        return vectors.Terms(self.terms.offsets[self.ends], self.terms.hashes)


def of(texts: pa.Array, *, pairs: bool = False) -> Lines:
    """Terms of each line of texts (large_string[N], nulls are empty); pairs: as in `vectors.terms`."""
    parts, ends = preambles.split(texts)
    return Lines(vectors.terms(parts, pairs=pairs), ends)


def taken(found: Lines, texts: NDArray[np.int64]) -> Lines:
    """Lines of some texts, in the order of `texts`."""
    sizes = np.diff(found.ends)[texts]
    ends = arrays.offsets(sizes)
    return Lines(vectors.taken(found.terms, arrays.ranges(found.ends[texts], sizes)), ends)


def terms(texts: pa.Array, *, pairs: bool = False) -> vectors.Terms:
    """Terms of texts as `vectors.terms` gives them, with lines of preambles as words (see `asked`)."""
    found = of(texts)
    preamble, word = told(found)
    if not preamble.any():
        return vectors.terms(texts, pairs=pairs)
    return _shortened(of(texts, pairs=True) if pairs else found, preamble, word)


def asked(found: Lines) -> vectors.Terms:
    """Terms of the texts with each line of a preamble as one word, but those that go with another of them."""
    return _shortened(found, *told(found))


def without(texts: pa.Array, found: Lines) -> pa.Array:
    """Texts (large_string[N]) without the lines of preambles."""
    return preambles.joined(*preambles.split(texts), ~told(found)[0])


def told(found: Lines) -> tuple[NDArray[np.bool_], NDArray[np.uint32]]:
    """Which of L lines are of a preamble, ``bool[L]``, and the word that stands for each, ``uint32[L]``."""
    words = (found.terms.hashes & 1) == 0
    of_lines = grams.Words(arrays.offsets(words)[found.terms.offsets], found.terms.hashes[words])
    preamble, key = preambles.told(of_lines, found.ends)
    return preamble, (arrays.finalised(key) >> np.uint64(32)).astype(np.uint32) & ~np.uint32(1)


def _shortened(found: Lines, preamble: NDArray[np.bool_], word: NDArray[np.uint32]) -> vectors.Terms:
    if not preamble.any():
        return found.whole
    own = np.diff(found.terms.offsets)
    stand = preamble & ~_implied(found.ends, preamble, word)
    sizes = np.where(preamble, stand, own)
    offsets = arrays.offsets(sizes)
    hashes = np.empty(offsets[-1], np.uint32)
    hashes[np.repeat(~preamble, sizes)] = found.terms.hashes[np.repeat(~preamble, own)]
    hashes[offsets[:-1][stand]] = word[stand]
    return vectors.Terms(offsets[found.ends], hashes)


def _implied(
    ends: NDArray[np.int64], preamble: NDArray[np.bool_], word: NDArray[np.uint32]
) -> NDArray[np.bool_]:
    """Which of L lines say nothing beside their leader, the rarest line of the preamble: ``bool[L]``.

    Forty lines of a schema stand together wherever one does, so they are one word; lines of a record
    ("colour: red") are as many. A line is implied where `IMPLIED` of the texts with its leader, and `HELD` at
    least, hold it.
    """
    places = np.flatnonzero(preamble)
    text, words = np.repeat(np.arange(len(ends) - 1), np.diff(ends))[places], word[places].astype(np.uint64)
    order = np.lexsort((words, grams.held(words, text), text))
    first = order[np.append(True, np.diff(text[order]) != 0)[: len(order)]]
    leader = np.zeros(len(ends) - 1, np.uint64)
    leader[text[first]] = words[first]
    _, group, counts = np.unique(leader[text[first]], return_inverse=True, return_counts=True)
    led = np.zeros(len(ends) - 1, np.int64)
    led[text[first]] = counts[group]
    together = grams.held(leader[text] << np.uint64(32) | words, text)
    implied = np.zeros(len(preamble), np.bool_)
    implied[places] = (led[text] >= preambles.HELD) & (together >= IMPLIED * led[text])
    implied[places[first]] = False
    return implied
