"""What many prompts share beside what they ask: system prompts, instructions, tools, passages, examples.

Why: of a hundred words of a system prompt and ten of a question, the hundred decide what a prompt is like,
and 6,000 questions to ten assistants look like ten. Here each line of a preamble counts as one word, so that
what is asked decides.

A line is shared where `HELD` different prompts hold it, or where `COVERED` of its words lie in runs of `RUN`
words that so many hold: a preamble names its customer. It is a preamble where it has `RUN` words or more, and
the prompt says `OWN` words or more in lines that are not shared; a prompt whose every line is shared, as
where one question comes in other words again and again, stays as it is.

Cost: 24 bytes a word while runs are counted.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import arrays
from headrace.pipelines.examine import vectors

HELD = 5  # prompts
RUN = 8  # words
COVERED = 0.8  # share of the words of a line
OWN = 4  # words that a prompt says itself


class Lines(NamedTuple):
    """Terms of the lines of N texts, end to end; ``ends int64[N + 1]``: of each text among the lines."""

    terms: vectors.Terms
    ends: NDArray[np.int64]

    @property
    def whole(self) -> vectors.Terms:
        """Terms of the texts as they are."""
        return vectors.Terms(self.terms.offsets[self.ends], self.terms.hashes)


def lines(texts: pa.Array, *, pairs: bool = False) -> Lines:
    """Terms of each line of texts (large_string[N], nulls are empty); pairs: as in `vectors.terms`."""
    parts = pc.split_pattern(texts.fill_null(""), "\n").cast(pa.large_list(pa.large_string()))
    return Lines(vectors.terms(parts.flatten(), pairs=pairs), arrays.offsets(pc.list_value_length(parts)))


def taken(found: Lines, texts: NDArray[np.int64]) -> Lines:
    """Lines of some texts, in the order of `texts`."""
    sizes = np.diff(found.ends)[texts]
    ends = arrays.offsets(sizes)
    places = np.arange(ends[-1]) + np.repeat(found.ends[texts] - ends[:-1], sizes)
    return Lines(vectors.taken(found.terms, places), ends)


def terms(texts: pa.Array, *, pairs: bool = False) -> vectors.Terms:
    """Terms of texts as `vectors.terms` gives them, with each line of a preamble as one word."""
    found = lines(texts)
    preamble, word = told(found)
    if not preamble.any():
        return vectors.terms(texts, pairs=pairs)
    return _shortened(lines(texts, pairs=pairs) if pairs else found, preamble, word)


def asked(found: Lines) -> vectors.Terms:
    """Terms of the texts with each line of a preamble as one word."""
    return _shortened(found, *told(found))


def _shortened(found: Lines, preamble: NDArray[np.bool_], word: NDArray[np.uint32]) -> vectors.Terms:
    if not preamble.any():
        return found.whole
    own = np.diff(found.terms.offsets)
    sizes = np.where(preamble, 1, own)
    offsets = arrays.offsets(sizes)
    hashes = np.empty(offsets[-1], np.uint32)
    hashes[np.repeat(~preamble, sizes)] = found.terms.hashes[np.repeat(~preamble, own)]
    hashes[offsets[:-1][preamble]] = word[preamble]
    return vectors.Terms(offsets[found.ends], hashes)


def without(texts: pa.Array, found: Lines) -> pa.Array:
    """Texts (large_string[N]) without the lines that are preambles."""
    kept = ~told(found)[0]
    parts = pc.split_pattern(texts.fill_null(""), "\n").cast(pa.large_list(pa.large_string()))
    counts = np.add.reduceat(np.append(kept, False), found.ends[:-1]) * (np.diff(found.ends) > 0)
    held = pa.LargeListArray.from_arrays(
        pa.array(arrays.offsets(counts)), parts.flatten().filter(pa.array(kept))
    )
    return pc.binary_join(held, pa.scalar("\n", pa.large_string()))


def told(found: Lines) -> tuple[NDArray[np.bool_], NDArray[np.uint32]]:
    """Which of L lines are preambles, ``bool[L]``, and the word that stands for each, ``uint32[L]``."""
    terms, count = found.terms, len(found.terms.offsets) - 1
    words = (terms.hashes & 1) == 0
    line = np.repeat(np.arange(count), np.diff(terms.offsets))[words]
    sizes = np.bincount(line, minlength=count)
    text = np.repeat(np.arange(len(found.ends) - 1), np.diff(found.ends))
    key = _keys(terms.hashes[words], sizes)
    shared = (sizes > 0) & (_holders(key, text) >= HELD)
    long = sizes >= RUN
    covered, name = _in_runs(terms.hashes[words].astype(np.uint64), line, text, count)
    shared |= long & (covered >= COVERED * sizes)
    own = np.bincount(text, np.where(shared, 0, sizes), minlength=len(found.ends) - 1)
    word = (arrays.finalised(np.where(name, name, key)) >> np.uint64(32)).astype(np.uint32)
    return shared & long & (own >= OWN)[text], word & ~np.uint32(1)


def _keys(words: NDArray[np.uint32], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A hash of the words of each line: ``uint64[L]``."""
    held = np.ascontiguousarray(words, "<u4")
    offsets = pa.py_buffer(arrays.offsets(sizes) * 4)
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(sizes), [None, offsets, pa.py_buffer(held)]
    )
    return kernels.content_hash(array)[0]


def _holders(keys: NDArray[np.uint64], text: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many different texts hold the key of each place: ``int64[P]``. `text` ascends."""
    order = np.argsort(keys, kind="stable")
    new = np.append(True, np.diff(keys[order]) != 0)[: len(keys)]
    other = new | np.append(True, np.diff(text[order]) != 0)[: len(keys)]
    group = np.cumsum(new) - 1
    counts = np.empty(len(keys), np.int64)
    counts[order] = np.bincount(group, other).astype(np.int64)[group] if len(keys) else 0
    return counts


def _in_runs(
    words: NDArray[np.uint64], line: NDArray[np.int64], text: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Words of each line in runs that many texts hold, ``int64[L]``, and the run that most of them do,
    ``uint64[L]``: 0 for none. line: of each word; text: of each line.
    """
    starts = np.flatnonzero(line[: len(line) - RUN + 1] == line[RUN - 1 :]) if len(line) >= RUN else line[:0]
    runs = np.zeros(len(starts), np.uint64)
    for k in range(RUN):
        runs = arrays.finalised(runs * np.uint64(31) + words[starts + k] + np.uint64(1))
    held = _holders(runs, text[line[starts]])
    starts, runs, held = starts[held >= HELD], runs[held >= HELD], held[held >= HELD]
    steps = np.bincount(starts, minlength=len(line) + 1) - np.bincount(starts + RUN, minlength=len(line) + 1)
    covered = np.bincount(line[np.cumsum(steps[: len(line)]) > 0], minlength=count)
    name = np.zeros(count, np.uint64)
    order = np.lexsort((runs, -held, line[starts]))
    first = order[np.append(True, np.diff(line[starts][order]) != 0)[: len(order)]]
    name[line[starts][first]] = runs[first]
    return covered, name
