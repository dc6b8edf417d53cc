"""A training that is killed and resized uses every row once and learns what it would have learned."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

KILLS, STEPS = (20, 200) if "HEADRACE_SLOW" in os.environ else (1, 8)


@pytest.mark.slow
def test_kills_and_other_numbers_of_ranks_change_nothing(tmp_path: Path) -> None:
    sizes = ["--kills", str(KILLS), "--steps", str(STEPS), "--out", str(tmp_path / "elastic.csv")]
    command = [sys.executable, "-m", "tests.benchmarks.elastic", *sizes]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [*csv.DictReader((tmp_path / "elastic.csv").read_text().splitlines())]
    assert [line["training"] for line in lines] == ["undisturbed", "killed", "resized"]
    assert [int(line["starts"]) for line in lines] == [1, KILLS + 1, KILLS + 1]
    assert lines[1]["same adapter"] == "True"
    assert float(lines[1]["greatest difference"]) == 0
    assert float(lines[2]["last loss differs by"]) < 1e-3
    assert all(int(line["rows"]) == int(lines[0]["rows"]) for line in lines)
