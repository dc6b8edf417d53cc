"""Duplicates over the whole run: pass 2, over ids and sketches, reading texts only to verify.

Exact: the same roles and contents. Near: prompt *and* answer each alike by at least
`dedup.threshold` (see `verify`); the same prompt with another answer stays. Every removed
row names a kept row that it was verified against (see `decide`).

Here are the steps over arrays and the public `duplicates` for texts in memory; `steps.run`
runs the same steps over the files of a run.

Cost: sorting bands dominates; verification reads only what is part of a candidate.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from headrace.kernels.dispatch import threads
from headrace.pipelines import schema
from headrace.pipelines.section import Section
from headrace.pipelines.stages import fingerprint
from headrace.pipelines.stages.dedup import candidates, decide, verify
from headrace.pipelines.stages.dedup.passages import Config as Passages

NAME = "dedup"
VERSION = 2
Columns = dict[str, NDArray[Any]]
REMOVED = pa.schema(
    [
        ("removed", pa.uint64()),
        ("kept", pa.uint64()),
        ("distance", pa.int32()),  # of the rows' SimHashes, bits of 64
        ("similarity", pa.float64()),  # the lower of the parts' Jaccard similarities
        ("rule", pa.string()),
    ]
)


class Config(Section):
    """What counts as a duplicate."""

    exact: bool = True
    """Remove rows with the same roles and contents."""
    near: bool = True
    """Remove rows whose prompt and answer are each alike (exact copies among them)."""
    passages: Passages = Passages()
    threshold: float = Field(0.8, gt=0, le=1)
    """Least Jaccard similarity of both parts, over windows of the folded text; where one part is too short to
    compare and equal, what differs in the other counts double (.8 asks for .9), and beside a very short
    answer ("true") only the same prompt goes: others are listed as alike and share a side of the split. Below
    .7 many pairs are never looked at: see `candidates` for the share that is found."""
    margin: float = Field(0.05, ge=0, lt=1)
    """Pairs this far below the threshold are listed as borderline, and share a side of the split."""
    min_features: int = Field(160, ge=1, le=fingerprint.KEYED)
    """Parts with fewer windows are compared as they are, after folding case and spaces: in a sentence one
    word, often a short one, makes another statement and would pass a threshold of .8 (with 72 windows, 20 of
    158,000 different sentences of 112 languages did, a "not" among them; with 160 none)."""
    against: tuple[str, ...] = ()
    """Earlier runs and fingerprint directories (`headrace fingerprints`), local or s3://: rows like one
    that those hold are removed, and name the run and the row."""
    alarm: float = Field(0.5, gt=0, le=1)
    """Share of a source's rows; where more than that goes as duplicates, the run says so."""
    on_alarm: Literal["warn", "stop"] = "warn"
    """stop: end the run then (exit 3) before anything is packed; it goes on where `alarm` is raised."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """What sketches texts: auto takes the cluster's GPUs where it has any, by a pool of actors with one
    each; gpu refuses to run without. The result is the same to the bit."""

    @model_validator(mode="after")
    def _something_to_compare(self) -> "Config":
        if self.against and not (self.exact or self.near):
            raise ValueError("against needs exact or near: nothing is compared without them")
        return self


def rule_of_copies(config: Config) -> int | None:
    """By which rule exact copies go: they are near ones too, where those are asked for alone."""
    if config.exact:
        return decide.EXACT
    return decide.NEAR if config.near else None


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


def duplicates(texts: pa.Array, config: Config | None = None) -> pa.Table:
    """Duplicates among texts in memory: which go, for which, and why.

    texts: Arrow string or large_string array; a null is no text and never a duplicate. Returns a table
    `removed, kept` (row numbers), `distance, similarity, rule`, sorted by `removed`: the same answer as
    the pass gives on the same rows.
    """
    config = config or Config()
    rows, matches = matched(fingerprint.apply(as_rows(texts), fingerprint.Config()), config)
    verdict = decide.decide(rows.n, matches, config.threshold, rule_of_copies(config))
    return removed_table(rows["row_id"], rows["simhash"], verdict)


def matched(table: pa.Table, config: Config) -> tuple[Rows, decide.Matches]:
    """All that is alike among the fingerprinted rows of `table`, and the rows by rank."""
    rows = Rows(table)
    exact, representative = exact_copies(rows)
    pairs = candidate_pairs(rows, representative, config)
    concerned, local = np.unique(pairs, return_inverse=True)
    measured = verify.similarities(
        table.select(verify.COLUMNS).take(pa.array(rows.place[concerned])),
        local.reshape(-1, 2),
        min_features=config.min_features,
        ngram=fingerprint.Config().ngram,
    )
    equal = short_equal(rows, representative, config)
    rule = np.where(measured.alike, decide.ALIKE, decide.NEAR).astype(np.int8)
    return rows, decide.Matches.of(exact, equal, pairs, measured.similarity, rule)


def as_rows(texts: pa.Array) -> pa.Table:
    """Rows of one message of role `text` each; nulls are left out, so `row_id` is the text's number."""
    flat = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    valid = flat.is_valid().to_numpy(zero_copy_only=False)
    flat = (flat if valid.all() else flat.drop_null()).cast(pa.large_string())
    n = len(flat)
    message = pa.StructArray.from_arrays([pa.repeat("text", n), flat], fields=list(schema.MESSAGE))
    offsets = pa.array(np.arange(n + 1), pa.int32())
    return pa.table(
        {
            "row_id": pa.array(np.flatnonzero(valid), pa.uint64()),
            "messages": pa.ListArray.from_arrays(offsets, message, type=schema.MESSAGES),
            "drop": pa.nulls(n, pa.string()),
            "error": pa.nulls(n, pa.string()),
        }
    )


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
        return {name: rows[name] if "_band_" in name else shared[name] for name in names}

    shared |= {name: rows[name] for name in OF_ALL_BANDS}
    bands = range(fingerprint.BANDS if config.near else 0)
    with ThreadPoolExecutor(threads()) as pool:
        found = pool.map(lambda k: band_pairs(some, representative, k, config)[0], bands)
        return candidates.unique(list(found))


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
    kinds = ("features", "key", f"band_{k}", *(f"sketch_{w}" for w in range(fingerprint.WORDS)))
    return [f"{part}_{kind}" for part in fingerprint.PARTS for kind in kinds]


def blocks_of(held: Columns, k: int, config: Config) -> Blocks:
    """Blocks of band k of the rows whose columns are given."""
    prompt_long = held["prompt_features"] >= config.min_features
    answer_long = held["answer_features"] >= config.min_features
    keys = (held["prompt_key"], held["answer_key"])
    bands = (held[f"prompt_band_{k}"], held[f"answer_band_{k}"])
    key = candidates.block_keys(bands, keys, (prompt_long, answer_long))
    low, high = (
        np.where(answer_long, held[f"answer_sketch_{w}"], held[f"prompt_sketch_{w}"])
        for w in range(fingerprint.WORDS)
    )
    return Blocks(key, low, high, prompt_long.astype(np.uint8) | answer_long.astype(np.uint8) << np.uint8(1))


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


def removed_table(ids: NDArray[np.uint64], simhash: NDArray[np.uint64], verdict: decide.Verdict) -> pa.Table:
    """The verdict as a table of row ids, sorted by the removed row."""
    pairs = np.stack([verdict.kept, verdict.removed], axis=1)
    order = np.argsort(ids[verdict.removed])
    columns: list[NDArray[Any]] = [
        ids[verdict.removed],
        ids[verdict.kept],
        verify.distances(simhash, pairs),
        verdict.similarity,
        np.array(decide.RULES)[verdict.rule],
    ]
    return pa.Table.from_arrays([pa.array(c[order]) for c in columns], schema=REMOVED)


def mark(table: pa.Table, removed: pa.Table) -> pa.Table:
    """Drop the rows that `removed` (schema `REMOVED`) names, as `dedup.exact` or `dedup.near`."""
    place = pc.index_in(table["row_id"].combine_chunks(), removed["removed"].combine_chunks())
    rules = pc.binary_join_element_wise("dedup", removed["rule"].combine_chunks(), ".")
    return schema.mark(table, "drop", rules.take(place).cast(pa.string()))
