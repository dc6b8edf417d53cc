"""The value of a column of turns as a list of turns, whatever form its file gives it.

Turns are mappings with a speaker and a text. They come as such; as Arrow maps, which Spark writes for
dictionaries; as one mapping of lists, which `datasets` makes of a sequence; as JSON or as Python prints a
list, where a table holds them as text; as pairs of speaker and text; as bare texts whose speakers take turns
(`speakers`); as a tree of which one path is read.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.turns import blocks, items, trees
from headrace.pipelines.stages.read.turns.paths import MISSING, at, mapping

LONGEST_PRINTED = 2**18  # characters: parsing Python takes a hundred times the memory of the text
PRINTED = ("[{'", '[{"', "[['", "['", "{'", "[(")


def turns(value: Any, name: str, speakers: Sequence[str], current: Any, left: dict[str, int]) -> list[Any]:
    """The turns in column `name`. `current`: the node where a tree's path ends. Raises: ReadError."""
    if type(value) is list and value and type(value[0]) is dict:
        if "type" in value[0] or (type(value[-1]) is dict and "type" in value[-1]):
            return items.turns(value, left) if items.are_items(value) else value
        return value  # by far the most usual
    if type(value) is str:  # CSV and some Parquet files hold the list as JSON
        value = parsed(value, name)
    value = mapping(value)
    if isinstance(value, Mapping):
        return _of_mapping(value, name, current, left)
    if type(value) is not list:
        raise ReadError("read.wrong_type", f"{name!r} is not a list")
    if speakers and value and all(type(turn) is str for turn in value):
        return [{"role": speakers[n % len(speakers)], "content": text} for n, text in enumerate(value)]
    if speakers and value and all(_is_pair(turn) for turn in value):
        flat = [text for pair in value for text in pair]
        return [{"role": speakers[n % len(speakers)], "content": text} for n, text in enumerate(flat)]
    return value


def _is_pair(turn: Any) -> bool:
    return type(turn) in (list, tuple) and len(turn) == 2 and all(t is None or type(t) is str for t in turn)


def parsed(text: str, name: str) -> Any:
    """What a text of JSON, or of Python's own spelling, stands for."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if text.lstrip().startswith(PRINTED) and len(text) <= LONGEST_PRINTED:
        try:
            value = ast.literal_eval(text.strip())  # constants alone: nothing is run
            if _as_json(value):
                return value
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    raise ReadError("read.wrong_type", f"{name!r} is text that is no JSON")


def _as_json(value: Any) -> bool:
    """Whether JSON has a place for what Python printed: none for sets, whose order is no order, nor for keys
    that are no plain values.
    """
    if isinstance(value, dict):
        plain_keys = all(key is None or isinstance(key, str | int | float) for key in value)
        return plain_keys and all(map(_as_json, value.values()))
    return all(map(_as_json, value)) if isinstance(value, list | tuple) else not isinstance(value, set)


def _of_mapping(value: Mapping[str, Any], name: str, current: Any, left: dict[str, int]) -> list[Any]:
    if trees.is_nodes(value):
        return trees.of_nodes(value, current, left)
    if trees.is_replies(value):
        return trees.of_replies(value, left)
    lists = [v for v in value.values() if type(v) is list]
    if lists and len(lists) == len(value):
        if len({len(v) for v in lists}) > 1:
            raise ReadError("read.wrong_type", f"{name!r} holds lists of different lengths")
        return [dict(zip(value, one, strict=True)) for one in zip(*value.values(), strict=True)]
    if is_numbered(value):
        return [value[key] for key in sorted(value, key=int)]
    if any(isinstance(v, str) or blocks.is_parts(v) for v in value.values()):
        return [value]
    raise ReadError("read.wrong_type", f"{name!r} is not a list")


def is_numbered(value: Any) -> bool:
    """Whether a mapping holds turns by their numbers."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and k.isdecimal() and len(k) < 10 for k in value)
        and all(isinstance(mapping(turn), Mapping) for turn in value.values())
    )


def plain(turn: Any, role: str | None, content: str, reasoning: str, left: dict[str, int]) -> list[Any]:
    """One turn as mappings whose own keys are those named, without blocks that are turns of their own."""
    turn = mapping(turn)
    if type(turn) in (list, tuple) and _is_pair(turn) and role:
        turn = {role: turn[0], content: turn[1]}
    if type(turn) is not dict:
        return [turn]
    lifted = {
        name: value
        for name in (role, content, reasoning)
        if name and "." in name and (value := at(turn, name)) is not MISSING
    }
    turn = {**turn, **lifted} if lifted else turn
    if blocks.is_untyped(turn.get(content)):
        turn = {**turn, content: [*map(blocks.typed, turn[content])]}
    if blocks.has_tools(turn.get(content)):
        return blocks.plain(turn, role or "role", content, reasoning, left)
    return [turn]
