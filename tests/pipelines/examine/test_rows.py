"""Rows that the examiner looks at: duplicates are left out, and the last exchange is told."""

from pathlib import Path

import pyarrow as pa
import pytest

from headrace.cluster import storage
from headrace.pipelines import structure
from headrace.pipelines.examine import rows
from tests import builders


def test_duplicates_are_left_out(tmp_path: Path) -> None:
    table = builders.table(*([("user", f"q{n}"), ("assistant", f"a{n}")] for n in range(4)), first=7)
    storage.write_ranges(str(tmp_path / "part.parquet"), table)
    rules = ["exact", "near", "exact", "near"]
    removed = pa.table({"removed": pa.array([3, 8, 10, 99], pa.uint64()), "rule": rules})
    (tmp_path / "duplicates").mkdir()
    storage.write_ranges(str(tmp_path / "duplicates/removed.parquet"), removed)
    kept = rows.left(str(tmp_path / "part.parquet"), str(tmp_path), ["messages"])
    assert kept["row_id"].to_pylist() == [7, 9]
    assert rows.exchanges(kept).to_pylist() == [
        {"prompt": "q0", "answer": "a0", "rejected": ""},
        {"prompt": "q2", "answer": "a2", "rejected": ""},
    ]


def test_files_are_read_once_for_all_that_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, removed = tmp_path / "prepared", pa.table({"removed": pa.array([1], pa.uint64())})
    prepared.mkdir()
    (tmp_path / "duplicates").mkdir()
    storage.write_ranges(str(tmp_path / "duplicates/removed.parquet"), removed)
    table = builders.table(*([("user", f"q{n}"), ("assistant", f"a{n}")] for n in range(5)), first=0)
    paths = [str(prepared / f"part-{n}.parquet") for n in range(2)]
    storage.write_table(paths[0], table.slice(0, 3))
    storage.write_table(paths[1], table.slice(3))
    monkeypatch.setattr(rows, "TOGETHER", 1)
    read: list[list[str]] = []
    left = rows.left
    monkeypatch.setattr(rows, "left", lambda files, *rest: read.append(files) or left(files, *rest))

    def ids(files: rows.Files) -> tuple[int, list[int]]:
        return files.number, files.table["row_id"].to_pylist()

    def answers(files: rows.Files) -> list[str]:
        answered: list[str] = files.exchanges["answer"].to_pylist()
        return answered

    said = list(rows.look([ids, answers], paths, str(tmp_path), builders.in_order, name="look"))
    assert [[one for one, _ in of_files] for of_files in said] == [
        [(0, [0, 2]), ["a0", "a2"]],
        [(1, [3, 4]), ["a3", "a4"]],
    ]
    assert all(seconds >= 0 for of_files in said for _, seconds in of_files)
    assert read == [[path] for path in paths]
    assert rows.alone(answers, paths, str(tmp_path), builders.in_order, name="look") == [
        ["a0", "a2"],
        ["a3", "a4"],
    ]


@pytest.mark.parametrize(
    ("turns", "prompt", "answer"),
    [
        ([("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")], "a\nb\nc", "d"),
        ([("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "thanks")], "s\na", "b"),
        ([("text", "plain")], "", "plain"),
        ([("user", "a")], "a", ""),
        ([("user", "a"), ("assistant", None)], "a", ""),
        (None, "", ""),
    ],
)
def test_the_last_exchange(turns: list[tuple[str, str | None]] | None, prompt: str, answer: str) -> None:
    before, after = [("user", "x"), ("assistant", "y")], [("text", "z")]
    found = rows.exchanges(builders.table(before, turns, after)).to_pylist()
    assert found[0] == {"prompt": "x", "answer": "y", "rejected": ""}
    assert found[1] == {"prompt": prompt, "answer": answer, "rejected": ""}
    assert found[2] == {"prompt": "", "answer": "z", "rejected": ""}


def test_tools_are_no_part_of_a_prompt() -> None:
    offer = structure.sealed("be brief", {"tools": [{"name": "look"}]})
    found = rows.exchanges(builders.table([("system", offer), ("user", "q"), ("assistant", "a")]))
    assert found.to_pylist() == [{"prompt": "be brief\nq", "answer": "a", "rejected": ""}]


def test_small_files_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "duplicates").mkdir()
    removed = pa.table({"removed": pa.array([1], pa.uint64()), "rule": ["exact"] * len([1])})
    storage.write_ranges(str(tmp_path / "duplicates/removed.parquet"), removed)
    paths = [str(tmp_path / f"prepared/part-{n}.parquet") for n in range(4)]
    (tmp_path / "prepared").mkdir()
    for n, path in enumerate(paths):
        storage.write_ranges(path, builders.table([("user", f"q{n}")], first=n))
    assert rows.together(paths) == [paths]
    size = storage.listing(str(tmp_path / "prepared"))[0].size
    monkeypatch.setattr(rows, "TOGETHER", size + 1)
    assert rows.together(paths) == [paths[:2], paths[2:]]
    assert rows.together([]) == []
    monkeypatch.chdir(tmp_path)
    assert rows.together(["prepared/part-0.parquet", "prepared/part-1.parquet"]) == [
        ["prepared/part-0.parquet", "prepared/part-1.parquet"]
    ]
    kept = rows.left(paths, str(tmp_path), ["messages", "nowhere"])
    assert kept["row_id"].to_pylist() == [0, 2, 3]
    assert kept.column_names == ["row_id", "messages"]
