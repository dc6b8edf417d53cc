"""Records that hold nothing but plain pairs of texts, or plain turns: asked once a batch, not once a record.

What: the roles and the contents of all turns of a batch, end to end; None where any record of it is anything
else, and then `mappers` takes them one by one. The turns are the same either way. `asked` says how `lines`
finds the same turns in JSON that was not parsed.

Cost: a third of a microsecond a turn.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.schema import REJECTED
from headrace.pipelines.stages.read import calling
from headrace.pipelines.stages.read.mappers import Record, traces
from headrace.pipelines.stages.read.plain.lines import Asked
from headrace.pipelines.stages.read.shapes import ROLES, SIDES, TURN_NAMES, Columns, lists
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import paths

BLANK = (str, type(None))


class Plain(NamedTuple):
    """Turns of N records end to end; `lengths`: how many each has, ``int64[N]``."""

    roles: list[str]
    contents: list[str]
    lengths: NDArray[np.int64]


def asked(source: Source) -> Asked | None:
    """What plain lines of a source hold; None where it takes more of a record than its turns."""
    columns, shape = source.completed(), source.shape or "messages"
    beside = (source.records, source.group_by, source.only, source.group, source.time, source.meta)
    if any(beside) or any(map(paths.is_path, source.wanted())) or columns.system:
        return None
    empty: tuple[str, ...] = (columns.tools,) if columns.tools else ()
    if shape in TURN_NAMES:
        return _asked_of_turns(columns, empty)
    if columns.markers or columns.history or columns.reasoning:
        return None
    if shape == "text_label" and source.label_names:
        return None
    roles: tuple[str, ...] = ("user", "assistant")
    optional: tuple[str, ...] = ()
    if shape == "preference":
        texts, roles = [columns.prompt, columns.chosen, columns.rejected], (*roles, REJECTED)
        empty += (columns.input,) if columns.input else ()
    elif shape == "text":
        texts, roles = [columns.text], ("text",)
    elif shape == "alpaca":
        texts, optional = [columns.instruction, columns.input, columns.output], (columns.input or "",)
    else:
        texts = [getattr(columns, side) for side in SIDES.get(shape, ("text", "label"))]
    named = tuple(name for name in texts if name)
    if len(named) < len(texts) or len({*named, *empty}) < len(named) + len(empty):
        return None
    return Asked(named, optional, empty, roles, input=shape == "alpaca")


def _asked_of_turns(columns: Columns, empty: tuple[str, ...]) -> Asked | None:
    """The same of records that hold a list of turns in one column."""
    names = lists(columns)
    if len(names) != 1 or columns.asker or not columns.role or not columns.content:
        return None
    never = tuple(dict.fromkeys(calling.LEARNED))
    beside = tuple(name for name in dict.fromkeys((*traces(columns), *calling.KEYS)) if name not in never)
    inner = (columns.role, columns.content, *beside, *never)
    if len(set(inner)) < len(inner) or names[0] in empty:
        return None
    return Asked(
        (columns.content,),
        empty=empty,
        turns=names[0],
        speaker=columns.role,
        words={**ROLES, **columns.roles},
        empty_in_turn=beside,
        never_in_turn=never,
    )


def turns(records: Sequence[Record], source: Source) -> Plain | None:
    """The turns of a batch of plain records; None where it has others."""
    columns, shape = source.completed(), source.shape or "messages"
    if columns.system:
        return None
    if (columns.markers or columns.history) and shape not in TURN_NAMES:
        return None
    if shape in TURN_NAMES:
        return (_single if columns.messages is None else _listed)(records, columns)
    if columns.reasoning or (shape == "text_label" and source.label_names):
        return None
    if columns.tools and _any(records, [columns.tools]):
        return None
    if shape == "text":
        contents = _texts(records, columns.text)
        if contents is None:
            return None
        return Plain(["text"] * len(records), contents, np.ones(len(records), np.int64))
    if shape == "preference":
        return _preferred(records, columns)
    if shape == "alpaca":
        return _paired(_instructions(records, columns), _texts(records, columns.output))
    asked, answered = (getattr(columns, side) for side in SIDES.get(shape, ("text", "label")))
    return _paired(_texts(records, asked), _texts(records, answered))


def _texts(records: Sequence[Record], column: str | None) -> list[str] | None:
    """A column that is text in every record."""
    values: list[Any] = [record.get(column or "") for record in records]
    return values if _are(values, str) else None


def _are(values: Iterable[Any], *kinds: type) -> bool:
    return set(map(type, values)) <= set(kinds)


def _any(records: Iterable[Mapping[str, Any]], names: Iterable[str]) -> bool:
    """Whether any of the names holds something in any record."""
    return any(record.get(name) for name in names for record in records)


def _instructions(records: Sequence[Record], columns: Columns) -> list[str] | None:
    """What is asked for, and below an empty line its input where there is one."""
    asked = _texts(records, columns.instruction)
    inner = [record.get(columns.input or "") for record in records]
    if asked is None or not _are(inner, *BLANK):
        return None
    return [f"{text}\n\n{more}" if more else text for text, more in zip(asked, inner, strict=True)]


def _paired(asked: list[str] | None, answered: list[str] | None) -> Plain | None:
    if asked is None or answered is None:
        return None
    contents = [""] * (2 * len(asked))
    contents[::2], contents[1::2] = asked, answered
    return Plain(["user", "assistant"] * len(asked), contents, np.full(len(asked), 2))


def _preferred(records: Sequence[Record], columns: Columns) -> Plain | None:
    """A prompt and two answers, all of them texts."""
    if not columns.prompt or columns.markers or (columns.input and _any(records, [columns.input])):
        return None
    texts = [_texts(records, name) for name in (columns.prompt, columns.chosen, columns.rejected)]
    contents = [""] * (3 * len(records))
    for at, of_column in enumerate(texts):
        if of_column is None:
            return None
        contents[at::3] = of_column
    roles = ["user", "assistant", REJECTED] * len(records)
    return Plain(roles, contents, np.full(len(records), 3))


def _single(records: Sequence[Record], columns: Columns) -> Plain | None:
    """Records that are one turn each."""
    beside = [columns.tools, columns.reasoning, *calling.IN_RECORDS]
    if columns.role is None or _any(records, [name for name in beside if name]):
        return None
    roles = _roles(_texts(records, columns.role), columns)
    contents = _texts(records, columns.content)
    if roles is None or contents is None:
        return None
    return Plain(roles, contents, np.ones(len(records), np.int64))


def _listed(records: Sequence[Record], columns: Columns) -> Plain | None:
    """Records that hold a list of turns in one column."""
    names = lists(columns)
    if len(names) != 1 or columns.asker or columns.role is None or columns.content is None:
        return None
    if columns.tools and _any(records, [columns.tools]):
        return None
    each: list[Any] = [record.get(names[0]) for record in records]
    if not _are(each, list):
        return None
    flat = list(chain.from_iterable(each))
    if not _are(flat, dict):
        return None
    special = {*traces(columns), *calling.KEYS} & set().union(*flat)
    if special and _any(flat, special):
        return None
    if not set(calling.LEARNED).isdisjoint(set().union(*flat)) and any(map(calling.unlearned, flat)):
        return None
    roles, contents = _roles(_texts(flat, columns.role), columns), _texts(flat, columns.content)
    if roles is None or contents is None:
        return None
    return Plain(roles, contents, np.fromiter(map(len, each), np.int64, len(each)))


def _roles(names: list[str] | None, columns: Columns) -> list[str] | None:
    """Our names for speakers who are all known by the very names that they have."""
    if names is None:
        return None
    known: dict[str, str] = {**ROLES, **columns.roles}
    if not set(names) <= known.keys():
        return None
    return [known[name] for name in names]
