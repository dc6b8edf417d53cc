"""What pass 2 needs to know of a row without its text: hashes, sketches, lengths.

A row has two parts: the *prompt* (all that is not the assistant's) and the *answer* (the assistant's turns,
or a plain text). Two rows are near-duplicates only if both parts are, so each part is sketched by itself
(the prompt without the tools that it offers): a MinHash of 32 bins over its features (hashed windows of the
folded text), kept as eight band keys of four bins each, by which partners are found, and as four bits a
bin, by which a chance meeting is told from a likely partner without reading a text. A part with fewer
features than `dedup.min_features` says too little to be compared by them; of such a part only an exact key
counts, a hash of its messages after folding case and spaces (punctuation kept: 3.5 and 35 are different
answers).
The answer of a row with a chosen and a rejected answer is both, and counts by its exact key alone: the
windows of two answers say nothing of which is the better one.

Beside these the hashes of a conversation's *openings*: of the words of all that stands before each of the
assistant's turns, in whatever order. The last is the prompt that the row's last turn answers. By them the
split keeps on one side what begins with the same prompt, be its options, fields or sentences in another
order: a test that was trained on so is none.

Cost: a pass of folding, one of both sketches and one of hashing over the text; of prompts and short answers
another of folding and one for words; where a row has two parts another of SimHash: see
tests/benchmarks/dedup.csv.
Source: `kernels.sketch`, `kernels.folding`, `kernels.content`; Li & Koenig 2010 (b-bit MinHash),
https://arxiv.org/abs/0910.3349.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace import kernels
from headrace.kernels.arrow import Spans, frozen, one_span
from headrace.kernels.bits import HIGH, between, loaded, reversed_bytes, trailing_zeros
from headrace.kernels.dispatch import threads
from headrace.pipelines import arrays, schema, structure
from headrace.pipelines.stages.fingerprint.config import KEYED as KEYED
from headrace.pipelines.stages.fingerprint.config import Config as Config

NAME = "fingerprint"
VERSION = 3
COMPARABLE = 1  # version of `COLUMNS`, which fingerprints of other runs are compared by
BINS = 32
BANDS = 8
WORDS = 2  # of a part's sketch: 4 bits a bin
STEP = 3 << 19  # bytes of text at a time: what is made of them stays in a cache, on memory used before
ANSWERS = ("assistant", "text", "rejected")  # every other role belongs to the prompt

OFFSET, PRIME, MIXER = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)
ONE, THREE, SEVEN, FIFTEEN, S29, S32, S64 = (np.uint64(n) for n in (1, 3, 7, 15, 29, 32, 64))
SPACES = np.uint64(0x2020202020202020)

# Columns that `apply` adds; all are 0 for rows that were marked before. Band keys stand in columns
# of their own so that a task of pass 2 reads one band and not all.
PARTS = ("prompt", "answer")
COLUMNS = (
    ("exact_hi", pa.uint64()),
    ("exact_lo", pa.uint64()),
    ("simhash", pa.uint64()),
    ("size", pa.uint32()),  # bytes of content, at most 4 GiB
    *((f"{part}_key", pa.uint64()) for part in PARTS),  # 0 from `KEYED` features up
    *((f"{part}_features", pa.uint32()) for part in PARTS),
    *((f"{part}_band_{k}", pa.uint64()) for part in PARTS for k in range(BANDS)),
    *((f"{part}_sketch_{k}", pa.uint64()) for part in PARTS for k in range(WORDS)),
)
# Beside them; empty for rows that were marked before. For the rows of the run alone: not of earlier runs.
OPENINGS = pa.field("openings", pa.list_(pa.uint64()))
SYSTEM, ASSISTANT, REJECTED = (schema.ROLES.index(role) for role in ("system", "assistant", schema.REJECTED))


class Parts(NamedTuple):
    """Folded texts of the parts of N rows; their 2N strings lie in one buffer, prompt before answer."""

    both: pa.LargeStringArray  # 2N: prompt of row 0, answer of row 0, prompt of row 1, ...
    whole: pa.LargeStringArray  # N: both parts of a row


def parts(roles: pa.Array, rows: NDArray[np.int64], texts: pa.Array, n: int) -> Parts:
    """Fold messages and join them by row and part.

    `roles`, `rows` (ascending) and `texts` are the flat view of `schema.contents`; `n` the rows.
    """
    folded, ends = by_part(roles, rows, texts, n)
    # A space ends each message, so that no window spans two without saying so.
    nothing, space = (pa.scalar(t, pa.large_string()) for t in ("", " "))
    joined = pc.binary_join_element_wise(folded, nothing, space)
    offsets = _offsets(joined)[ends]
    values = joined.buffers()[2] if len(joined) else pa.py_buffer(b"")
    both = pa.LargeStringArray.from_buffers(2 * n, pa.py_buffer(offsets), values)
    whole = pa.LargeStringArray.from_buffers(n, pa.py_buffer(np.ascontiguousarray(offsets[::2])), values)
    return Parts(both, whole)


def by_part(
    roles: pa.Array, rows: NDArray[np.int64], texts: pa.Array, n: int
) -> tuple[pa.Array, NDArray[np.int64]]:
    """Messages folded, by row and part, and where each part of a row begins among them: large_string[M] and
    ``int64[2N + 1]``. Arguments as of `parts`.
    """
    slot = rows * 2 + is_answer(roles)
    folded = kernels.fold(_without_tools(roles, texts))
    if np.any(slot[1:] < slot[:-1]):
        folded = folded.take(pa.array(np.argsort(slot, kind="stable")))
    return folded, arrays.offsets(np.bincount(slot, minlength=2 * n))


def _without_tools(roles: pa.Array, texts: pa.Array) -> pa.Array:
    """`texts` less the tools that may be called: many rows offer the same, and ask something else each."""
    system = np.flatnonzero(pc.equal(roles, "system").fill_null(False).to_numpy(zero_copy_only=False))
    return arrays.put(texts, system, structure.bare(texts.take(pa.array(system))))


def is_answer(roles: pa.Array) -> NDArray[np.bool_]:
    """Which messages are of the answer, not of the prompt: ``bool[M]``."""
    answers: NDArray[np.bool_] = pc.is_in(roles, pa.array(ANSWERS)).to_numpy(zero_copy_only=False)
    return answers


def _offsets(texts: pa.Array) -> NDArray[np.int64]:
    if not len(texts):
        return np.zeros(1, np.int64)
    return np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]


def apply(table: pa.Table, config: Config) -> pa.Table:
    """Add the `COLUMNS` and `OPENINGS` to every row; the table keeps its length."""
    live = schema.live(table).to_numpy(zero_copy_only=False)
    part = table if live.all() else table.filter(pa.array(live))
    n = part.num_rows
    roles, rows, texts = schema.contents(part)
    columns = {name: np.zeros(n, kind.to_pandas_dtype()) for name, kind in COLUMNS}
    ends = arrays.offsets(np.bincount(rows, minlength=n))
    opened: dict[int, tuple[NDArray[np.uint64], NDArray[np.int64]]] = {}

    def run(first: int, last: int) -> None:
        begin, end = int(ends[first]), int(ends[last])
        piece = roles.slice(begin, end - begin), rows[begin:end] - first, texts.slice(begin, end - begin)
        found, (hashes, owners) = _fingerprints(*piece, last - first, config)
        opened[first] = hashes, owners + first
        for name, values in found.items():
            if values.any():  # zeros are there already: what is never written to takes no memory
                columns[name][first:last] = values

    _by_steps(run, _offsets(texts)[ends])
    added = [pa.array(arrays.spread(columns[name], live, len(live)), kind) for name, kind in COLUMNS]
    names = [name for name, _ in COLUMNS]
    added.append(_opening_lists([opened[first] for first in sorted(opened)], live))
    return pa.table([*table.columns, *added], names=[*table.column_names, *names, OPENINGS.name])


def _by_steps(run: Callable[[int, int], None], bytes_before: NDArray[np.int64]) -> None:
    """Call ``run(first row, last row)`` for steps of about `STEP` bytes, one on each core at a time."""
    n = len(bytes_before) - 1
    marks = np.arange(bytes_before[0] + STEP, bytes_before[-1], STEP)
    edges = np.unique(np.concatenate([[0], np.searchsorted(bytes_before, marks), [n]]))
    with ThreadPoolExecutor(threads()) as pool:
        for done in [pool.submit(run, int(a), int(b)) for a, b in pairwise(edges)]:
            done.result()


class _Folded:
    """Some of the messages, after folding case and spaces."""

    def __init__(self, texts: pa.Array, some: NDArray[np.bool_]) -> None:
        self._place = np.cumsum(some) - 1
        self._folded = one_span(kernels.fold(_chosen(one_span(texts), some), keep_punctuation=True))

    def of(self, some: NDArray[Any]) -> Spans:
        """Those that `some` chooses of all messages, a mask or numbers; they must have been folded."""
        return _chosen(self._folded, self._place[some])


def _chosen(texts: Spans, some: NDArray[Any]) -> Spans:
    """`some` of the texts, where they lie; a null is empty."""
    return Spans(texts.data, texts.starts[some], texts.stops[some], None)


def _codes(roles: pa.Array) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = pc.index_in(roles, pa.array(schema.ROLES)).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64)


Openings = tuple[NDArray[np.uint64], NDArray[np.int64]]


def _fingerprints(
    roles: pa.Array, rows: NDArray[np.int64], texts: pa.Array, n: int, config: Config
) -> tuple[dict[str, NDArray[Any]], Openings]:
    """The `COLUMNS` of n rows, and their openings, from the flat view of `schema.contents`."""
    codes, slot = _codes(roles), rows * 2 + is_answer(roles)
    joined = parts(roles, rows, texts, n)
    rejected = 2 * rows[codes == REJECTED] + 1
    simhash, bands, sketch, features = sketched(joined.both, config.ngram, rejected)
    short, asking = features[slot] < KEYED, _asking(rows, codes, n)
    folded = _Folded(texts, short | asking)
    columns = _exact(rows, texts, codes, n)
    columns |= _keys(slot, codes, folded, np.flatnonzero(short), n)
    columns["simhash"] = _simhash(joined, simhash, config.ngram)
    for number, name in enumerate(PARTS):
        columns[f"{name}_features"] = features[number::2]
        for k in range(BANDS):
            columns[f"{name}_band_{k}"] = bands[number::2, k]
        for k in range(WORDS):
            columns[f"{name}_sketch_{k}"] = sketch[number::2, k]
    return columns, _openings(rows, codes, folded, asking)


class Sketched(NamedTuple):
    """SimHash, band keys, sketches and how many features there are, of N texts: all but the first 0 where
    there is none."""

    simhash: NDArray[np.uint64]  # [N]
    bands: NDArray[np.uint64]  # [N, BANDS]
    sketch: NDArray[np.uint64]  # [N, WORDS]: band k stands in 16 bits of it
    features: NDArray[np.uint32]  # [N]


def sketched(folded: pa.Array, ngram: int, without: Sequence[int] | NDArray[np.int64] = ()) -> Sketched:
    """Sketch texts as `kernels.fold` gives them; those at `without` count as having no feature."""
    simhash, keys, features = kernels.fingerprint(folded, ngram=ngram, bins=BINS, bands=BINS)
    features[np.asarray(without, np.int64)] = 0
    n = len(folded)
    bands, sketch = np.zeros((n, BANDS), np.uint64), np.zeros((n, WORDS), np.uint64)
    _squeeze(keys, features, bands, sketch)
    return Sketched(simhash[:, 0], bands, sketch, features)


def _simhash(joined: Parts, of_parts: NDArray[np.uint64], ngram: int) -> NDArray[np.uint64]:
    """SimHash of whole rows; that of a row with one part is that part's."""
    lengths = np.diff(_offsets(joined.both))
    two = (lengths[0::2] > 0) & (lengths[1::2] > 0)
    simhash = np.where(lengths[1::2] > 0, of_parts[1::2], of_parts[0::2])
    if two.any():
        simhash[two] = kernels.simhash(joined.whole.filter(pa.array(two)), ngram=ngram)[:, 0]
    return simhash


@njit(cache=True, nogil=True)
def _squeeze(keys, features, bands, sketch):  # type: ignore[no-untyped-def]
    """From a key a bin to a key a band and four bits a bin; all stay 0 where there is no feature."""
    size, held = keys.shape[1] // bands.shape[1], keys.shape[1] // sketch.shape[1]
    for row in np.flatnonzero(features):
        for band in range(bands.shape[1]):
            key = np.uint64(0)
            for place in range(band * size, (band + 1) * size):
                key = (key ^ keys[row, place]) * MIXER
                key ^= key >> S32
            bands[row, band] = key
        for word in range(sketch.shape[1]):
            bits = np.uint64(0)
            for place in range(held):
                bits |= (keys[row, word * held + place] & FIFTEEN) << np.uint64(4 * place)
            sketch[row, word] = bits


def _exact(
    rows: NDArray[np.int64], texts: pa.Array, codes: NDArray[np.int64], n: int
) -> dict[str, NDArray[Any]]:
    """Hashes of (role, content) of whole rows, and their bytes."""
    lengths = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    ends = arrays.offsets(np.bincount(rows, minlength=n))
    hi, lo = kernels.content_hash_lists(ends, codes, texts)
    running = arrays.offsets(lengths)
    size = np.minimum(running[ends[1:]] - running[ends[:-1]], 2**32 - 1).astype(np.uint32)
    return {"exact_hi": hi, "exact_lo": lo, "size": size}


def _keys(
    slot: NDArray[np.int64],
    codes: NDArray[np.int64],
    folded: _Folded,
    short: NDArray[np.int64],
    n: int,
) -> dict[str, NDArray[Any]]:
    """A hash of each short part after folding case and spaces. `short`: their messages."""
    short = short[np.argsort(slot[short], kind="stable")]
    ends = arrays.offsets(np.bincount(slot[short], minlength=2 * n))
    keys = kernels.list_hash(ends, codes[short], kernels.content_hash(folded.of(short)))[1]
    return {f"{part}_key": keys[number::2] for number, part in enumerate(PARTS)}


def _asking(rows: NDArray[np.int64], codes: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Which messages stand before a turn of the assistant's in their rows: ``bool[M]``."""
    last = arrays.last(rows, np.flatnonzero(codes == ASSISTANT), n)
    found: NDArray[np.bool_] = np.arange(len(rows)) < last[rows]
    return found


def _openings(
    rows: NDArray[np.int64], codes: NDArray[np.int64], folded: _Folded, asking: NDArray[np.bool_]
) -> Openings:
    """Hash of the words before each of the assistant's turns, and the turn's row; of none without a prompt.

    Something else than a system turn has to stand there: that alone says nothing of the row.
    """
    asks = folded.of(asking)
    keys = np.zeros(len(rows), np.uint64)
    keys[asking] = _words(asks.data, asks.starts, asks.stops)
    before, asked = _before(rows, codes, keys)
    turns = np.flatnonzero((codes == ASSISTANT) & asked)
    return arrays.finalised(before[turns]), rows[turns]


@njit(inline="always")
def _in_words(bytes):  # type: ignore[no-untyped-def]
    """The high bit of each byte that belongs to a word: letters, digits, and what is not ASCII."""
    ascii = bytes & ~HIGH
    return between(ascii | SPACES, 0x61, 0x7A) | between(ascii, 0x30, 0x39) | (bytes & HIGH)


@njit(cache=True, nogil=True)
def _words(data, starts, stops):  # type: ignore[no-untyped-def]
    """For each folded text the sum of a hash of each of its words; of all of it where it has none.

    Eight bytes a step, from the beginning of a word or from within one that is longer.
    """
    sums = np.zeros(len(starts), np.uint64)
    for text in range(len(starts)):
        at, stop = starts[text], stops[text]
        word, total, within, words = OFFSET, np.uint64(0), False, 0
        while at < stop:
            eight = loaded(data, at)
            inside = _in_words(eight)
            if stop - at < 8:
                inside &= (ONE << np.uint64(8 * (stop - at))) - ONE
            gaps = inside ^ HIGH
            if not gaps:
                word = (word ^ reversed_bytes(eight)) * MIXER
                word, within = word ^ word >> S32, True
                at += 8
                continue
            bits = trailing_zeros(gaps) & ~SEVEN  # of the bytes before the gap
            if bits or within:
                rest = reversed_bytes(eight) >> (S64 - bits) if bits else np.uint64(0)
                word = (word ^ rest) * MIXER
                total += (word ^ word >> S29) * PRIME
                word, within = OFFSET, False
                words += 1
            following = inside >> bits
            at += np.int64((bits + trailing_zeros(following)) >> THREE if following else 8)
        if within:
            word *= MIXER
            total += (word ^ word >> S29) * PRIME
        elif not words:
            total = OFFSET
            for place in range(starts[text], stop):
                total = (total ^ np.uint64(data[place])) * PRIME
        sums[text] = total
    return sums


@njit(cache=True, nogil=True)
def _before(rows, codes, keys):  # type: ignore[no-untyped-def]
    """For each message the sum of the keys before it in its row, and whether somebody asks among them."""
    before, asked = np.zeros(len(rows), np.uint64), np.zeros(len(rows), np.bool_)
    for at in range(1, len(rows)):
        if rows[at] == rows[at - 1]:
            before[at] = before[at - 1] + keys[at - 1]
            asked[at] = asked[at - 1] or (codes[at - 1] != SYSTEM and codes[at - 1] != ASSISTANT)
    return before, asked


def _opening_lists(
    opened: Sequence[tuple[NDArray[np.uint64], NDArray[np.int64]]], live: NDArray[np.bool_]
) -> pa.Array:
    """Openings of live rows as a list of each row."""
    hashes = np.concatenate([np.zeros(0, np.uint64), *(h for h, _ in opened)])
    owners = np.flatnonzero(live)[np.concatenate([np.zeros(0, np.int64), *(o for _, o in opened)])]
    offsets = arrays.offsets(np.bincount(owners, minlength=len(live))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(hashes))


def warm() -> None:
    """Compile, or load from Numba's cache."""
    _words(frozen(np.zeros(1, np.uint8)), frozen(np.zeros(1, np.int64)), frozen(np.ones(1, np.int64)))
    _before(np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, np.uint64))
    keys, features = np.zeros((1, BINS), np.uint64), np.zeros(1, np.uint32)
    _squeeze(keys, features, np.zeros((1, BANDS), np.uint64), np.zeros((1, WORDS), np.uint64))
