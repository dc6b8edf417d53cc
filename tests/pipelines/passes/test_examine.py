"""The pass that looks at the whole set: what goes by a check, what stays, and what is done again."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import storage
from headrace.pipelines.examine import checks
from tests.builders import SYLLABLES, commits, prepare, run_command, save_recipe, write_jsonl

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def question(n: int) -> str:
    """A question of some twenty words, no two alike."""
    words = [f"{SYLLABLES[(n * 7 + k * k) % 16]}{(n * 31 + k * 17) % 97}" for k in range(18)]
    return f"how many {' '.join(words)} are there?"


def recipe(folder: Path) -> dict[str, Any]:
    """A run of two sources, one of them held out, and an evaluation set that both hold items of."""
    rows = [{"question": question(n), "answer": f"there are {n} of them"} for n in range(40)]
    write_jsonl(folder / "rows.jsonl", rows)
    write_jsonl(folder / "golden.jsonl", [{"question": question(n), "answer": "some"} for n in range(90, 95)])
    items = [{"question": question(n), "answer": "many"} for n in (3, 5, 90)]
    write_jsonl(folder / "eval/items.jsonl", items)
    return {
        "output": str(folder / "run"),
        "sources": [
            {"path": str(folder / "rows.jsonl")},
            {"path": str(folder / "golden.jsonl"), "split": "test"},
        ],
        "decontaminate": {"against": [str(folder / "eval")]},
    }


def test_leaks_go_and_what_is_held_out_stays(tmp_path: Path) -> None:
    data, path = recipe(tmp_path), tmp_path / "recipe.yaml"
    written = prepare(path, data)
    assert written["rows"]["dropped"] == {"decontaminate.leak": 2}
    told = written["examine"]["leaks"]
    assert (told["rows_hit"], told["rows_gone"]) == (3, 2)
    (advised,) = (one for one in written["advice"]["reasons"] if one["code"] == "leaks")
    assert advised["words"].startswith("1 rows hold items of eval and stay")
    assert "amber" not in json.dumps(written)
    assert storage.read_table(str(tmp_path / "run" / checks.path("leaks", "drops"))).schema == checks.DROPS
    before = commits(tmp_path / "run", "pack")

    # The same again: nothing is done.
    assert prepare(path, data)["digest"] == written["digest"]
    assert commits(tmp_path / "run", "pack") == before

    # An evaluation set that has changed is looked for again.
    write_jsonl(tmp_path / "eval/items.jsonl", [{"question": question(7), "answer": "many"}])
    again = prepare(path, data)
    assert again["examine"]["leaks"]["rows_gone"] == 1
    assert again["digest"] != written["digest"]

    # Without the set all are kept, and nothing of it is left.
    del data["decontaminate"]
    bare = prepare(path, data)
    assert "decontaminate.leak" not in bare["rows"]["dropped"]
    assert "leaks" not in bare["examine"]
    assert not (tmp_path / "run" / checks.path("leaks")).exists()
    code, out, _ = run_command(["verify", str(tmp_path / "run")])
    assert code == 0, out


def test_a_check_that_is_asked_to_stops_the_run(tmp_path: Path) -> None:
    rows = [
        {"question": question(n), "answer": f"<think>so</think> {n}" if n % 2 else str(n)} for n in range(20)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    data = {
        "output": str(tmp_path / "run"),
        "sources": [{"path": str(tmp_path / "rows.jsonl")}],
        "examine": {"reasoning": "fail"},
    }
    code, _, err = run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])
    assert code == 3
    assert "examine.reasoning: 10 of 20 rows have reasoning" in err
    assert "set examine.reasoning.policy to warn" in err
    written = json.loads((tmp_path / "run/run.json").read_text())
    assert written["ended"]["gate"] == "examine.reasoning"
    data["examine"] = {"reasoning": "allow"}
    assert prepare(tmp_path / "recipe.yaml", data)["examine"]["reasoning"]["with_traces"] == 10


def test_the_books_advise_as_the_command_does(tmp_path: Path) -> None:
    """On what no row shows by itself too."""
    rows = [{"question": question(n), "answer": "that is not known here, ask again"} for n in range(60)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    data = {"output": str(tmp_path / "run"), "sources": [{"path": str(tmp_path / "rows.jsonl")}]}
    advice = prepare(tmp_path / "recipe.yaml", data)["advice"]
    assert "one_answer" in {reason["code"] for reason in advice["reasons"]}
    code, out, err = run_command(["advise", str(tmp_path / "run")])
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"verdict: {advice['verdict']}"
    for reason in advice["reasons"]:
        assert reason["words"] in out
