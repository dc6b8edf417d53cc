"""Formats over a run: what is found, and what the report says without a row's text."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.examine.formats import run as formats
from headrace.pipelines.examine.formats.config import Config
from tests import builders


def run(folder: Path, *answers: str, parts: int = 1, **settings: Any) -> tuple[dict[str, Any], list[Any]]:
    made = builders.table(*([("user", f"q{n}"), ("assistant", a)] for n, a in enumerate(answers)))
    cuts = [len(answers) * n // parts for n in range(1, parts)]
    paths = builders.write_parts(folder, made.drop_columns(["drop", "error"]), cuts)
    (folder / "duplicates").mkdir(exist_ok=True)
    storage.write_ranges(
        str(folder / "duplicates/removed.parquet"), pa.table({"removed": pa.array([], pa.uint64())})
    )
    report = formats.run(paths, str(folder), Config(**settings), builders.in_order)
    return report, storage.read_table(str(folder / "findings/formats.parquet")).to_pylist()


def test_broken_answers_are_found_and_counted(tmp_path: Path) -> None:
    answers = ['{"a": 1}', "plain", '{"a": 1} so', '{"a" 1}', "SELECT a FROM b"]
    report, found = run(tmp_path, *answers, parts=3)
    assert found == [
        {"row_id": 2, "format": "json", "valid_head": True, "valid": False, "breaks_at": 9},
        {"row_id": 3, "format": "json", "valid_head": False, "valid": False, "breaks_at": 5},
    ]
    assert report == {
        "enabled": True,
        "answers": 5,
        "structured": 4,
        "broken": 2,
        "by_format": {
            "json": {"valid": 1, "drift": 1, "invalid": 1},
            "sql": {"valid": 1, "drift": 0, "invalid": 0},
        },
        "mixed": {"s": {"answers": 5, "structured": 4}},
        "too_long": 0,
        "verdict": "mend",
        "words": [
            "2 of 3 answers that begin as json break",
            "4 of 5 answers of 's' are structured, the rest is not",
        ],
    }


def test_parts_make_no_difference(tmp_path: Path) -> None:
    answers = [f'{{"a": {n}' + ("}" if n % 3 else "} and") for n in range(12)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert run(tmp_path / "a", *answers) == run(tmp_path / "b", *answers, parts=5)


def test_plain_answers_are_fine(tmp_path: Path) -> None:
    report, found = run(tmp_path, "It is.", "It is not.")
    assert (report["verdict"], report["words"], report["structured"], found) == ("fine", [], 0, [])


def test_long_answers_are_counted_and_a_pattern_is_followed(tmp_path: Path) -> None:
    report, found = run(tmp_path, "A1", "A1 B", "x" * 101, longest=100, pattern=r"A\d")
    assert report["too_long"] == 1
    assert [(one["row_id"], one["format"], one["breaks_at"]) for one in found] == [(1, "pattern", 2)]


def test_in_memory() -> None:
    found = formats.formats(pa.array(['{"a": 1}', None, "no", '{"a": 1} x']))
    assert found.to_pylist() == [
        {"row": 0, "format": "json", "valid_head": True, "valid": True, "breaks_at": None},
        {"row": 3, "format": "json", "valid_head": True, "valid": False, "breaks_at": 9},
    ]
    assert formats.formats(pa.array([], pa.string())).num_rows == 0


def test_nothing_is_read_where_it_is_switched_off(tmp_path: Path) -> None:
    assert formats.run([], str(tmp_path), Config(enabled=False), builders.in_order) == {"enabled": False}
    assert formats.FINDINGS.names == ["row_id", "format", "valid_head", "valid", "breaks_at"]
    assert schema.ROW.field("row_id").type == formats.FINDINGS.field("row_id").type
