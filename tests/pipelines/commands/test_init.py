"""The starter recipe."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.cluster.errors import SourceError
from headrace.pipelines import recipe
from headrace.pipelines.commands.init import look, starter
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.source import Source
from tests.builders import run_command, write_jsonl

SECRET = "private words of a row"


def put(folder: Path, name: str, records: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(records))


def test_a_starter_runs_as_it_is_and_tells_no_content(tmp_path: Path) -> None:
    folder = tmp_path / "tickets"
    put(folder, "a.json", [{"instruction": SECRET, "input": "", "response": SECRET, "id": 7}])
    put(folder, "b.json", [])
    text = starter(str(folder))
    assert SECRET not in text
    assert "#   response: text, about 22 characters" in text
    data = yaml.safe_load(text)
    assert list(data) == ["output", "sources", "seed"]
    (entry,) = data["sources"]
    assert entry == {
        "name": "tickets",
        "path": str(folder),
        "format": "json",
        "shape": "alpaca",
        "columns": {"output": "response"},
    }
    loaded = recipe.validate(data, "starter")
    (resolved,) = inputs.resolve(loaded.sources)
    assert resolved.columns.output == "response"


def test_every_section_is_there_as_a_comment_with_its_defaults(tmp_path: Path) -> None:
    put(tmp_path, "a.json", [{"text": "x"}])
    text = starter(str(tmp_path / "a.json"))
    body = text[text.index("# quarantine:") :]
    uncommented = "\n".join(line.removeprefix("# ").removeprefix("#") for line in body.split("\n"))
    sections = yaml.safe_load(uncommented)
    base = yaml.safe_load(text)
    plain = recipe.validate(base, "starter")
    assert recipe.validate({**base, **sections}, "starter") == plain
    assert {"quarantine", "clean", "quality", "pii", "dedup", "split", "tokenise", "pack"} <= set(sections)


def test_licences_beside_the_data_are_left_out(tmp_path: Path) -> None:
    put(tmp_path / "d", "a.json", [{"prompt": "x", "completion": "y"}])
    (tmp_path / "d/LICENSE").write_text("words")
    text = starter(str(tmp_path / "d"))
    assert "1 others there are left out" in text
    (entry,) = yaml.safe_load(text)["sources"]
    assert entry["path"] == f"{tmp_path}/d"
    assert inputs.resolve([Source(**entry)])[0].shape == "prompt_completion"
    (tmp_path / "d/words").write_text("words")
    text = starter(str(tmp_path / "d"))
    assert "2 others there are left out" in text
    (entry,) = yaml.safe_load(text)["sources"]
    assert entry["path"] == f"{tmp_path}/d/**/*.json*"
    assert inputs.resolve([Source(**entry)])[0].shape == "prompt_completion"


def test_turns_under_other_names_are_found(tmp_path: Path) -> None:
    put(tmp_path, "a.json", [{"id": "x", "utterances": [{"speaker": "user", "text": "hi", "more": 1}]}])
    text = starter(str(tmp_path / "a.json"))
    assert "#   utterances: list of {more, speaker, text}" in text
    (entry,) = yaml.safe_load(text)["sources"]
    assert entry["columns"] == {"messages": "utterances", "role": "speaker", "content": "text"}


def test_where_nothing_fits_the_recipe_says_what_is_there(tmp_path: Path) -> None:
    put(tmp_path, "a.json", [{"one": 1, "two": None}])
    text = starter(str(tmp_path / "a.json"))
    assert "#   one: number\n" in text
    assert "#   two: always empty\n" in text
    assert "No known shape fits" in text
    assert "shape" not in yaml.safe_load(text)["sources"][0]


def test_one_source_a_format_and_shape(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    write_jsonl(tmp_path / "d/a.jsonl", [{"messages": turns}])
    write_jsonl(tmp_path / "d/b.jsonl", [{"messages": turns, "tools": "z"}])
    write_jsonl(tmp_path / "d/c.jsonl", [{"Question": "x", "Answer": "y", "weight": 2}])
    (tmp_path / "d/e.csv").write_text("problem,solution,system\nx,y,be kind\n")
    (tmp_path / "d/README.md").write_text("words")
    (tmp_path / "d/f.jsonl").write_text("")
    found = look(str(tmp_path / "d"))
    entries = yaml.safe_load(found.text)["sources"]
    assert [(e["format"], e["shape"]) for e in entries] == [
        ("jsonl", "messages"),
        ("jsonl", "question_answer"),
        ("csv", "question_answer"),
    ]
    assert entries[0]["path"] == [f"{tmp_path}/d/a.jsonl", f"{tmp_path}/d/b.jsonl"]
    assert entries[1]["columns"] == {"question": "Question", "answer": "Answer"}
    assert entries[2]["path"] == f"{tmp_path}/d/**/*.csv*"
    assert entries[2]["columns"]["system"] == "system"
    assert len({e["name"] for e in entries}) == 3
    (said,) = [words for words in found.lines if "'c.jsonl'" in words]
    assert "nobody reads 'weight'" in said
    assert any("1 left out" in words and "'README.md'" in words for words in found.lines)
    assert "left out: 'f.jsonl': is empty" in found.lines
    resolved = inputs.resolve(recipe.validate(yaml.safe_load(found.text), "starter").sources)
    assert [s.shape for s in resolved] == ["messages", "question_answer", "question_answer"]


def test_files_that_differ_in_what_may_be_absent_are_one_source(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    call = [*turns, {"role": "function_call", "content": "z"}]
    put(tmp_path / "d", "a.json", [{"messages": turns}])
    (tmp_path / "d/b.json").write_text(json.dumps({"messages": call, "system": "be kind"}) + "\n")
    (entry,) = yaml.safe_load(starter(str(tmp_path / "d")))["sources"]
    assert (entry["path"], entry["format"]) == (str(tmp_path / "d"), "json")
    assert entry["columns"] == {"system": "system", "roles": {"function_call": "assistant"}}


def test_records_that_are_turns_are_put_together(tmp_path: Path) -> None:
    rows = [
        {"Thread-ID": n, "turn": i, "from": w, "body": "x"}
        for n in "ab"
        for i, w in enumerate(("user", "bot"))
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    (entry,) = yaml.safe_load(starter(str(tmp_path / "a.jsonl")))["sources"]
    assert (entry["group_by"], entry["order_by"]) == ("Thread-ID", "turn")
    assert entry["columns"] == {"role": "from", "content": "body"}


def test_other_speakers_get_their_roles_and_strangers_are_counted(tmp_path: Path) -> None:
    turns = [{"role": r, "content": "x"} for r in ("user", "assistant", "function_call", "Ann Lee")]
    write_jsonl(tmp_path / "a.jsonl", [{"messages": turns}])
    found = look(str(tmp_path / "a.jsonl"))
    assert yaml.safe_load(found.text)["sources"][0]["columns"] == {"roles": {"function_call": "assistant"}}
    assert "1 speakers have no role" in found.lines[0]
    assert "Ann" not in found.text + found.lines[0]


def test_no_shape_is_an_error_and_the_recipe_is_written_all_the_same(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"one": 1, "two": None}])
    code, _, err = run_command(["init", str(tmp_path / "a.jsonl"), "-o", str(tmp_path / "r.yaml")])
    assert code == 2
    assert "no shape was found" in err
    assert (tmp_path / "r.yaml").exists()
    write_jsonl(tmp_path / "b.jsonl", [{"prompt": "x", "completion": "y"}])
    code, out, err = run_command(["init", str(tmp_path / "b.jsonl")])
    assert code == 0
    assert yaml.safe_load(out)["sources"][0]["shape"] == "prompt_completion"
    assert "prompt_completion" in err


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="path matched no files"):
        starter(str(tmp_path / "missing"))
    (tmp_path / "a.jsonl").write_bytes(bytes(range(256)))
    with pytest.raises(SourceError, match=r"can be read.*read\.binary"):
        starter(str(tmp_path / "a.jsonl"))


def test_an_export_of_slack_is_told_once_and_in_words(tmp_path: Path) -> None:
    put(tmp_path / "x", "users.json", [{"id": "U1", "name": "ann"}, {"id": "U2", "name": "tom"}])
    put(tmp_path / "x", "channels.json", [{"id": "C1", "name": "help"}])
    for day in range(3):
        talk = [
            {
                "type": "message",
                "user": f"U{n % 2}",
                "text": SECRET,
                "ts": f"17092{day}0.{n}",
                "thread_ts": f"{n // 2}",
            }
            for n in range(6)
        ]
        put(tmp_path / "x/help", f"2024-03-0{day + 1}.json", talk)
    found = look(str(tmp_path / "x"))
    text = "\n".join([*found.lines, found.problem])
    assert "an export of Slack" in text
    assert "group_by: thread_ts; order_by: ts" in text
    assert "DIRECTORY/*/*.json" in text
    assert text.count("left out") == 2
    assert SECRET not in text
