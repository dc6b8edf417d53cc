"""One reason for a verdict: what was counted, how grave it is, and what shows it."""

from typing import Any, Literal, NamedTuple

from headrace.pipelines.examine.advice.facts import MOST, Facts

Level = Literal["stop", "mend", "note", "fine"]
LEVELS: tuple[Level, ...] = ("stop", "mend", "note", "fine")
OWN = "what headrace counted"


class Reason(NamedTuple):
    """Why a verdict is what it is. rows: ids, or file and place; show: a command, or a file that has all."""

    code: str
    level: Level
    words: str
    number: float
    source: str
    rows: list[Any]
    show: str


def reason(
    facts: Facts, code: str, level: Level, words: str, number: float, source: str, **more: Any
) -> Reason:
    """A reason; rows: given, or examples of `of`; findings: the file of a check that holds them all."""
    rows = list(more.get("rows") or facts.examples.get(str(more.get("of")), []))[:MOST]
    show = str(more.get("show", ""))
    if not show and facts.name and rows:
        show = f"headrace explain {facts.name} {rows[0]}"
    elif not show and facts.name and "findings" in more:
        show = f"{facts.name}/findings/{more['findings']}.parquet"
    return Reason(code, level, words, round(float(number), 6), source, rows, show)
