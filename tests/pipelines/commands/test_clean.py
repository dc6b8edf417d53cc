"""Trainings that are superseded are removed when asked for, and no other."""

from pathlib import Path

import pytest

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines import trainings
from headrace.pipelines.cli.main import main
from headrace.pipelines.commands import clean


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run with five trainings: that of its adapter, one that is under way, and three others."""
    text = f"headrace: 1\noutput: {tmp_path}\nsources: [{{name: a, path: b}}]\n"
    storage.put(str(tmp_path / "recipe.yaml"), text.encode())
    for key in ("published", "asked", "other"):
        storage.put(str(tmp_path / "trainings" / key / "step-000001" / "checkpoint.json"), b"0" * 1000)
    storage.put(str(tmp_path / "trainings" / "other" / "adapter" / "headrace.json"), b'{"key": "other"}')
    storage.put(str(tmp_path / "adapter" / "headrace.json"), b'{"key": "published"}')
    storage.put(str(tmp_path / "checkpoints" / "old" / "history.json"), b"0" * 300)
    trainings.ask(str(tmp_path), "asked")
    return str(tmp_path)


def test_what_is_superseded_is_said_and_stays_until_asked_for(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        "clean: trainings/other: 1.02 kB",
        "clean: checkpoints: 300 bytes",
        "clean: 1.32 kB in 2 places can be removed",
    ]
    assert main(["clean", run]) == 0
    told = [*lines, "clean: nothing was removed; --yes removes them"]
    assert capsys.readouterr().out.splitlines() == told
    assert trainings.keys(run) == ["asked", "other", "published"]
    assert main(["clean", run, "--yes"]) == 0
    assert capsys.readouterr().out.splitlines() == [*lines, "clean: 2 removed"]
    assert trainings.keys(run) == ["asked", "published"]
    assert not storage.listing(storage.join(run, "checkpoints"))
    assert main(["clean", run, "--yes"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"clean: {clean.NOTHING}"]


def test_a_directory_that_is_no_run_is_left(tmp_path: Path) -> None:
    storage.put(str(tmp_path / "trainings" / "other" / "a.json"), b"{}")
    with pytest.raises(OutputError, match="is not a run directory"):
        clean.superseded(str(tmp_path))
