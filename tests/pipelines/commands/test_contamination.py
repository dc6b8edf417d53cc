"""`contamination`: which rows of a prepared run hold evaluation items, without a word of either."""

from pathlib import Path

import pytest

from headrace.cluster.errors import OutputError
from headrace.pipelines.commands.contamination import contamination
from tests import builders


def test_items_rows_and_places_are_named(tmp_path: Path) -> None:
    questions = [f"{builders.story(n, 24)}?" for n in range(30)]
    records = [{"question": q, "answer": f"it is {n}, of course"} for n, q in enumerate(questions)]
    inputs = builders.write_jsonl(tmp_path / "in.jsonl", records)
    recipe = builders.recipe_of(tmp_path / "run", inputs, "sums")
    builders.prepare(tmp_path / "recipe.yaml", recipe)
    evaluation = builders.write_jsonl(
        tmp_path / "exam.jsonl",
        [{"question": q, "answer": "42"} for q in (builders.story(99, 24), questions[7])],
    )
    lines = contamination(str(tmp_path / "run"), [str(evaluation)])
    assert lines == [
        "1 of 30 rows hold 1 of 2 evaluation items",
        "exam: exam.jsonl, line 2: row 7 (in.jsonl, line 8): 100% of its prompt, ngram_13",
    ]
    short = builders.write_jsonl(tmp_path / "short.jsonl", [{"question": "one?", "answer": "1"}])
    assert contamination(str(tmp_path / "run"), [str(short)]) == [
        "0 of 30 rows hold 0 of 1 evaluation items",
        "not looked for: 1 of these items, which are too short, or too much like others, to be told from "
        "them",
    ]


def test_a_run_that_is_not_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing is prepared"):
        contamination(str(tmp_path), ["exam.jsonl"])
