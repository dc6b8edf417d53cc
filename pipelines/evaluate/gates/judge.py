"""All gates of an evaluation: what was measured, and what that is held against.

What: `measured` gives every gate's value, interval and words, or why there are none; `judged` holds them
against the recipe's thresholds, so that another threshold, `ship` or `off` asks no model again.

Cost: seconds for hundreds of answers; code and queries of the battery are run.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.pipelines.evaluate.arms.measured import Outcome as Measurement
from headrace.pipelines.evaluate.battery import checks, items
from headrace.pipelines.evaluate.gates import (
    collapse,
    confusion,
    drift,
    endings,
    forgetting,
    gate,
    held_out,
    labels,
    memory,
    speed,
)
from headrace.pipelines.evaluate.gates.config import THRESHOLDS, Config
from headrace.pipelines.evaluate.gates.gate import Bools, Floats, Gate, Outcome, Unmeasured
from headrace.pipelines.evaluate.gates.probing import Probed
from headrace.pipelines.evaluate.gates.training import Seen

ASK_FORMAT = ("formats", "code")  # skills whose answers may be in a format
OF_CLOCK = ("speed",)  # measured in seconds: the same input does not give the same


class Judged(NamedTuple):
    """Gates by name as run.json holds them, and why others were not held."""

    gates: dict[str, dict[str, Any]]
    unmeasured: dict[str, str]


def measured(outcome: Measurement, asked: Sequence[str], seen: Seen, seed: int) -> dict[str, Any]:
    """Every gate by name, as `gate.kept` has it or as the reason why it could not be measured.

    asked: what each answered sample asks last; seen: what was found in the training rows.
    """
    found = {name: hold() for name, hold in _each(outcome, asked, seen, seed).items()}
    return {name: gate.kept(of) if isinstance(of, Gate) else of.why for name, of in found.items()}


def judged(measured: Mapping[str, Any], config: Config) -> Judged:
    """Hold what was measured against every gate that is on."""
    on = [name for name in THRESHOLDS if name in measured and name not in config.off]
    held = {}
    for name in on:
        if not isinstance(measured[name], str):
            taken = gate.taken_up(measured[name])
            held[name] = gate.said(name, taken, config.threshold(name), config.ship)
    return Judged(held, {name: str(measured[name]) for name in on if name not in held})


def failed(held: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The first gate that fails a model; None where none does."""
    return next((name for name, gate in held.items() if gate["state"] == "fail"), None)


def _each(
    measured: Measurement, asked: Sequence[str], seen: Seen, seed: int
) -> dict[str, Callable[[], Outcome]]:
    """Each gate as a function; nothing is computed yet."""
    base, answers, references = measured.base.answers, measured.tuned.answers, measured.references
    probed: Probed = measured.probed
    fits, ended = np.array(measured.fits, np.bool_), np.array(measured.tuned.ended, np.bool_)
    sides = [_per_token(side.forced) for side in (measured.base, measured.tuned)]
    trained = [_per_token(side) for side in probed.trained]
    return {
        **_of_items(probed, seen.answers),
        "harness": lambda: _or_why(probed.harness, forgetting.of_harness),
        "general_loss": lambda: forgetting.general_loss(*probed.general, seed),
        "collapse": lambda: collapse.collapse(answers, references, base),
        "openers": lambda: collapse.openers(answers, references),
        "endless": lambda: endings.endless(answers, ended, fits),
        "empty": lambda: endings.empty(answers, references),
        "copied": lambda: endings.copied(asked, answers, references),
        "format_drift": lambda: drift.drift(answers, references, fits),
        "memorised": lambda: memory.memorised(seen.repeats, len(answers)),
        "recited": lambda: memory.recited(*probed.again),
        "membership": lambda: (
            memory.membership(np.stack(trained, 1), np.stack(sides, 1))
            if len(trained[0])
            else Unmeasured("no training row is of a file that rows are held out of")
        ),
        "canaries": lambda: _or_why(probed.planted, lambda of: memory.canaries(of.canaries, of.others)),
        "contamination": lambda: held_out.contamination(seen.leaks.shares(), seen.leaks.rows),
        "swaps": lambda: _or_why(probed.swaps, lambda of: labels.swaps(of.base, of.tuned)),
        "signal": lambda: labels.signal(answers, references),
        "calibration": lambda: _or_why(
            probed.labels, lambda of: labels.calibration(of.base, of.tuned, of.wanted, seed)
        ),
        "speed": lambda: _or_why(probed.speed, lambda of: speed.speed(of.rates, of.gib)),
    }


def _or_why(probe: Any, hold: Callable[[Any], Outcome]) -> Outcome:
    """A gate on what was asked, or why it was not."""
    return probe if isinstance(probe, Unmeasured) else hold(probe)


def _per_token(forced: Floats) -> Floats:
    """Nats a token of each sample."""
    return np.asarray(forced[:, 0] / np.maximum(forced[:, 1], 1), np.float64)


def _of_items(probed: Probed, training: Sequence[str]) -> dict[str, Callable[[], Outcome]]:
    """The gates on the battery and the user's own items."""
    names = ("forgetting", "instructions", "safety", "confusion")
    if not probed.items:
        return {name: lambda: Unmeasured(probed.unasked) for name in names}
    skills = [item.skill for item in probed.items]
    right = [
        np.array([checks.right(a, i.check) for a, i in zip(side, probed.items, strict=True)], np.bool_)
        for side in (probed.base, probed.tuned)
    ]
    formatted = np.array([skill in ASK_FORMAT for skill in skills], np.bool_)
    harmful = np.array([skill == items.REFUSALS for skill in skills], np.bool_)
    follows = np.array([skill in items.FOLLOWING for skill in skills], np.bool_)

    def forgotten(name: str, own: Bools) -> Callable[[], Outcome]:
        at = np.flatnonzero(own).tolist()
        chosen = [skills[k] for k in at], [probed.items[k].id for k in at]
        return lambda: forgetting.forgotten(name, right[0][own], right[1][own], *chosen)

    return {
        "forgetting": forgotten("forgetting", ~harmful),
        "instructions": forgotten("instructions", follows),
        "safety": forgotten("safety", harmful),
        "confusion": lambda: confusion.confusion(probed.base, probed.tuned, training, formatted),
    }
