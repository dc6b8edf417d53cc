"""The report's part on what broke: every gate in one table, and the diagnosis.

Cost: none.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace.pipelines.evaluate import decision
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.report import opening

ORDER = {"fail": 0, "warn": 1, "pass": 2, "not held": 3}
ROWS = 8  # ids of a gate
# What those gates hold that are no measurement of the tuned model.
HELD = {
    "quarantine.limit": "records of a source that cannot be used",
    "dedup.alarm": "rows of a source that go as duplicates",
    "pii.gate": "personal data in the packed rows",
    "kept": "whether any record is kept",
    "examine.spot_check.required": "rows that people found right",
    "train.loss": "whether the loss is a number",
    "train.watch": "whether the training learns, and does not diverge",
    "train.rows": "whether every packed row was used as planned",
    "sweep.best": "whether a trial came to its end",
    "evaluate.gate": "the gain that the recipe asks for",
}


class Held(NamedTuple):
    """A gate as the table shows it. about: what its value is; state: pass, warn, fail, or not held."""

    name: str
    about: str
    state: str
    value: float | None
    interval: tuple[float, float] | None
    threshold: float | None
    lower: bool
    words: str
    rows: list[Any]
    more: int


def view(run: Mapping[str, Any], scores: Mapping[str, Any] | None) -> dict[str, Any]:
    """All gates, those that ring first, and what is the matter in one paragraph.

    scores: evaluation/scores.json, which says why gates were not held.
    """
    held = [_held(name, gate) for name, gate in (run.get("gates") or {}).items()]
    missing = [(name, str(why)) for name, why in ((scores or {}).get("unmeasured") or {}).items()]
    known = {gate.name for gate in held}
    held += [_unheld(name, why) for name, why in missing if name not in known]
    held.sort(key=lambda gate: (ORDER.get(gate.state, 3), gate.name))
    counts = {state: sum(gate.state == state for gate in held) for state in ORDER}
    return {"gates": held, "counts": counts, "diagnosis": _diagnosis(run.get("diagnosis"))}


def _held(name: str, gate: Mapping[str, Any]) -> Held:
    known = THRESHOLDS.get(name)
    ends = [float(end) for end in gate.get("interval") or () if end is not None]
    interval = (ends[0], ends[1]) if len(ends) == 2 else None
    rows = list(gate.get("rows") or ())
    state = decision.state(gate)
    shown = rows[:ROWS] if state in ("warn", "fail") else []
    return Held(
        name,
        known.what if known else HELD.get(name, ""),
        state,
        gate.get("value"),
        interval,
        gate.get("threshold"),
        known.lower if known else False,
        str(gate.get("words") or ""),
        shown,
        len(rows) - len(shown) if shown else 0,
    )


def _unheld(name: str, why: str) -> Held:
    known = THRESHOLDS.get(name)
    return Held(name, known.what if known else "", "not held", None, None, None, False, why, [], 0)


def _diagnosis(said: Any) -> dict[str, Any] | None:
    """The paragraph, its first sentence for the first page, what it rests on; None where there is none."""
    if not isinstance(said, Mapping) or not said.get("words"):
        return None
    words = str(said["words"])
    first = opening.ADVISED.split(words, maxsplit=1)[0].rstrip(".")
    return {"words": words, "first": first, "evidence": list(said.get("evidence") or ())}
