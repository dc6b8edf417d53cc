"""Planted values: in nothing that a whole run and all its failures write, at any log level."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headrace.pipelines.stages.tokenise.tokenizer import load
from tests.builders import balanced
from tests.conftest import REPOSITORY
from tests.pipelines.canary import STAGES, VALUES

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
SECRET = "canary-of-a-secret-0123456789"
# Every process of the flow, also Ray's, logs all there is to log.
SITE = """
import logging, os
logging.basicConfig(level=logging.DEBUG, filename=f"{os.environ['CANARY_LOGS']}/{os.getpid()}.log")
"""
NEEDLES = {
    **{
        name: re.compile(r"[^0-9a-z]{0,3}".join(re.sub(r"[^0-9a-z]", "", v.lower())))
        for name, v in VALUES.items()
    },
    "secret": re.compile(SECRET),
}


@pytest.fixture(scope="module")
def flown() -> Iterator[Path]:
    """A folder with all that the flow wrote; the folder's name is short, for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="hr-") as name:
        folder = Path(name)
        for part in ("site", "logs", "ray"):
            (folder / part).mkdir()
        (folder / "site/sitecustomize.py").write_text(SITE)
        environment = {
            **{k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "HEADRACE_DEBUG")},
            "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(REPOSITORY)]),
            "CANARY_LOGS": str(folder / "logs"),
            "RAY_TMPDIR": str(folder / "ray"),
            "RAY_BACKEND_LOG_LEVEL": "debug",
            "HEADRACE_PII_KEY": SECRET,
        }
        command = [sys.executable, "-m", "tests.pipelines.canary", str(folder / "data")]
        (folder / "data").mkdir()
        done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, check=False)
        (folder / "stdout").write_bytes(done.stdout)
        (folder / "stderr").write_bytes(done.stderr)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        yield folder


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of all that was written but for the inputs; Parquet as its cells and, packed, decoded."""
    tokenizer = load(None)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        place = str(path.relative_to(folder))
        if place.startswith(("data/in/", "data/all/")):
            continue
        yield place, path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield f"{place} (cells)", "\n".join(str(row) for row in table.to_pylist())
            for ids in table["input_ids"].to_pylist() if "input_ids" in table.column_names else ():
                yield f"{place} (decoded)", tokenizer.decode(ids)


def test_planted_values_are_nowhere(flown: Path) -> None:
    found, searched = [], set()
    for place, text in texts(flown):
        searched.add(re.sub(r"[0-9a-f-]{4,}|\d+", "*", place.split(" ")[0].rsplit("/", 1)[0]))
        lowered = text.lower()
        found += [(name, place) for name, needle in NEEDLES.items() if needle.search(lowered)]
    assert not found
    # It looked where it must: runs, ledgers, Ray's and every process's logs, and what the user saw.
    for part in (
        "data/runs/whole/prepared",
        "data/runs/whole/rejected",
        "data/runs/whole/ledger",
        "logs",
        "ray",
    ):
        assert any(place.startswith(part) for place in searched), sorted(searched)
    assert (flown / "stdout").stat().st_size > 1000
    assert len([log for log in (flown / "logs").iterdir() if log.stat().st_size > 1000]) > 2


def test_the_needles_find_what_is_planted(flown: Path) -> None:
    planted = (flown / "data/in/tickets.jsonl").read_text().lower()
    assert all(needle.search(planted) for name, needle in NEEDLES.items() if name != "secret")
    for name, value in VALUES.items():
        assert NEEDLES[name].search(re.sub(r"[^0-9a-z]", "", value.lower()))
        assert NEEDLES[name].search(value.lower().replace("-", "."))


def test_every_stage_and_pass_failed_and_no_row_was_lost(flown: Path) -> None:
    told = (flown / "stdout").read_text()
    run = json.loads((flown / "data/runs/whole/run.json").read_text())
    rows = run["rows"]
    assert balanced(rows)
    for stage in STAGES:
        assert rows["quarantined"][f"{stage}.error"] == 1
        where = f"{stage}: source 's', '{stage}.jsonl'"
        assert f"{where}: a task failed: ValueError in quote (__init__.py:" in told
    for name in ("dedup stage", "dedup gather", "pack", "gate"):
        assert f"{name}: a task failed: ValueError in quoting (canary.py:" in told
    assert "/broken/duplicates: a task failed: ValueError in quoting (canary.py:" in told
    assert "train: a task failed: ValueError in quoting (canary.py:" in told


def test_the_gate_looked_and_let_it_pass(flown: Path) -> None:
    audit = json.loads((flown / "data/runs/whole/pii.json").read_text())
    assert audit["gate"]["leaks"] == []
    assert audit["gate"]["messages"] > 150
    for entity in VALUES:
        assert audit["entities"][entity]["replaced"] > 0
