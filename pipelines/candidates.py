"""Which pairs of rows are worth verifying: the blocking half of near-duplicate search.

Both parts of two near-duplicates are alike (see `pipelines.fingerprint`), so a block need only be
found by one of them:

- a part under the feature minimum must be *equal*, so its key is mixed into the block of the other
  part: a thousand rows that answer "true" fall apart by that answer without any loss of recall;
- of two long parts the answer's bands make the block: rows that share a long preamble differ there;
- a block over `LARGEST` rows (a stock answer) is cut again by each band of the prompt (of the answer,
  where there is no long prompt): two near-duplicates share one of them as surely as they share a block;
- what is still over `LARGEST` is a template: each row is paired with the `FIRST` best rows of its
  block and the `BEFORE` rows before it, in the total order. Such blocks are counted and reported.

Everything is decided by the rows' rank in the total order, never by how they lie.

Cost: a band at a time, 40 bytes a row; sorting dominates. Pairs at most rows * (FIRST + BEFORE).
"""

from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
LARGEST = 64  # rows of a block that are paired with each other, all with all
FIRST = 8
BEFORE = 24
REFINEMENTS = 8
SPREAD = np.uint64(0x9E3779B97F4A7C15)


def mix(a: U64, b: U64) -> U64:
    """One key of two, ``uint64[N]``: multiply and xor-shift, order matters."""
    x = (a ^ (b * SPREAD + (a << np.uint64(6)) + (a >> np.uint64(2)))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(x ^ (x >> np.uint64(31)), np.uint64)


def block_keys(
    bands: tuple[U64, U64], keys: tuple[U64, U64], long: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> U64:
    """Block of each row for one band, ``uint64[N]``; 0 for rows that have no long part.

    Each argument is of (prompt, answer): the row's band, its exact key, and whether it has the features
    to be compared by bands.
    """
    prompt_long, answer_long = long
    of_answer = np.where(prompt_long, bands[1], mix(bands[1], keys[0]))
    of_prompt = mix(mix(bands[0], keys[1]), np.full(len(keys[0]), 7, np.uint64))
    blocks = np.where(answer_long, of_answer, of_prompt)
    return np.where(prompt_long | answer_long, np.maximum(blocks, np.uint64(1)), np.uint64(0))


def pairs(
    blocks: U64, refine: Callable[[int], U64], rank: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Pairs of rows that share a block: ``int64[M, 2]`` of rank (better, worse), and blocks cut short.

    `blocks` 0 is no block; `refine(j)` for j in 0..7 gives the keys by which blocks that are too
    large are cut again; `rank` is the place of each row in the total order. Each pair once.
    """
    rows = np.flatnonzero(blocks)
    order = rows[np.lexsort((rank[rows], blocks[rows]))]
    starts, sizes = _runs(blocks[order])
    small = sizes <= LARGEST
    found = [_all_pairs(order, starts[small], sizes[small])]
    large = _members(order, starts[~small], sizes[~small])
    capped = 0
    for j in range(REFINEMENTS if len(large) else 0):
        again = mix(blocks[large], refine(j)[large])
        by_key = np.lexsort((rank[large], again))
        starts, sizes = _runs(again[by_key])
        small = sizes <= LARGEST
        found.append(_all_pairs(large[by_key], starts[small], sizes[small]))
        found.append(_windows(large[by_key], starts[~small], sizes[~small]))
        capped += int((~small).sum())
    return np.unique(rank[np.concatenate(found)].reshape(-1, 2), axis=0), capped


def _runs(keys: U64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and lengths of runs of equal keys that are longer than one."""
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(np.append(starts, len(keys)))
    return starts[sizes > 1], sizes[sizes > 1]


def _members(
    order: NDArray[np.int64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.int64]:
    pieces = [order[a : a + n] for a, n in zip(starts, sizes, strict=True)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


@numba.njit(cache=True, nogil=True)
def _all_pairs(order, starts, sizes):  # type: ignore[no-untyped-def]
    """Every pair within each run, better rank first."""
    total = 0
    for n in sizes:
        total += n * (n - 1) // 2
    out = np.empty((total, 2), np.int64)
    at = 0
    for run in range(len(starts)):
        for i in range(starts[run], starts[run] + sizes[run]):
            for j in range(i + 1, starts[run] + sizes[run]):
                out[at, 0], out[at, 1] = order[i], order[j]
                at += 1
    return out


@numba.njit(cache=True, nogil=True)
def _windows(order, starts, sizes):  # type: ignore[no-untyped-def]
    """Each row with the `FIRST` rows of its run and the `BEFORE` rows before it."""
    total = 0
    for n in sizes:
        for j in range(n):
            total += min(j, FIRST) + max(0, min(j, BEFORE + FIRST) - FIRST)
    out = np.empty((total, 2), np.int64)
    at = 0
    for run in range(len(starts)):
        first = starts[run]
        for j in range(sizes[run]):
            for i in range(j):
                if i < FIRST or i >= j - BEFORE:
                    out[at, 0], out[at, 1] = order[first + i], order[first + j]
                    at += 1
    return out[:at]
