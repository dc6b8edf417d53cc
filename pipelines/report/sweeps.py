"""A sweep in the report: the table of its trials, what they had in common, and what is chance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.pipelines.report import plots

ROWS = 40  # trials in the table
KINDS = {"recipe": "as the recipe is", "coarse": "coarse", "fine": "near the best", "seed": "another seed"}
STATES = {"done": "done", "stopped": "ended early", "failed": "failed"}


def view(sweep: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the page shows of run.json's `sweep`; None where there was none."""
    trials = (sweep or {}).get("trials")
    if not sweep or not trials:
        return None
    keys = list(trials[0]["settings"])
    shown = [trial for trial in trials if trial["kind"] != "seed"]
    return {
        "key": sweep["key"],
        "best": sweep.get("best"),
        "gain": sweep.get("gain"),
        "names": keys,
        "rows": [_row(trial, keys) for trial in trials[:ROWS]],
        "more": max(0, len(trials) - ROWS),
        "counts": {STATES[s]: sum(t["state"] == s for t in trials) for s in STATES},
        "importances": list((sweep.get("importances") or {}).items()),
        "importance_words": sweep.get("importance_words"),
        "noise": (sweep.get("noise") or {}).get("words"),
        "seconds": sweep.get("seconds"),
        "cost": sweep.get("cost"),
        "plot": _plot(sweep, shown, keys),
    }


def _row(trial: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {
        "trial": trial["trial"],
        "kind": KINDS.get(trial["kind"], trial["kind"]),
        "settings": [_text(trial["settings"].get(key)) for key in keys],
        "state": STATES.get(trial["state"], trial["state"]),
        "loss": trial["loss"],
        "steps": f"{trial['steps']:,} of {trial['of']:,}",
        "words": trial.get("words", ""),
    }


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plot(sweep: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Any:
    """Each trial as a line over its settings to its loss; None where fewer than two have one."""
    lines = [trial for trial in trials if trial["loss"] is not None]
    if len(lines) < 2:
        return None
    axes = [_axis(key, [t["settings"][key] for t in lines], sweep.get("space") or {}) for key in keys]
    losses = [float(t["loss"]) for t in lines]
    axes.append(plots.Scale("validation loss", *_along(losses, log=False)))
    places = [[axis.places[at] for axis in axes] for at in range(len(lines))]
    kinds = ["best" if t["trial"] == sweep.get("best") else t["state"] for t in lines]
    return plots.parallel(axes, list(zip(places, kinds, strict=True)))


def _axis(key: str, values: Sequence[Any], space: Mapping[str, Any]) -> plots.Scale:
    among = space.get(key)
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        log = isinstance(among, dict) and bool(among.get("log"))
        steps = isinstance(among, list) and min(numbers) > 0 and max(numbers) >= 8 * min(numbers)
        return plots.Scale(key, *_along([float(v) for v in numbers], log=log or steps))
    names = sorted({str(v) for v in values})
    share = {name: at / max(1, len(names) - 1) for at, name in enumerate(names)}
    return plots.Scale(key, [share[str(v)] for v in values], names[0], names[-1])


def _along(values: Sequence[float], *, log: bool) -> tuple[list[float], str, str]:
    """Places of values between the least (0) and the greatest (1), and these two as text."""
    low, high = min(values), max(values)
    scaled = [math.log(v) if log else v for v in values]
    least, width = min(scaled), max(scaled) - min(scaled)
    places = [(v - least) / width if width else 0.5 for v in scaled]
    return places, f"{low:.3g}", f"{high:.3g}"
