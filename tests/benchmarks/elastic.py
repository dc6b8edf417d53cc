"""Trainings that are killed and resized a hundred times: is every packed row used once, and what is lost?

    python -m tests.benchmarks.elastic [--kills N] [--resizes N] [--steps N] [--every N] [--most N] [--seed N]
        [--out FILE]

One epoch of a small model is trained three times by `train.driver` on a local Ray: undisturbed by two ranks;
by two ranks, killed --kills times, where Ray Train starts them again; and killed --resizes times, where the
same call is made again with another number of ranks (1 to --most), as by a user who gets other machines.
Kills are spread by seed over the steps: SIGKILL to one worker process, or to all. They fall where the ranks
are by then: in a step, while they write, while they start.

Shown: rows used by the books of the training (fails where they are not those of the undisturbed one), the
greatest difference of a step's loss, that of the last loss, whether the adapter has the same bytes, starts,
and the steps that were made again. Of a step that a kill cuts short nothing is counted. Writes a CSV with a
line a training.

Cost: some 6 s of CPU a rank and start for PyTorch and the model, and the steps.
"""

import argparse
import csv
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from headrace.cluster import storage
from headrace.pipelines.train import adapter, driver
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.watch.watched import Step
from tests.pipelines import toys

HERE = Path(__file__).resolve().parent
SEED = 7  # of the recipe
ROW = 3  # samples of a packed row, about
PER_STEP = 4  # packed rows, each a micro-batch
# The controller looks for dead workers every two seconds otherwise, and starts may be slow here.
OFTEN = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600"}
NAMES = (
    *("training", "kills", "starts", "ranks", "steps", "every", "rows", "used once", "steps redone"),
    *("redone share", "seconds between checkpoints", "greatest difference", "last loss differs by"),
    *("same adapter", "seconds"),
)


class Outcome(NamedTuple):
    """What a training came to."""

    history: dict[str, Any]
    weights: bytes
    kills: int
    told: int  # steps that rank 0 has told of, those made again among them
    seconds: float


class Killer:
    """Kills workers when the steps of `at` are told; `step` is called with every step."""

    def __init__(self, at: list[int], draw: random.Random) -> None:
        self._at, self._draw = at, draw
        self._before: set[int] = set()  # workers of the start that was killed last
        self.kills, self.told = 0, 0

    def step(self, step: Step) -> None:
        """Count a step, and kill where it is time; workers that are dying already are left alone."""
        self.told += 1
        if self.kills == len(self._at) or step.step < self._at[self.kills]:
            return
        alive = workers()
        if not alive or self._before & set(alive):
            return
        self._before = set(alive)
        self.kills += 1
        for pid in alive if self._draw.random() < 0.5 else [self._draw.choice(alive)]:
            os.kill(pid, signal.SIGKILL)


def workers() -> list[int]:
    """Processes of Ray Train's workers below this one, sorted."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if any("RayTrainWorker" in part for part in process.cmdline()):
                found.append(process.pid)
        except psutil.NoSuchProcess:
            continue
    return sorted(found)


def trained(run: str, model: str, configs: Iterator[Config], killer: Killer) -> Outcome:
    """Call after call until the training has ended. configs: of each call."""
    began = time.monotonic()
    while True:
        kills = killer.kills
        try:
            history = driver.run(run, model, next(configs), seed=SEED, each_step=killer.step)
        except Exception:
            if killer.kills == kills:  # it failed by itself
                raise
            continue
        weights = storage.read_bytes(adapter.path(run, adapter.WEIGHTS))
        return Outcome(history, weights, killer.kills, killer.told, time.monotonic() - began)


def calls(config: Config, most: int | None, draw: random.Random) -> Iterator[Config]:
    """Configs of each call: two ranks that Ray Train starts again, or 1 to `most` that it does not."""
    while True:
        if most is None:
            yield config.model_copy(update={"workers": 2, "max_failures": 1_000})
        else:
            yield config.model_copy(update={"workers": draw.randint(1, most), "max_failures": 0})


def line(name: str, ranks: str, every: int, found: Outcome, wanted: Outcome) -> list[Any]:
    """A line of the table. Exits where rows were not used as they were without a kill."""
    history, steps = found.history, found.history["steps"]
    if history["rows_used"] != wanted.history["rows_used"]:
        raise SystemExit(f"{name}: {history['rows_used']} rows used, {wanted.history['rows_used']} wanted")
    losses = list(zip(history["loss"], wanted.history["loss"], strict=True))
    redone, last = found.told - steps, losses[-1]
    return [
        *(name, found.kills, len(history["starts"]), ranks, steps, every),
        *(sum(history["rows_used"].values()), True, redone, round(redone / steps, 4)),
        round(every * history["seconds"] / steps, 2),
        f"{max(abs(a - b) for a, b in losses):.1e}",
        f"{abs(last[0] - last[1]) / last[1]:.1e}",
        *(found.weights == wanted.weights, round(found.seconds)),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run all three and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=70, help="of a training that keeps its ranks")
    parser.add_argument("--resizes", type=int, default=30, help="kills of one that changes them")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--every", type=int, default=1, help="steps between two checkpoints")
    parser.add_argument("--most", type=int, default=4, help="ranks of a start at most, where they change")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "elastic.csv")
    given = parser.parse_args(arguments)
    os.environ.update(OFTEN)
    config = Config(
        rank=4,
        learning_rate=1e-3,
        epochs=1,
        rows_per_step=PER_STEP,
        batch_size=1,
        dropout=0.1,
        checkpoint_every=given.every,
        validate_every=max(1, given.steps // 5),
        smoke=0,
        patience=None,
    )
    lines, outcomes = [], []
    with tempfile.TemporaryDirectory() as scratch:
        model = toys.model(Path(scratch) / "model")
        driver.session.start(given.most + 1)
        for name, kills, most in (
            ("undisturbed", 0, None),
            ("killed", given.kills, None),
            ("resized", given.resizes, given.most),
        ):
            counts = {"train": given.steps * PER_STEP * ROW, "validation": 12}
            run = toys.run(Path(scratch) / name, counts)
            draw = random.Random(given.seed)
            steps = driver.plan(run, model, config, SEED, {}).steps
            killer = Killer(sorted(draw.sample(range(1, steps), kills)), draw)
            outcomes.append(trained(run, model, calls(config, most, draw), killer))
            ranks = "2" if most is None else f"1 to {most}"
            lines.append(line(name, ranks, given.every, outcomes[-1], outcomes[0]))
            print(", ".join(f"{n} {v}" for n, v in zip(NAMES, lines[-1], strict=True)), flush=True)
    with given.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([NAMES, *lines])


if __name__ == "__main__":
    main(sys.argv[1:])
