"""Calls of tools that do not go with the tools that their row offers.

What: a row is wrong where one of its calls names a function that is not offered (`unknown`), has arguments
that are no JSON object (`broken`), lacks one that is required (`missing`), has one that the function does not
take (`extra`), or one of another type than it says (`type`). Rows that offer no tools are not judged, nor are
values in whose place masking put a tag.

Why: a model learns calls as it sees them, and every one of these fails when it is made.

Cost: some 30 us a row that calls; tools that many rows offer are read once.
Source: JSON Schema, of which `type`, `properties`, `required` and `additionalProperties` of the arguments
themselves are asked, https://json-schema.org/understanding-json-schema/reference/object.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.pipelines import schema, structure

KINDS = ("unknown", "broken", "missing", "extra", "type")
TAG = re.compile(r"<[A-Z][A-Z_]*(?:_\d+)?>")
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
    "float": (int, float),
    "dict": (dict,),
    "tuple": (list, tuple),
}


class Function(NamedTuple):
    """What a function takes: types by argument (none where it says nothing of them), what it needs, and
    whether it takes others as well."""

    types: Mapping[str, tuple[str, ...]]
    required: frozenset[str]
    open: bool


class Called(NamedTuple):
    """Rows that call and offer tools, and of those that are wrong their places and the first of `KINDS`."""

    rows: int
    places: list[int]
    kinds: list[str]


def look(table: pa.Table) -> Called:
    """Calls of the rows of a table with `messages`."""
    roles, rows, contents = schema.contents(table)
    calling = np.flatnonzero(structure.calling(contents))
    if not len(calling):
        return Called(0, [], [])
    offering = pc.equal(roles, "system").to_numpy(zero_copy_only=False) & structure.held_by(contents)
    tools = dict(zip(rows[offering].tolist(), np.flatnonzero(offering).tolist(), strict=True))
    found: dict[int, str] = {}
    judged = set[int]()
    for at in calling.tolist():
        row = int(rows[at])
        if row not in tools:
            continue
        offered = _offered(contents[tools[row]].as_py())
        if not offered:
            continue
        judged.add(row)
        kind = _wrong(contents[at].as_py(), offered)
        if kind:
            found.setdefault(row, kind)
    places = sorted(found)
    return Called(len(judged), places, [found[row] for row in places])


@cache
def _offered(content: str) -> dict[str, Function]:
    """Functions by name that a system turn offers; empty where none can be read."""
    try:
        tools = structure.unsealed("system", content)[1].get("tools") or []
    except ValueError:
        return {}
    named = [tool.get("function", tool) for tool in tools if isinstance(tool, dict)]
    return {one["name"]: _function(one) for one in named if isinstance(one, dict) and one.get("name")}


def _function(given: Mapping[str, Any]) -> Function:
    taken = given.get("parameters") or given.get("input_schema") or {}
    if not isinstance(taken, dict) or not isinstance(taken.get("properties"), dict):
        return Function({}, frozenset(), True)
    types = {name: _types(own) for name, own in taken["properties"].items()}
    required = taken.get("required") or []
    needed = (
        frozenset(name for name in required if isinstance(name, str)) if isinstance(required, list) else ()
    )
    return Function(types, frozenset(needed), bool(taken.get("additionalProperties")))


def _types(given: Any) -> tuple[str, ...]:
    own = given.get("type") if isinstance(given, dict) else None
    named = [str(name) for name in (own if isinstance(own, list) else [own])]
    return tuple(named) if all(name in TYPES for name in named) else ()


def _wrong(content: str, offered: Mapping[str, Function]) -> str:
    """The first of `KINDS` that a call of a turn is, or "" where all are right."""
    try:
        calls = structure.unsealed("assistant", content)[1].get("tool_calls") or []
    except ValueError:
        return "broken"
    kinds = {_of_call(call, offered) for call in calls if isinstance(call, dict)}
    return next((kind for kind in KINDS if kind in kinds), "")


def _of_call(call: Mapping[str, Any], offered: Mapping[str, Function]) -> str:
    own = call.get("function")
    own = own if isinstance(own, dict) else call
    function = offered.get(str(own.get("name")))
    if function is None:
        return "" if TAG.search(str(own.get("name"))) else "unknown"
    given = _arguments(own.get("arguments"))
    if given is None:
        return "broken"
    if function.required - set(given):
        return "missing"
    if not function.open and set(given) - set(function.types):
        return "extra"
    return "type" if any(not _fits(v, function.types.get(k, ())) for k, v in given.items()) else ""


def _arguments(given: Any) -> dict[str, Any] | None:
    """Arguments as an object; none and "" are an empty one."""
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else {}
        except ValueError:
            return None
    given = {} if given is None else given
    return given if isinstance(given, dict) else None


def _fits(value: Any, types: tuple[str, ...]) -> bool:
    """Whether a value is of one of these types, or nothing is said of it."""
    if not types or (isinstance(value, str) and TAG.search(value)):
        return True
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, float) and value.is_integer() and "integer" in types:
        return True
    return any(isinstance(value, TYPES[name]) for name in types)
