"""An export comes to be at once, and is known again."""

from pathlib import Path

import pytest

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines.commands.export import publish
from headrace.pipelines.commands.export.names import names


def made(folder: Path) -> str:
    """A directory that is to be published."""
    for path, data in {"a.safetensors": b"weights", "one/README.md": b"words"}.items():
        storage.put(str(folder / path), data)
    return str(folder)


def test_a_directory_is_renamed_whole_and_known_by_its_key(tmp_path: Path) -> None:
    target = str(tmp_path / "above" / "out")
    with publish.beside(target) as scratch:
        record = publish.publish(made(Path(scratch)), target, {"key": "k"})
    assert sorted(record["files"]) == ["a.safetensors", "one/README.md"]
    assert record["files"]["a.safetensors"]["size"] == 7
    assert publish.standing(target, "k") == record
    assert [p.name for p in (tmp_path / "above").iterdir()] == ["out"]
    with pytest.raises(OutputError, match="other options"):
        publish.standing(target, "other")
    assert publish.standing(str(tmp_path / "none"), "k") is None


def test_what_failed_is_kept_once_and_nothing_of_others_goes(tmp_path: Path) -> None:
    target = str(tmp_path / "out")
    for number in (1, 2):
        kept = publish.keep_failed(made(tmp_path / f"made{number}"), target, {"key": "k"})
        assert kept == f"{target}.failed"
    other = tmp_path / "more.failed"
    other.mkdir()
    (other / "mine").write_text("x")
    assert publish.keep_failed(made(tmp_path / "made3"), str(tmp_path / "more"), {"key": "k"}) is None
    assert (other / "mine").read_text() == "x"


@pytest.mark.s3
def test_on_s3_the_record_comes_last(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, one = f"{s3}/out", made(tmp_path / "made")
    upload = publish._upload

    def dies(source: str, place: str) -> None:
        if place.endswith("README.md"):
            raise KeyboardInterrupt
        upload(source, place)

    monkeypatch.setattr(publish, "_upload", dies)
    with pytest.raises(KeyboardInterrupt):
        publish.publish(one, target, {"key": "k"})
    assert publish.standing(target, "k") is None  # of ours, and not whole: it is begun again
    monkeypatch.setattr(publish, "_upload", upload)
    record = publish.publish(one, target, {"key": "k"})
    assert publish.standing(target, "k") == record
    found = [e.path.removeprefix(f"{target}/") for e in storage.listing(target)]
    assert found == ["a.safetensors", "export/equality.json", "one/README.md"]
    assert publish.keep_failed(one, target, {"key": "k"}) is None


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        (["/a/tickets", "/a/mails/"], ["tickets", "mails"]),
        (["/tickets/run", "s3://b/mails/run"], ["tickets-run", "mails-run"]),
        (["/a/run", "/a/run"], ["a-run-1", "a-run-2"]),
        (["/a/my run (2)"], ["my-run-2"]),
    ],
)
def test_adapters_are_called_as_their_runs(runs: list[str], wanted: list[str]) -> None:
    assert names(runs) == wanted
