"""What a sweep leaves, so that a killed one goes on, and what is said of it.

::

    sweeps/<key>/sweep.json             what it searches, and in the end what it found
    sweeps/<key>/trials/000.json        a trial's settings, written before it begins
    sweeps/<key>/trials/000.result.json how it ended
    sweeps/<key>/trials/000/            its training, while it is under way or the best so far
    sweeps/<key>/winner.yaml            the recipe with the best settings

The key is of what is searched over which rows, not of how many trials or hours: a sweep goes on with more.

Reads listings and small files; neither PyTorch nor Optuna.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from headrace.cluster import ledger, storage

FOLDER = "sweeps"
SWEEP, WINNER = "sweep.json", "winner.yaml"
RESULT = ".result.json"
State = Literal["done", "stopped", "failed"]
FEW = 10  # finished trials a key, below which importance is said to be weak


class Result(NamedTuple):
    """How a trial ended.

    loss: least loss on the validation rows, nats a token; None where it gave none. rungs: losses at the steps
    where it was held against others. steps, of: made, and planned. seconds: on its device. cost: of these, in
    US dollars; None where no price is known.
    """

    state: State
    loss: float | None
    rungs: tuple[float, ...]
    steps: int
    of: int
    seconds: float
    cost: float | None = None
    words: str = ""


class Trial(NamedTuple):
    """A trial: its settings, by key of `train`, and how it ended; None while it has not.

    kind: "recipe" (as it is), "coarse", "fine", or "seed" (the best settings again with another seed).
    cutoffs: losses with which it passes its rungs.
    """

    number: int
    kind: str
    settings: dict[str, Any]
    seed: int
    cutoffs: tuple[float | None, ...]
    result: Result | None = None


def home(run: str, key: str) -> str:
    """Where a sweep of a run leaves everything."""
    return storage.join(run, FOLDER, key)


def place(home: str, number: int, suffix: str = "") -> str:
    """Where a trial leaves its training, or with a suffix a file of its own."""
    return storage.join(home, "trials", f"{number:03d}{suffix}")


def trials(home: str) -> dict[int, Trial]:
    """All trials of a sweep that have been proposed, by number. Raises: StorageError."""
    found: dict[int, Trial] = {}
    entries = storage.listing(storage.join(home, "trials"))
    names = {entry.path.rpartition("/trials/")[2] for entry in entries}
    for name in sorted(names):
        number = name.removesuffix(".json")
        if not (name.endswith(".json") and number.isdecimal()):
            continue
        held = storage.read_object(storage.join(home, "trials", name)) or {}
        ended = (
            storage.read_object(place(home, int(number), RESULT)) if f"{number}{RESULT}" in names else None
        )
        result = Result(**{**ended, "rungs": tuple(ended["rungs"])}) if ended else None
        found[int(number)] = Trial(**{**held, "cutoffs": tuple(held["cutoffs"])}, result=result)
    return found


def begin(home: str, trial: Trial) -> None:
    """Write a trial's settings before it begins. Raises: StorageError."""
    held = {name: value for name, value in trial._asdict().items() if name != "result"}
    storage.put(place(home, trial.number, ".json"), ledger.dumps(held))


def end(home: str, number: int, result: Result) -> None:
    """Write how a trial ended. Raises: StorageError."""
    storage.put(place(home, number, RESULT), ledger.dumps(result._asdict()))


def clear(home: str, number: int) -> None:
    """Remove what a trial's training has left. Raises: StorageError."""
    storage.delete(place(home, number))


def ranked(found: Mapping[int, Trial]) -> list[Trial]:
    """Trials that went to their end, the best first; of equals the earlier."""
    done = [t for t in found.values() if t.kind != "seed" and t.result and t.result.state == "done"]
    return sorted((t for t in done if t.result and t.result.loss is not None), key=_by_loss)


def _by_loss(trial: Trial) -> tuple[float, int]:
    assert trial.result is not None
    assert trial.result.loss is not None
    return trial.result.loss, trial.number


def spent(found: Mapping[int, Trial]) -> tuple[float, float | None]:
    """Seconds and US dollars of training over all trials that have ended; None where a price is not known."""
    results = [t.result for t in found.values() if t.result]
    costs = [r.cost for r in results]
    known = [cost for cost in costs if cost is not None]
    return sum(r.seconds for r in results), sum(known) if len(known) == len(costs) else None


def noise(found: Mapping[int, Trial]) -> dict[str, Any] | None:
    """How far the best settings with other seeds lie apart, beside how far the second best lie behind; None
    where they were not trained again.

    spread: greatest less least loss. gap: None where there is no second.
    """
    best = ranked(found)
    if not best:
        return None
    again = [t.result for t in found.values() if t.kind == "seed" and t.settings == best[0].settings]
    losses = [result.loss for result in again if result is not None and result.loss is not None]
    if not losses:
        return None
    first = _by_loss(best[0])[0]
    other = next((t for t in best[1:] if t.settings != best[0].settings), None)
    gap = _by_loss(other)[0] - first if other else None
    every = [first, *losses]
    spread = max(every) - min(every)
    said = f"the best settings with {len(every)} seeds end {spread:.4f} apart"
    if gap is not None:
        verdict = "more than these seeds" if gap > spread else "no more than these seeds: take either"
        said += f"; the second best is {gap:.4f} behind, {verdict}"
    mean = statistics.fmean(every)
    return {"losses": every, "spread": spread, "mean": mean, "gap": gap, "words": said}


def importance_words(shares: Mapping[str, float], finished: int) -> str:
    """What is to be known of importances."""
    if not shares:
        return "too few trials went to their end to say which key matters"
    text = f"of {finished} trials that went to their end"
    if finished < FEW * len(shares):
        text += f": a hint, no measurement ({len(shares)} keys would ask for some {FEW * len(shares)})"
    return text


def as_json(found: Mapping[int, Trial]) -> list[dict[str, Any]]:
    """A table of trials, the best first, then those ended early, then those that failed."""
    order = {"done": 0, "stopped": 1, "failed": 2}
    ended = [t for t in found.values() if t.result is not None]
    rows = sorted(ended, key=lambda t: _place(t, order))
    return [row(trial) for trial in rows]


def _place(trial: Trial, order: Mapping[str, int]) -> tuple[int, float, int]:
    assert trial.result is not None
    loss = trial.result.loss
    return order[trial.result.state], float("inf") if loss is None else loss, trial.number


def row(trial: Trial) -> dict[str, Any]:
    """A trial that has ended, as a line of the table."""
    assert trial.result is not None
    shown = {name: value for name, value in trial.result._asdict().items() if name != "rungs"}
    return {"trial": trial.number, "kind": trial.kind, "settings": trial.settings, **shown}


def status(run: str) -> list[dict[str, Any]]:
    """Key, trials ended and begun, least loss and whether it is done, of each sweep of a run."""
    keys = {
        entry.path.rpartition(f"/{FOLDER}/")[2].partition("/")[0]
        for entry in storage.listing(storage.join(run, FOLDER))
    }
    return [_state(run, key) for key in sorted(keys - {""})]


def _state(run: str, key: str) -> dict[str, Any]:
    found = trials(home(run, key))
    held = storage.read_object(storage.join(home(run, key), SWEEP)) or {}
    best: Sequence[Trial] = ranked(found)
    return {
        "key": key,
        "ended": sum(t.result is not None for t in found.values()),
        "begun": len(found),
        "best": _by_loss(best[0])[0] if best else None,
        "done": bool(held.get("trials")),
    }
