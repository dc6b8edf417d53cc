"""Rows that may be alike, from their fingerprints: exact copies, short equal rows, and candidates by block.

Everything here is over arrays of rows by rank, the best row first; `steps` runs it over the files of a run,
`in_memory` over texts in memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.dispatch import threads
from headrace.pipelines.stages.dedup import candidates, decide
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.fingerprint import stage as fingerprint

SIGNATURE = fingerprint.BANDS  # number of the band whose key is the SimHash; see `signatures`
LONG = np.uint64(2**64 - 1)  # stands for the exact key of a long part
Columns = dict[str, NDArray[Any]]


class ByRank(Protocol):
    """Columns of `n` rows by rank."""

    n: int

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column."""


class Rows:
    """The small columns of all rows by rank, the best first: what blocking and deciding need.

    `place[r]` is where the row of rank r stands in the table that this was built from, whose
    fingerprint columns are read; `priority` and `plan` (of the row's fragment), int64[N], are of that
    table, 0 where they are not given.
    """

    def __init__(
        self,
        table: pa.Table,
        priority: NDArray[np.int64] | None = None,
        plan: NDArray[np.int64] | None = None,
    ) -> None:
        ids, size = table["row_id"].to_numpy(), table["size"].to_numpy()
        none = np.zeros(table.num_rows, np.int64)
        given = (none if priority is None else priority, none if plan is None else plan)
        self.place = decide.best_first(given[0], scores(table), size, ids, given[1])
        self.n = len(self.place)
        self._columns = {
            name: table[name].to_numpy()
            for name in table.column_names
            if name == "row_id" or name in FINGERPRINT
        }

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column by rank."""
        return self.at(name, slice(None))

    def at(self, name: str, ranks: NDArray[np.int64] | slice) -> NDArray[Any]:
        """A column at some ranks."""
        values: NDArray[Any] = self._columns[name][self.place[ranks]]
        return values


FINGERPRINT = {name for name, _ in fingerprint.COLUMNS}


OF_ALL_BANDS = [
    f"{part}_{kind}"
    for part in fingerprint.PARTS
    for kind in ("features", "key", *(f"sketch_{w}" for w in range(fingerprint.WORDS)))
]


def scores(table: pa.Table) -> NDArray[np.float32]:
    """Quality of each row, ``float32[N]``, 0 where none was given."""
    if "quality" not in table.column_names:
        return np.zeros(table.num_rows, np.float32)
    score = pc.struct_field(table["quality"].combine_chunks(), "score")
    return np.asarray(pc.fill_null(score, 0.0).to_numpy(zero_copy_only=False), np.float32)


def exact_copies(rows: ByRank) -> tuple[decide.Pairs, NDArray[np.bool_]]:
    """Exact copies with the best of each group, and which rows are the best of theirs."""
    exact = decide.equal_pairs((rows["exact_lo"], rows["exact_hi"]))
    representative = np.ones(rows.n, np.bool_)
    representative[exact[:, 1]] = False
    return exact, representative


def short_equal(rows: ByRank, representative: NDArray[np.bool_], config: Config) -> decide.Pairs:
    """Rows whose parts are all too short to compare and equal after folding, with the best such row."""
    if not config.near:
        return np.zeros((0, 2), np.int64)
    short = representative
    for part in fingerprint.PARTS:
        short = short & (rows[f"{part}_features"] < config.min_features)
    chosen = np.flatnonzero(short)
    keys = (rows["prompt_key"][chosen], rows["answer_key"][chosen])
    return chosen[decide.equal_pairs(keys)]


def candidate_pairs(rows: Rows, representative: NDArray[np.bool_], config: Config) -> decide.Pairs:
    """Candidate pairs of all bands, each once; as many bands at a time as there are cores."""
    shared: Columns = {}  # by rank, for all bands: reading a column in that order is half of the work

    def some(names: Sequence[str], chosen: NDArray[np.int64] | None = None) -> Columns:
        if chosen is not None:
            return {name: rows.at(name, chosen) for name in names}
        return {name: shared[name] if name in shared else rows[name] for name in names}

    shared |= {name: rows[name] for name in OF_ALL_BANDS}
    with ThreadPoolExecutor(threads()) as pool:
        found = pool.map(lambda k: band_pairs(some, representative, k, config)[0], bands(config))
        return candidates.unique(list(found))


def bands(config: Config) -> list[int]:
    """Bands whose blocks give candidates: those of MinHash, the SimHash, or both."""
    minhash = [*range(fingerprint.BANDS)] if config.candidates != "simhash" else []
    simhash = [SIGNATURE] if config.candidates != "bands" else []
    return minhash + simhash if config.near else []


def band_pairs(
    some: Callable[..., Columns], representative: NDArray[np.bool_], k: int, config: Config
) -> tuple[decide.Pairs, int]:
    """Candidate pairs of one band and blocks cut short.

    `some(names)` gives columns by rank, `some(names, rows)` those of some rows only.
    """
    blocks = blocks_of(some(band_columns(k)), k, config)
    return pairs_of(blocks._replace(key=np.where(representative, blocks.key, np.uint64(0))), some, k, config)


class Blocks(NamedTuple):
    """What a band needs to know of each row: its block (0: none), its leading part's sketch, what is long."""

    key: NDArray[np.uint64]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]
    long: NDArray[np.uint8]  # bit 0: the prompt is long, bit 1: the answer


def band_columns(k: int) -> list[str]:
    """Columns of fingerprints from which `blocks_of` makes blocks of band k."""
    kinds = ["features", "key", *(f"sketch_{w}" for w in range(fingerprint.WORDS))]
    if k == SIGNATURE:
        return ["simhash", *(f"{part}_{kind}" for part in fingerprint.PARTS for kind in kinds)]
    kinds.append(f"band_{k}")
    return [f"{part}_{kind}" for part in fingerprint.PARTS for kind in kinds]


def blocks_of(held: Columns, k: int, config: Config) -> Blocks:
    """Blocks of band k of the rows whose columns are given."""
    prompt_long = held["prompt_features"] >= config.min_features
    answer_long = held["answer_features"] >= config.min_features
    if k == SIGNATURE:
        mixed = np.maximum(candidates.mix(held["simhash"], meeting(held, config)), np.uint64(1))
        key = np.where(prompt_long | answer_long, mixed, np.uint64(0))
    else:
        keys = (held["prompt_key"], held["answer_key"])
        both = (held[f"prompt_band_{k}"], held[f"answer_band_{k}"])
        key = candidates.block_keys(both, keys, (prompt_long, answer_long))
    low, high = (
        np.where(answer_long, held[f"answer_sketch_{w}"], held[f"prompt_sketch_{w}"])
        for w in range(fingerprint.WORDS)
    )
    return Blocks(key, low, high, prompt_long.astype(np.uint8) | answer_long.astype(np.uint8) << np.uint8(1))


def meeting(held: Columns, config: Config) -> NDArray[np.uint64]:
    """Hash of what two rows must have in common to be alike at all: which parts are long, and the exact keys
    of those that are not."""
    prompt, answer = (
        np.where(held[f"{part}_features"] >= config.min_features, LONG, held[f"{part}_key"])
        for part in fingerprint.PARTS
    )
    return candidates.mix(prompt, answer)


def pairs_of(
    blocks: Blocks, some: Callable[..., Columns], k: int, config: Config
) -> tuple[decide.Pairs, int]:
    """Candidate pairs among rows that stand by rank, as their places, and blocks cut short."""

    def refine(rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        long = blocks.long[rows]
        return _other_bands(some, rows, (long & 1).astype(np.bool_), (long & 2).astype(np.bool_), k)

    least = candidates.bins_in_common(max(0.0, config.threshold - config.margin))
    return candidates.pairs(blocks.key, refine, candidates.Sketches(blocks.low, blocks.high, least))


def _other_bands(
    some: Callable[..., Columns],
    rows: NDArray[np.int64],
    prompt_long: NDArray[np.bool_],
    answer_long: NDArray[np.bool_],
    k: int,
) -> NDArray[np.uint64]:
    """Keys that cut a large block of band k again, ``uint64[R, 8]``: the prompt's bands, or the other
    bands of the leading part where one part is short."""
    bands = range(fingerprint.BANDS)
    found = some([f"{part}_band_{j}" for part in fingerprint.PARTS for j in bands], rows)
    columns = []
    for j in bands:
        other = j if j != k else (k + 1) % fingerprint.BANDS
        leading = np.where(answer_long, found[f"answer_band_{other}"], found[f"prompt_band_{other}"])
        columns.append(np.where(prompt_long & answer_long, found[f"prompt_band_{j}"], leading))
    return np.stack(columns, axis=1)
