"""Which pairs of rows are worth verifying: the blocking half of near-duplicate search.

Both parts of two near-duplicates are alike (see `stages.fingerprint`), so a block need only be
found by one of them, the *leading* part: the answer, or the prompt where the answer is short.

- The leading part's band makes the block. A short part must be *equal*, so its key is mixed in: a
  thousand rows that answer "true" fall apart by that answer, those under one preamble by theirs,
  without any loss of recall.
- A block over `LARGEST` rows (a stock answer) is cut again by each band of the prompt (where one part
  is short, by the other bands of the leading part): two near-duplicates share one of them as surely as
  they share a block.
- What is still over `LARGEST` is a template or one large cluster: each row is paired with the `FIRST`
  best rows of its block and with the `BEFORE` rows before it in the order of its next bands, where
  likely partners stand together. Such blocks are counted and reported.
- A pair is dropped at once where the leading parts' sketches agree in fewer bins than a pair at the
  least similarity would in all but some 1 of 30,000 cases: in a large corpus, chance meetings are most
  of all pairs.

A pair at Jaccard J shares a block with a chance of 1 - (1 - J^4)^8: .997 at .85, .985 at .80, .95 at
.75, .89 at .70, .67 at .60. Rows are numbered by the total order, and nothing
depends on how they lie.

Cost: sorting a band and its pairs; 40 bytes a row. Pairs at most rows * (FIRST + BEFORE) * 9 a band.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.arrow import frozen
from headrace.kernels.bits import popcount
from headrace.pipelines import arrays

U64 = NDArray[np.uint64]
LARGEST = 64  # rows of a block that are paired with each other, all with all
FIRST = 8
BEFORE = 24
BINS = 32
SPREAD = np.uint64(0x9E3779B97F4A7C15)
LOW_BITS, LOW_HALF = np.uint64(0x1111111111111111), np.uint64(2**32 - 1)
S1, S2, S32 = np.uint64(1), np.uint64(2), np.uint64(32)


class Sketches(NamedTuple):
    """Leading parts' sketches, ``uint64[N]`` twice (16 bins of 4 bits each), and the bins that must agree."""

    low: U64
    high: U64
    least: int


def bins_in_common(similarity: float) -> int:
    """Bins that nearly all pairs at `similarity` share: four standard deviations below the mean."""
    chance = similarity + (1 - similarity) / 16  # different bins agree in 4 bits once in 16
    return max(0, int(BINS * chance - 4 * np.sqrt(BINS * chance * (1 - chance))))


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
    blocks: U64, refine: Callable[[NDArray[np.int64]], U64], sketches: Sketches
) -> tuple[NDArray[np.int64], int]:
    """Pairs of rows that share a block: ``int64[M, 2]`` of (better, worse), and blocks cut short.

    Rows are numbered by their rank. `blocks` 0 is no block; `refine(rows)`, ``int64[R] -> uint64[R, 8]``,
    gives the keys by which blocks that are too large are cut again. Each pair once, sorted.
    """
    sketches = sketches._replace(low=frozen(sketches.low), high=frozen(sketches.high))
    order = order_by(blocks)[int((blocks == 0).sum()) :]  # by block, then by rank
    starts, sizes = _runs(blocks[order])
    small = sizes <= LARGEST
    found = [_neighbours(order, starts[small], sizes[small], 0, LARGEST, *sketches)]
    large, owner = members(order, starts[~small], sizes[~small])
    keys = refine(large) if len(large) else np.zeros((0, 0), np.uint64)
    capped = 0
    for j in range(keys.shape[1]):
        again = mix(owner, keys[:, j])
        place = np.argsort(again, kind="stable")
        starts, sizes = _runs(again[place])
        small = sizes <= LARGEST
        found.append(_neighbours(large[place], starts[small], sizes[small], 0, LARGEST, *sketches))
        found.append(_neighbours(large[place], starts[~small], sizes[~small], FIRST, 0, *sketches))
        template, block = members(place, starts[~small], sizes[~small])
        following = [keys[template, (j + step) % keys.shape[1]] for step in (1, 2, 3)]
        alike = large[template[np.lexsort((*reversed(following), block))]]
        starts = arrays.offsets(sizes[~small])[:-1]
        found.append(_neighbours(alike, starts, sizes[~small], 0, BEFORE, *sketches))
        capped += int((~small).sum())
    return unpack(distinct(np.concatenate(found))), capped


def unique(found: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Pairs of several bands, each once, sorted. `found` is read one by one: most bands find a pair again,
    so what is held is the distinct pairs and at most as many that may be among them."""
    held, pending, waiting = np.zeros(0, np.uint64), [], 0
    for pairs in found:
        pending.append(pairs[:, 0].astype(np.uint64) << S32 | pairs[:, 1].astype(np.uint64))
        waiting += len(pairs)
        if waiting > len(held):
            held, pending, waiting = distinct(np.concatenate([held, *pending])), [], 0
    return unpack(distinct(np.concatenate([held, *pending])))


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Each value once, sorted; `values` is sorted in place (`np.unique` keeps a table of hashes)."""
    values.sort()
    first = np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
    found: NDArray[Any] = values[first]
    return found


def unpack(codes: U64) -> NDArray[np.int64]:
    """Pairs from ``better << 32 | worse``: ``uint64[M] -> int64[M, 2]``."""
    return np.stack([codes >> S32, codes & LOW_HALF], axis=1).astype(np.int64)


def order_by(keys: U64) -> NDArray[np.int64]:
    """Stable argsort of keys that are spread over all 64 bits: ``uint64[N] -> int64[N]``.

    One sort of words that hold the leading bits of a key above its row number, a tenth of an argsort's
    time; rows whose keys differ only in the bits that had to give way are put in order afterwards.
    """
    low = np.uint64(max(1, int(len(keys) - 1).bit_length()))
    words = np.sort(keys >> low << low | np.arange(len(keys), dtype=np.uint64))
    order = (words & ((np.uint64(1) << low) - np.uint64(1))).astype(np.int64)
    found, leading = keys[order], words >> low
    same = leading[1:] == leading[:-1]
    wrong = same & (found[1:] < found[:-1])
    if wrong.any():
        beside = np.isin(leading, leading[1:][wrong])
        place = order[beside]
        order[beside] = place[np.lexsort((place, keys[place]))]
    return order


def _runs(keys: U64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and lengths of runs of equal keys that are longer than one."""
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(np.append(starts, len(keys)))
    return starts[sizes > 1], sizes[sizes > 1]


def members(
    order: NDArray[np.int64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], U64]:
    """Rows of the runs, one run after the other, and the number of the run of each."""
    run = np.repeat(np.arange(len(starts)), sizes)
    inside = np.arange(len(run)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[starts[run] + inside], run.astype(np.uint64)


@njit(cache=True, nogil=True)
def agree(low, high, a, b):  # type: ignore[no-untyped-def]
    """Bins of 32 in which two sketches have the same four bits."""
    x, y = low[a] ^ low[b], high[a] ^ high[b]
    x |= x >> S2
    y |= y >> S2
    different = popcount((x | (x >> S1)) & LOW_BITS) + popcount((y | (y >> S1)) & LOW_BITS)
    return BINS - np.int64(different)


@njit(cache=True, nogil=True)
def _neighbours(order, starts, sizes, first, before, low, high, least):  # type: ignore[no-untyped-def]
    """Each row with the `first` rows of its run and the `before` rows before it, if their sketches agree."""
    out = np.empty(1024, np.uint64)
    at = 0
    for run in range(len(starts)):
        begin = starts[run]
        for j in range(begin + 1, begin + sizes[run]):
            if at + j - begin > len(out):
                grown = np.empty(2 * len(out) + j - begin, np.uint64)
                grown[:at] = out[:at]
                out = grown
            for i in range(begin, j):
                if i - begin >= first and i < j - before:
                    continue
                a, b = min(order[i], order[j]), max(order[i], order[j])
                if agree(low, high, a, b) >= least:
                    out[at] = np.uint64(a) << S32 | np.uint64(b)
                    at += 1
    return out[:at].copy()


def warm() -> None:
    """Compile, or load from Numba's cache."""
    order, low = np.array([1, 0]), frozen(np.zeros(2, np.uint64))
    starts, sizes = np.array([0]), np.array([2])
    _neighbours(order, starts, sizes, FIRST, BEFORE, low, low, 1)
