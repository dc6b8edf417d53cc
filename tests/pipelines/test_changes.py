"""Nothing happens in silence: what is changed in a row is counted, for the run and for the row."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.stages.clean import stage as clean
from tests.builders import recipe_of, run_command, save_recipe, sums, table, write_jsonl


def changes_of(*turns: tuple[str, str | None], **config: Any) -> dict[str, int]:
    """What cleaning counts of one conversation."""
    done = clean.apply(table(list(turns)), clean.Config(**config))
    found = schema.changes(done).to_pylist()
    return {one["kind"].removeprefix("clean."): one["n"] for one in found}


def test_what_needs_nothing_counts_nothing() -> None:
    assert changes_of(("user", "What?"), ("assistant", "That.")) == {}


@pytest.mark.parametrize(
    ("turns", "counted"),
    [
        ([("user", "a"), ("user", "b"), ("user", "c"), ("assistant", "d")], {"merged_turns": 2}),
        ([("assistant", "hi"), ("user", "a"), ("assistant", "d")], {"opening_turns": 1}),
        ([("user", "a"), ("assistant", ""), ("assistant", "d")], {"empty_turns": 1}),
        ([("user", "a"), ("assistant", None), ("assistant", "d")], {"empty_turns": 1}),
        ([("user", " a \n\n"), ("assistant", "d")], {"stripped": 4}),
        ([("user", "a\x00b\x07"), ("assistant", "\x1b[31md\x1b[0m")], {"controls": 11}),
        ([("user", "a\r\nb\rc"), ("assistant", "d\u2028e")], {"line_breaks": 2}),
        ([("user", "doesn\u00e2\u20ac\u2122t"), ("assistant", "R&amp;D")], {"entities": 1, "repaired": 1}),
        ([("user", "e\u0301"), ("assistant", "d")], {"normalised": 1}),
        ([("user", " "), ("user", "a "), ("assistant", "d")], {"empty_turns": 1, "stripped": 2}),
    ],
)
def test_each_kind_of_change(turns: list[tuple[str, str | None]], counted: dict[str, int]) -> None:
    assert changes_of(*turns) == counted


def test_a_row_that_is_dropped_is_not_changed() -> None:
    """It keeps its messages as they came."""
    assert changes_of(("user", " a "), ("assistant", "")) == {}


def test_changes_belong_to_their_rows() -> None:
    rows = table([("user", "a"), ("assistant", "b")], [("user", "a "), ("assistant", "b")], None, first=7)
    done = schema.changes(clean.apply(rows, clean.Config()))
    assert done.to_pylist() == [{"row_id": 8, "kind": "clean.stripped", "n": 1}]
    assert schema.changes(clean.apply(rows.slice(1), clean.Config())).to_pylist() == done.to_pylist()


def test_what_two_stages_change_is_kept_of_both() -> None:
    rows = table([("user", "a"), ("assistant", "b")], [("user", "a "), ("assistant", "b")], first=7)
    joined = schema.changed(rows, "read", {"tied_turns": np.array([3, 0])})
    found = schema.changes(clean.apply(joined, clean.Config())).to_pylist()
    assert found == [
        {"row_id": 7, "kind": "read.tied_turns", "n": 3},
        {"row_id": 8, "kind": "clean.stripped", "n": 1},
    ]
    again = schema.changed(schema.changed(joined, "s", {"x": np.array([1, 1])}), "s", {"x": np.array([0, 5])})
    assert [(f["row_id"], f["kind"], f["n"]) for f in schema.changes(again).to_pylist()] == [
        (7, "read.tied_turns", 3),
        (8, "s.x", 5),
    ]


@pytest.mark.ray
def test_run_json_the_report_and_explain_tell_changes(ray_local: None, tmp_path: Path) -> None:
    records = [*sums(20), {"question": "  what is left?\r\n", "answer": "write to ann.lee@example.com"}]
    write_jsonl(tmp_path / "in.jsonl", records)
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl")
    assert run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])[0] == 0
    written = json.loads((tmp_path / "run/run.json").read_bytes())
    assert written["changed"] == {"clean.line_breaks": 1, "clean.stripped": 1, "pii.masked": 1}
    assert written["uncounted"] == 0
    assert "clean.stripped" in (tmp_path / "run/report.html").read_text()
    (path,) = (tmp_path / "run/changed").glob("*.parquet")
    row_id = storage.read_table(str(path))["row_id"][0].as_py()
    code, out, _ = run_command(["explain", str(tmp_path / "run"), str(row_id)])
    assert code == 0
    assert "clean: passed; changed: line_breaks 1, stripped 1" in out
    code, out, _ = run_command(["explain", str(tmp_path / "run"), str(row_id - 1)])
    assert "clean: passed; nothing changed" in out
    assert run_command(["verify", str(tmp_path / "run")])[0] == 0


@pytest.mark.ray
def test_what_is_too_long_for_a_sample_is_told(ray_local: None, tmp_path: Path) -> None:
    turns = [
        {"role": r, "content": f"{r} says {'a few words, ' * 8}{n}"}
        for n in range(8)
        for r in ("user", "assistant")
    ]
    write_jsonl(tmp_path / "in.jsonl", [{"messages": turns}, {"messages": turns[:2]}])
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl", tokenise={"max_length": 128})
    assert run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])[0] == 0
    changed = json.loads((tmp_path / "run/run.json").read_bytes())["changed"]
    assert changed.get("tokenise.pieces", 0) > 1
    code, out, _ = run_command(["explain", str(tmp_path / "run"), "0"])
    assert code == 0
    assert f"tokenise: pieces {changed['tokenise.pieces']}" in out
