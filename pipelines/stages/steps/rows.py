"""One row as a function of the recipe's author sees it, and what it gave back, looked at.

A row is ``{"row_id", "source", "file", "place", "messages", "meta"}``: `messages` a list of
``{"role", "content"}``, with `tools`, `tool_calls`, `name` and `tool_call_id` where a turn has them, `meta` a
dict of text. The function may change `messages` and `meta`; the rest says which row it is.
"""

import json
from collections.abc import Mapping
from typing import Any

from headrace.pipelines import schema, structure

Row = dict[str, Any]
FIXED = ("row_id", "source", "file", "place")
COLUMNS = (*FIXED, "messages", "meta")


class RefusedError(Exception):
    """What a function gave back cannot be a row; the words name what is wrong, never a value."""


def given(row: Row) -> Row:
    """`row` (as Arrow gives it) in the form that a function is given."""
    return {
        **{key: row[key] for key in FIXED},
        "messages": [_given(message["role"], message["content"]) for message in row["messages"] or ()],
        "meta": dict(row["meta"] or ()),
    }


def _given(role: str, content: str | None) -> Row:
    text, beside = structure.unsealed(role, content or "")
    return {"role": role, "content": text, **{k: v for k, v in beside.items() if k != "content"}}


def taken(made: Any, came: Row) -> tuple[list[Row], list[tuple[str, str | None]] | None]:
    """Messages and `meta` of what a function made of the row `came`, in the form that Arrow takes.

    A message that is as it was keeps its bytes. `meta` is None where the row had none and has none.

    Raises: RefusedError.
    """
    if not isinstance(made, dict):
        raise RefusedError(f"returned type {_kind(made)}, where a dict or None is asked for")
    for key in made:
        if key not in COLUMNS:
            raise RefusedError("returned a key that a row does not have")
    for key in FIXED:
        if key in made and made[key] != came[key]:
            raise RefusedError(f"changed {key}")
    return _messages(made.get("messages"), came), _meta(made.get("meta"), came)


def _messages(made: Any, came: Row) -> list[Row]:
    if not isinstance(made, list):
        raise RefusedError(f"returned messages of type {_kind(made)}, where a list is asked for")
    if not made:
        raise RefusedError("returned no messages; None drops a row")
    before = [(m["role"], m["content"]) for m in came["messages"] or ()]
    return [_message(message, before[at] if at < len(before) else None) for at, message in enumerate(made)]


def _message(made: Any, before: tuple[str, str | None] | None) -> Row:
    if not isinstance(made, dict):
        raise RefusedError(f"returned a message of type {_kind(made)}, where a dict is asked for")
    role = made.get("role")
    if not isinstance(role, str) or role not in schema.ROLES:
        raise RefusedError(f"returned a role that is none of {', '.join(schema.ROLES)}")
    content: str = require_text(made.get("content"), "a content")
    known = structure.KEYS.get(role, ())
    beside = {key: value for key, value in made.items() if key not in ("role", "content")}
    if any(key not in known for key in beside):
        raise RefusedError("returned a message with a key that its role does not have")
    if before is not None and made == _given(*before):
        return {"role": role, "content": before[1]}
    if beside:
        _require_structure(beside)
        try:
            json.dumps(beside, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            raise RefusedError("returned a structure that is no JSON") from error
        own = structure.unsealed(role, before[1] or "")[1] if before is not None and before[0] == role else {}
        if "content" in own:
            beside["content"] = own["content"]
        content = str(structure.sealed(content, beside))
    return {"role": role, "content": content}


def _require_structure(beside: Row) -> None:
    """Raises: RefusedError where what stands beside a text is not what templates are given later."""
    for key in ("tools", "tool_calls"):
        given = beside.get(key, [])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise RefusedError(f"returned {key} that are no list of dicts")
    for call in beside.get("tool_calls", []):
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RefusedError("returned a call without the name of a function")
    for key in ("name", "tool_call_id"):
        if key in beside:
            require_text(beside[key], f"a {key}")


def _meta(made: Any, came: Row) -> list[tuple[str, str | None]] | None:
    if made is None:
        made = {}
    if not isinstance(made, Mapping):
        raise RefusedError(f"returned meta of type {_kind(made)}, where a dict is asked for")
    for key, value in made.items():
        require_text(key, "a key of meta")
        if value is not None:
            require_text(value, "a value of meta")
    return list(made.items()) if made or came["meta"] is not None else None


def require_text(value: Any, what: str) -> str:
    """`value`. Raises: RefusedError where it is no text that can be written."""
    if not isinstance(value, str):
        raise RefusedError(f"returned {what} of type {_kind(value)}, where text is asked for")
    if structure.OPEN in value or structure.CLOSE in value:
        raise RefusedError(f"returned {what} with U+FDD0 or U+FDD1, which no text has")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RefusedError(f"returned {what} with half of a surrogate pair") from error
    return value


def _kind(value: Any) -> str:
    """The name of a value's type; of one that is not Python's own nothing but that."""
    return type(value).__name__ if type(value).__module__ == "builtins" else "of your own"
