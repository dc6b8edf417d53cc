"""Leaks of a run: what is found, what goes, and what is said of it."""

from pathlib import Path

import pyarrow as pa
import pytest

from headrace.cluster import storage
from headrace.pipelines.examine.leaks import run as leaks
from headrace.pipelines.examine.leaks.config import Config
from tests import builders

QUESTIONS = [
    f"A question about the {word}: {builders.story(n, 24)}?" for n, word in enumerate(("lamp", "oil", "tide"))
]


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Path, list[str]]:
    """A run of seven rows in two files, one of which was removed as a duplicate, and the set's file."""
    rows = builders.table(
        [("user", builders.story(10))],
        [("user", QUESTIONS[0]), ("assistant", "no idea")],
        [("user", QUESTIONS[0]), ("assistant", "none at all")],
        [("text", f"{builders.story(11)} {QUESTIONS[1]}")],
        [
            ("user", "tell me more"),
            ("assistant", builders.story(12)),
            ("user", QUESTIONS[2]),
            ("assistant", "so"),
        ],
        [("user", builders.story(13)), ("assistant", "nothing")],
        [("user", QUESTIONS[2]), ("assistant", "held apart")],
        source=["s"] * 6 + ["golden"],
    )
    (tmp_path / "prepared").mkdir()
    paths = builders.write_parts(tmp_path / "prepared", rows, [3])
    removed = pa.table({"removed": pa.array([2], pa.uint64()), "rule": ["exact"]})
    storage.write_table(str(tmp_path / "duplicates/removed.parquet"), removed)
    builders.write_jsonl(tmp_path / "sums.jsonl", [{"question": q, "answer": "42"} for q in QUESTIONS])
    return tmp_path, paths


def config(folder: Path, **more: str) -> Config:
    return Config.model_validate({"against": [str(folder / "sums.jsonl")], **more})


def test_rows_that_hold_an_item_go_and_the_report_has_no_text(prepared: tuple[Path, list[str]]) -> None:
    folder, paths = prepared
    report = leaks.run(paths, str(folder), config(folder), builders.in_order)
    assert report == {
        "sets": {"sums": 3},
        "untold": {},
        "rows": 6,
        "rows_hit": 4,
        "by_set": {"sums": 4},
        "by_rule": {"ngram_13": 4},
        "words": "4 of 6 rows hold items of 1 evaluation sets",
        "listed": [
            [1, "sums.jsonl, line 1"],
            [3, "sums.jsonl, line 2"],
            [4, "sums.jsonl, line 3"],
            [6, "sums.jsonl, line 3"],
        ],
    }
    findings = storage.read_table(str(folder / "findings/leaks.parquet"))
    assert findings.schema == leaks.FINDINGS
    assert findings.select(["row_id", "item", "share", "rule", "part"]).to_pylist() == [
        {"row_id": row, "item": item, "share": 1.0, "rule": "ngram_13", "part": "prompt"}
        for row, item in ((1, 0), (3, 1), (4, 2), (6, 2))
    ]
    drops = storage.read_table(str(folder / "findings/leaks.drops.parquet"))
    assert drops.to_pylist() == [{"row_id": row, "reason": "decontaminate.leak"} for row in (1, 3, 4, 6)]
    assert not list((folder / leaks.WORK).glob("*"))


def test_under_policy_report_nothing_goes(prepared: tuple[Path, list[str]]) -> None:
    folder, paths = prepared
    report = leaks.run(paths, str(folder), config(folder, policy="report"), builders.in_order)
    assert report["rows_hit"] == 4
    assert not (folder / "findings/leaks.drops.parquet").exists()


def test_a_set_that_has_changed_is_looked_for_as_it_is(prepared: tuple[Path, list[str]]) -> None:
    folder, paths = prepared
    met = []
    for question in QUESTIONS[:2]:  # of as many words, so that the index has the same size
        builders.write_jsonl(folder / "sums.jsonl", [{"question": question, "answer": "42"}])
        met.append(leaks.find(paths, str(folder), config(folder), builders.in_order).findings["row_id"])
    assert [rows.to_pylist() for rows in met] == [[1], [3]]


def test_files_in_another_order_give_the_same_bytes(prepared: tuple[Path, list[str]]) -> None:
    folder, paths = prepared
    written = []
    for given, each in (
        (paths, builders.in_order),
        (paths, builders.backwards),
        (paths[::-1], builders.in_order),
    ):
        leaks.run(given, str(folder), config(folder), each)
        written.append([(folder / f"findings/leaks{end}.parquet").read_bytes() for end in ("", ".drops")])
    assert written[0] == written[1] == written[2]


def test_a_run_without_rows_or_hits_is_written_too(tmp_path: Path) -> None:
    builders.write_jsonl(tmp_path / "sums.jsonl", [{"question": "one?", "answer": "1"}])
    report = leaks.run([], str(tmp_path), config(tmp_path), builders.in_order)
    assert (report["rows"], report["rows_hit"], report["untold"]) == (0, 0, {"sums": 1})
    assert storage.read_table(str(tmp_path / "findings/leaks.drops.parquet")).schema == leaks.DROPS


def test_row_ids_of_many_fragments_stay_whole(tmp_path: Path) -> None:
    first = (3 << 32) + 5
    rows = builders.table([("user", QUESTIONS[0])], first=first)
    (tmp_path / "prepared").mkdir()
    paths = builders.write_parts(tmp_path / "prepared", rows, [])
    removed = pa.table({"removed": pa.array([], pa.uint64()), "rule": pa.array([], pa.string())})
    storage.write_table(str(tmp_path / "duplicates/removed.parquet"), removed)
    builders.write_jsonl(tmp_path / "sums.jsonl", [{"question": QUESTIONS[0], "answer": "42"}])
    report = leaks.run(paths, str(tmp_path), config(tmp_path), builders.in_order)
    assert report["listed"] == [[first, "sums.jsonl, line 1"]]
