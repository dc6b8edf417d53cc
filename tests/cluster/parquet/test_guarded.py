"""Parquet of somebody else: the table it holds, or that it is damaged, and never more than that."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import DamagedError
from headrace.cluster.parquet import guarded

TABLE = pa.table(
    {"a": list(range(500)), "b": [f"text {i} é" * 3 for i in range(500)], "c": [[i] for i in range(500)]}
)


def test_some_columns_in_the_order_asked_for(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "x.parquet", row_group_size=100, compression="zstd")
    path = str(tmp_path / "x.parquet")
    assert guarded.table(path, ["c", "a"]).equals(TABLE.select(["c", "a"]))
    with pytest.raises(DamagedError):
        guarded.table(path, ["a", "absent"])
    with pytest.raises(FileNotFoundError):
        guarded.table(str(tmp_path / "y.parquet"), ["a"])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**20), st.binary(min_size=1, max_size=30))
def test_damage_is_told_or_changes_values_alone(tmp_path_factory: Any, at: int, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("damage") / "x.parquet"
    pq.write_table(TABLE, path, row_group_size=100)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at : at + len(noise)] = noise
    path.write_bytes(data)
    try:
        found = guarded.table(str(path), TABLE.column_names)
    except DamagedError:
        return
    assert found.schema.names == TABLE.schema.names


def test_a_value_meant_a_million_times_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), pa.array(["x" * 1_000_000]))
    pq.write_table(
        pa.table({"a": texts}), tmp_path / "x.parquet", dictionary_pagesize_limit=2**24, store_schema=False
    )
    with pytest.raises(DamagedError):
        guarded.table(str(tmp_path / "x.parquet"), ["a"])
