"""What is looked at before any work, and that looking leaves nothing behind."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.cluster.errors import ModelError, OutputError, SourceError, StorageError
from headrace.pipelines import recipe, rundir
from headrace.pipelines.commands import check as checks
from headrace.pipelines.stages.tokenise import stage as tokenise
from tests.builders import recipe_of, sums, write_jsonl


def make(tmp_path: Path, **more: Any) -> recipe.Recipe:
    write_jsonl(tmp_path / "in/a.jsonl", sums(20))
    return recipe.validate({**recipe_of(tmp_path / "run", tmp_path / "in"), **more}, "recipe.yaml")


def test_it_says_what_was_found_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = make(tmp_path)
    checks.check(given, "plain", training=True)
    size = (tmp_path / "in/a.jsonl").stat().st_size
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"source sums: 1 files, {size:,} bytes, jsonl, question_answer"
    assert lines[1].startswith("tokenizer: shipped with headrace, ")
    kinds = ("multi-turn", "system", "tools", "reasoning", "empty")
    assert [line.partition(":")[0] for line in lines[2:7]] == [f"chat template, {kind}" for kind in kinds]
    assert all("ids are apply_chat_template's; loss on all that the assistant says" in x for x in lines[2:7])
    assert "tools are left out: the chat template has no form for them" in lines[4]
    assert lines[7].startswith("names: found only by the words around them")
    assert lines[8:] == [f"output: {tmp_path / 'run'} (new)"]
    assert not list((tmp_path / "run").iterdir())


def test_machines_get_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks.check(make(tmp_path), "json", training=False)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["source", "tokenizer", *["template"] * 5, "coverage", "output"]
    assert (events[0]["source"], events[0]["files"]) == ("sums", 1)


def test_a_full_disk_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(
        StorageError, match=r"100 bytes are free and about [\d,]+ are needed; free some space"
    ):
        checks.check(make(tmp_path), "quiet", training=False)
    assert not (tmp_path / "run").exists()


def test_an_output_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(StorageError, match="taken"):
        checks.check(make(tmp_path, output=str(tmp_path / "taken/run")), "quiet", training=False)


def test_an_output_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:  # root may write everywhere, so modes would not do
        raise PermissionError(13, "Permission denied", target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match=r"cannot write .*run.*: access denied"):
        checks.check(make(tmp_path), "quiet", training=False)


def test_the_first_thing_that_is_wrong_is_named(tmp_path: Path) -> None:
    given = make(tmp_path)
    gone = given.model_copy(update={"model": str(tmp_path / "no-model")})
    with pytest.raises(ModelError, match="no-model"):
        checks.check(gone, "quiet", training=False)
    (tmp_path / "in/a.jsonl").unlink()
    with pytest.raises(SourceError, match="path matched no files"):
        checks.check(given, "quiet", training=False)
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run/letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="is not empty"):
        checks.check(given, "quiet", training=False)


def test_every_bucket_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(checks.storage, "probe", seen.append)
    paths = ["s3://one/a", "s3://one/b", "s3://two/c", str(tmp_path)]
    sources = [{"name": f"s{n}", "path": p} for n, p in enumerate(paths[1:])] + [{"name": "s", "path": paths}]
    rundir.reachable(recipe.validate({"output": "s3://three/run", "sources": sources}, "recipe.yaml"))
    assert sorted(p.split("/")[2] for p in seen) == ["one", "three", "two"]


def test_conversations_need_a_chat_template_before_any_work(tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(Path(tokenise.__file__).parent / "assets" / "tokenizer", base)
    (base / "chat_template.jinja").unlink()
    given = make(tmp_path, model=str(base))
    with pytest.raises(ModelError, match="has no chat template, and the data holds conversations"):
        checks.check(given, "quiet", training=False)
    texts = {"path": str(tmp_path / "in"), "shape": "text", "columns": {"text": "question"}}
    checks.check(make(tmp_path, model=str(base), sources=[texts]), "quiet", training=False)
