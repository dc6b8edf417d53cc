"""From a record as it lies in a file to the turns of a conversation.

A shape is a plain function from a record (a mapping of column to value) to a list of
(role, content). All contents become text: numbers and booleans as JSON writes them, an absent or
null value is empty, a list of text parts is joined. A list or a mapping in a place for text is turns where
it holds turns (a prompt that is a conversation); else the record is set aside: its JSON is nobody's words.
Only what a tool gives back may be JSON. In what forms turns come: see `turns.given`. A reasoning
trace that is kept apart (`reasoning_content`) goes before the answer as
``<think>\\n...\\n</think>\\n\\n``. Tools, their calls and the names of results stay what they are, behind the
text of their turn (`structure`).

Cost: 1 to 3 microseconds a record, plus half of one a turn.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Literal

from pydantic import Field

from headrace.pipelines import structure
from headrace.pipelines.section import Section
from headrace.pipelines.stages.read import calling
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.turns import blocks, given, trees, unknown
from headrace.pipelines.stages.read.turns.paths import MISSING, mapping
from headrace.pipelines.stages.read.turns.words import text, words

Shape = Literal[
    "messages", "sharegpt", "alpaca", "prompt_completion", "question_answer", "text_label", "text"
]
Turn = tuple[str, str]
Record = Mapping[str, Any]

# Names by which data sets call the speakers; a recipe's `columns.roles` comes first.
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "customer", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "agent", "model", "ai"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_response"), "tool"),
}
ANY = "*"
_NUMBER = re.compile(r"([+-]?\d+)(?:\.(\d*))?", re.ASCII)
REASONING = ("reasoning_content", "reasoning", "thinking")
_SPEAKERS = ("role", "from", "speaker")
Role = Literal["system", "user", "assistant", "tool"]


class Columns(Section):
    """Which column (or key of a turn) holds what; left out, the usual names of the shape hold."""

    messages: str | tuple[str, ...] | None = None
    """Column with the list of turns (`messages`, `conversations`), or columns whose turns follow each other.
    A path such as `body.messages` leads into a column, here as for every other."""
    role: str | None = None
    """Key of a turn with its speaker (`role`, `from`); with `group_by` a column of the record."""
    content: str | None = None
    """Key of a turn with its text (`content`, `value`); with `group_by` a column of the record."""
    reasoning: str | None = None
    """Key of a turn, or column, with a reasoning trace kept apart from the answer."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """Their names of the speakers to ours: `{customer: user}`. `*` stands for every other name and
    for records without one: `{"*": user}`."""
    speakers: tuple[Role, ...] = ()
    """Who speaks in turn where turns are bare texts, or pairs of them: `[user, assistant]`."""
    asker: str | None = None
    """Column with the one who asks, by the name that `role` has in the turns: every other one answers
    (a ticket's `requester.id` beside its comments' `author_id`)."""
    system: str | None = None
    """Column with a system prompt, put before the turns."""
    tools: str | None = None
    """Column with the tools that may be called: a list, or its JSON text (`tools`)."""
    instruction: str | None = None
    """alpaca: what is asked for."""
    input: str | None = None
    """alpaca: what it is asked of; may be absent or empty."""
    output: str | None = None
    """alpaca: the answer (`output`, `response`)."""
    prompt: str | None = None
    """prompt_completion: the prompt."""
    completion: str | None = None
    """prompt_completion: its completion."""
    question: str | None = None
    """question_answer: the question."""
    answer: str | None = None
    """question_answer: the answer."""
    text: str | None = None
    """text, text_label: the text."""
    label: str | None = None
    """text_label: the label."""


# The columns of a shape with the names to look for, the most usual first. Order matters twice:
# shapes are tried from the top, and the first name that is there is taken.
NAMES: dict[Shape, dict[str, tuple[str, ...]]] = {
    "messages": {"messages": ("messages",)},
    "sharegpt": {"messages": ("conversations", "conversation")},
    "alpaca": {"instruction": ("instruction",), "output": ("output", "response", "completion")},
    "prompt_completion": {"prompt": ("prompt",), "completion": ("completion", "response", "chosen")},
    "question_answer": {"question": ("question", "query"), "answer": ("answer", "response")},
    "text_label": {
        "text": ("text", "utterance", "sentence"),
        "label": ("label", "intent", "category", "class"),
    },
    "text": {"text": ("text", "content", "document")},
}
# Keys of speaker and text of a turn, by shape; the first pair is what a source means that was not
# looked at.
_PAIRS = tuple((role, content) for content in ("content", "value", "text", "utterance") for role in _SPEAKERS)
TURN_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "messages": _PAIRS,
    "sharegpt": (("from", "value"), *_PAIRS),
}
OPTIONAL = {"alpaca": {"input": "input"}}


def complete(shape: Shape, columns: Columns, grouped: bool = False) -> Columns:
    """`columns` with the usual names of `shape` where the recipe names none."""
    given = columns.model_dump(exclude_none=True)
    usual = {**{c: names[0] for c, names in NAMES[shape].items()}, **OPTIONAL.get(shape, {})}
    if shape in TURN_NAMES:
        role, content = TURN_NAMES[shape][0]
        usual |= {"content": content, "reasoning": REASONING[0], "tools": "tools"}
        if grouped and columns.messages is None:
            del usual["messages"]
        if ANY not in columns.roles or columns.messages or not grouped:
            usual["role"] = role
    return Columns(**{**usual, **given})


def wanted(shape: Shape, columns: Columns) -> list[str]:
    """Columns of a record that the shape reads (of completed `columns`), in a fixed order."""
    beside: list[str] = []
    if shape in TURN_NAMES and columns.messages is None:
        names = ["system", "role", "content", "reasoning"]
        beside = [*calling.IN_RECORDS]
    elif shape in TURN_NAMES:
        names = ["system", "tools", "asker"]
        beside = [*lists(columns), trees.CURRENT]
    else:
        names = ["system", "reasoning", *NAMES[shape], *OPTIONAL.get(shape, {})]
    chosen: list[str | None] = [*(getattr(columns, n) for n in names), *beside]
    return list(dict.fromkeys(c for c in chosen if c is not None))


def lists(columns: Columns) -> tuple[str, ...]:
    """The columns that hold turns."""
    return (columns.messages,) if isinstance(columns.messages, str) else columns.messages or ()


def required(shape: Shape, columns: Columns) -> list[str]:
    """Columns without which no record of the shape can be read."""
    asked: list[str | None]
    if shape in TURN_NAMES and columns.messages is None:
        asked = [columns.role, columns.content]
    elif shape in TURN_NAMES:
        asked = [next(iter(lists(columns)), None)]  # of several any may be there
    else:
        asked = [getattr(columns, c) for c in NAMES[shape]]
    return [c for c in asked if c is not None]


def mapper(
    shape: Shape, columns: Columns, label_names: Sequence[str] = (), padded: bool = False
) -> Callable[[Record], list[Turn]]:
    """The function from a record to its turns; it raises `ReadError` for a record that has another shape.

    `columns` must be complete. padded: nulls in structures were put there by the file's format.
    """
    roles = {**ROLES, **columns.roles}
    if shape in TURN_NAMES and columns.messages is None:
        return partial(_one_turn, columns=columns, roles=roles, padded=padded)
    if shape in TURN_NAMES:
        return partial(_turns, columns=columns, roles=roles, padded=padded)
    if shape == "alpaca":
        return partial(_alpaca, columns=columns)
    if shape == "prompt_completion":
        return partial(_pair, asked=columns.prompt, answered=columns.completion, columns=columns, roles=roles)
    if shape == "question_answer":
        return partial(_pair, asked=columns.question, answered=columns.answer, columns=columns, roles=roles)
    if shape == "text_label":
        return partial(_text_label, columns=columns, label_names=tuple(label_names))
    return partial(_text, column=columns.text)


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
    if value is MISSING and "tool_calls" not in beside:
        raise ReadError("read.missing_field", f"a turn without {columns.content!r}")
    if "tool_calls" in beside and value is None:
        beside["content"] = None
    if type(value) is not str:
        # What a tool gives back may be a structure.
        structured = role == "tool" and not blocks.is_parts(value)
        value = "" if value is MISSING else text(value) if structured else words(value, columns.content, left)
    content: str = value
    reasoning = next((turn[key] for key in _traces(columns) if turn.get(key)), None)
    said = _thought(reasoning, content) if reasoning else content
    return role, structure.sealed(said, beside) if beside else said


def _traces(columns: Columns) -> tuple[str, ...]:
    """Keys of a turn that may hold a reasoning trace: the recipe's own, or the usual ones."""
    return REASONING if columns.reasoning in (None, REASONING[0]) else (columns.reasoning,)


def _turns(record: Record, columns: Columns, roles: Mapping[str, str], padded: bool) -> list[Turn]:
    """messages, sharegpt: a list of turns in one column, or in several that follow each other."""
    turns_of_row = _opening(record, columns)
    left: dict[str, int] = {}
    special = {*_traces(columns), *calling.KEYS}
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
    if columns.tools is not None and record.get(columns.tools):
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
        return given.turns(found[0][1], found[0][0], columns.speakers, current, left)
    return [t for n, v in found if v is not None for t in given.turns(v, n, columns.speakers, current, left)]


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
    structured = role == "tool" and type(value) in (dict, list) and not blocks.is_parts(value)
    answer = text(value) if structured else _field(record, columns.content, left)
    reasoning = record.get(columns.reasoning) if columns.reasoning else None
    said = _thought(reasoning, answer) if reasoning else answer
    beside = calling.beside(role, {key: record.get(key) for key in calling.IN_RECORDS}, padded)
    if "tool_calls" in beside and value is None:
        beside["content"] = None
    turns = [*_opening(record, columns), (role, structure.sealed(said, beside) if beside else said)]
    return Told(turns, left) if left else turns


def _answered(record: Record, asked: str, answer: str, columns: Columns) -> list[Turn]:
    if columns.reasoning:
        answer = _thought(record.get(columns.reasoning), answer)
    turns = [("user", asked), ("assistant", answer)]
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
