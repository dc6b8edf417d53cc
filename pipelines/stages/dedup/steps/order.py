"""The total order over files: a rank for every row of a run, and its small columns by rank.

Every other step of pass 2 names rows by their rank, the best first. Columns lie in files of their own, so
that a step reads those that it needs, and here one is held at a time.

Cost: one task for all rows: 20 bytes a row of keys and 12 while they are sorted, after that 4 of the order
and two or three columns of 8.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.stores import passing
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import decide
from headrace.pipelines.stages.dedup.blocks import exact_copies, scores, short_equal
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.steps import block as blocking
from headrace.pipelines.stages.fingerprint import stage as fingerprint

HELD = 2  # places of what is held out by its source: 0 for test, 1 for validation
KEYS = ("row_id", "source", "quality", "size", "file")
# By rank, for the steps that follow; beside them "group" and "source", which have nulls.
COLUMNS = ("row_id", "file", "simhash", "size", "exact_lo")


class Staged:
    """Columns of the staged rows by rank, read anew whenever they are asked for, a row group at a time."""

    def __init__(self, paths: Sequence[str], place: NDArray[np.integer[Any]]) -> None:
        self.paths, self.place, self.n = paths, place, len(place)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column without nulls, by rank."""
        held: NDArray[Any] | None = None
        for at, values in self._parts(name):
            held = np.empty(self.n, values.type.to_pandas_dtype()) if held is None else held
            held[at : at + len(values)] = values.to_numpy()
        assert held is not None
        by_rank: NDArray[Any] = held[self.place]
        return by_rank

    def numbers(self, name: str) -> pa.Array:
        """A column of integers with nulls, by rank."""
        held, null = np.zeros(self.n, np.uint64), np.ones(self.n, np.bool_)
        for at, values in self._parts(name):
            valid = at + np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
            held[valid], null[valid] = values.drop_null().to_numpy(), False
        held = held[self.place]
        return pa.array(held, mask=null[self.place])

    def names(self, name: str) -> pa.DictionaryArray:
        """A column of strings with nulls, by rank, as codes."""
        held, codes = np.full(self.n, -1, np.int32), dict[str, int]()
        for at, values in self._parts(name):
            found = values.cast(pa.string()).dictionary_encode()
            code = [codes.setdefault(n, len(codes)) for n in found.dictionary.to_pylist()]
            indices = pc.fill_null(found.indices, len(code)).to_numpy()
            held[at : at + len(values)] = np.array([*code, -1], np.int32)[indices]
        held = held[self.place]
        return pa.DictionaryArray.from_arrays(pa.array(held, mask=held < 0), pa.array(codes, pa.string()))

    def _parts(self, name: str) -> Iterator[tuple[int, pa.Array]]:
        at = 0
        for path in self.paths:
            for table in storage.row_groups(path, [name]):
                yield at, table[name].combine_chunks()
                at += table.num_rows


def order(
    staged: Sequence[str],
    work: str,
    config: Config,
    priority: dict[str, int],
    firsts: Sequence[int],
    files: Sequence[Any],
    held: Mapping[int, int] | None = None,
) -> dict[str, int]:
    """Rank all rows, find exact copies and short equal ones; write what the next steps need by rank.

    `files` are those that column `file` counts, with the corpus of each; `held` the ordinals of sources that
    are held out, which stand before all plans, with their places (`HELD`). Returns how many rows there are,
    and how many of them are earlier runs' (ranks 0 up to that).
    """
    if not staged:
        kinds = {f.name: f.type for f in schema.ROW} | dict(fingerprint.COLUMNS) | {"file": pa.int64()}
        for name in (*COLUMNS, "group", "source"):
            _write(work, name, pa.array([], kinds[name]))
        for name in ("exact", "equal"):
            blocking.write_pairs(work, name, np.zeros((0, 2), np.int64))
        _write_ordinals(work, {})
        return {"rows": 0, "foreign": 0}
    place, foreign = _sorted(staged, work, priority, firsts, files, held or {})
    rows = Staged(staged, place)
    for name in COLUMNS:
        _write(work, name, pa.array(rows[name]))
    _write(work, "group", rows.numbers("group"))
    _write(work, "source", rows.names("source"))
    exact, representative = exact_copies(rows)
    _write_ranks(staged, work, place, representative)
    for name, pairs in (("exact", exact), ("equal", short_equal(rows, representative, config))):
        blocking.write_pairs(work, name, pairs[pairs[:, 1] >= foreign])
    return {"rows": rows.n, "foreign": foreign}


def _sorted(
    staged: Sequence[str],
    work: str,
    priority: dict[str, int],
    firsts: Sequence[int],
    files: Sequence[Any],
    held: Mapping[int, int],
) -> tuple[NDArray[np.integer[Any]], int]:
    """Places of the rows in the total order, and how many are of earlier runs; counts rows by fragment."""
    corpora = np.array([f.corpus for f in files], np.int32)
    before = np.array(firsts, np.uint64)
    n = sum(storage.rows(path) for path in staged)
    # As `np.lexsort` takes them, the plan and priority in one: nothing is copied but the order.
    keys: list[NDArray[Any]] = [np.empty(n, kind) for kind in (np.uint64, np.uint32, np.float32, np.int32)]
    levels = {p: place for place, p in enumerate(sorted({0, *priority.values()}))}
    level = {name: levels[p] for name, p in priority.items()}
    ordinals: Counter[int] = Counter()
    at = foreign = 0
    for table in (t.combine_chunks() for path in staged for t in storage.row_groups(path, list(KEYS))):
        ids, corpus = table["row_id"].to_numpy(), corpora[table["file"].to_numpy()]
        fragments = schema.ordinal(ids)
        plan = np.searchsorted(before, fragments, side="right").astype(np.int32) + np.int32(HELD)
        place = standing(ids, held)
        plan = np.where(place < HELD, place, plan)
        # Earlier runs stand before all plans, in the order of the recipe.
        plan = np.where(corpus > 0, corpus - np.int32(len(files) + 1), plan)
        foreign += int((corpus > 0).sum())
        own, counts = np.unique(fragments[corpus == 0], return_counts=True)
        ordinals.update(dict(zip(own.tolist(), counts.tolist(), strict=True)))
        first = plan * np.int32(len(levels)) - _levels(table["source"], level, levels[0])
        last = decide.ascending(scores(table), table["size"].to_numpy(), ids)
        for key, values in zip(keys, (*last, first), strict=True):
            key[at : at + len(ids)] = values
        at += len(ids)
    _write_ordinals(work, ordinals)
    return np.lexsort(keys).astype(np.uint32 if n < 2**32 else np.int64), foreign


def standing(ids: NDArray[np.uint64], held: Mapping[int, int]) -> NDArray[np.int32]:
    """Place of each row among what is held out by its source, `HELD` for all others: ``int32[N]``."""
    places: NDArray[np.int32] = schema.of_ordinals(ids, held, HELD)
    return places


def by_standing(ids: NDArray[np.uint64], held: Mapping[int, int]) -> NDArray[np.uint64]:
    """Numbers that order rows by id, those that are held out before all others: ``uint64[N]``."""
    if not held:
        return ids
    numbers = np.empty(len(ids), np.uint64)
    numbers[np.lexsort((ids, standing(ids, held)))] = np.arange(len(ids), dtype=np.uint64)
    return numbers


def _write_ordinals(work: str, counts: Mapping[int, int]) -> None:
    """Rows of each fragment, for the shares of a split."""
    found = sorted(counts.items())
    columns = [[o for o, _ in found], [n for _, n in found]]
    table = pa.table({"ordinal": pa.array(columns[0], pa.uint64()), "rows": pa.array(columns[1], pa.int64())})
    storage.write_table(storage.join(work, "ordinals.parquet"), table)


def _levels(sources: pa.ChunkedArray, level: dict[str, int], none: int) -> NDArray[np.int32]:
    """Level of each row's source; `none` for others and for rows of earlier runs, which have none."""
    names = sources.combine_chunks().cast(pa.string()).dictionary_encode()
    levels = np.array([*(level.get(n, none) for n in names.dictionary.to_pylist()), none], np.int32)
    chosen: NDArray[np.int32] = levels[pc.fill_null(names.indices, len(names.dictionary)).to_numpy()]
    return chosen


def _write_ranks(
    staged: Sequence[str], work: str, place: NDArray[np.integer[Any]], representative: NDArray[np.bool_]
) -> None:
    """Write for each staged file the rank of its rows, and whether each is the best of its exact copies."""
    rank = np.empty_like(place)
    rank[place] = np.arange(len(place), dtype=place.dtype)
    at = 0
    for number, path in enumerate(staged):
        mine = rank[at : at + storage.rows(path)].astype(np.int64)
        table = pa.table({"rank": mine, "representative": representative[mine]})
        passing.write_hashes(storage.join(work, f"ranks-{number}.parquet"), [table])
        at += len(mine)


def _write(work: str, name: str, values: pa.Array) -> None:
    # In groups, so that the writer encodes a part of the column at a time.
    path = storage.join(work, f"rows-{name}.parquet")
    passing.write_hashes(path, [pa.table({name: values})], dictionary=name == "source")


def ranges(work: str, name: str) -> Iterator[tuple[int, pa.Array]]:
    """A column by rank, some rows at a time: the rank of the first and the values."""
    at = 0
    for table in storage.row_groups(storage.join(work, f"rows-{name}.parquet"), [name]):
        yield at, table[name].combine_chunks()
        at += table.num_rows


def column(work: str, name: str, ranks: NDArray[np.int64]) -> pa.Array:
    """A column at some ranks, ascending; no more of it is held than a row group."""
    found = []
    for first, values in ranges(work, name):
        begin, end = np.searchsorted(ranks, [first, first + len(values)])
        found.append(values.take(pa.array(ranks[begin:end] - first)))
    return pa.chunked_array(found).combine_chunks()
