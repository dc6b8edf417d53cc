"""The first texts of a source: from all over its files, bounded, whatever the records look like."""

from pathlib import Path
from typing import Any

from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.files import first
from headrace.pipelines.stages.read.source import Source
from tests.builders import write_jsonl


def texts(path: Path, **more: Any) -> list[str]:
    (source,) = inputs.resolve([Source(path=str(path), **more)])
    return list(first.texts(source, inputs.files(source)))


def test_texts_come_from_files_all_over_and_are_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    for n in range(40):
        write_jsonl(tmp_path / f"{n:02}.jsonl", [{"text": f"file {n} line {k}"} for k in range(5)])
    monkeypatch.setattr(first, "FILES", 4)
    monkeypatch.setattr(first, "RECORDS", 8)
    found = texts(tmp_path)
    assert found == [f"file {n} line {k}" for n in (0, 10, 20, 30) for k in (0, 1)]
    monkeypatch.setattr(first, "BYTES", 40)
    assert texts(tmp_path) == [f"file {n} line 0" for n in (0, 10, 20, 30)]


def test_only_what_turns_are_made_of_counts_and_what_cannot_be_read_is_passed_by(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "asked"}, {"role": "assistant", "content": "said"}]
    lines = [{"messages": turns, "seen": "12/25/2024"}, "{broken", {"messages": None, "seen": ""}]
    path = write_jsonl(tmp_path / "a.jsonl", lines)
    assert texts(path, meta=["seen"]) == ["user", "asked", "assistant", "said"]
