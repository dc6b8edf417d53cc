"""From a record as it lies in a file to the turns of a conversation.

A mapper is a plain function from a record (a mapping of column to value) to a list of
(role, content). All contents become text: numbers and booleans as JSON writes them, an absent or
null value is empty, a list of text parts is joined. A list or a mapping in a place for text is turns where
it holds turns (a prompt that is a conversation); else the record is set aside: its JSON is nobody's words.
Only what a tool gives back may be JSON. In what forms turns come: see `turns.given`. A reasoning
trace that is kept apart (`reasoning_content`) goes before the answer as
``<think>\\n...\\n</think>\\n\\n``. Tools, their calls and the names of results stay what they are, behind the
text of their turn (`structure`).

Cost: 1 to 3 microseconds a record, plus half of one a turn; what `plain` takes is not seen here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from headrace.pipelines import structure
from headrace.pipelines.stages.read import calling
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.shapes import ANY, REASONING, ROLES, TURN_NAMES, Columns, Shape, lists
from headrace.pipelines.stages.read.turns import blocks, given, markers, preferred, trees, unknown
from headrace.pipelines.stages.read.turns.paths import MISSING, mapping
from headrace.pipelines.stages.read.turns.words import text, words

Turn = tuple[str, str]
Record = Mapping[str, Any]
_NUMBER = re.compile(r"([+-]?\d+)(?:\.(\d*))?", re.ASCII)


def mapper(
    shape: Shape, columns: Columns, label_names: Sequence[str] = (), padded: bool = False
) -> Callable[[Record], list[Turn]]:
    """The function from a record to its turns; it raises `ReadError` for a record that has another shape.

    `columns` must be complete. padded: nulls in structures were put there by the file's format.
    """
    roles = {**ROLES, **columns.roles}
    if shape in TURN_NAMES:
        turns = _one_turn if columns.messages is None else _turns
        return partial(turns, columns=columns, roles=roles, padded=padded)
    if shape == "text_label":
        return partial(_text_label, columns=columns, label_names=tuple(label_names))
    if shape == "text":
        return partial(_text, column=columns.text)
    pair: Callable[[Record], list[Turn]]
    if shape == "alpaca":
        pair = partial(_alpaca, columns=columns)
    elif shape == "preference":
        pair = partial(_preferred, columns=columns, roles=roles)
    elif shape == "prompt_completion":
        pair = partial(_pair, asked=columns.prompt, answered=columns.completion, columns=columns, roles=roles)
    else:
        pair = partial(_pair, asked=columns.question, answered=columns.answer, columns=columns, roles=roles)
    return partial(_with_tools, pair=pair, column=columns.tools, padded=padded) if columns.tools else pair


class Told(list[Turn]):
    """Turns of a record of which something was left out: how much, by kind."""

    def __init__(self, turns: list[Turn], left: dict[str, int]) -> None:
        super().__init__(turns)
        self.left = left


def _field(record: Record, column: str | None, left: dict[str, int] | None = None) -> str:
    """A column that must be there, as text; `left` counts parts of it that are none."""
    value = record.get(column, MISSING) if column else MISSING
    if type(value) is str:
        return value
    if value is MISSING:
        raise ReadError("read.missing_field", f"no field {column!r}")
    return words(value, column, left)


def _opening(record: Record, columns: Columns) -> list[Turn]:
    """The system turn, where there is one."""
    if columns.system is None:
        return []
    content = words(record.get(columns.system), columns.system, None)
    content = markers.bare_system(content) if columns.markers else content
    return [("system", content)] if content else []


def _thought(reasoning: Any, answer: str) -> str:
    """An answer with its reasoning trace before it."""
    trace = words(reasoning, None, None).strip("\n")
    return f"<think>\n{trace}\n</think>\n\n{answer}" if trace else answer


def _role(value: Any, roles: Mapping[str, str]) -> str:
    """Our name for a speaker. Raises: ReadError for one that the recipe and `ROLES` do not know."""
    if isinstance(value, str):
        known = roles.get(value) or roles.get(value.strip().lower()) or roles.get(ANY)
    else:
        known = roles.get(ANY) or (roles.get(text(value)) if isinstance(value, bool | int) else None)
    if known is None:
        raise ReadError("read.unknown_role", unknown.words(value))
    return known


def _turn(
    turn: Record, columns: Columns, roles: Mapping[str, str], left: dict[str, int], padded: bool
) -> Turn:
    """One turn, with reasoning in its content, and calls and the like behind it."""
    if type(turn) is not dict:
        raise ReadError("read.wrong_type", "a turn that is not a mapping")
    role = _role(turn.get(columns.role), roles)
    beside = calling.beside(role, turn, padded)
    value = turn.get(columns.content, MISSING)
    if value in (None, MISSING) and role == "assistant" and isinstance(turn.get("refusal"), str):
        value = turn["refusal"]  # OpenAI's: it stands beside a content that is null
    if value is MISSING and "tool_calls" not in beside:
        raise ReadError("read.missing_field", f"a turn without {columns.content!r}")
    if "tool_calls" in beside and value is None:
        beside["content"] = None
    if type(value) is not str:
        # What a tool gives back may be a structure.
        structured = role == "tool" and not blocks.is_parts(value)
        value = "" if value is MISSING else text(value) if structured else words(value, columns.content, left)
    content: str = value
    reasoning = next((turn[key] for key in traces(columns) if turn.get(key)), None)
    said = _thought(reasoning, content) if reasoning else content
    return role, structure.sealed(said, beside) if beside else said


def traces(columns: Columns) -> tuple[str, ...]:
    """Keys of a turn that may hold a reasoning trace: the recipe's own, or the usual ones."""
    return REASONING if columns.reasoning in (None, REASONING[0]) else (columns.reasoning,)


def _turns(record: Record, columns: Columns, roles: Mapping[str, str], padded: bool) -> list[Turn]:
    """messages, sharegpt: a list of turns in one column, or in several that follow each other."""
    turns_of_row = _opening(record, columns)
    left: dict[str, int] = {}
    special = {*traces(columns), *calling.KEYS, *calling.LEARNED}
    for turn in _listed(record, columns, left):
        # The plain turn, by far the most usual, without a call.
        try:
            name, content = turn[columns.role], turn[columns.content]
            plain = type(name) is type(content) is str and (len(turn) == 2 or special.isdisjoint(turn))
            role = roles.get(name) if plain and not columns.asker else None
        except (KeyError, TypeError, IndexError):
            role = None
        turns_of_row += (
            [(role, content)] if role else _odd_turn(record, turn, columns, roles, left, padded=padded)
        )
    if columns.tools and record.get(columns.tools):
        turns_of_row = calling.with_tools(turns_of_row, record[columns.tools], columns.tools, padded)
    return Told(turns_of_row, left) if left else turns_of_row


def _listed(record: Record, columns: Columns, left: dict[str, int]) -> list[Any]:
    """The turns of a record as they lie."""
    names = lists(columns)
    found = [(n, v) for n in names if (v := record.get(n, MISSING)) is not MISSING]
    if not found:
        raise ReadError("read.missing_field", f"no field {names[0]!r}")
    current = record.get(trees.CURRENT)
    if len(found) == 1:
        return _in_column(found[0][1], found[0][0], columns, current, left)
    return [t for n, v in found if v is not None for t in _in_column(v, n, columns, current, left)]


def _in_column(value: Any, name: str, columns: Columns, current: Any, left: dict[str, int]) -> list[Any]:
    """The turns in one column."""
    if columns.markers and type(value) is str:
        role, content = columns.role or "role", columns.content or "content"
        return [{role: who, content: said} for who, said in markers.split(value, columns.markers, name)]
    return given.turns(value, name, columns.speakers, current, left)


def speakers(record: Record, columns: Columns, grouped: bool) -> list[str]:
    """The names of those who speak in a record, as they stand there; none where it cannot be read."""
    if columns.role is None or columns.asker:
        return []
    if grouped and columns.messages is None:
        found = [record.get(columns.role)]
    elif columns.messages is None:
        return []
    else:
        try:
            turns = _listed(record, columns, {})
            plain = [given.plain(t, columns.role, columns.content or "content", "", {}) for t in turns]
        except ReadError:
            return []
        found = [t.get(columns.role) for each in plain for t in each if isinstance(t, dict)]
    return [name for name in found if isinstance(name, str)]


def _odd_turn(
    record: Record,
    turn: Any,
    columns: Columns,
    roles: Mapping[str, str],
    left: dict[str, int],
    *,
    padded: bool,
) -> list[Turn]:
    """A turn in any of the forms that turns have."""
    content, reasoning = columns.content or "content", columns.reasoning or "reasoning_content"
    plain = given.plain(turn, columns.role, content, reasoning, left)
    if columns.asker and columns.role:
        asker = text(record.get(columns.asker))
        for one in plain:
            if isinstance(one, dict) and one.get(columns.role) is not None and one[columns.role] != "tool":
                one[columns.role] = "user" if text(one[columns.role]) == asker else "assistant"
    return [_turn(one, columns, roles, left, padded) for one in plain]


def _one_turn(record: Record, columns: Columns, roles: Mapping[str, str], padded: bool) -> list[Turn]:
    """A record that is one turn of a grouped conversation."""
    role = _role(record.get(columns.role) if columns.role else None, roles)
    left: dict[str, int] = {}
    value = record.get(columns.content) if columns.content else None
    if blocks.has_tools(value):
        return _of_blocks(record, role, value, columns, padded)
    structured = role == "tool" and type(value) in (dict, list) and not blocks.is_parts(value)
    answer = text(value) if structured else _field(record, columns.content, left)
    reasoning = record.get(columns.reasoning) if columns.reasoning else None
    said = _thought(reasoning, answer) if reasoning else answer
    beside = calling.beside(role, {key: record.get(key) for key in calling.IN_RECORDS}, padded)
    if "tool_calls" in beside and value is None:
        beside["content"] = None
    turns = [*_opening(record, columns), (role, structure.sealed(said, beside) if beside else said)]
    if columns.tools and record.get(columns.tools):
        turns = calling.with_tools(turns, record[columns.tools], columns.tools, padded)
    return Told(turns, left) if left else turns


def _of_blocks(record: Record, role: str, value: Any, columns: Columns, padded: bool) -> list[Turn]:
    """The turns of a record whose content has calls, what tools gave back or thoughts among its parts."""
    left: dict[str, int] = {}
    keys = Columns(role="role", content="content", reasoning=REASONING[0])
    plain = blocks.plain({"role": role, "content": value}, "role", "content", REASONING[0], left)
    turns = [*_opening(record, columns), *(_turn(one, keys, ROLES, left, padded) for one in plain)]
    return Told(turns, left) if left else turns


def _with_tools(
    record: Record, pair: Callable[[Record], list[Turn]], column: str, padded: bool
) -> list[Turn]:
    """What `pair` makes of a record, with the record's tools."""
    turns = pair(record)
    if not record.get(column):
        return turns
    turns[-1:] = [_called(*turns[-1], calling.names(record[column], column), padded)]
    offered = calling.with_tools(turns, record[column], column, padded)
    return Told(offered, turns.left) if type(turns) is Told else offered


def _called(role: str, content: str, names: set[str], padded: bool) -> Turn:
    """An answer that is calls of the row's tools (`names`), written as JSON text, as these calls."""
    if role != "assistant" or not content.lstrip().startswith("[{"):
        return role, content
    try:
        calls = given.parsed(content, "")
        made = calling.beside(role, {"tool_calls": calls}, padded)
    except ReadError:
        return role, content
    functions = [call["function"] for call in made["tool_calls"]]
    if not all("arguments" in one and one["name"] in names for one in functions):
        return role, content
    return role, structure.sealed("", {**made, "content": None})


def _before(value: Any, name: str, columns: Columns) -> list[Turn]:
    """What was said before a question, as turns."""
    turns = given.turns(value, name, ("user", "assistant"), None, {})
    found = _side(turns, columns, {**ROLES, **columns.roles}, {})
    if not found:
        raise ReadError("read.wrong_type", f"{name!r} holds neither turns nor pairs of texts")
    return found


def _answered(record: Record, asked: str, answer: str, columns: Columns) -> list[Turn]:
    if columns.reasoning:
        answer = _thought(record.get(columns.reasoning), answer)
    turns = [("user", asked), ("assistant", answer)]
    if columns.markers:
        turns = markers.sides(asked, answer, columns.markers, ("the prompt", "the answer"))
    if columns.history and record.get(columns.history):
        turns = [*_before(record[columns.history], columns.history, columns), *turns]
    return [*_opening(record, columns), *turns] if columns.system else turns


def _pair(
    record: Record, asked: str | None, answered: str | None, columns: Columns, roles: Mapping[str, str]
) -> list[Turn]:
    """prompt_completion, question_answer; either side may be turns."""
    first, second = record.get(asked or ""), record.get(answered or "")
    if type(first) is type(second) is str:  # by far the most usual
        return _answered(record, first, second, columns)
    if type(first) in (list, dict) or type(second) in (list, dict):
        left: dict[str, int] = {}
        before, after = (_side(side, columns, roles, left) for side in (first, second))
        opening = before or [("user", _field(record, asked, left))]
        answer = after or [("assistant", _field(record, answered, left))]
        # Of two answers to compare each often holds the whole conversation.
        whole = answer if answer[: len(opening)] == opening else [*opening, *answer]
        return Told([*_opening(record, columns), *whole], left)
    return _answered(record, _field(record, asked), _field(record, answered), columns)


def _side(value: Any, columns: Columns, roles: Mapping[str, str], left: dict[str, int]) -> list[Turn]:
    """The turns of a prompt or an answer that is a list of them; none where it is no such list."""
    turns = [mapping(t) for t in (value if type(value) is list else [value])]
    for role, content in (("role", "content"), ("from", "value")):
        if turns and all(isinstance(t, dict) and role in t and content in t for t in turns):
            keys = columns.model_copy(update={"role": role, "content": content})
            return [turn for t in turns for turn in _odd_turn({}, t, keys, roles, left, padded=False)]
    return []


def _preferred(record: Record, columns: Columns, roles: Mapping[str, str]) -> list[Turn]:
    """preference: the prompt's turns, the better answer, and behind it the other one."""
    left: dict[str, int] = {}
    before = _spoken(record, columns.prompt, "user", columns, roles, left) if columns.prompt else []
    inner = words(record.get(columns.input), columns.input, None) if columns.input else ""
    if inner and before:
        before[-1] = (before[-1][0], f"{before[-1][1]}\n\n{inner}")
    answers = (
        _spoken(record, column, "assistant", columns, roles, left)
        for column in (columns.chosen, columns.rejected)
    )
    turns = [*_opening(record, columns), *preferred.joined(before, *answers)]
    return Told(turns, left) if left else turns


def _spoken(
    record: Record,
    column: str | None,
    role: str,
    columns: Columns,
    roles: Mapping[str, str],
    left: dict[str, int],
) -> list[Turn]:
    """A column as turns: those that it holds, or one of `role`."""
    value = record.get(column or "")
    if columns.markers and type(value) is str and column:
        return [(who, said) for who, said in markers.split(value, columns.markers, column)]
    turns = _side(value, columns, roles, left) if type(value) in (list, dict) else []
    return turns or [(role, _field(record, column, left))]


def _alpaca(record: Record, columns: Columns) -> list[Turn]:
    """The instruction, and below an empty line its input where there is one."""
    asked = _field(record, columns.instruction)
    inner = words(record.get(columns.input), columns.input, None) if columns.input else ""
    asked = f"{asked}\n\n{inner}" if inner else asked
    return _answered(record, asked, _field(record, columns.output), columns)


def _text_label(record: Record, columns: Columns, label_names: tuple[str, ...]) -> list[Turn]:
    """The label is what the assistant says; a number is looked up in `label_names`."""
    assert columns.label is not None
    number = _whole(record.get(columns.label)) if label_names else None
    if number is None:
        return _answered(record, _field(record, columns.text), _field(record, columns.label), columns)
    if number == -1:
        raise ReadError("read.wrong_type", "a label of -1, which stands for none")
    if not 0 <= number < len(label_names):
        raise ReadError("read.wrong_type", "a label number beyond label_names")
    return _answered(record, _field(record, columns.text), label_names[number], columns)


def _whole(label: Any) -> int | None:
    """The number that a label is, also as text or as a float, as tables with gaps have them."""
    if isinstance(label, bool) or not isinstance(label, int | float | Decimal | str):
        return None
    matched = _NUMBER.fullmatch(str(label).strip())
    if matched is None:
        return None
    # Digits that int refuses, of which there are thousands, stand for no label either.
    return int(matched[1]) if len(matched[1]) < 10 and not (matched[2] or "").strip("0") else 10**10


def _text(record: Record, column: str | None) -> list[Turn]:
    """A plain text: one message of role `text`, without a template."""
    return [("text", _field(record, column))]
