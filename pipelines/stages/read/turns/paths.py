"""Columns inside columns: `body.messages` is the key `messages` of the mapping in column `body`.

A step is a key of a mapping, or a number for an element of a list. A column whose own name is the whole path
comes first. In `records` a step may be `*`: every value of a mapping.

Cost: about half a microsecond a record and path.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MISSING = object()
EVERY = "*"
FILE = "<file>"  # of `group_by`: the path of the file, where each file is one conversation

LONGEST_NAME = 60  # characters; what is longer, or has more words or digits, is no name of a column
MOST_SPACES = 5
MOST_DIGITS = 4
_VALUE = re.compile(r"@|://|\d[-/.]\d+[-/.]\d")  # an address or a date


def is_value(name: str) -> bool:
    """Whether a column's name, or a key, looks like a value: then no message and no recipe quotes it."""
    return (
        len(name) > LONGEST_NAME
        or name.count(" ") > MOST_SPACES
        or sum(map(str.isdigit, name)) > MOST_DIGITS
        or not name.isprintable()
        or _VALUE.search(name) is not None
    )


def is_path(name: str) -> bool:
    """Whether a column's name may lead into another column."""
    return "." in name


def root(path: str) -> str:
    """The column that a path begins in."""
    return path.partition(".")[0]


def mapping(value: Any) -> Any:
    """An Arrow map (a list of pairs) as a mapping; anything else as it is."""
    if type(value) is list and value and all(type(p) is tuple and len(p) == 2 for p in value):
        return dict(value)
    return value


def at(record: Mapping[str, Any], path: str) -> Any:
    """The value at a path; `MISSING` where there is none."""
    if path in record:
        return record[path]
    if "." not in path:
        return MISSING
    value: Any = record
    for step in path.split("."):
        value = mapping(value)
        if isinstance(value, Mapping):
            value = value.get(step, MISSING)
        elif isinstance(value, list) and step.isdecimal() and len(step) < 10 and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


def lift(records: Iterable[dict[str, Any]], names: Iterable[str]) -> None:
    """Give each record what its paths lead to under the path's own name."""
    inner = [name for name in names if is_path(name)]
    if not inner:
        return
    for record in records:
        for name in inner:
            value = at(record, name)
            if value is not MISSING:
                record[name] = value


def items(record: Mapping[str, Any], path: str) -> Any:
    """The list of records at a path of `records`; `MISSING` where there is none, else what stands there."""
    *steps, last = path.split(".")
    if last != EVERY:
        return at(record, path)
    inner = mapping(at(record, ".".join(steps)) if steps else record)
    return list(inner.values()) if isinstance(inner, Mapping) else MISSING
