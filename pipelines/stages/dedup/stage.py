"""Duplicates over the whole run: pass 2, over ids and sketches, reading texts only to verify.

Exact: the same roles and contents. Near: prompt *and* answer each alike by at least
`dedup.threshold` (see `verify`); the same prompt with another answer stays, and so does a long
answer that comes to another result (see `results`). Every removed row names a kept row that it
was verified against (see `decide`).

Here are the steps over arrays and the public `duplicates` for texts in memory; `steps.run`
runs the same steps over the files of a run.

Cost: sorting bands dominates; verification reads only what is part of a candidate.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import decide, verify
from headrace.pipelines.stages.dedup.config import Config

NAME = "dedup"
VERSION = 5
# What is said and where it is worked out, not which rows go; passages have a key of their own.
NOT_IN_KEY = {"alarm", "on_alarm", "device", "passages"}
REMOVED = pa.schema(
    [
        ("removed", pa.uint64()),
        ("kept", pa.uint64()),
        ("distance", pa.int32()),  # of the rows' SimHashes, bits of 64
        ("similarity", pa.float64()),  # the lower of the parts' Jaccard similarities
        ("rule", pa.string()),
    ]
)


def rule_of_copies(config: Config) -> int | None:
    """By which rule exact copies go: they are near ones too, where those are asked for alone."""
    if config.exact:
        return decide.EXACT
    return decide.NEAR if config.near else None


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


def apply(table: pa.Table, removed: pa.Table) -> pa.Table:
    """Drop the rows that `removed` (schema `REMOVED`) names, as `dedup.exact` or `dedup.near`."""
    place = pc.index_in(table["row_id"].combine_chunks(), removed["removed"].combine_chunks())
    rules = pc.binary_join_element_wise("dedup", removed["rule"].combine_chunks(), ".")
    return schema.mark(table, "drop", rules.take(place).cast(pa.string()))
