"""From a record as it lies in a file to the turns of a conversation.

A shape is a plain function from a record (a mapping of column to value) to a list of
(role, content). All contents become text: numbers and booleans as JSON writes them, an absent or
null value is empty, a list of OpenAI text parts is joined, other lists and mappings become
compact JSON. A reasoning trace that is kept apart (`reasoning_content`) goes before the answer as
``<think>\\n...\\n</think>\\n\\n``. Tools, their calls and the names of results stay what they are, behind the
text of their turn (`structure`).

Cost: 1 to 3 microseconds a record, plus half of one a turn.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field

from headrace.pipelines import structure
from headrace.pipelines.section import Section
from headrace.pipelines.stages.read import calling
from headrace.pipelines.stages.read.records import ReadError

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
REASONING = ("reasoning_content", "reasoning", "thinking")
_SPEAKERS = ("role", "from", "speaker")
MISSING = object()


class Columns(Section):
    """Which column (or key of a turn) holds what; left out, the usual names of the shape hold."""

    messages: str | None = None
    """Column with the list of turns (`messages`, `conversations`)."""
    role: str | None = None
    """Key of a turn with its speaker (`role`, `from`); with `group_by` a column of the record."""
    content: str | None = None
    """Key of a turn with its text (`content`, `value`); with `group_by` a column of the record."""
    reasoning: str | None = None
    """Key of a turn, or column, with a reasoning trace kept apart from the answer."""
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] = Field(default_factory=dict)
    """Their names of the speakers to ours: `{customer: user}`. `*` stands for every other name and
    for records without one: `{"*": user}`."""
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
    if shape in TURN_NAMES and columns.messages is None:
        names = ["system", "role", "content", "reasoning"]
    elif shape in TURN_NAMES:
        names = ["system", "tools", "messages"]
    else:
        names = ["system", "reasoning", *NAMES[shape], *OPTIONAL.get(shape, {})]
    chosen = [getattr(columns, n) for n in names]
    return list(dict.fromkeys(c for c in chosen if c is not None))


def required(shape: Shape, columns: Columns) -> list[str]:
    """Columns without which no record of the shape can be read."""
    if shape in TURN_NAMES and columns.messages is None:
        asked = [columns.role, columns.content]
    elif shape in TURN_NAMES:
        asked = [columns.messages]
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
        return partial(_one_turn, columns=columns, roles=roles)
    if shape in TURN_NAMES:
        return partial(_turns, columns=columns, roles=roles, padded=padded)
    if shape == "alpaca":
        return partial(_alpaca, columns=columns)
    if shape == "prompt_completion":
        return partial(_pair, asked=columns.prompt, answered=columns.completion, columns=columns)
    if shape == "question_answer":
        return partial(_pair, asked=columns.question, answered=columns.answer, columns=columns)
    if shape == "text_label":
        return partial(_text_label, columns=columns, label_names=tuple(label_names))
    return partial(_text, column=columns.text)


def text(value: Any) -> str:
    """Any value as text. Raises: ReadError for bytes that are no UTF-8 and for parts that are no text."""
    if type(value) is str:
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ReadError("read.bad_utf8", "a binary value that is no UTF-8") from None
    if isinstance(value, list) and value and all(isinstance(p, dict) and "type" in p for p in value):
        return _parts(value)
    if isinstance(value, bool | int | float | list | dict):
        return compact(value)
    return str(value)


def compact(value: Any) -> str:
    """JSON in one line, keys in the record's own order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _parts(parts: list[dict[str, Any]]) -> str:
    """The text of OpenAI content parts."""
    texts = [p.get("text") for p in parts if p["type"] in ("text", "input_text", "output_text")]
    if len(texts) < len(parts) or not all(isinstance(t, str) for t in texts):
        raise ReadError("read.wrong_type", "a content part that is not text")
    return "".join(str(t) for t in texts)


def _field(record: Record, column: str | None) -> str:
    """A column that must be there, as text."""
    value = record.get(column, MISSING) if column else MISSING
    if type(value) is str:
        return value
    if value is MISSING:
        raise ReadError("read.missing_field", f"no field {column!r}")
    return text(value)


def _opening(record: Record, columns: Columns) -> list[Turn]:
    """The system turn, where there is one."""
    if columns.system is None:
        return []
    content = text(record.get(columns.system))
    return [("system", content)] if content else []


def _thought(reasoning: Any, answer: str) -> str:
    """An answer with its reasoning trace before it."""
    trace = text(reasoning).strip("\n")
    return f"<think>\n{trace}\n</think>\n\n{answer}" if trace else answer


def _role(value: Any, roles: Mapping[str, str]) -> str:
    """Our name for a speaker. Raises: ReadError for one that the recipe and `ROLES` do not know."""
    if isinstance(value, str):
        known = roles.get(value) or roles.get(value.strip().lower()) or roles.get(ANY)
    else:
        known = roles.get(ANY) or (roles.get(text(value)) if isinstance(value, bool | int) else None)
    if known is None:
        raise ReadError("read.unknown_role", "a speaker that columns.roles does not name")
    return known


def _turn(turn: Record, columns: Columns, roles: Mapping[str, str], padded: bool) -> Turn:
    """One turn, with reasoning in its content, and calls and the like behind it."""
    if type(turn) is not dict:
        raise ReadError("read.wrong_type", "a turn that is not a mapping")
    role = _role(turn.get(columns.role), roles)
    beside = calling.beside(role, turn, padded)
    value = turn.get(columns.content, MISSING)
    if value is MISSING and "tool_calls" not in beside:
        raise ReadError("read.missing_field", f"a turn without {columns.content!r}")
    content = value if type(value) is str else "" if value is MISSING else text(value)
    if "tool_calls" in beside and value is None:
        beside["content"] = None
    reasoning = next((turn[key] for key in _traces(columns) if turn.get(key)), None)
    said = _thought(reasoning, content) if reasoning else content
    return role, structure.sealed(said, beside) if beside else said


def _traces(columns: Columns) -> tuple[str, ...]:
    """Keys of a turn that may hold a reasoning trace: the recipe's own, or the usual ones."""
    return REASONING if columns.reasoning in (None, REASONING[0]) else (columns.reasoning,)


def _turns(record: Record, columns: Columns, roles: Mapping[str, str], padded: bool) -> list[Turn]:
    """messages, sharegpt: a list of turns in one column."""
    assert columns.messages is not None
    turns = record.get(columns.messages, MISSING)
    if turns is MISSING:
        raise ReadError("read.missing_field", f"no field {columns.messages!r}")
    if type(turns) is str:  # CSV and some Parquet files hold the list as JSON
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError):
            raise ReadError("read.wrong_type", f"{columns.messages!r} is text that is no JSON") from None
    if type(turns) is not list:
        raise ReadError("read.wrong_type", f"{columns.messages!r} is not a list")
    turns_of_row = _opening(record, columns)
    special = {*_traces(columns), *calling.KEYS}
    for turn in turns:
        # The plain turn, by far the most usual, without a call.
        try:
            name, content = turn[columns.role], turn[columns.content]
            plain = type(name) is type(content) is str and (len(turn) == 2 or special.isdisjoint(turn))
            role = roles.get(name) if plain else None
        except (KeyError, TypeError, IndexError):
            role = None
        turns_of_row.append((role, content) if role else _turn(turn, columns, roles, padded))
    if columns.tools is not None and record.get(columns.tools):
        return calling.with_tools(turns_of_row, record[columns.tools], columns.tools, padded)
    return turns_of_row


def _one_turn(record: Record, columns: Columns, roles: Mapping[str, str]) -> list[Turn]:
    """A record that is one turn of a grouped conversation."""
    role = _role(record.get(columns.role) if columns.role else None, roles)
    answer = _field(record, columns.content)
    reasoning = record.get(columns.reasoning) if columns.reasoning else None
    return [*_opening(record, columns), (role, _thought(reasoning, answer) if reasoning else answer)]


def _answered(record: Record, asked: str, answer: str, columns: Columns) -> list[Turn]:
    if columns.reasoning:
        answer = _thought(record.get(columns.reasoning), answer)
    turns = [("user", asked), ("assistant", answer)]
    return [*_opening(record, columns), *turns] if columns.system else turns


def _pair(record: Record, asked: str | None, answered: str | None, columns: Columns) -> list[Turn]:
    """prompt_completion, question_answer."""
    return _answered(record, _field(record, asked), _field(record, answered), columns)


def _alpaca(record: Record, columns: Columns) -> list[Turn]:
    """The instruction, and below an empty line its input where there is one."""
    asked = _field(record, columns.instruction)
    given = text(record.get(columns.input)) if columns.input else ""
    asked = f"{asked}\n\n{given}" if given else asked
    return _answered(record, asked, _field(record, columns.output), columns)


def _text_label(record: Record, columns: Columns, label_names: tuple[str, ...]) -> list[Turn]:
    """The label is what the assistant says; a number is looked up in `label_names`."""
    assert columns.label is not None
    label = record.get(columns.label, MISSING)
    number = label.strip() if isinstance(label, str) else label
    if label_names and not isinstance(number, bool) and str(number).isdecimal():
        # Digits that int refuses, of which there are thousands, stand for no label either.
        place = int(number) if len(str(number)) < 10 else len(label_names)
        if place >= len(label_names):
            raise ReadError("read.wrong_type", "a label number beyond label_names")
        label = label_names[place]
        return _answered(record, _field(record, columns.text), label, columns)
    return _answered(record, _field(record, columns.text), _field(record, columns.label), columns)


def _text(record: Record, column: str | None) -> list[Turn]:
    """A plain text: one message of role `text`, without a template."""
    return [("text", _field(record, column))]
