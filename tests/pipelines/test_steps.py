"""A recipe's own steps inside a run: in its books, its keys, its report and the story of a row."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import storage
from tests.builders import (
    MAIL,
    balanced,
    commits,
    prepare,
    recipe_of,
    run_command,
    save_recipe,
    sums,
    write_jsonl,
)

OWN = f"""
def fix(row):
    asked, answer = row["messages"]
    if "104" in asked["content"]:
        return None
    if "105" in asked["content"]:
        raise ValueError(asked["content"])
    if "106" in asked["content"]:
        answer["content"] += " Write to {MAIL}."
    return row


def cased(table):
    return table
"""


def recipe_with(tmp_path: Path, **more: Any) -> dict[str, Any]:
    """A recipe over some sums, one of them with a character that nobody sees, with two steps."""
    records = sums(20)
    records[7]["answer"] += "\u200b indeed"
    write_jsonl(tmp_path / "in/a.jsonl", records)
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    steps = [
        {"python": f"{tmp_path}/own.py:fix"},
        {"python": f"{tmp_path}/own.py:cased", "after": "read", "table": True},
    ]
    more = {"steps": steps, "quarantine": {"limit": 0.2}, "dedup": {"near": False}, **more}
    return recipe_of(tmp_path / "run", tmp_path / "in", **more)


def story(run: Path, place: str) -> list[dict[str, Any]]:
    code, out, err = run_command(["explain", str(run), f"a.jsonl, line {place}", "--json"])
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.ray
def test_steps_are_in_the_books_the_key_the_report_and_the_story(tmp_path: Path) -> None:
    data = recipe_with(tmp_path)
    run = tmp_path / "run"
    told = prepare(tmp_path / "r.yaml", data)
    assert balanced(told["rows"])
    assert told["rows"]["dropped"]["steps.fix"] == 1
    assert told["rows"]["quarantined"] == {"steps.error": 1}
    assert told["changed"] == {"clean.invisible": 1, "pii.masked": 1, "steps.fix": 1}
    assert told["stages"]["steps"]["rows"] == 20

    kept = storage.read_table(str(next(run.glob("prepared/*.parquet")))).to_pylist()
    (mailed,) = [r["messages"][1]["content"] for r in kept if "Write to" in r["messages"][1]["content"]]
    assert mailed == "it is 212, of course Write to <EMAIL_ADDRESS_1>."
    (rejected,) = [storage.read_table(str(p)).to_pylist() for p in run.glob("rejected/part-*.parquet")]
    assert {(r["stage"], r["place"], r["detail"]) for r in rejected} == {
        ("steps", "line 5", None),
        ("steps", "line 6", "fix: ValueError in line 7"),
    }
    assert all(r["messages"] is None for r in rejected)

    page = (run / "report.html").read_text(encoding="utf-8")
    assert "steps.fix" in page
    assert "rows changed by this step of the recipe" in page
    shown = story(run, "7")
    assert any(x.get("changed") == {"steps.fix": 1} for x in shown)
    (both,) = [x for x in shown if "before" in x]
    assert both["changed_by"] == "steps"
    assert "Write to" not in both["before"]
    assert "{+" in both["after"]
    assert "<masked>" in both["after"]
    assert MAIL not in json.dumps(shown)
    (both,) = [x for x in story(run, "8") if "before" in x]
    assert (both["changed_by"], "\\u200b" in both["before"], "\\u200b" in both["after"]) == (
        "clean",
        True,
        False,
    )
    assert not [x for x in story(run, "1") if "before" in x]

    before = commits(run, "prepare")
    (tmp_path / "own.py").write_text(OWN.replace("104", "107"), encoding="utf-8")
    again = prepare(tmp_path / "r.yaml", data)
    assert commits(run, "prepare") != before
    assert again["rows"]["dropped"]["steps.fix"] == 1

    (tmp_path / "own.py").unlink()
    assert any("is gone or another now" in x["text"] for x in story(run, "7"))


def test_check_refuses_a_step_that_is_not_there_and_looks_at_what_is(tmp_path: Path) -> None:
    data = recipe_with(tmp_path)
    path = save_recipe(tmp_path / "r.yaml", data)
    code, out, err = run_command(["check", path])
    assert (code, err) == (0, "")
    assert "1 steps.error (fix: ValueError in line 7) in a.jsonl" in out
    assert "1 steps.fix in a.jsonl" in out
    for steps, words in (
        ([{"python": f"{tmp_path}/gone.py:fix"}], "there is no file"),
        ([{"python": f"{tmp_path}/own.py:gone"}], "has no function 'gone'"),
    ):
        for command in ("check", "prepare"):
            code, _, err = run_command([command, save_recipe(tmp_path / "r.yaml", {**data, "steps": steps})])
            assert code == 2
            assert words in err
    assert list((tmp_path / "run").iterdir()) == []


def test_a_step_of_a_relative_path_is_not_sent(tmp_path: Path) -> None:
    data = recipe_with(tmp_path, steps=[{"python": "own.py:fix"}], clean={"abbreviations": "words.csv"})
    code, _, err = run_command(["submit", save_recipe(tmp_path / "r.yaml", data)])
    assert code == 2
    assert "steps.0.python" in err
    assert "clean.abbreviations" in err
