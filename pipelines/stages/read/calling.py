"""Tools, their calls and their results as data sets hold them, in the one form that chat templates take.

Source: https://huggingface.co/docs/transformers/chat_extras (tools and `tool_calls` of messages)
"""

import json
from collections.abc import Mapping
from typing import Any

from headrace.pipelines import structure
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.turns import given

KEYS = ("tool_calls", "function_call", "tool_call_id", "name")
LEARNED = ("weight", "loss", "train")  # of an answer: 0 or false where nothing is to be learned from it
IN_RECORDS = ("tool_calls", "tool_call_id")  # of them, what records that are one turn each have as columns
Turn = tuple[str, str]
OTHER = 'columns.tools names the column with the tools, "" where none holds any'
FRAMES = ("function", "name", "type", "functionDeclarations", "function_declarations")  # keys of a tool


def beside(role: str, turn: Mapping[str, Any], padded: bool) -> dict[str, Any]:
    """What a turn holds beside its text; `padded`: nulls come of the file's format and are nobody's.

    Raises: ReadError where calls are no calls.
    """
    if role == "tool":
        names = {key: turn.get(key) for key in structure.KEYS["tool"]}
        return {key: value for key, value in names.items() if isinstance(value, str) and value}
    if role != "assistant":
        return {}
    made: dict[str, Any] = {"learned": False} if unlearned(turn) else {}
    calls = turn.get("tool_calls") or turn.get("function_call")
    if not calls:
        return made
    calls = _loaded(calls, "tool_calls")
    calls = [calls] if isinstance(calls, Mapping) else calls
    if not isinstance(calls, list) or not all(isinstance(one, Mapping) for one in calls):
        raise ReadError("read.wrong_type", "'tool_calls' that are no mappings")
    return {"tool_calls": [_call(one, padded) for one in calls], **made}


def unlearned(turn: Mapping[str, Any]) -> bool:
    """Whether a turn says that nothing is to be learned from it."""
    return any(turn.get(key) in (0, False) and turn[key] is not None for key in LEARNED)


def with_tools(turns: list[Turn], tools: Any, column: str, padded: bool) -> list[Turn]:
    """`turns` with the tools of the row behind its system turn, which is made where there is none.

    Raises: ReadError where the tools are no list of mappings.
    """
    found = tools_of(tools, column)
    if not found:
        return turns
    held = {"tools": [without_nulls(one) if padded else one for one in found]}
    first = turns[0] if turns and turns[0][0] == "system" else None
    text = first[1] if first else ""
    return [("system", structure.sealed(text, held)), *(turns[1:] if first else turns)]


def tools_of(tools: Any, column: str) -> list[Any]:
    """Tools as a list of mappings, from any form. Raises: ReadError where they are none."""
    loaded = _loaded(tools, column, f"; {OTHER}")
    loaded = [loaded] if isinstance(loaded, Mapping) else loaded
    if not isinstance(loaded, list):
        raise ReadError("read.wrong_type", f"{column!r} is not a list of tools; {OTHER}")
    found = [_loaded(one, column, f"; {OTHER}") for one in loaded]
    if not all(isinstance(one, Mapping) for one in found):
        raise ReadError("read.wrong_type", f"{column!r} holds what is no tool; {OTHER}")
    return found


def names(tools: Any, column: str) -> set[str]:
    """The names of tools, whatever their form. Raises: ReadError where they are none."""
    inner = (one.get("function", one) for one in tools_of(tools, column))
    return {str(one["name"]) for one in inner if isinstance(one, Mapping) and "name" in one}


def may_be_tools(value: Any) -> bool:
    """Whether a value is tools, or was meant to be some: one that is cut off in the middle is, too."""
    if isinstance(value, str):
        if not value.lstrip().startswith(("[", "{")) or "{" not in value:
            return False
        try:
            value = given.parsed(value, "")
        except ReadError:
            return True
    each = value if isinstance(value, list) else [value]
    return any(
        may_be_tools(one)
        if isinstance(one, str)
        else isinstance(one, Mapping) and not one.keys().isdisjoint(FRAMES)
        for one in each
    )


def without_nulls(value: Any) -> Any:
    """`value` less the keys of mappings that hold null, at any depth."""
    if isinstance(value, Mapping):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def _loaded(value: Any, column: str, more: str = "") -> Any:
    """`value`, read as JSON where it is text. Raises: ReadError where it is none, saying `more`."""
    if not isinstance(value, str):
        return value
    try:
        return given.parsed(value, column)
    except ReadError as bad:
        raise ReadError(bad.cause, f"{bad.detail}{more}") from None


def _call(call: Mapping[str, Any], padded: bool) -> dict[str, Any]:
    """One call as ``{type, function: {name, arguments}}`` and whatever else it has (`id`)."""
    if not isinstance(call.get("function"), Mapping):  # OpenAI's older form, and calls without the frame
        if not isinstance(call.get("name"), str):
            raise ReadError("read.wrong_type", "a call without the name of a function")
        inner = {key: call[key] for key in ("name", "arguments", "parameters") if key in call}
        call = {**{key: call[key] for key in ("id",) if call.get(key)}, "type": "function", "function": inner}
    made = {key: value for key, value in call.items() if value is not None}
    function = {key: value for key, value in made["function"].items() if value is not None}
    if not isinstance(function.get("name"), str):
        raise ReadError("read.wrong_type", "a call without the name of a function")
    if "arguments" not in function and "parameters" in function:
        function["arguments"] = function.pop("parameters")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        function["arguments"], form = _arguments(arguments)
        made |= {"written": form} if form else {}
    elif padded and arguments is not None:
        function["arguments"] = without_nulls(arguments)
    return {**made, "function": function}


def _arguments(text: str) -> tuple[Any, str | None]:
    """Arguments that came as JSON text, as they are, with the form that gives the text again; the text and
    None where none does.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text, None
    if not isinstance(value, dict):
        return text, None
    for form, options in structure.ARGUMENTS.items():
        if json.dumps(value, **options) == text:
            return value, form
    return value, "text"
