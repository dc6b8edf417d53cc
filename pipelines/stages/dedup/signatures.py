"""Candidates by SimHash: rows whose signatures differ in few bits (`dedup.candidates`).

A row's SimHash is of its whole text. Rows of one SimHash meet as those of one band do (`blocks.SIGNATURE`
is that band's number); here are those whose SimHashes are near each other, found by sampled-bit tables.

- How far: twice the standard deviation above the distance that two texts just at the threshold have on
  average, so that all but some 2 in 100 of them lie within, but no farther than `FARTHEST`.
- Rows can only be duplicates where each part is long in both or short and equal in both. A hash of that is
  a second word of the signature, on which every table wants all bits to agree: a thousand rows under one
  preamble that answer "true" and "false" fall apart.
- Where more than `CROWD` signatures agree in a table's bits (texts of one template), each meets the `CROWD`
  best of them.
- Of the rows that share a signature, the `FIRST` best stand for it; a row meets those of every better
  signature near its own. So a signature that a million rows share stays linear.
- A pair is dropped where the leading parts' sketches differ too much, as in `candidates`.

Cost: for N signatures T tables of some 90 ns a signature each (at a threshold of .8 106 tables for 100
thousand, 252 for a million, 640 for ten million); 72 bytes a row to group, 64 in a task of tables.
Source: `kernels.hamming`; Charikar 2002 (the angle that SimHash tells), https://doi.org/10.1145/509907.509965.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines import arrays
from headrace.pipelines.stages.dedup import candidates, decide
from headrace.pipelines.stages.dedup.blocks import SIGNATURE, Columns, bands, blocks_of, meeting
from headrace.pipelines.stages.dedup.candidates import S32, agree
from headrace.pipelines.stages.dedup.config import Config

BITS = 64
RECALL = 0.95
"""Least chance with which two signatures that are exactly `farthest` bits apart meet in a table; nearer ones
meet more surely. What that makes by similarity is measured in tests/benchmarks/simhash.csv."""
FARTHEST = 12
"""Bits beyond which nobody looks, whatever the threshold: at 14 a million rows take 2.4 times as many tables
for some 5 in 100 of the pairs at Jaccard .80 to .85."""
CROWD = candidates.LARGEST
FIRST = candidates.FIRST
ALL = np.uint64(2**64 - 1)


class Signed(NamedTuple):
    """Rows that have a signature, ``[R]`` each: both its words (see `Signatures`), the sketch of the leading
    part, and the rank."""

    simhash: NDArray[np.uint64]
    meeting: NDArray[np.uint64]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]
    rank: NDArray[np.int64]


class Signatures(NamedTuple):
    """Distinct signatures by their best row, and the rows that have each.

    words: ``uint64[S, 2]``, SimHash and what two rows must have in common. starts: ``int64[S + 1]``, where
    in what follows the rows of each begin, best first. ranks, low, high: of each row, ``int64[R]``, and the
    sketch of its leading part, ``uint64[R]`` twice.
    """

    words: NDArray[np.uint64]
    starts: NDArray[np.int64]
    ranks: NDArray[np.int64]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]


def wanted(config: Config) -> bool:
    """Whether candidates are looked for by SimHash."""
    return SIGNATURE in bands(config)


def farthest(threshold: float) -> int:
    """Bits of 64 within which nearly all texts lie whose Jaccard similarity is `threshold`."""
    share = math.acos(2 * threshold / (1 + threshold)) / math.pi  # of bits that differ, on average
    return min(FARTHEST, int(BITS * share + 2 * math.sqrt(BITS * share * (1 - share))))


def signed(held: Columns, ranks: NDArray[np.int64], config: Config) -> Signed:
    """Those of some rows that have a long part; `held` has their `blocks.band_columns(SIGNATURE)`."""
    blocks = blocks_of(held, SIGNATURE, config)
    rows = np.flatnonzero(blocks.key)
    both = held["simhash"][rows], meeting(held, config)[rows]
    return Signed(*both, blocks.low[rows], blocks.high[rows], ranks[rows])


def distinct(rows: Signed) -> Signatures:
    """The signatures of all rows."""
    order = np.argsort(rows.rank)
    key = candidates.mix(rows.simhash, rows.meeting)[order]
    by_key = candidates.order_by(key)  # by rank where keys are equal
    key, order = key[by_key], order[by_key]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)])
    sizes = np.diff(np.append(starts, len(key)))
    best = np.argsort(rows.rank[order[starts]])  # the first of each run is its best row
    chosen, _ = candidates.members(order, starts[best], sizes[best])
    first = order[starts[best]]
    words = np.stack([rows.simhash[first], rows.meeting[first]], axis=1)
    ends = arrays.offsets(sizes[best])
    return Signatures(words, ends, rows.rank[chosen], rows.low[chosen], rows.high[chosen])


def tables(count: int, config: Config) -> NDArray[np.uint64]:
    """The bits on which each table groups `count` signatures: ``uint64[T, 2]``."""
    if count < 2:
        return np.zeros((0, 2), np.uint64)
    sampled = kernels.hamming_tables(count, BITS, farthest(config.threshold), RECALL)
    return np.column_stack([sampled, np.full(len(sampled), ALL)])


def pairs(signatures: Signatures, masks: NDArray[np.uint64], table: int, config: Config) -> decide.Pairs:
    """Pairs of rows, by rank, whose signatures this table is the first to find."""
    near = kernels.hamming_table(signatures.words, masks, table, farthest(config.threshold), crowd=CROWD)
    least = candidates.bins_in_common(max(0.0, config.threshold - config.margin))
    return candidates.unpack(_rows(near, *signatures[1:], least))


@njit(cache=True, nogil=True)
def _rows(near, starts, ranks, low, high, least):  # type: ignore[no-untyped-def]
    """``better << 32 | worse`` of the rows of near signatures (the better first) whose sketches agree."""
    out = np.empty(1024, np.uint64)
    at = 0
    for pair in range(len(near)):
        better, worse = near[pair, 0], near[pair, 1]
        for a in range(starts[better], min(starts[better] + FIRST, starts[better + 1])):
            for b in range(starts[worse], starts[worse + 1]):
                if agree(low, high, a, b) < least:
                    continue
                if at == len(out):
                    grown = np.empty(2 * at, np.uint64)
                    grown[:at] = out
                    out = grown
                first, second = min(ranks[a], ranks[b]), max(ranks[a], ranks[b])
                out[at] = np.uint64(first) << S32 | np.uint64(second)
                at += 1
    return out[:at].copy()


def warm() -> None:
    """Compile, or load from Numba's cache."""
    starts, ranks, low = np.array([0, 1, 2]), np.array([0, 1]), np.zeros(2, np.uint64)
    _rows(np.array([[0, 1]]), starts, ranks, low, low, 1)
