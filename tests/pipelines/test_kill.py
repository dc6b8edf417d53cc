"""Runs that are killed: whatever dies and whenever, the same command goes on and ends with the same bytes.

A driver is killed as a process of its own with a Ray of its own, a worker under a driver in this
process. Kills are aimed by what lies in the run directory: the plan, commits, the files of pass 2.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from headrace.pipelines.passes import summary
from tests.builders import Finished, commits, messy_recipe, prepare, save_recipe, write_messy
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.ray
PATIENCE = 300  # seconds until a point is reached, from a cold start on a busy machine
POLL = 0.002
FULL = "HEADRACE_SLOW" in os.environ


def committed(run: Path, name: str) -> int:
    """Units of a pass that are committed."""
    return len(list((run / "ledger" / name).glob("0*.json")))


POINTS: dict[str, Callable[[Path], bool]] = {
    "plan": lambda run: committed(run, "plan") == 1,
    "first commit": lambda run: committed(run, "prepare") >= 1,
    "five commits": lambda run: committed(run, "prepare") >= 5,
    "dedup": lambda run: any((run / "duplicates/work").glob("*.parquet")),
    "decided": lambda run: (run / "ledger/dedup/all.json").exists(),
    "pack": lambda run: committed(run, "pack") >= 1,
}


class Driver:
    """`headrace prepare` in a process of its own."""

    def __init__(self, recipe: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "prepare", recipe],
            env={**environment, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Return as soon as `reached`; the process must still be at work then."""
        end = time.monotonic() + PATIENCE
        while not reached():
            assert self.process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end, "the point was never reached"
            time.sleep(POLL)

    def kill(self) -> None:
        """kill -9 of the driver alone; its Ray follows by itself (what does not is ended after a while)."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        for left in psutil.wait_procs(family, timeout=30)[1]:
            left.kill()


@pytest.mark.slow
def test_a_driver_killed_again_and_again(finished: Finished, tmp_path: Path) -> None:
    """One start after the other, in full in passes 1, 2 and 3; then it is let end."""
    points = list(POINTS) if FULL else ["pack"]  # of those before it `test_faults` has one
    run = tmp_path / "run"
    data = messy_recipe(finished.inputs, run, workers=2)
    recipe = save_recipe(tmp_path / "recipe.yaml", data)
    done: dict[str, dict[str, tuple[int, int]]] = {}
    for point in points:
        driver = Driver(recipe)
        try:
            driver.wait_for(lambda reached=POINTS[point]: reached(run))
        finally:
            driver.kill()
        assert "digest" not in summary.read(str(run)), "what was killed is no finished run"
        for name, before in done.items():
            assert {unit: commits(run, name)[unit] for unit in before} == before, f"{name} was done again"
        done = {name: commits(run, name) for name in ("plan", "prepare", "pack")}
    found = prepare(Path(recipe), data)
    assert found["digest"] == finished.digest
    for name, before in done.items():
        assert {unit: commits(run, name)[unit] for unit in before} == before, f"{name} was done again"
    assert not list(run.rglob(".headrace-*/")), "a temporary directory was left"
    assert not (run / "duplicates/work").exists()


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="five starts of a run; HEADRACE_SLOW=1 runs it")
def test_a_driver_killed_over_a_file_that_was_added(ray_local: None, tmp_path: Path) -> None:
    """The same history twice, the second time with a kill while what is new is prepared."""
    inputs = write_messy(tmp_path / "in", tickets=240)
    late = inputs / "chat/0.jsonl"
    held = tmp_path / "late.jsonl"
    late.rename(held)
    digests = {}
    for name in ("left", "killed"):
        late.unlink(missing_ok=True)
        run = tmp_path / name
        data = messy_recipe(inputs, run, workers=2, quarantine={"limit": 0.5})
        recipe = save_recipe(tmp_path / f"{name}.yaml", data)
        prepare(Path(recipe), data)
        before = commits(run, "prepare")
        more = len(before) + 1
        shutil.copy2(held, late)
        if name == "killed":
            driver = Driver(recipe)
            try:
                driver.wait_for(lambda run=run, n=more: committed(run, "prepare") >= n)
            finally:
                driver.kill()
        digests[name] = prepare(Path(recipe), data)["digest"]
        after = commits(run, "prepare")
        assert {unit: after[unit] for unit in before} == before, "what stood was done again"
        assert len(after) > len(before)
    assert digests["killed"] == digests["left"]


class Killer(threading.Thread):
    """Kills one busy Ray worker below this process at each of `points` of the run."""

    def __init__(self, run: Path, points: list[str]) -> None:
        super().__init__(daemon=True)
        self.run_directory, self.points = run, points
        self.killed: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        for point in self.points:
            while not (POINTS[point](self.run_directory) and self.kill_one()):
                if self.stopped.wait(POLL):
                    return

    def kill_one(self) -> bool:
        """kill -9 of a worker that is in a task of ours; whether there was one."""
        for process in psutil.Process().children(recursive=True):
            try:
                title = process.cmdline()[0] if process.cmdline() else ""
                if title.startswith(("ray::MapBatches", "ray::pack", "ray::dedup")):
                    process.kill()
                    self.killed.append(title)
                    return True
            except psutil.NoSuchProcess:
                continue
        return False


def test_killed_workers(finished: Finished, tmp_path: Path) -> None:
    killer = Killer(tmp_path / "run", ["first commit", "five commits", "dedup"])
    killer.start()
    try:
        found = prepare(tmp_path / "recipe.yaml", messy_recipe(finished.inputs, tmp_path / "run"))
    finally:
        killer.stopped.set()
        killer.join()
    assert any(title.startswith("ray::MapBatches") for title in killer.killed), killer.killed
    assert found["digest"] == finished.digest
