"""What the first records of a file show, whatever shape they have: names, paths to values, speakers.

Cost: some passes over the first records of a file.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headrace.pipelines.stages.read.shapes import ROLES
from headrace.pipelines.stages.read.turns.paths import is_value, mapping
from headrace.pipelines.stages.read.turns.unknown import KNOWN

Record = Mapping[str, Any]
LOOKED_AT = 40  # records
DEPTH = 4  # steps of a path
MOST_PATHS = 400
ENOUGH = 0.8  # share of the records in which a proposal must hold
PEOPLE = (
    *("user", "userid", "username", "sender", "senderid", "sendername", "author", "authorid", "authorname"),
    *("from", "fromid", "speaker"),
)


def bare(name: str) -> str:
    """A name without case, spaces and signs."""
    return re.sub(r"[\W_]+", "", name).casefold()


def is_split_table(records: Sequence[Record]) -> bool:
    """Whether the one record is a table as pandas writes it with orient="split"."""
    names, rows = (records[0].get("columns"), records[0].get("data")) if len(records) == 1 else (None, None)
    return (
        type(names) is type(rows) is list
        and all(type(name) is str for name in names)
        and all(type(row) is list and len(row) == len(names) for row in rows)
    )


def twins(names: Iterable[str]) -> list[str]:
    """Of columns of turns those that are several of a kind (`conversation_a`, `conversation_b`)."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(re.sub(r"[\W_]*([a-c]|[0-3])$", "", name.casefold()), []).append(name)
    return [name for several in by_stem.values() if len(several) > 1 for name in several]


def people(records: Sequence[Record]) -> list[str]:
    """Columns that name those who speak, of records that are what a few people said."""
    names = dict.fromkeys(n for r in records for n in r if bare(n) in PEOPLE)
    each = {n: [str(r[n]) for r in records if r.get(n) is not None] for n in names}
    return [n for n, who in each.items() if 1 < len(set(who)) <= max(2, len(who) // 3)]


def most(holds: Iterable[bool]) -> bool:
    """Whether something holds nearly always, and at least once."""
    held = list(holds)
    return bool(held) and sum(held) >= ENOUGH * len(held)


def paths_to(records: Sequence[Record], ends: Any) -> list[str]:
    """Paths through mappings to values for which `ends` holds, the shortest first."""
    found: Counter[str] = Counter()
    for record in records:
        level: list[tuple[str, Record]] = [("", record)]
        for _ in range(DEPTH):
            deeper: list[tuple[str, Record]] = []
            for before, inner in level:
                for name, value in inner.items():
                    path = f"{before}.{name}" if before else name
                    if not isinstance(name, str) or ("." in name and before) or is_value(name):
                        continue
                    if len(found) > MOST_PATHS:
                        break
                    value = mapping(value)
                    if ends(value):
                        found[path] += 1
                    elif isinstance(value, dict):
                        deeper.append((path, value))
            level = deeper
    return sorted(found, key=lambda path: (path.count("."), -found[path]))


def role_of(value: Any) -> str | None:
    """Our role of a usual speaker, or what one of `KNOWN` may be."""
    if not isinstance(value, str):
        return None
    name = value.strip().lower()
    return ROLES.get(name) or KNOWN.get(name)
