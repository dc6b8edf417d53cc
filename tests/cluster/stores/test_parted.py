"""Tables in parts: what is read of one is what was written for it, in its order, local or remote."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.cluster.errors import DamagedError
from headrace.cluster.stores import parted


def test_a_part_is_read_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "below" / "parted.arrow")
    table = pa.table(
        {"of": ["b", "c", "a", "d"], "words": [[1], [], [2, 3], [4]], "yes": [True, False, True, True]}
    )
    parted.write(path, table, np.array([1, 3, 0, 3]))
    assert [parted.read(path, part, ["of"])["of"].to_pylist() for part in range(5)] == [
        ["a"],
        ["b"],
        [],
        ["c", "d"],
        [],
    ]
    assert parted.read(path, 3).to_pydict() == {"of": ["c", "d"], "words": [[], [4]], "yes": [False, True]}
    assert parted.read(path, 3, ["yes", "of"]).column_names == ["of", "yes"], "in the table's order"
    assert [part["words"].to_pylist() for part in parted.parts(path, ["words"])] == [
        [[2, 3]],
        [[1]],
        [],
        [[], [4]],
    ]
    assert parted.rows(path) == 4


@given(st.lists(st.integers(0, 40), max_size=12))
@example([70_000, 3, 70_000])
def test_all_parts_together_are_the_table(part: list[int]) -> None:
    path = f"memory-{len(part)}.arrow"
    table = pa.table({"row": pa.array(range(len(part)), pa.int64())})
    with pytest.MonkeyPatch.context() as patch:
        held: dict[str, bytes] = {}
        patch.setattr(storage, "is_remote", lambda _: True)
        patch.setattr(storage, "open_input", lambda path: pa.BufferReader(held[path]))
        patch.setattr(storage, "filesystem", lambda path: (_Store(held), path))
        parted.write(path, table, np.array(part, np.int64))
        found = [parted.read(path, number)["row"].to_pylist() for number in set(part)]
    expected = [[row for row, of in enumerate(part) if of == number] for number in set(part)]
    assert found == expected


class _Store:
    """A store that holds objects in memory."""

    def __init__(self, held: dict[str, bytes]) -> None:
        self.held = held

    def pipe_file(self, key: str, data: bytes) -> None:
        self.held[key] = data


def test_one_part_where_none_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "whole.arrow")
    parted.write(path, pa.table({"row": [3, 1]}))
    assert parted.read(path)["row"].to_pylist() == [3, 1]
    parted.write(path, pa.table({"row": pa.array([], pa.int64())}), np.zeros(0, np.int64))
    assert parted.read(path)["row"].to_pylist() == []
    assert parted.rows(path) == 0


def test_what_is_missing_or_cut_is_said(tmp_path: Path) -> None:
    path = str(tmp_path / "whole.arrow")
    with pytest.raises(FileNotFoundError):
        parted.read(path)
    parted.write(path, pa.table({"row": [3, 1]}))
    Path(path).write_bytes(Path(path).read_bytes()[:-20])
    with pytest.raises(DamagedError, match=r"whole\.arrow"):
        parted.read(path)
