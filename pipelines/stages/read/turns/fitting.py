"""Which columns of a source hold what a shape asks for, by the names in its first records.

Cost: a look at some hundred records.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.pipelines.stages.read import shapes
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.shapes import NAMES, OPTIONAL, TURN_NAMES, Columns, Shape
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import given, paths, preferred, trees

ANY_SHAPE = {"system", "history", "reasoning", "roles", "speakers", "markers", "asker", "tools"}
Records = Sequence[Mapping[str, Any]]


def possible(source: Source) -> list[Shape]:
    """Shapes to try: those that have all the columns that the recipe names."""
    named = set(source.columns.model_dump(exclude_none=True)) - ANY_SHAPE
    return [s for s in NAMES if named <= set(fields(s))]


def fields(candidate: Shape) -> list[str]:
    """Columns that a shape takes."""
    turn = ["role", "content", "id", "parent"] if candidate in TURN_NAMES else []
    return [*NAMES[candidate], *OPTIONAL.get(candidate, {}), *turn]


def columns(candidate: Shape, source: Source, records: Records) -> Columns | None:
    """Columns of the shape as the records have them; None where they do not fit."""
    own, names_seen = source.columns, dict.fromkeys(c for r in records for c in r)
    if candidate in TURN_NAMES and source.group_by and own.messages is None:
        if candidate != "messages":
            return None
        inner = (n for n in (own.role, own.content) if n and paths.is_path(n))
        there = {n for n in inner if any(paths.at(r, n) is not paths.MISSING for r in records)}
        spoken = _turn_names(own, [there.union(names_seen)], TURN_NAMES[candidate])
        return _completed(candidate, source, spoken)
    names: dict[str, Any] = {}
    for column, usual in NAMES[candidate].items():
        wish = getattr(own, column)
        wishes = wish if isinstance(wish, tuple) else [wish] if wish else usual
        name = next((n for n in wishes if n in names_seen), None)
        if name is None:
            return None
        names[column] = name if not isinstance(wish, tuple) else wish
    if candidate == "preference":
        prompt = _prompt(source, records, names["chosen"])
        return _completed(candidate, source, prompt and {**names, **prompt})
    if candidate in TURN_NAMES and own.markers:
        return _completed(candidate, source, names)
    if candidate in TURN_NAMES:
        turns = _first_turns(records, shapes.lists(Columns(**names))[0], own.speakers)
        keys = _turn_names(own, turns, TURN_NAMES[candidate]) if turns is not None else None
        return _completed(candidate, source, keys and {**names, **keys})
    return _completed(candidate, source, names)


def _prompt(source: Source, records: Records, chosen: str) -> dict[str, Any] | None:
    """Where the prompt of two answers stands: in a column, or before each answer; and how it is marked. None
    where it stands nowhere.
    """
    own = source.columns
    if own.prompt is not None:
        return {"prompt": own.prompt}
    there = [name for name in shapes.PROMPTS if any(name in r for r in records)]
    if there:
        return {"prompt": there[0]}
    texts = [r.get(chosen) for r in records]
    if not own.markers and preferred.marked(texts):
        return {"prompt": "", "markers": preferred.MARKERS}
    return {"prompt": ""} if own.markers or not any(isinstance(t, str) for t in texts) else None


def _completed(candidate: Shape, source: Source, names: Mapping[str, Any] | None) -> Columns | None:
    if names is None:
        return None
    named = source.columns.model_copy(update=names)
    return shapes.complete(candidate, named, source.group_by is not None)


def _turn_names(
    own: Columns, turns: list[set[str]], usual: Sequence[tuple[str, str]]
) -> dict[str, str] | None:
    """Keys of speaker and text that the turns have: the recipe's own, then the usual pairs."""
    for role, content in usual:
        role, content = own.role or role, own.content or content
        if shapes.ANY in own.roles and own.role is None and not any(role in keys for keys in turns):
            if any(content in keys for keys in turns):
                return {"content": content}
        elif any(role in keys and content in keys for keys in turns):
            return {"role": role, "content": content}
    return None


def _first_turns(records: Records, column: str, speakers: Sequence[Any]) -> list[set[str]] | None:
    """Keys of the turns of the records that have some; None where the column holds no turns."""
    keys = []
    for record in records:
        value = record.get(column)
        if value is None:
            continue
        try:
            turns = given.turns(value, column, speakers, record.get(trees.CURRENT), {})
        except ReadError:
            continue  # one bad record says nothing of the others; reading it will quarantine it
        for turn in map(paths.mapping, turns):
            if isinstance(turn, dict):
                inner = {f"{k}.{i}" for k, v in turn.items() if isinstance(v, dict) for i in v}
                keys.append({*turn, *inner})
            elif type(turn) is list and len(turn) == 2 and isinstance(turn[0], str):
                keys.append({"role", "content"})
    return keys or None
