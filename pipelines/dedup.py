"""Duplicates over the whole run: pass 2, over ids and sketches, reading texts only to verify.

Exact: the same roles and contents. Near: prompt *and* answer each alike by at least
`dedup.threshold` (see `pipelines.verify`); the same prompt with another answer stays. Every removed
row names a kept row that it was verified against (see `pipelines.decide`).

Here are the steps over arrays and the public `duplicates` for texts in memory; `pipelines.dedup_tasks`
runs the same steps over the files of a run.

Cost: sorting bands dominates; verification reads only what is part of a candidate.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from pipelines import candidates, decide, fingerprint, schema, verify
from pipelines.settings import Section

VERSION = 1
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
    """Remove rows whose prompt and answer are each alike."""
    threshold: float = Field(0.8, gt=0, le=1)
    """Least Jaccard similarity of both parts, over 8-byte windows of the folded text."""
    margin: float = Field(0.05, ge=0, lt=1)
    """Pairs this far below the threshold are listed as borderline, and share a side of the split."""
    min_features: int = Field(32, ge=1)
    """Parts with fewer windows are compared as they are, after folding case and spaces."""


class Rows:
    """The small columns of all rows, by rank: what blocking and deciding need.

    Built from the fingerprint columns; `row_id`, `simhash` and the like are in the order of rank.
    """

    def __init__(self, table: pa.Table, priority: NDArray[np.int64]) -> None:
        score = scores(table)
        ids, size = table["row_id"].to_numpy(), table["size"].to_numpy()
        rank = decide.total_order(priority, score, size, ids)
        by_rank = np.argsort(rank)
        self.n = len(rank)
        self.rank = np.arange(self.n)
        self.columns = {
            name: np.ascontiguousarray(table[name].to_numpy()[by_rank])
            for name in table.column_names
            if name not in ("source", "quality", "group")
        }

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def column(self, name: str) -> NDArray[Any]:
        """A column in the order of rank."""
        return self.columns[name]


def scores(table: pa.Table) -> NDArray[np.float32]:
    if "quality" not in table.column_names:
        return np.zeros(table.num_rows, np.float32)
    score = pc.struct_field(table["quality"].combine_chunks(), "score")
    return np.asarray(pc.fill_null(score, 0.0).to_numpy(zero_copy_only=False), np.float32)


def duplicates(texts: pa.Array, config: Config | None = None) -> pa.Table:
    """Duplicates among texts in memory: which go, for which, and why.

    texts: Arrow string or large_string array. Returns a table `removed, kept` (row numbers), `distance,
    similarity, rule`, sorted by `removed`; the same answer as the pass gives on the same rows.
    """
    config = config or Config()
    flat = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    n = len(flat)
    values = pa.StructArray.from_arrays(
        [pa.array(["text"] * n, pa.string()), flat.cast(pa.large_string()).fill_null("")],
        fields=list(schema.MESSAGE),
    )
    messages = pa.ListArray.from_arrays(pa.array(np.arange(n + 1), pa.int32()), values, type=schema.MESSAGES)
    table = pa.table(
        {
            "row_id": pa.array(np.arange(n), pa.uint64()),
            "messages": messages,
            "drop": pa.nulls(n, pa.string()),
            "error": pa.nulls(n, pa.string()),
        }
    )
    sketch = fingerprint.Config()
    table = fingerprint.apply(table, sketch)
    rows = Rows(table.drop_columns(["messages", "drop", "error"]), np.zeros(n, np.int64))
    exact, representative = exact_copies(rows, config)
    pairs, _ = _candidates(rows, representative, config)
    place = rows["row_id"].astype(np.int64)
    similarity = verify.similarities(
        table, place[pairs], min_features=config.min_features, ngram=sketch.ngram
    )
    near = decide.NEAR * np.ones(len(pairs), np.int8)
    equal = short_equal(rows, representative, config)
    verdict = decide.decide(
        rows.n,
        exact,
        np.concatenate([pairs, equal]),
        np.concatenate([similarity, np.ones(len(equal))]),
        np.concatenate([near, np.full(len(equal), decide.EXACT, np.int8)]),
        config.threshold,
    )
    return removed_table(rows["row_id"], rows["simhash"], verdict)


def exact_copies(rows: Rows, config: Config) -> tuple[decide.Pairs, NDArray[np.bool_]]:
    """Exact copies with the best of each group, and which rows are the best of theirs."""
    exact = decide.equal_pairs((rows["exact_lo"], rows["exact_hi"]), rows.rank)
    representative = np.ones(rows.n, np.bool_)
    if not config.exact:
        return exact[:0], representative
    representative[exact[:, 1]] = False
    return exact, representative


def _long(rows: Rows, config: Config) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return (
        rows["prompt_features"] >= config.min_features,
        rows["answer_features"] >= config.min_features,
    )


def short_equal(rows: Rows, representative: NDArray[np.bool_], config: Config) -> decide.Pairs:
    """Rows whose parts are all too short to compare and equal after folding, with the best such row."""
    prompt_long, answer_long = _long(rows, config)
    chosen = np.flatnonzero(representative & ~prompt_long & ~answer_long)
    if not config.near:
        return np.zeros((0, 2), np.int64)
    keys = (rows["prompt_key"][chosen], rows["answer_key"][chosen])
    return chosen[decide.equal_pairs(keys, np.arange(len(chosen)))]


def _candidates(rows: Rows, representative: NDArray[np.bool_], config: Config) -> tuple[decide.Pairs, int]:
    """All candidate pairs, over every band, and how many blocks were cut short."""
    found, capped = [np.zeros((0, 2), np.int64)], 0
    for k in range(fingerprint.BANDS if config.near else 0):
        pairs, cut = band_pairs(rows.column, representative, k, config)
        found.append(pairs)
        capped += cut
    return np.unique(np.concatenate(found), axis=0), capped


def band_pairs(
    column: Callable[[str], NDArray[Any]], representative: NDArray[np.bool_], k: int, config: Config
) -> tuple[decide.Pairs, int]:
    """Candidate pairs of one band and blocks cut short; `column(name)` gives a column by rank."""
    prompt_long = column("prompt_features") >= config.min_features
    answer_long = column("answer_features") >= config.min_features
    keys = (column("prompt_key"), column("answer_key"))
    bands = (column(f"prompt_band_{k}"), column(f"answer_band_{k}"))
    blocks = candidates.block_keys(bands, keys, (prompt_long, answer_long))
    blocks = np.where(representative, blocks, np.uint64(0))

    def refine(j: int) -> NDArray[np.uint64]:
        return np.where(prompt_long, column(f"prompt_band_{j}"), column(f"answer_band_{j}"))

    return candidates.pairs(blocks, refine, np.arange(len(blocks)))


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
