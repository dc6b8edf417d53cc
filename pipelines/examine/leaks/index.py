"""An index over evaluation items: which n-grams of words are evidence of which item.

An item gives up to three *entries*, texts that are looked for: what it asks, the same with the answers to
choose from, its right answer. Items with the same words share an entry. From each word of an entry on, the
shortest n-gram of 3, 5, 8 or 13 words that is held by few items is evidence; a word weighs the more, the
fewer items have it.

Cost: one to two seconds for a million words; 30 bytes a word in memory.
Source: Brown et al., "Language Models are Few-Shot Learners" (2020), appendix C (13 words),
https://arxiv.org/abs/2005.14165.
"""

import io
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels import grams
from headrace.pipelines import arrays
from headrace.pipelines.examine.leaks.config import Config
from headrace.pipelines.stages.dedup import candidates

SIZES = (3, 5, 8, 13)  # words of an n-gram
LONG = SIZES[-1]
NESTED: dict[str, Any] = {"words": grams.Words, "table": grams.Table}
LOW = np.uint64(32)
SHORT = 30  # words under which what is asked is compared with a text as a whole
NEVER = 255  # no n-gram from a word on is rare
PARTS = ("prompt", "answer")


class Index(NamedTuple):
    """E entries of W words, and K n-grams that are evidence.

    words: of the entries; telling float32[E]: how many words an entry counts for, fewer than it has where it
    repeats few, as code does; weights float32[W], 0 to 1; rare uint8[W]: words of the shortest rare n-gram
    from each word on, or `NEVER`; known uint32[V], ascending, worth float32[V]: what each word weighs; key
    int32[W]: the n-gram's number, or -1; table: the n-grams; firsts int64[K + 1], entry int32[P], place
    int32[P]: where the n-gram k stands first, ``firsts[k]:firsts[k + 1]``; owned int64[E + 1], item
    uint32[O], part uint8[O]: whose an entry is and which of `PARTS`.
    """

    words: grams.Words
    telling: NDArray[np.float32]
    weights: NDArray[np.float32]
    rare: NDArray[np.uint8]
    known: NDArray[np.uint32]
    worth: NDArray[np.float32]
    key: NDArray[np.int32]
    table: grams.Table
    firsts: NDArray[np.int64]
    entry: NDArray[np.int32]
    place: NDArray[np.int32]
    owned: NDArray[np.int64]
    item: NDArray[np.uint32]
    part: NDArray[np.uint8]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each entry, int64[E]."""
        return np.diff(self.words.offsets)

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which entries are asked, in fewer than `SHORT` words, bool[E]."""
        answer = self.part[self.owned[:-1]] == PARTS.index("answer")
        asked: NDArray[np.bool_] = (self.lengths < SHORT) & ~answer
        return asked

    @property
    def told(self) -> NDArray[np.uint32]:
        """Items that can be told from others by an n-gram, ascending."""
        having = np.zeros(len(self.lengths), np.bool_)
        having[self.entry] = True
        return np.unique(self.item[np.repeat(having, np.diff(self.owned))])


def build(items: pa.Table, config: Config) -> Index:
    """The index of `items` (`items.SCHEMA`); `item` numbers its rows."""
    texts, item, part = _looked_for(items, config)
    entry, texts = _distinct(texts)
    order = np.lexsort((part, item, entry))
    counts = np.bincount(entry, minlength=len(texts))
    owned = arrays.offsets(counts)
    words = grams.words(texts)
    family = _families(item[order], owned)
    owner = np.repeat(np.arange(len(texts)), np.diff(words.offsets))
    rare, keys, begun = _evidence(words, family[owner], config.rare)
    places = np.flatnonzero(rare != NEVER)
    by_key, number = _ranked(keys[places])
    places = places[by_key]
    key_of = np.full(len(rare), -1, np.int32)
    key_of[places] = number
    known = keys[places[_firsts(number)]]
    # The first place in each entry: what repeats itself would else be met as often as both do, multiplied.
    first = _firsts(number, owner[places])
    places, number = places[first], number[first]
    firsts = arrays.offsets(np.bincount(number, minlength=len(known)))
    weights = _weights(words, family[owner])
    return Index(
        words,
        _telling(words, owner),
        weights,
        rare,
        *_vocabulary(words, weights),
        key_of,
        grams.table(known, SIZES, begun),
        firsts,
        owner[places].astype(np.int32),
        (places - words.offsets[owner[places]]).astype(np.int32),
        owned,
        item[order].astype(np.uint32),
        part[order].astype(np.uint8),
    )


def _looked_for(items: pa.Table, config: Config) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.uint8]]:
    """What `_entries` gives, less what is too short."""
    texts, item, part = _entries(items)
    words = grams.words(texts)
    # Short answers are everybody's, and so are those that repeat a few words.
    distinct = _telling(words, np.repeat(np.arange(len(texts)), np.diff(words.offsets)))
    long = (np.diff(words.offsets) >= config.min_words) & (
        (part != PARTS.index("answer")) | (distinct >= LONG)
    )
    return texts.filter(pa.array(long)), item[long], part[long]


def _entries(items: pa.Table) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.uint8]]:
    """Folded texts to look for, the item and the part of each."""
    prompt, options, answer = (items[n].combine_chunks() for n in ("prompt", "options", "answer"))
    choosing = pc.not_equal(options, "").to_numpy(zero_copy_only=False)
    both = pc.binary_join_element_wise(prompt, options, pa.scalar("\n", pa.large_string()))
    texts = pa.concat_arrays([prompt, both.filter(pa.array(choosing)), answer])
    numbers = np.arange(len(prompt))
    item = np.concatenate([numbers, numbers[choosing], numbers])
    part = np.repeat(np.array([0, 0, 1], np.uint8), [len(prompt), choosing.sum(), len(prompt)])
    # By item, so that the first items of entries, which come by first appearance, ascend.
    order = np.argsort(item, kind="stable")
    return kernels.fold(texts.take(pa.array(order))), item[order], part[order]


def _distinct(texts: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Number of the distinct text that each text is, and these, in order of first appearance."""
    coded = texts.dictionary_encode()
    return coded.indices.to_numpy().astype(np.int64), coded.dictionary


def _families(item: NDArray[np.int64], owned: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first item of each entry, ascending: entries of one item count as one where n-grams are counted."""
    return item[owned[:-1]] if len(owned) > 1 else np.zeros(0, np.int64)


def _evidence(
    words: grams.Words, family: NDArray[np.int64], most: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint64]]:
    """From each word on: words of its shortest rare n-gram, and its hash; what the longer ones begin with."""
    rare, keys = np.full(len(family), NEVER, np.uint8), np.zeros(len(family), np.uint64)
    hashes = {}
    for size in SIZES:
        hashes[size] = grams.grams(words, size)
        few = np.flatnonzero((rare == NEVER) & (hashes[size] != 0))
        # An n-gram that is rare is so wherever it stands: all its places are still to be decided.
        few = few[grams.held(hashes[size][few], family[few]) <= most]
        rare[few], keys[few] = size, hashes[size][few]
    begun = [hashes[size][(rare > size) & (rare != NEVER)] for size in SIZES]
    return rare, keys, candidates.distinct(np.concatenate(begun))


def _ranked(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in the stable order of keys that are spread over the upper bits, and the rank of the key there
    among the different ones: ``int64[N]`` twice.
    """
    order = candidates.order_by(keys)
    return order, np.cumsum(np.append(False, keys[order[1:]] != keys[order[:-1]])[: len(order)])


def _firsts(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where a row of columns is another than the row before."""
    new = np.ones(len(columns[0]), np.bool_)
    new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(new)


def _telling(words: grams.Words, owner: NDArray[np.int64]) -> NDArray[np.float32]:
    """Words that each entry counts for: as many as it has, but a third more than it has different ones."""
    each = candidates.distinct(owner.astype(np.uint64) << LOW | words.hashes)
    distinct = np.bincount((each >> LOW).astype(np.int64), minlength=len(words.offsets) - 1)
    counted: NDArray[np.float32] = np.minimum(np.diff(words.offsets), 4 / 3 * distinct).astype(np.float32)
    return counted


def _weights(words: grams.Words, family: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weight of each word: 1 for one that a single item has, the less the more have it."""
    total = int(np.count_nonzero(np.diff(family))) + 1
    held = grams.held(words.hashes.astype(np.uint64), family)
    weights: NDArray[np.float32] = (np.log1p(total / np.maximum(held, 1)) / np.log1p(max(total, 1))).astype(
        np.float32
    )
    return weights


def _vocabulary(
    words: grams.Words, weights: NDArray[np.float32]
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Each word once, ascending, and what it weighs."""
    coded = pa.array(words.hashes).dictionary_encode()
    known = coded.dictionary.to_numpy()
    worth, order = np.empty(len(known), np.float32), np.argsort(known)
    worth[coded.indices.to_numpy()] = weights
    return known[order], worth[order]


def dumped(index: Index) -> bytes:
    """`index` as bytes, for tasks to read."""
    flat = {f"{n}.{m}": v for n in NESTED for m, v in getattr(index, n)._asdict().items()}
    flat |= {name: value for name, value in index._asdict().items() if name not in NESTED}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **flat)
    return buffer.getvalue()


def loaded(data: bytes) -> Index:
    """The index that `dumped` made bytes of."""
    with np.load(io.BytesIO(data), allow_pickle=False) as flat:
        nested = {
            name: kind(**{m: flat[f"{name}.{m}"] for m in kind._fields}) for name, kind in NESTED.items()
        }
        return Index(**nested, **{name: flat[name] for name in Index._fields if name not in NESTED})
