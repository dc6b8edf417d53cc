"""All gates of an evaluation, from what was measured: each held, or said why not.

Cost: seconds for hundreds of answers; code and queries of the battery are run.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.pipelines.evaluate.battery import checks, items
from headrace.pipelines.evaluate.gates import (
    collapse,
    confusion,
    drift,
    endings,
    forgetting,
    held_out,
    memory,
)
from headrace.pipelines.evaluate.gates.config import Config
from headrace.pipelines.evaluate.gates.gate import Bools, Floats, Gate, Outcome, Unmeasured, said
from headrace.pipelines.evaluate.gates.probing import Probed
from headrace.pipelines.evaluate.outputs import Outcome as Measurement

# Gates that a function is there for and that no evaluation holds yet, and what each would need.
UNHELD = {
    "canaries": "no canaries are planted by the recipe",
    "swaps": "the exchanged rows of the examiner are not asked",
    "calibration": "probabilities of labels are not measured",
    "speed": "speed is not measured here: the same input gives the same bytes",
}
OF_TRAINING = ("memorised", "contamination")  # looked for in so many training rows, `probing.LOOKED` at most
ASK_FORMAT = ("formats", "code")  # skills whose answers may be in a format


class Judged(NamedTuple):
    """Gates by name as run.json holds them, and why others were not held."""

    gates: dict[str, dict[str, Any]]
    unmeasured: dict[str, str]


def gates(measured: Measurement, asked: Sequence[str], config: Config, seed: int) -> Judged:
    """Hold what was measured against every gate that is on. asked: what each answered sample asks last."""
    held: dict[str, dict[str, Any]] = {}
    unmeasured = dict(UNHELD)
    for name, hold in _each(measured, asked, config, seed).items():
        found = hold(config.threshold(name))
        if isinstance(found, Gate):
            held[name] = said(found, config.ship)
            if name in OF_TRAINING:
                held[name]["facts"]["training_rows"] = len(measured.probed.rows)
        else:
            unmeasured[name] = found.why
    left = {name: why for name, why in unmeasured.items() if name not in config.off}
    return Judged({name: gate for name, gate in held.items() if name not in config.off}, left)


def failed(held: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The first gate that fails a model; None where none does."""
    return next((name for name, gate in held.items() if gate["state"] == "fail"), None)


def _each(
    measured: Measurement, asked: Sequence[str], config: Config, seed: int
) -> dict[str, Callable[[float], Outcome]]:
    """Each gate as a function of its threshold; nothing is computed yet."""
    base, answers, references = measured.base.answers, measured.tuned.answers, measured.references
    probed: Probed = measured.probed
    fits, ended = np.array(measured.fits, np.bool_), np.array(measured.tuned.ended, np.bool_)
    rows = [f"{prompt} {reference}" for prompt, reference in zip(asked, references, strict=True)]
    sides = [_per_token(side.forced) for side in (measured.base, measured.tuned)]
    trained = [_per_token(side) for side in probed.trained]
    every: dict[str, Callable[[float], Outcome]] = {
        "general_loss": lambda t: forgetting.general_loss(*probed.general, t, seed),
        "collapse": lambda t: collapse.collapse(answers, references, base, t),
        "openers": lambda t: collapse.openers(answers, references, t),
        "endless": lambda t: endings.endless(answers, ended, fits, t),
        "empty": lambda t: endings.empty(answers, references, t),
        "copied": lambda t: endings.copied(asked, answers, references, t),
        "format_drift": lambda t: drift.drift(answers, references, fits, t),
        "memorised": lambda t: memory.memorised(answers, references, measured.prompts, probed.answers, t),
        "membership": lambda t: memory.membership(np.stack(trained, 1), np.stack(sides, 1), t),
        "contamination": lambda t: held_out.contamination(held_out.shares(rows, probed.rows), t),
    }
    wanted = {name: hold for name, hold in every.items() if name not in config.off}
    return wanted | _of_items(probed, config)


def _per_token(forced: Floats) -> Floats:
    """Nats a token of each sample."""
    return np.asarray(forced[:, 0] / np.maximum(forced[:, 1], 1), np.float64)


def _of_items(probed: Probed, config: Config) -> dict[str, Callable[[float], Outcome]]:
    """The gates on the battery and the user's own items."""
    names = ("forgetting", "instructions", "safety", "confusion")
    if not probed.items:
        return {name: lambda _: Unmeasured(probed.unasked) for name in names}
    skills = [item.skill for item in probed.items]
    right = [
        np.array([checks.right(a, i.check) for a, i in zip(side, probed.items, strict=True)], np.bool_)
        for side in (probed.base, probed.tuned)
    ]
    formatted = np.array([skill in ASK_FORMAT for skill in skills], np.bool_)
    harmful = np.array([skill == items.REFUSALS for skill in skills], np.bool_)
    follows = np.array([skill in items.FOLLOWING for skill in skills], np.bool_)

    def forgotten(name: str, own: Bools) -> Callable[[float], Outcome]:
        at = np.flatnonzero(own).tolist()
        chosen = [skills[k] for k in at], [probed.items[k].id for k in at]
        return lambda t: forgetting.forgotten(name, right[0][own], right[1][own], *chosen, t)

    return {
        "forgetting": forgotten("forgetting", ~harmful),
        "instructions": forgotten("instructions", follows),
        "safety": forgotten("safety", harmful),
        "confusion": lambda t: confusion.confusion(probed.base, probed.tuned, probed.answers, formatted, t),
    }
