"""A training that is killed and resized uses every row once and learns what it would have learned."""

import csv
import os
import signal
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from headrace.pipelines.train import checkpoints, driver, worker
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.steps import Job, Rank
from tests.conftest import REPOSITORY
from tests.pipelines import toys

KILLS, RESIZES, STEPS = 20, 5, 400
FEW = {"max_steps": 10, "rows_per_step": 4, "batch_size": 1, "checkpoint_every": 2, "dropout": 0.1}


def start(job: Job, count: int, meeting: Path, kill_at: int | None) -> None:
    """Train by some ranks, each a process, to the end, or until rank 0 is killed after a step."""

    def rank_main(number: int) -> None:
        def told(step: worker.Step) -> None:
            if step.step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        torch.set_num_threads(1)
        if count > 1:
            dist.init_process_group("gloo", f"file://{meeting}", rank=number, world_size=count)
        worker.train(job, Rank(number, count, torch.device("cpu")), told)

    ranks = [get_context("fork").Process(target=rank_main, args=(n,)) for n in range(count)]
    for process in ranks:
        process.start()
    ranks[0].join()
    if kill_at is not None:  # the others wait for it
        for process in ranks:
            process.kill()
    for process in ranks:
        process.join()
    assert ranks[0].exitcode == (0 if kill_at is None else -signal.SIGKILL)


def test_it_goes_on_with_any_number_of_ranks(toy_model: str, tmp_path: Path) -> None:
    config = Config(rank=4, learning_rate=1e-3, validate_every=5, **FEW)

    def trained(name: str, starts: list[tuple[int, int | None]]) -> dict[str, Any]:
        job = driver.plan(
            toys.run(tmp_path / name, {"train": 48, "validation": 12}), toy_model, config, 7, {}
        )
        for at, (count, kill_at) in enumerate(starts):
            start(job, count, tmp_path / f"{name}-{at}", kill_at)
        return driver._publish(job, {})

    through = trained("through", [(2, None)])
    resized = trained("resized", [(2, 3), (3, 7), (1, 8), (4, None)])
    assert [tuple(one.values()) for one in resized["starts"]] == [(2, 0), (3, 2), (1, 6), (4, 6)]
    assert resized["rows_used"] == through["rows_used"]
    assert sum(resized["rows_used"].values()) == 40
    assert resized["loss"] == pytest.approx(through["loss"], rel=1e-5)
    assert checkpoints.starts(str(tmp_path / "none")) == []


@pytest.mark.slow
@pytest.mark.skipif("HEADRACE_SLOW" not in os.environ, reason="every start of Ray's workers takes seconds")
def test_kills_and_other_numbers_of_ranks_change_nothing(tmp_path: Path) -> None:
    sizes = ["--kills", str(KILLS), "--resizes", str(RESIZES), "--steps", str(STEPS)]
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.elastic",
        *sizes,
        "--out",
        str(tmp_path / "elastic.csv"),
    ]
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
    assert [int(line["kills"]) for line in lines] == [0, KILLS, RESIZES]
    assert lines[1]["same adapter"] == "True"
    assert float(lines[1]["greatest difference"]) == 0
    assert float(lines[2]["last loss differs by"]) < 1e-3
    assert all(int(line["rows"]) == int(lines[0]["rows"]) for line in lines)
