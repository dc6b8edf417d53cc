"""Pass 2 over files: the same answer as in memory, however rows lie in files and tasks run."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import decide, in_memory
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.steps import block as blocking
from headrace.pipelines.stages.dedup.steps import run as dedup_tasks
from headrace.pipelines.stages.dedup.steps import verify as verifying
from tests.builders import SYLLABLES as WORDS
from tests.builders import backwards
from tests.builders import in_order as each
from tests.builders import near_copies as corpus
from tests.builders import prepared_table as rows
from tests.builders import write_parts as written
from tests.pipelines.stages.dedup.builders import ran


@settings(max_examples=6)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 80), max_size=25).map(sorted))
def test_files_and_tasks_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("pass")
    texts = corpus(seed)
    table = rows(texts)
    memory = in_memory.duplicates(pa.array(texts))
    (folder / "a").mkdir()
    report, straight = ran(written(folder / "a", table, []), folder / "one")
    assert straight["removed"].select(memory.column_names).equals(memory)
    assert straight["removed"]["run"].null_count == memory.num_rows
    assert report["exact"] + report["near"] == memory.num_rows
    assert report["rows"] == len(texts)
    mixed = table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))
    (folder / "b").mkdir()
    paths = written(folder / "b", mixed, cuts)
    told, shuffled = ran(paths[::-1], folder / "two", each=backwards)
    assert told == report
    assert shuffled == straight
    assert not (folder / "two" / "work").exists()


def test_partitions_and_chunks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = written(tmp_path, rows(corpus(11)), [20, 50])
    report, whole = ran(paths, tmp_path / "whole")
    monkeypatch.setattr(blocking, "PARTITION", 7)
    monkeypatch.setattr(storage, "RANGE_ROWS", 9)
    monkeypatch.setattr(decide, "STEP", 5)
    monkeypatch.setattr(verifying, "CHUNK", 500)
    monkeypatch.setattr(verifying, "RANGE_GROUP", 2)
    monkeypatch.setattr(verifying, "BATCH", 1)
    monkeypatch.setattr(dedup_tasks, "GROUP", 2)
    told, parted = ran(paths, tmp_path / "parted", each=backwards)
    assert told == report
    assert parted == whole
    assert whole["removed"].num_rows > 10


def test_no_files_and_no_rows(tmp_path: Path) -> None:
    for paths in ([], written(tmp_path, rows([]), [])):
        report, tables = ran(paths, tmp_path / "out")
        assert (report["rows"], report["exact"], report["near"], report["clusters"]) == (0, 0, 0, [])
        assert all(table.num_rows == 0 for table in tables.values())
        assert tables["removed"].schema.equals(dedup_tasks.LISTING)


def test_nothing_in_common(tmp_path: Path) -> None:
    report, tables = ran(written(tmp_path, rows(["one", "two " * 40]), [1]), tmp_path / "out")
    assert (report["exact"], report["near"], report["candidates"]) == (0, 0, 0)
    assert tables["clusters"].num_rows == 0
    assert tables["ordinals"].to_pylist() == [{"ordinal": 0, "rows": 2}]


def test_large_row_ids_and_several_ordinals(tmp_path: Path) -> None:
    table = rows(["same text"] * 3 + ["another"])
    ids = pa.array([2**63 + 1, 7, (3 << 32) + 5, (3 << 32) + 6], pa.uint64())
    table = table.set_column(table.schema.get_field_index("row_id"), "row_id", ids)
    _, tables = ran(written(tmp_path, table, [1, 2]), tmp_path / "out")
    assert tables["removed"].select(["removed", "kept"]).to_pylist() == [
        {"removed": (3 << 32) + 5, "kept": 7},
        {"removed": 2**63 + 1, "kept": 7},
    ]
    assert tables["ordinals"].to_pylist() == [
        {"ordinal": 0, "rows": 1},
        {"ordinal": 3, "rows": 2},
        {"ordinal": 2**31, "rows": 1},
    ]


def test_priority_then_quality_then_length_decide_who_stays(tmp_path: Path) -> None:
    story = " ".join(WORDS) * 3
    texts = [story + " the end", story + " end", story]
    table = rows(texts, source=["a", "b", "b"])
    paths = written(tmp_path, table, [2])
    assert ran(paths, tmp_path / "o1")[1]["removed"]["kept"].to_pylist() == [0, 0]
    assert ran(paths, tmp_path / "o2", order={"b": 1})[1]["removed"]["kept"].to_pylist() == [1, 1]
    better = pa.array([{"score": 0.1}, {"score": 0.1}, {"score": 0.9}], schema.QUALITY)
    judged = table.set_column(table.schema.get_field_index("quality"), "quality", better)
    assert ran(written(tmp_path, judged, []), tmp_path / "o3")[1]["removed"]["kept"].to_pylist() == [2, 2]


def test_borderline_pairs_share_a_cluster_but_stay(tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(40)]
    texts = [" ".join(words), " ".join([*words[:36], "quite", "another"])]
    similarity = in_memory.duplicates(pa.array(texts), Config(threshold=0.5))["similarity"][0].as_py()
    config = Config(threshold=min(1.0, similarity + 0.03), margin=0.05)
    report, tables = ran(written(tmp_path, rows(texts), []), tmp_path / "out", config)
    assert (report["near"], report["borderline"]) == (0, 1)
    assert tables["borderline"]["similarity"].to_pylist() == [similarity]
    assert tables["clusters"]["cluster"].to_pylist() == [0, 0]
    config = Config(threshold=min(1.0, similarity + 0.03), margin=0.01)
    assert ran(written(tmp_path, rows(texts), []), tmp_path / "out", config)[1]["clusters"].num_rows == 0


@pytest.mark.parametrize("row_group", [1, 2, 100])
def test_groups_and_copies_share_a_cluster_whatever_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row_group: int
) -> None:
    monkeypatch.setattr(storage, "RANGE_ROWS", row_group)
    texts = ["one", "two", "three", "three", "four", "five"]
    table = rows(texts, group=[8, None, 8, None, None, 2**64 - 1])
    config = Config(exact=False, near=False)
    report, tables = ran(written(tmp_path, table, [1, 3]), tmp_path / "out", config)
    assert report["exact"] + report["near"] == 0
    found = tables["clusters"].to_pydict()
    assert (found["row_id"], found["cluster"]) == ([0, 2, 3], [0, 0, 0])
    assert found["own"] == [8, 8, table["exact_lo"][3].as_py()]
    pairs = [(0, 2), (2, 3)]
    assert tables["joined"].to_pylist() == [{"a": a, "b": b, "same": False} for a, b in pairs]


def test_thresholds_count_what_would_go(tmp_path: Path) -> None:
    texts = corpus(4)
    report, _ = ran(written(tmp_path, rows(texts), []), tmp_path / "out")
    counts = [t["rows"] for t in report["thresholds"]]
    assert counts == sorted(counts, reverse=True)
    by_threshold = {t["threshold"]: t["rows"] for t in report["thresholds"]}
    assert by_threshold[0.8] == report["exact"] + report["near"]
    assert sum(c["rows"] - 1 for c in report["clusters"]) <= by_threshold[0.8]
    assert by_threshold[0.9] == in_memory.duplicates(pa.array(texts), Config(threshold=0.9)).num_rows


def test_a_row_that_was_added_never_displaces_one_that_stood(tmp_path: Path) -> None:
    words = " ".join(f"word{n}" for n in range(60))
    before, after = words, words + " and one more to be longer"
    table = rows([before, after])
    ids = pa.array([0, 1 << 32], pa.uint64())
    table = table.set_column(table.schema.get_field_index("row_id"), "row_id", ids)
    paths = written(tmp_path, table, [1])
    for firsts, kept in (((0,), 1 << 32), ((0, 1), 0)):
        dedup_tasks.run(paths, str(tmp_path / "out"), Config(), order={}, ngram=8, each=each, firsts=firsts)
        removed = storage.read_table(str(tmp_path / "out" / "removed.parquet"))
        assert removed["kept"].to_pylist() == [kept]
