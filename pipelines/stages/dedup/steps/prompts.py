"""Rows that begin with the same prompt, so that the split has them on one side.

A row's prompt is all that stands before its last answer; an opening is all that stands before any of its
answers (`fingerprint.OPENINGS`), and the same where its words are. A row belongs with all rows of which its
prompt is an opening: the same prompt with another answer, and a longer conversation that begins with it.
The earliest row with a prompt stands in the middle: so rows that were there before it and only begin alike
are joined by it, not without it, and adding inputs joins no two rows that stood apart.

Cost: sorting 8 bytes an answer of the run, then 40 bytes an answer whose opening is shared.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import arrays
from headrace.pipelines.stages.dedup import candidates
from headrace.pipelines.stages.dedup.steps import order as ordering
from headrace.pipelines.stages.fingerprint.stage import OPENINGS


class Shared(NamedTuple):
    """Pairs of ranks, ``int64[M, 2]``: the earliest row with a prompt, another row that has it as an opening;
    and whether it is the other row's prompt too, ``bool[M]``."""

    pairs: NDArray[np.int64]
    same: NDArray[np.bool_]


class Openings(NamedTuple):
    """Openings of some rows: the hash of each, the place of its row, and whether it is the row's prompt."""

    hashes: NDArray[np.uint64]
    owners: NDArray[np.int64]
    last: NDArray[np.bool_]


def shared(staged: Sequence[str], work: str, held: Mapping[int, int] | None = None) -> Shared:
    """The rows of the staged files that begin with another's prompt; `held`: ordinals that come first."""
    wanted = _shared_hashes(staged)
    none = np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    found = [
        none,
        *(_members(path, number, work, wanted) for number, path in enumerate(staged) if len(wanted)),
    ]
    hashes, ids, ranks, last = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.lexsort((ordering.by_standing(ids, held or {}), ~last, hashes))
    hashes, ranks, last = hashes[order], ranks[order], last[order]
    first = np.concatenate([[True], hashes[1:] != hashes[:-1]])[: len(hashes)]
    middle = ranks[first][np.cumsum(first) - 1]
    return Shared(np.stack([middle, ranks], axis=1)[~first], last[~first])


def _shared_hashes(staged: Sequence[str]) -> NDArray[np.uint64]:
    """Openings that more than one row has and that are the prompt of one of them, ascending."""
    every = [np.zeros(0, np.uint64)]
    prompts = [np.zeros(0, np.uint64)]
    for path in staged:
        for table in storage.row_groups(path, [OPENINGS.name]):
            found = _flat(table)
            every.append(found.hashes)
            prompts.append(found.hashes[found.last])
    hashes = np.concatenate(every)
    hashes.sort()
    twice = candidates.distinct(hashes[1:][hashes[1:] == hashes[:-1]])
    del hashes, every
    return twice[arrays.among(twice, np.sort(np.concatenate(prompts)))]


def _members(
    path: str, number: int, work: str, wanted: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.bool_]]:
    """Of one staged file every opening that is wanted: its hash, row id and rank of its row, whether last."""
    rank = storage.read_table(storage.join(work, f"ranks-{number}.parquet"), ["rank"])["rank"].to_numpy()
    parts = []
    for at, table in _row_groups(path):
        found = _flat(table)
        chosen = arrays.among(found.hashes, wanted)
        owners = found.owners[chosen]
        ids = table["row_id"].to_numpy()[owners]
        parts.append((found.hashes[chosen], ids, rank[at + owners], found.last[chosen]))
    if not parts:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    hashes, ids, ranks, last = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return hashes, ids, ranks, last


def _row_groups(path: str) -> Iterator[tuple[int, pa.Table]]:
    at = 0
    for table in storage.row_groups(path, ["row_id", OPENINGS.name]):
        yield at, table
        at += table.num_rows


def _flat(table: pa.Table) -> Openings:
    lists = table[OPENINGS.name].combine_chunks()
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    hashes = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    last = np.zeros(len(hashes), np.bool_)
    last[arrays.offsets(counts)[1:][counts > 0] - 1] = True
    return Openings(hashes, np.repeat(np.arange(len(counts)), counts), last)
