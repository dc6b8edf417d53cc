"""One trial: a training of its own, ended early where earlier trials were better at the same point.

What: the ordinary training (`worker.train`) by one rank, over the packed rows of the run, with checkpoints in
the sweep's folder. A step's rows do not hang on the number of ranks, so what one rank finds holds for as many
as the run has. It goes on from its newest checkpoint.

Cost: that of the training; the model is read once more, from the files that the run's node has already.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from headrace.cluster import process
from headrace.cluster.errors import GateError, ModelError, discreet
from headrace.pipelines.train import checkpoints, driver, worker
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.sweep import records, space
from headrace.pipelines.train.sweep.records import Result, Trial
from headrace.pipelines.train.watch import smoke
from headrace.pipelines.train.watch.watched import Step

# What no trial needs: it is itself a try, and is ranked by its loss alone.
FIXED = {"keep_checkpoints": 1, "smoke": 0.0, "best": "validation_loss"}


class _Ended(Exception):  # noqa: N818 - it is no error
    """A trial that was not among the best at a rung."""


def job(template: Job, trial: Trial, factor: int, home: str) -> tuple[Job, tuple[int, ...]]:
    """The training of a trial, and the steps at which it is held against others."""
    config = configured(template.config, trial.settings)
    of_run = driver.plan(
        template.run,
        template.base,
        config,
        trial.seed,
        template.plan.weights,
        model_digest=template.model_digest,
    )
    every, rungs = space.rungs(of_run.steps, factor)
    place = records.place(home, trial.number)
    held = replace(of_run, run=place, model=template.model, ways=template.ways, costs=template.costs)
    return replace(held, validate_every=every, checkpoint_every=every), rungs


def configured(base: Config, settings: space.Settings) -> Config:
    """The recipe's keys with those of a trial."""
    return Config.model_validate({**base.model_dump(by_alias=True), **FIXED, **settings})


def run(template: Job, trial: Trial, factor: int, home: str, device: torch.device) -> Result:
    """Train, from the newest checkpoint on, and say how it ended. Raises: ModelError, StorageError."""
    made, rungs = job(template, trial, factor, home)
    cutoffs = dict(zip(rungs, trial.cutoffs, strict=False))
    before = _history(made)
    losses = dict(zip(before["validation_steps"], before["validation"], strict=True))
    began, state, words = time.monotonic(), "done", ""

    def look(step: Step) -> None:
        if step.validation is not None:
            losses[step.step] = step.validation
        _hold(losses, cutoffs)

    try:
        _hold(losses, cutoffs)
        worker.train(made, Rank(0, 1, device), look)
    except _Ended:
        state = "stopped"
    except GateError as error:
        state, words = "failed", str(error).partition(". ")[0]
    finite = [loss for loss in losses.values() if math.isfinite(loss)]
    steps = max(losses, default=0) if state == "stopped" else len(_history(made)["loss"])
    seconds = round(sum(before["seconds"]) + time.monotonic() - began, 3)
    hour = smoke.price(made.costs, made.config.cpus_per_worker)
    return Result(
        state=state,  # type: ignore[arg-type]
        loss=min(finite, default=None) if state != "failed" else None,
        rungs=tuple(losses[step] for step in rungs if step in losses) if state != "failed" else (),
        steps=steps,
        of=made.steps,
        seconds=seconds,
        cost=None if hour is None else round(hour * seconds / 3600, 6),
        words=words,
    )


def _history(job: Job) -> Mapping[str, Any]:
    """What the newest checkpoint of a training tells."""
    record = checkpoints.newest(job.home, job.key)
    return checkpoints.history() if record is None else record["history"]


def _hold(losses: dict[int, float], cutoffs: dict[int, float | None]) -> None:
    """Raises: _Ended where a loss is beyond what passes its rung."""
    for step, most in cutoffs.items():
        if most is not None and losses.get(step, -math.inf) > most:
            raise _Ended


@discreet()
def on_worker(config: dict[str, int], template: Job, factor: int, home: str) -> None:
    """The function that Ray Tune runs for every trial; `config` holds its number.

    A model that does not load is reported, not raised: another start would do no better.
    """
    process.single_threaded()
    from ray import tune

    number = config["number"]
    trial = records.trials(home)[number]
    if trial.result is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            records.end(home, number, run(template, trial, factor, home, device))
        except ModelError as error:
            tune.report({"loss": 0.0, "refusal": str(error)})
            return
    tune.report({"loss": 0.0})
