"""Repeated passages: boilerplate that stands in many plain texts is cut from all of them but one.

What: a text (a message of role `text`) is cut into content-defined chunks; a chunk that `copies` rows or
more hold is a repeated passage. It stays in the best of them, in the recipe's total order (see
`decide`), and is cut from the others, or only counted. Rows that pass 2 removes neither count nor
keep anything. Conversations are left alone: a system prompt is meant to be the same in all.

Here are the steps over arrays; `steps.passages` counts over the files of a run.

How a cut is made: stretches of adjacent chunks go as one. Half words at their ends stay, white space at the
seam is kept once, and where there is none a line break or a space is put, so that no two words are glued.
A row of which nothing is left is dropped as `dedup.passages`; a row that another one was removed for stays
whole instead, for it is what that removal rests on.

A passage is found by its chunks, so of boilerplate about one chunk is left at each end that is not an end
of the text: of 600 bytes inside other text half goes, of 1,200 eight tenths, of 4,800 nineteen twentieths.
Chunks count as equal where their 64-bit hashes are: among 1e9 different ones the chance that any two are
mistaken for each other is 3%.

Cost: about 90 MB/s from files to cuts, most of it reading; see tests/benchmarks/passages.csv.
Source: `kernels.chunking`.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup.config import Passages

NAME = "passages"
VERSION = 1
NOT_IN_KEY = {"enabled", "action"}  # whether to look and what follows, not what is shared
ROLE = "text"
WORD = 64  # bytes within which a word's end is looked for
WIDE = 0xE0  # first bytes from here on begin characters of three bytes: scripts without spaces are among them

CUTS = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("message", pa.uint32()),  # its number in the row
        ("start", pa.int64()),  # bytes of the message
        ("stop", pa.int64()),
        ("stands", pa.bool_()),  # another row was removed for this one
    ]
)


class Stretches(NamedTuple):
    """Chunks of the plain texts of a table, in its order, those of fewer than the least bytes left out."""

    row: NDArray[np.int64]  # place of the row in the table
    message: NDArray[np.int64]  # number of the message in its row
    start: NDArray[np.int64]  # bytes of the message
    stop: NDArray[np.int64]
    hash: NDArray[np.uint64]


class Cut(NamedTuple):
    """A table after cutting, with what was done."""

    table: pa.Table
    rows: int  # that lost something, those with nothing left among them
    bytes: int


def find(table: pa.Table, config: Passages) -> Stretches:
    """Chunks of all messages of role `text`."""
    roles, rows, texts = schema.contents(table)
    plain = np.flatnonzero(pc.equal(roles, ROLE).to_numpy(zero_copy_only=False))
    if len(plain) < len(texts):
        texts = texts.take(pa.array(plain))
    smallest = config.average // 2
    found = kernels.chunks(texts, smallest=smallest, average=config.average, largest=4 * config.average)
    text = np.repeat(plain, np.diff(found.offsets))
    long = found.stops - found.starts >= smallest
    number = np.arange(len(rows)) - _first_messages(rows, table.num_rows)[rows]
    text = text[long]
    return Stretches(rows[text], number[text], found.starts[long], found.stops[long], found.hashes[long])


def _first_messages(rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Place of the first message of each row among all, ``int64[N]``; `rows` are the messages' rows."""
    first: NDArray[np.int64] = np.searchsorted(rows, np.arange(n))
    return first


def cut(table: pa.Table, cuts: pa.Table) -> Cut:
    """Cut what `cuts` (schema `CUTS`, none touching another) names from the live rows of `table`."""
    cuts = cuts.combine_chunks()
    place = pc.index_in(cuts["row_id"].combine_chunks(), table["row_id"].combine_chunks())
    known = pc.and_(place.is_valid(), schema.live(table).take(place).fill_null(False))
    cuts, place = cuts.filter(known), place.filter(known).to_numpy()
    if not cuts.num_rows:
        return Cut(table, 0, 0)
    roles, rows, texts = schema.contents(table)
    target = _first_messages(rows, table.num_rows)[place] + cuts["message"].to_numpy()
    starts, stops = cuts["start"].to_numpy(), cuts["stop"].to_numpy()
    order = np.lexsort((starts, target))
    chosen, first = np.unique(target[order], return_index=True)
    before = texts.take(pa.array(chosen))
    after = without(before, np.append(first, len(target)), starts[order], stops[order])
    replaced = np.zeros(len(texts), np.bool_)
    replaced[chosen] = True
    shorter = pc.replace_with_mask(texts, pa.array(replaced), after)
    affected = np.unique(place)
    left = np.bincount(rows, weights=_sizes(shorter), minlength=table.num_rows)
    stands = np.zeros(table.num_rows, np.bool_)
    stands[place] = cuts["stands"].to_numpy(zero_copy_only=False)
    empty = np.zeros(table.num_rows, np.bool_)
    empty[affected] = left[affected] == 0
    # A row that goes is kept for rejected/ as it was, one that must not go stays as it was.
    kept = pc.if_else(pa.array(empty[rows]), texts, shorter)
    done = schema.mark_where(schema.rebuild(table, rows, roles, kept), empty & ~stands, "dedup.passages")
    gone = np.where(empty & ~stands, 0.0, np.bincount(rows, weights=_sizes(kept), minlength=table.num_rows))
    lost = np.bincount(rows, weights=_sizes(texts), minlength=table.num_rows) - gone
    return Cut(done, int((lost > 0).sum()), int(lost.sum()))


def _sizes(texts: pa.Array) -> NDArray[np.int64]:
    lengths = pc.fill_null(pc.binary_length(texts), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)


def without(
    texts: pa.Array, first: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> pa.Array:
    """Texts less some stretches: ``large_string[N] -> large_string[N]``, no nulls.

    The stretches of text `i` are ``starts[first[i]:first[i + 1]]`` to ``stops[...]``, bytes of the text at
    borders of characters, ascending, none touching another; first int64[N + 1].
    """
    if not len(texts):
        return texts
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2], np.uint8)
    out, ends = np.empty(offsets[-1] - offsets[0], np.uint8), np.zeros(len(texts) + 1, np.int64)
    _without(data, offsets, first, starts, stops, out, ends)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]]))


@njit(inline="always")
def _blank(byte):  # type: ignore[no-untyped-def]
    """Whether a byte is ASCII white space."""
    return byte == 32 or 9 <= byte <= 13


@njit(cache=True, nogil=True)
def _without(data, offsets, first, starts, stops, out, ends):  # type: ignore[no-untyped-def]
    to = 0
    for text in range(len(offsets) - 1):
        origin, stop, begin = offsets[text], offsets[text + 1], to
        piece = before = origin  # where the next kept piece begins, where the last one ended
        for at in range(first[text], first[text + 1]):
            low, high = _whole_words(data, origin, stop, origin + starts[at], origin + stops[at])
            if low < high:
                to, before = _append(data, origin, before, piece, low, out, begin, to)
                piece = high
        to, before = _append(data, origin, before, piece, stop, out, begin, to)
        while before < stop and to > begin and _blank(out[to - 1]):
            to -= 1  # the end was cut: what stood before it ends the text
        ends[text + 1] = to


@njit(cache=True, nogil=True)
def _whole_words(data, origin, stop, low, high):  # type: ignore[no-untyped-def]
    """The stretch ``low:high`` less half words at its ends, where white space is near."""
    if low > origin and not _blank(data[low - 1]):
        at = low
        while at < high and at < low + WORD and not _blank(data[at]):
            at += 1
        if at < high and at < low + WORD:
            low = at
        elif at == high and data[low] < WIDE:
            low = high
    if high < stop and not _blank(data[high]):
        at = high
        while at > low and at > high - WORD and not _blank(data[at - 1]):
            at -= 1
        if at > low and at > high - WORD:
            high = at
        elif at == low and data[high] < WIDE:
            high = low
    return low, high


@njit(cache=True, nogil=True)
def _append(data, origin, before, low, high, out, begin, to):  # type: ignore[no-untyped-def]
    """Copy the kept piece ``data[low:high]`` to `out`, joined to what stands in ``out[begin:to]``.

    What lies between `before`, the end of the last kept piece, and `low` was cut. Returns (end in `out`,
    end of the last kept piece); a blank piece between two cuts is no piece.
    """
    word = low
    while word < high and _blank(data[word]):
        word += 1
    if word == high and (low > origin or high == low):
        return to, before
    if low > origin:
        line = word  # where the line begins in which the piece's first word stands, no earlier than `low`
        while line > low and data[line - 1] != 10:
            line -= 1
        if line == low and data[low - 1] != 10:
            line = word  # blanks in the middle of a line indent nothing
        last = to
        while last > begin and _blank(out[last - 1]):
            last -= 1
        if last == begin:
            to, low = begin, line
        elif last < to and (out[last:to] == 10).sum() >= (data[low:word] == 10).sum():
            low = line
        else:
            to = last
            if word == low:
                out[to] = 10 if (data[before:low] == 10).any() else 32
                to += 1
    out[to : to + high - low] = data[low:high]
    return to + high - low, high


def warm() -> None:
    """Compile, or load from Numba's cache."""
    without(pa.array(["warm"], pa.large_string()), np.array([0, 1]), np.array([0]), np.array([1]))
