"""Trainings that are killed and resized a hundred times: is every packed row used once, and what is lost?

    python -m tests.benchmarks.elastic [--kills N] [--steps N] [--every N] [--seed N] [--out FILE]

One epoch of a small model is trained three times: undisturbed by two ranks; by two ranks, killed N times;
and killed N times with another number of ranks (1 to 8) at each start. A kill comes at a step drawn by seed,
mostly in the middle of what a rank does or writes there: SIGKILL to one rank, or to all. Ranks are processes
that `train.worker` runs in, joined by gloo; that Ray Train starts and resizes them is tested elsewhere.

Shown: rows used by the books of the training (fails where one is not used once), the greatest difference of a
step's loss, that of the last loss, whether the adapter has the same bytes, steps done again, starts. Writes a
CSV with a line a training. Takes some ten minutes.
"""

import argparse
import csv
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import torch
import torch.distributed as dist

from headrace.cluster import storage
from headrace.pipelines.train import adapter, checkpoints, driver, worker
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.steps import Job, Rank
from tests.pipelines import toys

HERE = Path(__file__).resolve().parent
MOST = 8  # ranks
FORK = get_context("fork")  # ranks start in milliseconds, with PyTorch loaded
ROW = 3  # samples of a packed row, about
NAMES = (
    *("training", "kills", "starts", "ranks", "steps", "every", "rows", "used once", "steps redone"),
    *("redone share", "greatest difference", "last loss differs by", "same adapter", "seconds"),
)


class Plan(NamedTuple):
    """A start: its ranks, the step at which it is killed (None: it goes on to the end), and which rank (None:
    all).
    """

    ranks: int
    kill_at: int | None
    victim: int | None


class Outcome(NamedTuple):
    """What a training came to."""

    history: dict[str, Any]
    weights: bytes
    told: int  # steps that rank 0 has told of, those done again among them
    seconds: float


def rank_main(job: Job, number: int, count: int, meeting: str, steps: Connection) -> None:
    """Train as one rank, telling each step."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)  # of transformers, at every start
    if count > 1:
        dist.init_process_group("gloo", f"file://{meeting}", rank=number, world_size=count)
    worker.train(job, Rank(number, count, torch.device("cpu")), lambda step: steps.send(step.step))


def start(job: Job, plan: Plan, scratch: str) -> int:
    """Run the ranks of a start until they end or are killed; returns how many steps were told."""
    ours, theirs = FORK.Pipe(duplex=False)
    meeting = os.path.join(scratch, f"meeting-{time.monotonic_ns()}")
    processes = [
        FORK.Process(target=rank_main, args=(job, n, plan.ranks, meeting, theirs)) for n in range(plan.ranks)
    ]
    for process in processes:
        process.start()
    theirs.close()
    told = 0
    for step in _told(ours, processes):
        told += 1
        if plan.kill_at is not None and step >= plan.kill_at:
            chosen = processes if plan.victim is None else [processes[plan.victim]]
            for process in chosen:
                os.kill(process.pid or 0, signal.SIGKILL)
            break
    failed = _joined(processes, killed=plan.kill_at is not None)
    if failed:
        raise SystemExit(f"a rank ended with {failed} and nobody had killed it")
    return told


def _told(steps: Connection, processes: list[Any]) -> Iterator[int]:
    """Steps as they are told, until the ranks have ended."""
    ends = [process.sentinel for process in processes]
    while True:
        ready = wait([steps, *ends])
        if steps in ready:
            try:
                yield steps.recv()
            except EOFError:
                return
        elif any(process.exitcode for process in processes):
            return


def _joined(processes: list[Any], *, killed: bool) -> int:
    """End all ranks where one was killed, as Ray Train does; the exit code of one that failed by itself."""
    if killed:
        for process in processes:
            process.kill()
    for process in processes:
        process.join()
    return 0 if killed else next((p.exitcode for p in processes if p.exitcode), 0)


def trained(run: str, model: str, config: Config, plans: Iterator[Plan], scratch: str) -> Outcome:
    """Start after start until the training has ended."""
    job = driver.plan(run, model, config, 7, {})
    began, told = time.monotonic(), 0
    while checkpoints.newest(job.home, job.key) is None or not _ended(job):
        told += start(job, next(plans), scratch)
    seconds = time.monotonic() - began
    history = driver._publish(job, {})
    return Outcome(history, storage.read_bytes(adapter.path(run, adapter.WEIGHTS)), told, seconds)


def _ended(job: Job) -> bool:
    newest = checkpoints.newest(job.home, job.key)
    return newest is not None and newest["step"] == job.steps


def drawn(kills: int, steps: int, seed: int, ranks: int | None) -> Iterator[Plan]:
    """Starts that are killed at steps spread over the training, and one that is not. ranks: None: drawn."""
    draw = random.Random(seed)
    at = sorted(draw.sample(range(1, steps), kills))
    for step in at:
        count = ranks or draw.randint(1, MOST)
        yield Plan(count, step, draw.choice([None, draw.randrange(count)]))
    while True:
        yield Plan(ranks or draw.randint(1, MOST), None, None)


def line(name: str, kills: int, config: Config, ranks: str, found: Outcome, wanted: Outcome) -> list[Any]:
    """A line of the table. Exits where a row was not used once."""
    history, steps = found.history, found.history["steps"]
    rows = sum(history["rows_used"].values())
    losses = list(zip(history["loss"], wanted.history["loss"], strict=True))
    if rows != sum(wanted.history["rows_used"].values()):
        raise SystemExit(f"{name}: {rows} rows used, {wanted.history['rows_used']} wanted")
    return [
        *(name, kills, len(history["starts"]), ranks, steps, config.checkpoint_every, rows, True),
        *(found.told - steps, round((found.told - steps) / steps, 4)),
        f"{max(abs(a - b) for a, b in losses):.1e}",
        f"{abs(losses[-1][0] - losses[-1][1]) / losses[-1][1]:.1e}",
        *(found.weights == wanted.weights, round(found.seconds, 1)),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run all three and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--every", type=int, default=2, help="steps between two checkpoints")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "elastic.csv")
    given = parser.parse_args(arguments)
    config = Config(
        rank=4,
        learning_rate=1e-3,
        epochs=1,
        rows_per_step=8,
        batch_size=1,
        dropout=0.1,
        checkpoint_every=given.every,
        validate_every=max(1, given.steps // 5),
    )
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        model = toys.model(Path(scratch) / "model")
        outcomes = []
        for name, kills, ranks in (
            ("undisturbed", 0, 2),
            ("killed", given.kills, 2),
            ("resized", given.kills, None),
        ):
            counts = {"train": given.steps * 8 * ROW, "validation": 12}
            run = toys.run(Path(scratch) / name, counts)
            steps = driver.plan(run, model, config, 7, {}).steps
            plans = drawn(kills, steps, given.seed, ranks)
            outcomes.append(trained(run, model, config, plans, scratch))
            lines.append(line(name, kills, config, str(ranks or f"1 to {MOST}"), outcomes[-1], outcomes[0]))
            print(", ".join(f"{n} {v}" for n, v in zip(NAMES, lines[-1], strict=True)), flush=True)
    with given.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([NAMES, *lines])


if __name__ == "__main__":
    main(sys.argv[1:])
