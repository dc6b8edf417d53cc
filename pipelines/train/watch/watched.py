"""A training under watch: what is measured after a step, what is said of it, and whether it goes on.

All ranks come to the same: what they look at is summed over all of them. Rank 0 alone writes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from headrace.cluster import ledger, storage
from headrace.cluster.errors import GateError
from headrace.pipelines.train import adapter, batches, checkpoints, preference, steps
from headrace.pipelines.train.running.ways import Way
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.watch import alarms, smoke
from headrace.pipelines.train.watch.alarms import Alarm
from headrace.pipelines.train.watch.validation import Validation

LOSS, WATCH = "train.loss", "train.watch"  # gates: losses are numbers; a training learns
NOTED = 100  # warnings of a training at most
FEW = 100  # rows below which a training is told to have few
WORSE = 1.1  # share of the validation loss before training beyond which steps were too long


@dataclass(frozen=True)
class Step:
    """What is told of a step: how far, the loss in nats a token, target tokens, the time it took, and the
    norm of its gradients before they were clipped.

    loss: nan where the step was left out. validation: loss, where the step ended with one. alarms: what was
    seen after it for the first time. preference: of its pairs, by `preference.TOLD`. smoke: `smoke.summary`,
    where it is due.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    grad_norm: float
    validation: float | None = None
    preference: list[float] | None = None
    alarms: tuple[Alarm, ...] = ()
    smoke: dict[str, Any] | None = None


class Watched:
    """A training's history, and what is added to it after each step."""

    def __init__(self, job: Job, rank: Rank, model: Any, way: Way, history: dict[str, Any]) -> None:
        self.history = history
        self._job, self._rank, self._model = job, rank, model
        self._warmup = math.ceil(job.config.warmup * job.steps)
        self._smoke = smoke.steps(job.config, job.steps, self._warmup)
        self._validation = Validation(job, rank, way)
        paired = job.plan.shelf.paired
        self.pairs = preference.Objective(job.config.preference, rank.device) if paired else None
        self._first: list[Alarm] = []
        if not history["loss"]:
            history["base"] = {
                "validation": self._validation.loss(model, rank),
                "general": self._validation.general(model),
                "metric": self._validation.metric(model, rank),
                "guessed": self._validation.guessed(model, rank),
            }
            self._first = _before(job)
            for alarm in self._first:
                self._warn(alarm)

    def bad_step(self, loss: float, norm: float) -> str | None:
        """Why a step should not be made."""
        return alarms.bad_step(loss, norm, self.history, self._job.config)

    def left_out(self, number: int, why: str, places: Sequence[int], rows: Sequence[steps.Batches]) -> None:
        """Note a step that is not made, of the rows at these places, each as the model takes it.

        Raises: GateError where the recipe stops for that.
        """
        job = self._job
        before = [loss for loss in self.history["loss"] if loss is not None][-alarms.WINDOW :]
        most = 3 * median(before) if len(before) >= alarms.LEAST else math.inf
        where = steps.blame(job, self._rank, self._model, number, places, rows, most)
        if job.config.watch.on_bad_step == "stop":
            words = (
                f"training stopped at step {number} of {job.steps}: {why}. {where}. Nothing was published; "
                f"what was trained before is in trainings/{job.key}"
            )
            raise self._stopped("bad_step", words, number, LOSS)
        self.history["skipped"].append(number)
        self._warn(Alarm("skipped", f"step {number} was left out: {why}. {where}", number))

    def after(self, step: Step) -> tuple[Step, GateError | None]:
        """Validate where that is due, look at everything, keep the best; the step with what was seen, and why
        the training should not go on.
        """
        job, last = self._job, step.step == self._job.steps
        told = [*self._first, *(a for a in self._told(step.step) if a.code == "skipped")]
        self._first = []
        if last or step.step % job.validate_every == 0:
            step = self._validated(step)
        found = alarms.look(self.history, job.config, self._warmup, job.steps)
        if step.step == self._smoke and self.history["smoke"] is None:
            cpus = job.config.cpus_per_worker
            summary = smoke.summary(self.history, job.steps, job.costs, cpus, self._rank.count)
            self.history["smoke"] = summary
            step = replace(step, smoke=summary)
        if last or step.step == self._smoke:
            found += self._flat(step)
        for alarm in found:
            self._warn(alarm)
        stops = next((a for a in found if a.stops and job.config.watch.stop and not last), None)
        step = replace(step, alarms=(*told, *found))
        if stops is None:
            return step, None
        words = (
            f"training stopped at step {step.step} of {job.steps}: {stops.words}. Nothing was published; "
            "train.watch.stop=false would let it go on from there"
        )
        return step, self._stopped(stops.code, words, step.step, WATCH)

    def _told(self, step: int) -> list[Alarm]:
        return [Alarm(**alarm) for alarm in self.history["warnings"] if alarm["step"] == step]

    def _warn(self, alarm: Alarm) -> None:
        noted = {"code": alarm.code, "words": alarm.words, "step": alarm.step}
        if len(self.history["warnings"]) < NOTED:
            self.history["warnings"].append(noted)

    def _validated(self, step: Step) -> Step:
        """Validate, note it, and keep the adapter where it is the best so far."""
        history, job = self.history, self._job
        loss = self._validation.loss(self._model, self._rank)
        if loss is None:
            return step
        if not math.isfinite(loss):
            before, rate = history["base"]["validation"], job.config.learning_rate
            what = (
                f", and was {before:.4g} before training: lower train.learning_rate ({rate:g})"
                if before is not None and math.isfinite(before)
                else ": look at the rows of packed/validation"
            )
            words = (
                f"training stopped at step {step.step} of {job.steps}: the loss on validation rows is "
                f"{loss}{what}. Nothing was published"
            )
            raise self._stopped("validation", words, step.step, LOSS)
        history["validation"].append(loss)
        history["validation_steps"].append(step.step)
        if (general := self._validation.general(self._model)) is not None:
            history["general"].append(general)
        value = self._validation.metric(self._model, self._rank)
        if value is not None:
            history["metric"].append(value)
        value = loss if value is None else value
        if alarms.is_better(value, history["best"], job.config):
            best = {"metric": job.config.best, "value": value, "step": step.step}
            history["best"] = {**best, "validation_loss": loss}
            if self._rank.number == 0:
                keep_best(job, self._model, step.step, loss)
        return replace(step, validation=loss)

    def _flat(self, step: Step) -> list[Alarm]:
        """That nothing was learnt, or the model got worse, where that is so."""
        history, job = self.history, self._job
        now = step.validation
        if now is None and step.step != job.steps:
            now = self._validation.loss(self._model, self._rank)
        seen = {**history, "validation": [*history["validation"], *([] if now is None else [now])]}
        why = alarms.flat(seen, job.config, self._warmup)
        if why is None:
            return []
        base, rate = history["base"]["validation"], job.config.learning_rate
        if base is not None and seen["validation"] and min(seen["validation"]) > WORSE * base:
            words = (
                f"the model got worse in {step.step} steps: {why}. train.learning_rate {rate:g} is too high "
                f"for it: try {rate / 10:g}"
            )
            return [Alarm("diverging", words, step.step, stops=True)]
        words = (
            f"nothing was learnt in {step.step} steps: {why}. Look first at what the rows teach (`headrace "
            f"sample {job.run}`): the model may know it already. If it does not, train.learning_rate "
            f"{rate:g} is too low, or so high that nothing is left to learn: try ten times and a tenth of it"
        )
        return [Alarm("flat", words, step.step, stops=True)]

    def _stopped(self, reason: str, words: str, step: int, gate: str) -> GateError:
        if self._rank.number == 0:
            why = {"reason": reason, "words": words, "step": step}
            storage.put(storage.join(self._job.home, checkpoints.STOPPED), ledger.dumps(why))
        return GateError(words).at(gate)


def _before(job: Job) -> list[Alarm]:
    """What is wrong before the first step."""
    found = []
    if not job.validation.rows:
        words = (
            "packed/validation holds no rows: nobody can say which checkpoint is best, so that of the last "
            "step is published; give split.validation a share"
        )
        found.append(Alarm("no_validation", words, 0))
    rows = job.plan.shelf.rows
    if rows < FEW and (samples := sum(sum(batches.segments(chunk)) for chunk in job.plan.shelf.chunks)) < FEW:
        words = (
            f"{samples} rows to train on ({rows} packed, {job.steps} steps) are few: they are learnt by "
            "heart before the task is. Gather more, and more varied, rows first; as examples in a prompt "
            "they may do as well"
        )
        found.append(Alarm("few_rows", words, 0))
    return found


def keep_best(job: Job, model: Any, step: int, loss: float | None) -> None:
    """Keep the adapter as it is after `step` as the best so far."""
    record = {"key": job.key, "step": step, "validation_loss": loss}
    checkpoints.write(job.home, checkpoints.BEST, record, adapter.files(model, job.base))
