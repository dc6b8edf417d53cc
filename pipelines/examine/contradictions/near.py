"""Prompts that may ask the same though they are not equal: pairs by letters, and by the words that count.

What: prompts meet under keys that they share (`keys`, `bags`), and go from there with all that tells most of
them apart: a sketch of their letters and marks of their words. Each key brings its own pairs, whoever else
there is, so that keys are parted among tasks; pairs that are left are united and told apart by all words.
Where more than `candidates.LARGEST` prompts share a key of letters, the hashes of prompts say which are
looked at: a prompt is numbered by its place in their order.

Cost: 70 bytes a key of letters that several prompts have, 48 a posting; a pair takes 8 bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels.arrow import frozen
from headrace.pipelines.examine.contradictions import apart, bags, coded
from headrace.pipelines.examine.contradictions.keys import BLOCKS, MARKS, SHARED, SKETCH, U64, Census, census
from headrace.pipelines.stages.dedup import candidates

BY = len(BLOCKS) + 1  # columns of `SHARED` under which prompts meet: blocks of letters, then bags
TOGETHER = 1 << 14  # prompts whose pairs one task looks at in any case
ONE = np.uint64(1)
NEEDED = [*SHARED, *SKETCH, *MARKS, "words"]


class Meetings(NamedTuple):
    """Where prompts meet."""

    keys: pa.Table  # column, key, prompt, and the prompt's sketch and marks
    postings: pa.Table  # `bags.Postings`, marks in columns


def meetings(rows: pa.Table, first: NDArray[np.int64], census: Census) -> Meetings:
    """Where prompts meet others; `prompt` is a place of `first`.

    rows: `NEEDED` of rows; first: the row of each prompt, int64[P].
    """
    numbers = rows["numbers"].to_numpy()[first]
    prompt = np.flatnonzero((numbers == 0) | census.several(SHARED.index("numbers"), numbers))
    row = first[prompt]
    held = {name: rows[name].to_numpy()[row] for name in (*SHARED[:BY], *SKETCH, *MARKS)}
    tables = []
    for column, name in enumerate(SHARED[:BY]):
        of = np.flatnonzero(census.several(column, held[name]))
        columns = {"column": np.full(len(of), column, np.uint8), "key": held[name][of], "prompt": prompt[of]}
        tables.append(pa.table(columns | {name: held[name][of] for name in (*SKETCH, *MARKS)}))
    marks = np.stack([held[name] for name in MARKS], axis=1)
    found = bags.postings(said(rows["words"]), row, numbers[prompt], marks, census.words)
    columns = {"key": found.key, "prompt": prompt[found.prompt], "size": found.size, "before": found.before}
    columns |= dict(zip(MARKS, found.marks.T, strict=True))
    return Meetings(pa.concat_tables(tables), pa.table(columns))


def said(words: pa.ChunkedArray) -> coded.Words:
    """Words of texts as they are stored, without a tally; of a text without one nothing can be said."""
    column = words.chunk(0) if words.num_chunks == 1 else words.combine_chunks()
    ends = column.offsets.to_numpy().astype(np.int64)
    values = column.values.to_numpy()
    return coded.Words(ends, values, np.diff(ends) > 0, np.zeros((len(ends) - 1, 2), np.uint64))


def met(keys: pa.Table, column: int, least: int) -> U64:
    """Pairs of prompts under keys of one column, as `bags.pairs` gives them.

    keys: as in `Meetings`, by prompt; least: bins of two sketches that must agree.
    """
    key, prompt = (keys[name].to_numpy() for name in ("key", "prompt"))
    if column == len(BLOCKS):
        return bags.equal(key, prompt)
    sketch = [keys[name].to_numpy() for name in SKETCH]

    def refine(some: NDArray[np.int64]) -> U64:
        """Other blocks of rows: as near as the sketch, which holds 16 bits of each, can tell."""
        part = [k if k != column else (k + 1) % len(BLOCKS) for k in range(len(BLOCKS))]
        each = len(BLOCKS) // len(SKETCH)
        bits = [sketch[k // each][some] >> np.uint64(64 // each * (k % each)) for k in part]
        return np.stack(bits, axis=1) & np.uint64(2 ** (64 // each) - 1)

    found, _ = candidates.pairs(key, refine, candidates.Sketches(sketch[0], sketch[1], least))
    marks = np.stack([keys[name].to_numpy() for name in MARKS], axis=1)
    found = prompt[found[~apart.marked_apart(marks, found)]].astype(np.uint64)
    made: U64 = found[:, 0] << candidates.S32 | found[:, 1]
    return made


def by_words(postings: pa.Table) -> U64:
    """Pairs of prompts by their rare words, as `bags.pairs` gives them."""
    key, prompt, size, before = (postings[n].to_numpy() for n in ("key", "prompt", "size", "before"))
    marks = np.stack([postings[name].to_numpy() for name in MARKS], axis=1)
    return bags.pairs(bags.Postings(key, prompt, size, before, marks))


class Pairs(NamedTuple):
    """Pairs of prompts, those that belong together one after the other."""

    prompts: NDArray[np.int64]  # [M, 2], the lower one first
    letters: NDArray[np.bool_]  # [M]: alike in letters


def united(letters: Sequence[U64], words: Sequence[U64]) -> Pairs:
    """Pairs of all keys, each once: prompts that are alike by others stand beside each other, for what is
    read of one is read once then."""
    every = candidates.distinct(
        np.concatenate([*(_marked(p, 1) for p in letters), *(_marked(p, 0) for p in words)])
    )
    last = np.ones(len(every), np.bool_)
    last[:-1] = every[1:] >> ONE != every[:-1] >> ONE  # of one pair that of letters comes last
    every = every[last]
    pairs = candidates.unpack(every)
    pairs[:, 1] >>= 1
    order = together(np.unique(pairs, return_inverse=True)[1].reshape(-1, 2))
    return Pairs(pairs[order], (every & ONE).astype(np.bool_)[order])


class Groups:
    """Which prompts hang together, pair by pair, up to `TOGETHER` of them."""

    def __init__(self, n: int) -> None:
        self._above, self._sizes = np.arange(n, dtype=np.int32), np.ones(n, np.int32)

    def join(self, pairs: U64) -> None:
        """Put the two prompts of each pair into one group."""
        _join(frozen(pairs), self._above, self._sizes, TOGETHER)

    def of(self, prompts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The prompt that names the group of each, ``int64[N]``."""
        found = np.empty(len(prompts), np.int64)
        _roots(prompts, self._above, found)
        return found


@njit(cache=True, nogil=True)
def _root(above, prompt):  # type: ignore[no-untyped-def]
    """The root of a prompt; ways to it are halved."""
    while above[prompt] != prompt:
        above[prompt] = above[above[prompt]]
        prompt = np.int64(above[prompt])
    return prompt


@njit(cache=True, nogil=True)
def _join(pairs, above, sizes, most):  # type: ignore[no-untyped-def]
    """Join the groups of pairs, as far as they stay small enough."""
    for pair in pairs:
        a, b = np.int64(pair >> np.uint64(32)), np.int64(pair & np.uint64(2**32 - 1))
        a, b = _root(above, a), _root(above, b)
        if a != b and sizes[a] + sizes[b] <= most:
            above[max(a, b)] = min(a, b)
            sizes[min(a, b)] += sizes[max(a, b)]


@njit(cache=True, nogil=True)
def _roots(prompts, above, found):  # type: ignore[no-untyped-def]
    """Fill `found`."""
    for k in range(len(prompts)):
        found[k] = _root(above, prompts[k])


def together(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order of pairs in which those that hang together stand together, ``int64[M, 2] -> int64[M]``."""
    groups = kernels.components(pairs, int(pairs.max(initial=-1)) + 1)[pairs[:, 0]]
    return np.argsort(groups, kind="stable")


def _marked(pairs: U64, letters: int) -> U64:
    """Pairs with what brought them in their last bit: numbers of prompts are below 2**31."""
    marked: U64 = (pairs & ~candidates.LOW_HALF) | (pairs & candidates.LOW_HALF) << ONE | np.uint64(letters)
    return marked


def search(rows: pa.Table, first: NDArray[np.int64], near: float) -> NDArray[np.int64]:
    """Pairs of prompts that may ask the same, ``int64[M, 2]`` of places of `first`, each once.

    rows: `keys.keys` of all rows; first: the row of each prompt, by prompt; near: as in the recipe.
    """
    words = said(rows["words"])
    found = meetings(rows, first, census([rows], [bags.counted(words)], rows.num_rows))
    columns = [found.keys.filter(pc.equal(found.keys["column"], column)) for column in range(BY)]
    made = [met(table, column, least(near)) for column, table in enumerate(columns)]
    pairs = united(made[:-1], [made[-1], by_words(found.postings)])
    kept: NDArray[np.int64] = pairs.prompts[bags.agreed(words, first[pairs.prompts], pairs.letters)]
    return kept


def least(near: float) -> int:
    """Bins of two sketches that must agree where prompts are as alike as the recipe says."""
    return candidates.bins_in_common(near)


def warm() -> None:
    """Compile, or load from Numba's cache."""
    groups = Groups(2)
    groups.join(np.ones(1, np.uint64))
    groups.of(np.zeros(1, np.int64))
