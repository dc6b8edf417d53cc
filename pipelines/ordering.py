"""The total order over files: a rank for every row of a run, and its small columns by rank.

Every other step of pass 2 names rows by their rank, the best first. Columns lie in files of their own, so
that a step reads those that it needs, and here one is held at a time.

Cost: one task for all rows: 24 bytes a row of keys, 8 of the order and some 20 while they are sorted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster import storage
from pipelines import blocking, decide, fingerprint, schema
from pipelines.dedup import Config, exact_copies, scores, short_equal

KEYS = ("row_id", "source", "quality", "size", "file")
COLUMNS = ("row_id", "file", "simhash", "size", "exact_lo")  # by rank, for the steps that follow
NULLABLE = ("group", "source")


class Staged:
    """Columns of the staged rows by rank, read anew whenever they are asked for."""

    def __init__(self, paths: Sequence[str], place: NDArray[np.int64]) -> None:
        self.paths, self.place, self.n = paths, place, len(place)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column without nulls, by rank."""
        values: NDArray[Any] = self.arrow(name).to_numpy()
        return values[self.place]

    def arrow(self, name: str) -> pa.ChunkedArray:
        """A column in the order of the files."""
        return pa.chunked_array([c for p in self.paths for c in storage.read_table(p, [name])[name].chunks])


def order(
    staged: Sequence[str],
    work: str,
    config: Config,
    priority: dict[str, int],
    firsts: Sequence[int],
    files: Sequence[Any],
) -> dict[str, int]:
    """Rank all rows, find exact copies and short equal ones; write what the next steps need by rank.

    `files` are those that column `file` counts, with the corpus of each. Returns how many rows there are,
    and how many of them are earlier runs' (ranks 0 up to that).
    """
    if not staged:
        kinds = {f.name: f.type for f in schema.ROW} | dict(fingerprint.COLUMNS) | {"file": pa.int64()}
        for name in (*COLUMNS, *NULLABLE):
            _write(work, name, _coded(pa.chunked_array([], kinds[name])).combine_chunks())
        for name in ("exact", "equal"):
            blocking.write_pairs(work, name, np.zeros((0, 2), np.int64))
        _write_ordinals(work, {})
        return {"rows": 0, "foreign": 0}
    place, foreign = _sorted(staged, work, priority, firsts, files)
    rows = Staged(staged, place)
    for name in COLUMNS:
        _write(work, name, pa.array(rows[name]))
    for name in NULLABLE:
        _write(work, name, _coded(rows.arrow(name)).combine_chunks().take(pa.array(place)))
    exact, representative = exact_copies(rows)
    _write_ranks(staged, work, place, representative)
    for name, pairs in (("exact", exact), ("equal", short_equal(rows, representative, config))):
        blocking.write_pairs(work, name, pairs[pairs[:, 1] >= foreign])
    return {"rows": rows.n, "foreign": foreign}


def _sorted(
    staged: Sequence[str], work: str, priority: dict[str, int], firsts: Sequence[int], files: Sequence[Any]
) -> tuple[NDArray[np.int64], int]:
    """Places of the rows in the total order, and how many are of earlier runs; counts rows by fragment."""
    corpora = np.array([f.corpus for f in files], np.int32)
    before = np.array(firsts, np.uint64)
    sizes = [storage.rows(path) for path in staged]
    kinds = (np.int32, np.float32, np.uint32, np.uint64, np.int32)  # as `decide.best_first` takes them
    keys: list[NDArray[Any]] = [np.empty(sum(sizes), kind) for kind in kinds]
    ordinals: Counter[int] = Counter()
    at = foreign = 0
    for path, size in zip(staged, sizes, strict=True):
        table = storage.read_table(path, list(KEYS)).combine_chunks()
        ids, corpus = table["row_id"].to_numpy(), corpora[table["file"].to_numpy()]
        fragments = schema.ordinal(ids)
        plan = np.searchsorted(before, fragments, side="right").astype(np.int32)
        # Earlier runs stand before all plans, in the order of the recipe.
        plan = np.where(corpus > 0, corpus - np.int32(len(files) + 1), plan)
        foreign += int((corpus > 0).sum())
        own, counts = np.unique(fragments[corpus == 0], return_counts=True)
        ordinals.update(dict(zip(own.tolist(), counts.tolist(), strict=True)))
        found = (_weights(table["source"], priority), scores(table), table["size"].to_numpy(), ids, plan)
        for held, values in zip(keys, found, strict=True):
            held[at : at + size] = values
        at += size
    _write_ordinals(work, ordinals)
    return decide.best_first(*keys), foreign


def _write_ordinals(work: str, counts: Mapping[int, int]) -> None:
    """Rows of each fragment, for the shares of a split."""
    found = sorted(counts.items())
    columns = [[o for o, _ in found], [n for _, n in found]]
    table = pa.table({"ordinal": pa.array(columns[0], pa.uint64()), "rows": pa.array(columns[1], pa.int64())})
    storage.write_table(storage.join(work, "ordinals.parquet"), table)


def _weights(sources: pa.ChunkedArray, priority: dict[str, int]) -> NDArray[np.int32]:
    """Priority of each row's source; 0 for rows of earlier runs, which have none."""
    names = sources.combine_chunks().cast(pa.string()).dictionary_encode()
    weights = np.array([*(priority.get(n, 0) for n in names.dictionary.to_pylist()), 0], np.int32)
    chosen: NDArray[np.int32] = weights[pc.fill_null(names.indices, len(names.dictionary)).to_numpy()]
    return chosen


def _coded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names as codes; numbers as they are."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.dictionary_encode() if pa.types.is_string(values.type) else values


def _write_ranks(
    staged: Sequence[str], work: str, place: NDArray[np.int64], representative: NDArray[np.bool_]
) -> None:
    """Write for each staged file the rank of its rows, and whether each is the best of its exact copies."""
    rank = np.empty(len(place), np.int64)
    rank[place] = np.arange(len(place))
    at = 0
    for number, path in enumerate(staged):
        size = storage.read_table(path, ["row_id"]).num_rows
        mine = rank[at : at + size]
        table = pa.table({"rank": mine, "representative": representative[mine]})
        storage.write_table(storage.join(work, f"ranks-{number}.parquet"), table, dictionary=False)
        at += size


def _write(work: str, name: str, values: pa.Array) -> None:
    # In groups, so that the writer encodes a part of the column at a time.
    path = storage.join(work, f"rows-{name}.parquet")
    storage.write_table(path, pa.table({name: values}), blocking.RANGE_GROUP, dictionary=name == "source")


def ranges(work: str, name: str) -> Iterator[tuple[int, pa.Array]]:
    """One of `COLUMNS` and `NULLABLE` by rank, some rows at a time: the rank of the first and the values."""
    at = 0
    for table in storage.row_groups(storage.join(work, f"rows-{name}.parquet"), [name]):
        yield at, table[name].combine_chunks()
        at += table.num_rows


def column(work: str, name: str, ranks: NDArray[np.int64]) -> pa.Array:
    """One of `COLUMNS` and `NULLABLE` at some ranks, ascending; no more of it is held than a row group."""
    found = []
    for first, values in ranges(work, name):
        begin, end = np.searchsorted(ranks, [first, first + len(values)])
        found.append(values.take(pa.array(ranks[begin:end] - first)))
    return pa.chunked_array(found).combine_chunks()
