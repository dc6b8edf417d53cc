"""What is told of a training while it runs: from rank 0, by way of an actor, to the driver.

Every finished step passes `reporting` once: whoever wants its numbers gets them there.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import ray

from headrace.cluster.errors import HeadraceError
from headrace.cluster.here import looking
from headrace.pipelines.train import preference
from headrace.pipelines.train.watch import smoke
from headrace.pipelines.train.watch.watched import Step

LOOK_EVERY = 0.5  # seconds between two looks for finished steps
REPORT_EVERY = 5.0  # seconds between two steps that are reported, but for validations
AGAIN = "train: a worker was lost, or one more came: all go on from the newest checkpoint (start {})"
Progress = Callable[[str, dict[str, Any]], None]


class Mailbox:
    """Steps that rank 0 has finished, until the driver asks; how often the ranks were started; and why one
    has refused to train.
    """

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._starts = 0
        self._refusal: HeadraceError | None = None

    def refuse(self, error: HeadraceError) -> None:
        """Leave what only the user can mend: no other start will do better."""
        self._refusal = error

    def refusal(self) -> HeadraceError | None:
        """What a rank of an earlier start has left."""
        return self._refusal

    def begin(self) -> None:
        """Count a start."""
        self._starts += 1

    def starts(self) -> int:
        """How often the ranks were started."""
        return self._starts

    def put(self, step: Step) -> None:
        """Leave a step."""
        self._steps.append(step)

    def take(self) -> list[Step]:
        """All steps since the last call."""
        steps, self._steps = self._steps, []
        return steps


def line(step: Step) -> tuple[str, dict[str, Any]]:
    """A step as a line for people and as fields for machines."""
    text = f"train: step {step.step} of {step.steps}, loss {step.loss:.4f}"
    if step.validation is not None:
        text += f", validation {step.validation:.4f}"
    if step.preference is not None:
        text += f", {preference.words(step.preference)}"
    fields = {name: value for name, value in vars(step).items() if name not in ("alarms", "smoke")}
    return text, fields


def _events(step: Step) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is to be told of a step whenever it comes."""
    if step.smoke is not None:
        yield smoke.words(step.smoke, step.steps), {"event": "smoke", **step.smoke}
    for alarm in step.alarms:
        text = f"train: step {alarm.step}: {alarm.words}"
        yield text, {"event": "warning", "code": alarm.code, "step": alarm.step}


@contextlib.contextmanager
def reporting(
    mailbox: Any, progress: Progress, each_step: Callable[[Step], None] | None = None
) -> Iterator[None]:
    """Tell of finished steps while the context is open, in a thread of its own: `each_step` of every one,
    `progress` of some.

    What they raise ends the telling, not the training, and is raised at the end.
    """
    reported, started = time.monotonic(), 1

    def take(timeout: float | None = None) -> None:
        nonlocal reported, started
        starts = ray.get(mailbox.starts.remote(), timeout=timeout)
        if starts > started:
            started = starts
            progress(AGAIN.format(starts), {"event": "restart", "start": starts})
        for step in ray.get(mailbox.take.remote(), timeout=timeout):
            if each_step is not None:
                each_step(step)
            for text, fields in _events(step):
                progress(text, fields)
            due = time.monotonic() - reported >= REPORT_EVERY
            if due or step.validation is not None or step.step == step.steps:
                reported = time.monotonic()
                progress(*line(step))

    def last() -> None:
        with contextlib.suppress(ray.exceptions.RayError):  # the cluster may be what failed
            take(10)

    try:
        with looking(take, LOOK_EVERY, "train-progress", last):
            yield
    finally:
        ray.kill(mailbox)
