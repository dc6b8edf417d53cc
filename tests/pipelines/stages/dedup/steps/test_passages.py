"""Passages over files: the plain definition, however rows lie in files and tasks run."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines.stages.dedup import passages
from headrace.pipelines.stages.dedup.config import Passages
from headrace.pipelines.stages.dedup.passages import CUTS
from headrace.pipelines.stages.dedup.steps import passages as passage_tasks
from headrace.pipelines.stages.dedup.steps.run import LISTING
from tests.builders import backwards, story
from tests.builders import in_order as each
from tests.builders import prepared_table as rows
from tests.builders import write_parts as written

BOILERPLATE = [story(n, 90) for n in range(3)]
CONFIG = Passages(enabled=True)


def decided(output: Path, removed: dict[int, int] | None = None, bridges: tuple[int, ...] = ()) -> None:
    """What the steps before leave in duplicates/: removed rows with those kept for them, and bridges."""
    gone = sorted((removed or {}).items())
    same = {"distance": 0, "similarity": 1.0, "rule": "near", "run": None, "error": 0.0}
    made = pa.Table.from_pylist([{"removed": r, "kept": k, **same} for r, k in gone], schema=LISTING)
    storage.write_table(str(output / "removed.parquet"), made)
    sides = {
        "row_id": pa.array(sorted(bridges), pa.uint64()),
        "side": pa.array([0] * len(bridges), pa.int8()),
    }
    table = pa.table({**sides, "bridge": pa.array([True] * len(bridges), pa.bool_())})
    storage.write_table(str(output / "sides.parquet"), table)


def ran(
    paths: list[str], output: Path, config: Passages = CONFIG, each: Any = each, **order: int
) -> tuple[dict[str, Any], pa.Table, pa.Table]:
    """What is told, the cuts of all files by row, and the list of passages."""
    told = passage_tasks.run(paths, str(output), config, order=order, each=each)
    files = sorted((output / "cuts").glob("*.parquet")) if told["cuts"] else []
    assert [f.name for f in files] == [f"part-{u}.parquet" for u in sorted(told["cuts"])]
    cuts = pa.concat_tables([CUTS.empty_table(), *(storage.read_table(str(f)) for f in files)])
    listed = [storage.read_table(str(f)) for f in sorted((output / "passages").glob("*.parquet"))]
    assert not (output / "passages" / "work").exists()
    return told, cuts.sort_by([(n, "ascending") for n in CUTS.names]), pa.concat_tables(listed)


def corpus(seed: int, n: int = 24) -> list[str]:
    """Texts of their own, half of them with some boilerplate at the start, in the middle or at the end."""
    draw = np.random.default_rng(seed)
    found = []
    for at in range(n):
        text = [story(1000 * seed + at + 7, int(draw.integers(5, 60)))]
        for shared in BOILERPLATE:
            if draw.random() < 0.4:
                text.insert(int(draw.integers(0, len(text) + 1)), shared)
        found.append(" ".join(text))
    return found


def plainly(table: pa.Table, copies: int) -> set[tuple[int, int]]:
    """(row_id, byte) of every byte that is to be cut: longer rows first, then lower ids."""
    holders = defaultdict(list)
    found = passages.find(table, CONFIG)
    ids = table["row_id"].to_pylist()
    sizes = dict(zip(ids, table["size"].to_pylist(), strict=True))
    for row, start, stop, value in zip(found.row, found.start, found.stop, found.hash, strict=True):
        holders[int(value)].append((-sizes[ids[row]], ids[row], int(start), int(stop)))
    return {
        (row_id, byte)
        for held in holders.values()
        if len({row_id for _, row_id, _, _ in held}) >= copies
        for _, row_id, start, stop in held
        if row_id != min(held)[1]
        for byte in range(start, stop)
    }


@settings(max_examples=6)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 24), max_size=9).map(sorted), st.integers(2, 5))
def test_files_and_tasks_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cut: list[int], copies: int
) -> None:
    folder = tmp_path_factory.mktemp("passages")
    table, config = rows(corpus(seed)), Passages(enabled=True, copies=copies)
    for name in ("one", "two", "a", "b"):
        (folder / name).mkdir()
    decided(folder / "one")
    decided(folder / "two")
    told, cuts, listed = ran(written(folder / "a", table, []), folder / "one", config)
    bytes_cut = {(c["row_id"], byte) for c in cuts.to_pylist() for byte in range(c["start"], c["stop"])}
    assert bytes_cut == plainly(table, copies)
    report = told["report"]
    assert report["bytes"] == len(bytes_cut)
    assert (report["rows"], report["passages"]) == (len({r for r, _ in bytes_cut}), listed.num_rows)
    mixed = table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))
    paths = written(folder / "b", mixed, cut)[::-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passage_tasks, "GROUP", 2)
        patch.setattr(passage_tasks, "SHARE", 5)
        again, cuts_again, listed_again = ran(paths, folder / "two", config, backwards)
    assert (again["report"], again["read"]) == (report, told["read"])
    assert cuts_again.equals(cuts)
    assert listed_again.equals(listed)


def test_no_files_and_no_rows(tmp_path: Path) -> None:
    decided(tmp_path)
    empty = {"passages": 0, "rows": 0, "bytes": 0, "largest": []}
    assert passage_tasks.run([], str(tmp_path), CONFIG, order={}, each=each)["report"] == empty
    for texts in ([], ["brief"], [story(1), story(2)]):
        told, cuts, _ = ran(written(tmp_path, rows(texts), []), tmp_path)
        assert (told["report"], told["cuts"], cuts.num_rows) == (empty, {}, 0)
        assert told["read"]["rows"] == len(texts)


def shared_by(*lengths: int) -> pa.Table:
    """Rows of different lengths with one passage in each."""
    return rows([f"{story(50 + at, length)}\n{BOILERPLATE[0]}" for at, length in enumerate(lengths)])


def test_priority_then_length_decide_which_row_keeps_a_passage(tmp_path: Path) -> None:
    decided(tmp_path)
    table = shared_by(10, 30, 20)
    table = table.set_column(2, "source", pa.array(["a", "b", "c"]))
    paths = written(tmp_path, table, [1])
    assert set(ran(paths, tmp_path)[1]["row_id"].to_pylist()) == {0, 2}
    _, cuts, listed = ran(paths, tmp_path, c=1)
    assert set(cuts["row_id"].to_pylist()) == {0, 1}
    assert set(listed["kept"].to_pylist()) == {2}
    assert set(listed["rows"].to_pylist()) == {3}


def test_what_was_there_before_keeps_its_passages(tmp_path: Path) -> None:
    decided(tmp_path)
    table = shared_by(10, 20, 30)
    table = table.set_column(0, "row_id", pa.array([0, 1, 1 << 32], pa.uint64()))
    paths = written(tmp_path, table, [2])
    passage_tasks.run(paths, str(tmp_path), CONFIG, order={}, each=each, firsts=(0, 1))
    assert [f.name for f in sorted((tmp_path / "cuts").iterdir())] == ["part-0.parquet", "part-1.parquet"]
    kept = storage.read_table(str(tmp_path / "passages/part-00000.parquet"))["kept"]
    assert set(kept.to_pylist()) == {1}


def test_rows_that_go_neither_count_nor_keep(tmp_path: Path) -> None:
    paths = written(tmp_path, shared_by(10, 30, 20, 15), [2])
    decided(tmp_path)
    assert set(ran(paths, tmp_path)[1]["row_id"].to_pylist()) == {0, 2, 3}
    decided(tmp_path, {1: 2})
    assert set(ran(paths, tmp_path)[1]["row_id"].to_pylist()) == {0, 3}
    decided(tmp_path, bridges=(2,))
    assert set(ran(paths, tmp_path)[1]["row_id"].to_pylist()) == {0, 3}
    decided(tmp_path, {1: 0}, bridges=(2,))
    told, cuts, _ = ran(paths, tmp_path)
    assert (cuts.num_rows, told["report"]["passages"]) == (0, 0)
    assert told["read"]["rows"] == 2


def test_rows_that_others_were_removed_for_are_told(tmp_path: Path) -> None:
    paths = written(tmp_path, shared_by(10, 30, 20, 15), [2])
    decided(tmp_path, {0: 3})
    cuts = ran(paths, tmp_path)[1]
    assert dict(zip(cuts["row_id"].to_pylist(), cuts["stands"].to_pylist(), strict=True)) == {
        2: False,
        3: True,
    }


def test_a_row_counts_once_however_often_it_holds_a_passage(tmp_path: Path) -> None:
    decided(tmp_path)
    shared = story(70, 400)
    often = f"{shared}\n{story(71, 9)}\n{shared}\n{story(72, 9)}\n{shared}"
    paths = written(tmp_path, rows([often, f"{story(73, 1500)}\n{shared}"]), [1])
    assert ran(paths, tmp_path)[0]["report"]["passages"] == 0
    told, cuts, listed = ran(paths, tmp_path, Passages(enabled=True, copies=2))
    assert set(cuts["row_id"].to_pylist()) == {0}  # the other is longer
    assert told["report"]["bytes"] > 2 * len(shared)
    assert set(listed["rows"].to_pylist()) == {2}


def test_large_row_ids_and_adjacent_chunks_are_one_stretch(tmp_path: Path) -> None:
    decided(tmp_path)
    table = shared_by(30, 20, 10)
    ids = [7, 2**63 + 1, 2**64 - 1]
    table = table.set_column(0, "row_id", pa.array(ids, pa.uint64()))
    told, cuts, _ = ran(written(tmp_path, table, [1]), tmp_path)
    assert cuts["row_id"].to_pylist() == ids[1:]
    assert told["report"]["passages"] > 2
    first = told["report"]["largest"][0]
    assert (first["kept"], first["rows"]) == (7, 3)
    assert first["copied"] == 2 * (first["stop"] - first["start"])
