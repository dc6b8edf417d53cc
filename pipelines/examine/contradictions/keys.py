"""What the search for pairs needs of a row without its text: hashes, a sketch of its prompt, words as codes.

What: rows of one prompt are told by a hash of it. Two prompts can ask the same only with the same numbers, so
these go into every key by which alike prompts meet: eight *blocks* of their letters (bands of a MinHash) and
one of all their words that count (a *bag*). A key that stands in one row alone brings nobody together:
`census` counts keys in a table of bits and words in a table of numbers, both of a fixed size, so that nine of
ten keys are never sorted.

Cost: 190 bytes a row, 8 of each different word; the tables 80 MiB at most, however many rows there are. Keys
that meet in a table by chance are looked at in vain.
Source: Bloom 1970, https://doi.org/10.1145/362686.362692; `stages.fingerprint` for sketches.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels.arrow import frozen
from headrace.pipelines.examine.contradictions import apart, bags, coded, numbers
from headrace.pipelines.stages.dedup import candidates
from headrace.pipelines.stages.fingerprint import stage as fingerprint

U64 = NDArray[np.uint64]
FEWEST = 24  # windows of a prompt that is looked for among prompts that are not equal
SHORT = 64  # bytes of an answer that may be a label
NGRAM = fingerprint.Config().ngram
SKETCH = [f"sketch_{k}" for k in range(fingerprint.WORDS)]
BLOCKS = [f"block_{k}" for k in range(fingerprint.BANDS)]
MARKS = [f"marks_{k}" for k in range(apart.MARKS)]
SHARED = [*BLOCKS, "bag", "numbers"]  # keys that count where several rows have them
OF_ROWS = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("prompt", pa.uint64()),
        ("answer", pa.uint64()),
        ("short", pa.bool_()),
        ("numbers", pa.uint64()),
        ("rejected", pa.uint64()),
        ("bytes", pa.int64()),
    ]
)
LEAST_BITS, MOST_BITS = 16, 28  # of the table of keys: eight bits a key where there is room


def keys(row_ids: U64, exchanges: pa.Table, near: bool) -> pa.Table:
    """`OF_ROWS` of rows with a prompt and an answer, and the keys of their prompts; by prompt.

    exchanges: ``prompt`` and ``answer``, large_string without nulls, and ``rejected`` where rows have two
    answers; near: look at prompts that are not equal as well.
    """
    prompts, given = (exchanges[name].combine_chunks() for name in ("prompt", "answer"))
    folded = kernels.fold(prompts)
    prompt = kernels.content_hash(folded)[0]
    answer = kernels.content_hash(kernels.fold(given, keep_punctuation=True))[0]
    asked = np.flatnonzero((prompt != 0) & (answer != 0))
    asked = asked[candidates.order_by(prompt[asked])]
    length = _lengths(given)
    told = numbers.numbers(prompts)[asked]
    columns = {
        "row_id": row_ids[asked],
        "prompt": prompt[asked],
        "answer": answer[asked],
        "short": length[asked] <= SHORT,
        "numbers": told,
        "rejected": _rejected(exchanges)[asked],
        "bytes": (_lengths(prompts) + length)[asked],
    }
    if near:
        # A space ends a text, as it does a message's.
        nothing, space = (pa.scalar(text, pa.large_string()) for text in ("", " "))
        sketched = fingerprint.sketched(pc.binary_join_element_wise(folded, nothing, space), NGRAM)
        long = sketched.features[asked] >= FEWEST
        for k, name in enumerate(BLOCKS):
            key = candidates.mix(sketched.bands[asked, k], told)
            columns[name] = np.where(long, np.maximum(key, np.uint64(1)), np.uint64(0))
        columns |= dict(zip(SKETCH, sketched.sketch[asked].T, strict=True))
        found = coded.words(prompts.take(pa.array(asked)))
        columns |= dict(zip(MARKS, apart.marks(found).T, strict=True))
        columns["words"] = pa.LargeListArray.from_arrays(pa.array(found.offsets), pa.array(found.codes))
        columns["word_count"] = np.diff(found.offsets)
        columns["bag"] = bags.bags(found, told)
    return pa.table(columns)


def _lengths(texts: pa.Array) -> NDArray[np.int64]:
    """Bytes of each text."""
    return np.asarray(pc.binary_length(texts).to_numpy(zero_copy_only=False), np.int64)


def _rejected(exchanges: pa.Table) -> U64:
    """Hash of the rejected one of two answers, as that of an answer; 0 where there is none: ``uint64[N]``."""
    if "rejected" not in exchanges.column_names:
        return np.zeros(exchanges.num_rows, np.uint64)
    folded = kernels.fold(exchanges["rejected"].combine_chunks(), keep_punctuation=True)
    hashes: U64 = kernels.content_hash(folded)[0]
    return hashes


class Census(NamedTuple):
    """What is known of all rows: how often words stand in them, and which keys several of them have."""

    words: NDArray[np.int32]  # [bags.SLOTS], by the leading bits of a word's hash
    shared: U64  # bits, by the leading bits of a key

    def several(self, column: int, found: U64) -> NDArray[np.bool_]:
        """Which keys of a column of `SHARED` stand in several rows: ``uint64[N] -> bool[N]``."""
        several = np.zeros(len(found), np.bool_)
        _several(frozen(np.ascontiguousarray(found)), column, frozen(self.shared), several)
        return several


def census(tables: Iterable[pa.Table], counts: Iterable[pa.Table], rows: int) -> Census:
    """Count the keys (`SHARED`) of tables of rows, and add up words (`bags.counted`); rows: how many."""
    words = np.zeros(bags.SLOTS, np.int32)
    for table in counts:
        words[table["slot"].to_numpy()] += table["count"].to_numpy()
    bits = min(max(int(rows * len(SHARED)).bit_length() + 3, LEAST_BITS), MOST_BITS)
    once, shared = (np.zeros(1 << (bits - 6), np.uint64) for _ in range(2))
    for table in tables:
        for column, name in enumerate(SHARED):
            _count(table[name].combine_chunks().to_numpy(), column, once, shared)
    return Census(words, shared)


@njit(cache=True, nogil=True)
def _bit(key, column, words):  # type: ignore[no-untyped-def]
    """Where the bit of a key stands in a table of so many words, a power of two."""
    mixed = (key ^ np.uint64(column + 1) * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    return np.int64((mixed ^ mixed >> np.uint64(32)) & np.uint64(64 * words - 1))


@njit(cache=True, nogil=True)
def _count(found, column, once, shared):  # type: ignore[no-untyped-def]
    """Mark keys that are not 0: at first in `once`, from then on in `shared`."""
    for key in found:
        if key:
            at = _bit(key, column, len(once))
            one = np.uint64(1) << np.uint64(at & 63)
            shared[at >> 6] |= once[at >> 6] & one
            once[at >> 6] |= one


@njit(cache=True, nogil=True)
def _several(found, column, shared, several):  # type: ignore[no-untyped-def]
    """Fill `several`."""
    for k in range(len(found)):
        if found[k]:
            at = _bit(found[k], column, len(shared))
            several[k] = shared[at >> 6] >> np.uint64(at & 63) & np.uint64(1)


def warm() -> None:
    """Compile, or load from Numba's cache."""
    none = {name: pa.array(np.zeros(1, np.uint64)) for name in SHARED}
    census([pa.table(none)], [], 1).several(0, np.zeros(1, np.uint64))
