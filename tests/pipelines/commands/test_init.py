"""The starter recipe."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.cluster.errors import SourceError
from headrace.pipelines import recipe
from headrace.pipelines.commands.init import starter
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.source import Source

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


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="path matched no files"):
        starter(str(tmp_path / "missing"))
    (tmp_path / "a.jsonl").write_bytes(bytes(range(256)))
    with pytest.raises(SourceError, match=r"can be read.*read\.binary"):
        starter(str(tmp_path / "a.jsonl"))
