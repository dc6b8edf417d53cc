"""The report of `examine.formats`: counts by format and state, and what is said of them in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from headrace.pipelines.examine.formats import called, cut, mixture
from headrace.pipelines.examine.formats.config import Config

STATES = ("valid", "drift", "invalid")
OTHER = ""  # the format of an answer that begins as none
# Share of structured answers of a source between which it is neither the one nor the other.
MIXED = (0.5, 0.98)
CALLS = {
    "unknown": "of functions that are not offered",
    "broken": "with arguments that are no JSON object",
    "missing": "without a required argument",
    "extra": "with an argument that is not taken",
    "type": "with a value of another type",
}


Tally: TypeAlias = dict[str, dict[str, int]]


def _tallied(counts: Counter[tuple[str, str, str]]) -> tuple[Tally, Tally]:
    """Answers by format and state, and of each source its answers and those that are structured."""
    by_format: Tally = {}
    by_source: Tally = {}
    for (source, name, state), n in sorted(counts.items()):
        own = by_source.setdefault(source, {"answers": 0, "structured": 0})
        if not name:
            own["answers"] += n
            continue
        own["structured"] += n
        states = by_format.setdefault(name, dict.fromkeys(STATES, 0))
        states[state] += n
    return by_format, by_source


def more(
    built: Mapping[str, Counter[str]], odd: Mapping[str, frozenset[str]], calls: Sequence[called.Called]
) -> dict[str, Any]:
    """`shapes`: of each source its answers in JSON, and those that are odd; `calls`: rows that call tools and
    offer some, and those that are wrong by kind. built: answers by source and shape."""
    shapes = {
        source: {"answers": own.total(), "odd": sum(own[shape] for shape in odd.get(source, ()))}
        for source, own in sorted(built.items())
    }
    kinds = Counter(kind for one in calls for kind in one.kinds)
    return {
        "shapes": shapes,
        "calls": {"rows": sum(one.rows for one in calls), "wrong": dict(sorted(kinds.items()))},
    }


def of(
    counts: Counter[tuple[str, str, str]],
    long: int,
    mixtures: Sequence[mixture.Mixture],
    config: Config,
    also: Mapping[str, Any],
    cut_off: tuple[Counter[str], cut.Limit] | None = None,
) -> dict[str, Any]:
    """The report. counts: answers by source, format and state; long: those that were not parsed; also: what
    `more` gives; cut_off: answers that lose their end by format, and to which limit, where that is known."""
    by_format, by_source = _tallied(counts)
    of_format = {name: sum(states.values()) for name, states in by_format.items()}
    answers, structured = sum(own["answers"] for own in by_source.values()), sum(of_format.values())
    broken = structured - sum(states["valid"] for states in by_format.values())
    told = {one.source for one in mixtures}
    mixed = {
        source: own
        for source, own in by_source.items()
        if MIXED[0] < own["structured"] / max(own["answers"], 1) < MIXED[1]
    }
    words = _of_formats(by_format, config.most) + [mixture.sentence(one) for one in mixtures]
    words += [_mixed(source, own) for source, own in mixed.items() if source not in told]
    words += _of_shapes(also["shapes"], config.most) + _of_calls(also["calls"], config.most)
    lost = Counter[str]()
    if cut_off is not None:
        lost, limit = cut_off
        words += cut.sentences(lost, {OTHER: answers - structured, **of_format}, limit, config.most)
    strays = sum(own["odd"] for own in also["shapes"].values()) + sum(also["calls"]["wrong"].values())
    return {
        "enabled": True,
        "answers": answers,
        "structured": structured,
        "broken": broken,
        "by_format": by_format,
        "mixed": mixed,
        "mixtures": [one._asdict() for one in mixtures],
        "too_long": long,
        **also,
        "cut": {name or "other": n for name, n in sorted(lost.items())},
        "faults": broken + sum(mixture.strays(one) for one in mixtures) + sum(lost.values()) + strays,
        "verdict": "mend" if words else "fine",
        "words": words,
    }


def _of_formats(by_format: Tally, most: float) -> list[str]:
    broken = {name: (sum(own.values()) - own["valid"], sum(own.values())) for name, own in by_format.items()}
    return [
        f"{wrong:,} of {n:,} answers that begin as {name} break"
        for name, (wrong, n) in broken.items()
        if wrong > most * n
    ]


def _mixed(source: str, own: Mapping[str, int]) -> str:
    return (
        f"{own['structured']:,} of {own['answers']:,} answers of {source!r} are structured, the rest is not"
    )


def _of_shapes(shapes: Mapping[str, Mapping[str, int]], most: float) -> list[str]:
    return [
        f"{own['odd']:,} of {own['answers']:,} JSON answers of {source!r} have other keys than the others, or"
        " values of another type"
        for source, own in shapes.items()
        if own["odd"] > most * own["answers"]
    ]


def _of_calls(calls: Mapping[str, Any], most: float) -> list[str]:
    wrong, n = calls["wrong"], sum(calls["wrong"].values())
    kinds = ", ".join(f"{times:,} {CALLS[kind]}" for kind, times in wrong.items())
    said = f"{n:,} of {calls['rows']:,} rows call tools in a way that fails: {kinds}"
    return [said] if n > most * calls["rows"] else []
