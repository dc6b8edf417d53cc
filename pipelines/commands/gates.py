"""What `headrace gates` tells: everything that a run is held against, in the order in which it is met.

For each gate: whether it is on, its threshold and where that comes from, its state (pass, warn, fail, or why
it was not held), and what was seen. Nothing is started and nothing is written.

Cost: reads run.json and one small file.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace.cluster import storage
from headrace.pipelines.console import Line
from headrace.pipelines.evaluate import decision, standing
from headrace.pipelines.evaluate.gates.config import OWN, THRESHOLDS
from headrace.pipelines.examine.spot_check import ratings
from headrace.pipelines.passes import summary
from headrace.pipelines.recipe import Recipe

NOT_YET = "not held yet"
OFF = "off"
EXIT = "exit 3"
WARNING = "a warning"
WARNED = "warned of as it happens, and kept nowhere"


class Known(NamedTuple):
    """A gate of the recipe. fails: what happens where it does not pass; None: it is off."""

    name: str
    command: str
    threshold: str
    fails: str | None
    source: str


def known(recipe: Recipe) -> Iterator[Known]:
    """Every gate there is."""
    own, required, gate = "the recipe's", recipe.examine.spot_check.required, recipe.evaluate.gate
    limit = f"at most {recipe.quarantine.limit:.1%} of a source's records cannot be read"
    yield Known("quarantine.limit", "prepare", limit, "exit 2", own)
    alarm = f"at most {recipe.dedup.alarm:.1%} of the rows go as near duplicates"
    yield Known("dedup.alarm", "prepare", alarm, EXIT if recipe.dedup.on_alarm == "stop" else WARNING, own)
    pii = {"fail": EXIT, "warn": WARNING}.get(recipe.pii.gate) if recipe.pii.enabled else None
    yield Known("pii.gate", "prepare", "no personal data in the packed rows", pii, own)
    yield Known("kept", "prepare", "at least one record is kept", "exit 2", own)
    rated = (
        f"people find {required:.0%} of a draw of rows right" if required else "people rate a draw of rows"
    )
    yield Known(ratings.GATE, "train", rated, EXIT if required else None, own)
    yield Known("train.loss", "train", "the loss is a number", EXIT, "arithmetic")
    watched = EXIT if recipe.train.watch.stop else WARNING
    yield Known("train.watch", "train", "the training learns, and does not diverge", watched, own)
    yield Known("train.rows", "train", "every packed row was used as planned", EXIT, "the books")
    yield Known("sweep.best", "sweep", "a trial came to its end", EXIT, own)
    asked = f"{gate.metric} is better by {gate.improvement:g} or more" if gate else "a metric is better"
    yield Known("evaluate.gate", "evaluate", asked, EXIT if gate else None, own)
    config = recipe.gates
    for name, about in THRESHOLDS.items():
        on = config.enabled and name not in config.off
        side = "not under" if about.lower else "not over"
        threshold = f"{about.what}: {side} {config.threshold(name):g}"
        fails = (EXIT if config.ship == "fail" else WARNING) if on else None
        yield Known(name, "evaluate", threshold, fails, own if name in config.thresholds else about.source)


def lines(recipe: Recipe) -> Iterator[Line]:
    """A line a gate. Raises: StorageError."""
    held = summary.gates(recipe.output)
    unmeasured = {} if standing.of_run(recipe.output).get("evaluate") else _unmeasured(recipe.output)
    for gate in known(recipe):
        found = held.get(gate.name)
        state = _state(gate, found, unmeasured)
        words = (found or {}).get("words") or ""
        about = f"{gate.name} ({gate.command}): {state}; {gate.threshold}"
        about += f"; else {gate.fails}" if gate.fails else ""
        about += f" [{gate.source}]" if gate.source not in ("the recipe's", OWN) else ""
        text = f"{about}\n    {words}" if words else about
        yield Line(text, {**gate._asdict(), "state": state, **_numbers(found), "words": words})


def _unmeasured(run: str) -> dict[str, str]:
    """Why gates could not be measured, by their names. Raises: StorageError."""
    files = (storage.read_object(storage.join(run, file)) for file in (standing.SCORES, standing.SPEED))
    scores, clock = ({} if held is None else held for held in files)
    measured = {**scores.get("measured", {}), **clock}
    return {name: why for name, why in measured.items() if isinstance(why, str)}


def _state(gate: Known, found: dict[str, Any] | None, unmeasured: dict[str, str]) -> str:
    """pass, warn, fail, or why there is none of these."""
    if found is not None:
        return decision.state(found)
    if gate.fails is None:
        return OFF
    if gate.command == "prepare" and gate.fails == WARNING:
        return WARNED
    why = unmeasured.get(gate.name)
    return f"not held, as {why}" if why else NOT_YET


def _numbers(found: dict[str, Any] | None) -> dict[str, Any]:
    """Value and interval of a gate that has some."""
    return {name: found[name] for name in ("value", "interval", "rows") if found and name in found}
