"""Reasons from what rows look like: by their flags, beside each other, and what was left out of them."""

from collections.abc import Iterator

from headrace.pipelines.examine.advice.config import Config
from headrace.pipelines.examine.advice.facts import Facts
from headrace.pipelines.examine.advice.faults import ALWAYS, DAMAGE, FLAGS, FORMS, SEEN, least
from headrace.pipelines.examine.advice.reasons import OWN, Reason, reason

OPENAI = "https://developers.openai.com/api/docs/guides/fine-tuning-best-practices"
FEW = 20  # rows of a source with a flag that are too few to speak of it
NEARLY = 0.9  # share of the rows with a flag that are of one source
OPENED = 0.5  # opening turns a row from which on their roles may be wrong


def opened(facts: Facts, config: Config) -> Reason | None:
    n = int(facts.changed.get("clean.opening_turns", 0))
    if n <= OPENED * facts.rows:
        return None
    words = (
        f"{n:,} turns in {facts.rows:,} rows stood before the first of a user and were left out: where an"
        " assistant asks there and a user answers, their roles are taken for each other; else"
        " `clean: {opening: keep}`"
    )
    return reason(facts, "opening_turns", "note", words, n / facts.rows, OWN)


def of_forms(facts: Facts, config: Config) -> Iterator[Reason]:
    for name, (level, what, then) in FORMS.items():
        n = facts.forms.get(name, 0)
        if n > config.suspect * facts.formed or (n and name in ALWAYS):
            words = f"{n:,} of {facts.formed:,} rows {what} ({n / facts.formed:.0%}): {then}"
            yield reason(facts, name, level, words, n / facts.formed, OWN, of=name)


def of_flags(facts: Facts, config: Config) -> Iterator[Reason]:
    for name, (level, what, then) in {**FLAGS, **DAMAGE}.items():
        share = least(name, config.suspect)
        n, told, where = _most(facts, name, share)
        many = n > share * told > 0
        if many or (name in DAMAGE and n >= max(SEEN[0] * told, SEEN[1])):
            mostly = "" if where else _mostly(facts, name, n)
            words = f"{n:,} of {told:,} rows{where} {what} ({n / told:.1%}{mostly}): {then}"
            source = OWN if name in DAMAGE else OPENAI
            yield reason(facts, name, level if many else "note", words, n / told, source, of=name)


def _most(facts: Facts, name: str, share: float) -> tuple[int, int, str]:
    """Rows with a flag, of how many, and of which source: all, or, where more than this share of some source
    but not of all have it, those of the source of which most have."""
    n = int((facts.flags or {}).get(name, 0))
    found = [one for one in _by_source(facts, name) if one[0] > max(share * one[1], FEW)]
    if not found or n > share * facts.told:
        return n, facts.told, ""
    most, told, source = max(found, key=lambda one: (one[0] / one[1], one[2]))
    return most, told, f" of source {source!r}"


def _mostly(facts: Facts, name: str, n: int) -> str:
    """That nearly all rows with a flag are of one source, where there are several."""
    found = _by_source(facts, name)
    if len(found) < 2:
        return ""
    most, _, source = max(found, key=lambda one: (one[0], one[2]))
    return f", nearly all of source {source!r}" if most >= NEARLY * n else ""


def _by_source(facts: Facts, name: str) -> list[tuple[int, int, str]]:
    """Of each source its rows with a flag, its rows with traits, and its name."""
    return [(int(own["flags"].get(name, 0)), own["rows"], source) for source, own in facts.by_source.items()]
