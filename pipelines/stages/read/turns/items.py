"""Items of OpenAI's Responses and of agents built on them, as turns.

An item is a message, or stands between messages: reasoning before an answer, a call of a function, what it
gave back. Reasoning goes with the assistant's turn that follows it; where it is hidden, no words are lost.
Items of other kinds are left out and counted.

Source: https://platform.openai.com/docs/api-reference/responses (input and output items)
"""

from collections.abc import Mapping
from typing import Any

from headrace.pipelines.stages.read.turns import blocks

CALL, RESULT, REASONING, MESSAGE = "function_call", "function_call_output", "reasoning", "message"


def are_items(value: Any) -> bool:
    """Whether a list holds items that are no turns yet."""
    return (
        type(value) is list
        and all(isinstance(one, Mapping) and ("role" in one or "type" in one) for one in value)
        and any("role" not in one and one["type"] in (CALL, RESULT, REASONING) for one in value)
    )


def turns(items: list[Mapping[str, Any]], left: dict[str, int]) -> list[dict[str, Any]]:
    """The turns that items are; `left` counts those that are none."""
    made: list[dict[str, Any]] = []
    thought = ""
    for item in items:
        kind = MESSAGE if "role" in item else item["type"]
        if kind == REASONING:
            thought += _thought(item)
            continue
        turn = _turn(kind, item)
        if turn is None:
            left["dropped_parts"] = left.get("dropped_parts", 0) + 1
            continue
        if thought and turn["role"] == "assistant":
            turn, thought = {**turn, "reasoning_content": thought}, ""
        made.append(turn)
    return made


def _turn(kind: str, item: Mapping[str, Any]) -> dict[str, Any] | None:
    if kind == MESSAGE:
        return {key: value for key, value in item.items() if key != "type"}
    name = item.get("call_id", item.get("id"))
    if kind == CALL:
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": name, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == RESULT:
        return {"role": "tool", "content": item.get("output"), "tool_call_id": name}
    return None


def _thought(item: Mapping[str, Any]) -> str:
    """The words of a reasoning item, of its own content or of its summary."""
    parts: Any
    for parts in (item.get("content"), item.get("summary")):
        if blocks.is_parts(parts):
            return "\n".join(text for p in parts if isinstance(text := p.get("text"), str))
    return ""
