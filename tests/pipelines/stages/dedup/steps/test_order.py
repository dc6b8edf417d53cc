"""Columns by rank: the same from files in pieces as from one table, nulls and names among them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines.stages.dedup.steps import cluster as clusters
from headrace.pipelines.stages.dedup.steps import order as ordering

GROUPS = st.lists(st.one_of(st.none(), st.integers(0, 4), st.just(2**64 - 1)), min_size=1, max_size=30)


def work_with(folder: Path, name: str, values: pa.Array, row_group: int) -> str:
    storage.write_table(str(folder / f"rows-{name}.parquet"), pa.table({name: values}), row_group)
    return str(folder)


@settings(max_examples=25)
@given(GROUPS, st.integers(1, 9), st.data())
def test_a_column_at_some_ranks(
    tmp_path_factory: pytest.TempPathFactory, values: list[int | None], row_group: int, data: st.DataObject
) -> None:
    held = pa.array(values, pa.uint64())
    work = work_with(tmp_path_factory.mktemp("work"), "group", held, row_group)
    ranks = sorted(data.draw(st.sets(st.integers(0, len(values) - 1))))
    found = ordering.column(work, "group", np.array(ranks, np.int64))
    assert found.type == pa.uint64()
    assert found.to_pylist() == [values[r] for r in ranks]


@settings(max_examples=25)
@given(GROUPS, st.integers(1, 9), st.integers(0, 30))
def test_rows_whose_group_another_row_of_the_run_has(
    tmp_path_factory: pytest.TempPathFactory, values: list[int | None], row_group: int, foreign: int
) -> None:
    foreign = min(foreign, len(values))
    held = pa.array(values, pa.uint64())
    work = work_with(tmp_path_factory.mktemp("work"), "group", held, row_group)
    own = values[foreign:]
    wanted = [
        rank
        for rank, group in enumerate(values)
        if rank >= foreign and group is not None and own.count(group) > 1
    ]
    assert clusters._repeated(work, foreign).tolist() == wanted


@settings(max_examples=15)
@given(GROUPS, st.lists(st.integers(0, 30), max_size=3).map(sorted))
def test_staged_columns_by_rank(
    tmp_path_factory: pytest.TempPathFactory, values: list[int | None], cuts: list[int]
) -> None:
    n = len(values)
    cuts = [0, *(min(c, n) for c in cuts), n]
    names = [None if v is None else f"name {v}" for v in values]
    table = pa.table(
        {
            "size": pa.array(range(n), pa.uint32()),
            "group": pa.array(values, pa.uint64()),
            "source": pa.array(names, pa.string()).dictionary_encode(),
        }
    )
    folder = tmp_path_factory.mktemp("staged")
    paths = [str(folder / f"{number}.parquet") for number in range(len(cuts) - 1)]
    for path, first, last in zip(paths, cuts, cuts[1:], strict=False):
        storage.write_table(path, table.slice(first, last - first), 4)
    place = np.random.default_rng(n).permutation(n).astype(np.uint32)
    rows = ordering.Staged(paths, place)
    assert rows["size"].tolist() == place.tolist()
    assert rows.numbers("group").to_pylist() == [values[p] for p in place]
    assert rows.names("source").to_pylist() == [names[p] for p in place]
