"""`contamination`: which rows of a prepared run hold evaluation items, without a word of either."""

from pathlib import Path

import pytest

from headrace.cluster.errors import OutputError
from headrace.pipelines.commands.examiner.contamination import contamination
from headrace.pipelines.examine import rows
from tests import builders
from tests.builders import Finished


def test_items_rows_and_places_are_named(finished: Finished, tmp_path: Path) -> None:
    run = str(finished.path)
    path = str(min((finished.path / "prepared").glob("*.parquet")))
    held = max(
        rows.left(path, run, ["file", "place", "messages"]).to_pylist(),
        key=lambda row: len(row["messages"][0]["content"]),
    )
    asked = held["messages"][0]["content"]
    records = [{"question": builders.story(99, 24), "answer": "42"}, {"question": asked, "answer": "42"}]
    records.append({"question": "one?", "answer": "1"})
    exam = builders.write_jsonl(tmp_path / "exam.jsonl", records)
    summary, untold, *hits = contamination(run, [str(exam)])
    assert summary.endswith(" rows hold 1 of 3 evaluation items")
    assert untold == (
        "not looked for: 1 of these items, which are too short, or too much like others, to be told from them"
    )
    where = f"row {held['row_id']} ({held['file']}, {held['place']})"
    assert any(hit.startswith(f"exam: exam.jsonl, line 2: {where}: 100% of its prompt, ") for hit in hits)
    assert asked not in "".join(hits)
    other = builders.write_jsonl(tmp_path / "other.jsonl", records[:1])
    (nothing,) = contamination(run, [str(other)])
    assert nothing.startswith("0 of ")


def test_a_run_that_is_not_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing is prepared"):
        contamination(str(tmp_path), ["exam.jsonl"])
