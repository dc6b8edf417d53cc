"""`headrace rejected`, and what a command takes: a run or its recipe, a row's id or its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Finished, recipe_of, run_command, save_recipe, sums, write_jsonl

pytestmark = pytest.mark.ray


def said(*arguments: str) -> list[dict[str, Any]]:
    """What a command prints with `--json`."""
    code, out, err = run_command([*arguments, "--json"])
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_rows_that_were_not_kept_are_shown_with_reason_and_place(finished: Finished) -> None:
    lines = said("rejected", str(finished.path), "--count", "400")
    rows = [line for line in lines if "row_id" in line]
    assert sum(line["rows"] for line in lines if "rows" in line) == len(rows)
    assert {line["reason"] for line in rows} == {
        *finished.json["rows"]["dropped"],
        *finished.json["rows"]["quarantined"],
    }
    assert all(line["shown"] is None for line in rows if line["reason"].startswith("read."))
    assert all(line["shown"] for line in rows if line["reason"].startswith("dedup."))
    assert all(line["file"] and line["place"] for line in rows)


def test_by_reason_stage_and_source(finished: Finished) -> None:
    run = str(finished.path)
    rows = [line for line in said("rejected", run, "--reason", "read.malformed_json") if "row_id" in line]
    assert {line["reason"] for line in rows} == {"read.malformed_json"}
    rows = [
        line for line in said("rejected", run, "--reason", "read", "--source", "forms") if "row_id" in line
    ]
    assert {(line["source"], line["reason"]) for line in rows} == {("forms", "read.wrong_columns")}
    assert len([x for x in said("rejected", run, "--count", "2") if "row_id" in x]) == 2


@pytest.mark.parametrize(
    ("flag", "value", "like"),
    [("--reason", "read.malformed", "read.malformed_json"), ("--source", "chats", "chat")],
)
def test_a_mistyped_name_is_told(finished: Finished, flag: str, value: str, like: str) -> None:
    code, _, err = run_command(["rejected", str(finished.path), flag, value])
    assert code == 2
    assert f"did you mean '{like}'?" in err


def test_text_that_was_kept_as_it_came_is_masked_before_it_is_shown(ray_local: None, tmp_path: Path) -> None:
    mail = "ann.lee@example.com"
    records = [{"messages": [{"role": "assistant", "content": f"write to {mail}"}]}]
    usual = [
        {
            "messages": [
                {"role": "user", "content": r["question"]},
                {"role": "assistant", "content": r["answer"]},
            ]
        }
        for r in sums(30)
    ]
    write_jsonl(tmp_path / "in.jsonl", [*usual, *records])
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl", quarantine={"text": True})
    assert run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])[0] == 0
    code, out, _ = run_command(["rejected", str(tmp_path / "run")])
    assert code == 0
    assert "clean.no_user" in out
    assert "[assistant] write to <EMAIL_ADDRESS_1>" in out
    assert mail not in out


def test_the_exit_text_of_a_quarantine_leads_to_the_fix(ray_local: None, tmp_path: Path) -> None:
    turns = [{"role": "robot", "content": "hello there"}, {"role": "user", "content": "how are you"}]
    write_jsonl(tmp_path / "in/a.jsonl", [{"messages": turns} for _ in range(5)])
    write_jsonl(
        tmp_path / "in/b.jsonl", [{"messages": [{**t, "role": "user"} for t in turns]} for _ in range(5)]
    )
    data = recipe_of(tmp_path / "run", tmp_path / "in", "chats")
    data["sources"][0] |= {"shape": "messages", "format": "jsonl"}
    code, _, err = run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])
    assert code == 2
    assert "5 read.unknown_role: a speaker that columns.roles does not name" in err
    assert "(in a.jsonl)" in err
    assert '`columns: {roles: {"*": user}}`' in err
    assert "headrace rejected" in err


def test_a_run_or_its_recipe_is_taken_everywhere(finished: Finished) -> None:
    run, recipe = str(finished.path), finished.recipe
    for command in (["digest"], ["duplicates"], ["verify"], ["rejected"], ["status"]):
        one, other = run_command([*command, run]), run_command([*command, recipe])
        assert one[0] == 0, one
        assert one == other
    one = run_command(["lookup", recipe, "no such text at all, nowhere"])
    assert one == run_command(["lookup", run, "no such text at all, nowhere"])


def test_a_row_is_explained_by_its_place(finished: Finished) -> None:
    (row, *_) = [x for x in said("rejected", str(finished.path), "--reason", "read") if "row_id" in x]
    by_id = run_command(["explain", str(finished.path), str(row["row_id"])])
    assert by_id[0] == 0
    for place in (f"{row['file']}, {row['place']}", f"{row['source']}: {row['file']}, {row['place']}"):
        assert run_command(["explain", finished.recipe, place]) == by_id
    code, _, err = run_command(["explain", str(finished.path), "chat/9.jsonl, line 1"])
    assert code == 2
    assert "has no row at 'chat/9.jsonl, line 1'" in err


@pytest.mark.parametrize("name", ["mistyped.txt", "folder/mistyped", "s3x/y.jsonl", "/tmp/nothing.here"])
def test_a_file_that_is_not_there_is_no_text(finished: Finished, name: str) -> None:
    code, out, err = run_command(["lookup", str(finished.path), name])
    assert code == 2
    assert out == ""
    assert f"there is no file {name!r}" in err
    assert run_command(["lookup", str(finished.path), name, "--text"])[0] == 0
