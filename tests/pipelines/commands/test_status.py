"""How far a run is, at every stage of its life, read from its ledger alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import ledger, storage
from headrace.cluster.errors import OutputError
from headrace.cluster.fragments import Fragment, Range
from headrace.pipelines.commands import status


def fields(path: Path) -> dict[str, dict[str, Any]]:
    """What the lines say, by pass."""
    return {line.fields["pass"]: line.fields for line in status.status(str(path))}


def begin(path: Path, fragments: int) -> None:
    """A run directory with a recipe and a plan."""
    text = f"headrace: 1\noutput: {path}\nsources: [{{name: a, path: b}}]\n"
    storage.put(str(path / "recipe.yaml"), text.encode())
    one = Range("a", "a", 10, "0")
    ledger.claim(str(path), {}, [Fragment("a", "ranges", (one,), bucket=n) for n in range(fragments)])


def commit(path: Path, ordinal: int, part: int, *, last: bool) -> None:
    """A commit record of pass 1 with ten records, two of them dropped."""
    book = {"in": 10, "kept": 8, "dropped": {"clean.empty": 2}, "quarantined": {}}
    record = {"ordinal": ordinal, "part": part, "last": last, "books": book}
    ledger.commit(str(path), "prepare", f"{ordinal:08d}-{part:04d}", record)


@pytest.mark.parametrize("name", ["run", "run/deeper"])
def test_a_directory_that_is_no_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"is not a run directory: it has no recipe\.yaml of headrace"):
        status.status(str(tmp_path / name))


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    begin(tmp_path, 3)
    found = fields(tmp_path)
    assert found["plan"]["fragments"] == 3
    assert found["prepare"] == {"pass": "prepare", "done": 0, "of": 3, "records": 0, "kept": 0}
    assert found["dedup"]["done"] is False
    assert found["pack"]["done"] == 0
    assert found["train"]["step"] == 0
    assert not any(found[n]["there"] for n in ("adapter", "evaluation", "run.json", "report.html"))


def test_a_fragment_counts_when_its_last_part_is_committed(tmp_path: Path) -> None:
    begin(tmp_path, 3)
    commit(tmp_path, 0, 0, last=True)
    commit(tmp_path, 1, 0, last=False)
    found = fields(tmp_path)["prepare"]
    assert (found["done"], found["records"], found["kept"]) == (1, 20, 16)
    commit(tmp_path, 1, 1, last=True)
    assert fields(tmp_path)["prepare"]["done"] == 2


def test_later_passes_and_files(tmp_path: Path) -> None:
    begin(tmp_path, 1)
    ledger.commit(str(tmp_path), "dedup", "all", {"report": {"exact": 1200, "near": 3}})
    ledger.commit(str(tmp_path), "pack", "00000000", {"window": 0})
    for step in ("step-00000010", "step-00000020"):
        marker = json.dumps({"steps": 40, "history": {"rows": [8] * 20}}).encode()
        storage.put(str(tmp_path / "trainings" / "key" / step / "checkpoint.json"), marker)
    storage.put(str(tmp_path / "trainings" / "key" / "starts" / "000000.json"), b"{}")
    storage.put(str(tmp_path / "trainings" / "other" / "step-000005" / "checkpoint.json"), b"{}")
    storage.put(str(tmp_path / "adapter" / "headrace.json"), b'{"key": "other"}')
    storage.put(str(tmp_path / "checkpoints" / "old" / "history.json"), b"{} ")
    storage.put(str(tmp_path / "run.json"), b"{}")
    lines = [line.text for line in status.status(str(tmp_path))]
    assert "dedup: done, 1,200 exact and 3 near duplicates" in lines
    assert "pack: 1 windows" in lines
    size = 2 * len(marker) + 2
    words = f"train: step 20 of 40, 160 packed rows used, 1 start, {size} bytes (trainings/key, superseded)"
    assert words in lines
    assert (
        "train: step 5 of 5, 0 packed rows used, 0 starts, 2 bytes "
        "(trainings/other, whose adapter is in adapter/)"
    ) in lines
    assert "train: checkpoints: of an older version, 3 bytes" in lines
    assert "run.json: there" in lines
    assert "report.html: not there" in lines


def test_looking_writes_nothing(tmp_path: Path) -> None:
    begin(tmp_path, 2)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    status.status(str(tmp_path))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
