"""A recipe is sent to a cluster only where its paths mean the same there."""

from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import jobs
from headrace.cluster.errors import RecipeError, UserError
from headrace.pipelines.commands import submit
from tests.builders import recipe_of, run_command, save_recipe, sums, write_jsonl


def saved(tmp_path: Path, **more: Any) -> str:
    data = recipe_of(tmp_path / "run", write_jsonl(tmp_path / "in.jsonl", sums(4)))
    return save_recipe(tmp_path / "recipe.yaml", {**data, **more})


def test_absolute_paths_are_sent_as_they_are(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert submit.sendable(path, ["seed=2"]) == (Path(path).read_bytes(), ["seed=2"])


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"output": "run"}, ["output"]),
        ({"sources": [{"name": "a", "path": "in.jsonl"}]}, ["sources.0.path"]),
        ({"sources": [{"name": "a", "path": ["/in.jsonl", "data/*.jsonl"]}]}, ["sources.0.path"]),
        ({"dedup": {"against": ["old"]}, "output": "./run"}, ["output", "dedup.against.0"]),
        ({"model": "./model"}, ["model"]),
    ],
)
def test_relative_paths_are_refused_with_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], named: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="relative path") as caught:
        submit.sendable(saved(tmp_path, **more), [])
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert [line.partition(": ")[0] for line in lines] == named
    assert all(line.partition(": ")[2].startswith(str(tmp_path) if line[0] != "/" else "/") for line in lines)


def test_a_name_on_the_hub_is_no_relative_path(tmp_path: Path) -> None:
    assert submit.sendable(saved(tmp_path, model="org/name"), [])[1] == []


def test_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "submit", lambda *_: pytest.fail("it was sent"))
    code, _, err = run_command(["submit", saved(tmp_path), "output=run"])
    assert code == 2
    assert f"output: {tmp_path}/run" in err


class Busy:
    """A client whose head has no agent the first times it is asked."""

    def __init__(self, times: int) -> None:
        self.times = times

    def submit_job(self, **_: Any) -> str:
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError("Request failed with status code 500: No available agent to submit job.")
        return "job"


def test_a_head_without_an_agent_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.time, "sleep", lambda _: None)
    monkeypatch.setattr(jobs, "_client", lambda _: Busy(2))
    assert jobs.submit("http://head:8265", b"") == "job"
    monkeypatch.setattr(jobs, "AGENT_SECONDS", -1)
    with pytest.raises(UserError, match="the head at http://head:8265 has no agent"):
        jobs.submit("http://head:8265", b"")
