"""Contents that are lists of parts: OpenAI's and Anthropic's, and what of them is text.

A part that is no text, an image or a sound, is left out and counted beside text; where nothing else is
there, the record is set aside: a question that is only an image has no words to answer. Anthropic's blocks
become the form that OpenAI's have: `tool_use` a call of the assistant's turn, `tool_result` a turn of the
tool, `thinking` the reasoning of the turn; Bedrock's and Gemini's, which have no `type`, the same.
"""

from collections.abc import Mapping
from typing import Any

from headrace.pipelines.stages.read.records import ReadError

TEXTS = ("text", "input_text", "output_text", "refusal", "summary_text")
THOUGHTS = ("thinking", "reasoning")
UNSEEN = ("redacted_thinking",)  # what the service has hidden is nobody's words
UNTYPED = {  # keys that say what a part is, where it has no type: Bedrock's and Gemini's
    "text": "text",
    "toolUse": "tool_use",
    "toolResult": "tool_result",
    "functionCall": "tool_use",
    "functionResponse": "tool_result",
    "reasoningContent": "thinking",
    **dict.fromkeys(("image", "document", "video", "inlineData", "fileData", "json"), "other"),
    **dict.fromkeys(("cachePoint", "guardContent", "executableCode", "codeExecutionResult"), "other"),
}
BESIDE = {"thought", "thoughtSignature"}  # keys that may stand beside them
PLACES = {"text": "text", "refusal": "refusal", "thinking": "thinking", "reasoning": "reasoning"}


def is_parts(value: Any) -> bool:
    """Whether a value is a list of parts: without types one alone, as several may be several texts."""
    if type(value) is not list or not value:
        return False
    if len(value) == 1 and is_untyped(value):
        return True
    return all(isinstance(p, Mapping) and "type" in p for p in value)


def is_untyped(value: Any) -> bool:
    """Whether a value is a list of parts without types."""
    return type(value) is list and bool(value) and all(map(_is_untyped, value))


def _is_untyped(part: Any) -> bool:
    kinds = isinstance(part, Mapping) and "type" not in part and part.keys() <= {*UNTYPED, *BESIDE}
    return kinds and not part.keys() <= BESIDE


def typed(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part with its type, in Anthropic's form where it has none."""
    if "type" in part:
        return part
    key = next(k for k in UNTYPED if k in part)
    value, kind = part[key], UNTYPED[key]
    if key == "text":
        return (
            {"type": "thinking", "thinking": value}
            if part.get("thought")
            else {"type": "text", "text": value}
        )
    if kind == "other" or not isinstance(value, Mapping):
        return {"type": "other"}
    if kind == "thinking":
        inner = value.get("reasoningText")
        return {"type": kind, "thinking": inner.get("text") if isinstance(inner, Mapping) else None}
    name = value.get("toolUseId", value.get("id"))
    if kind == "tool_use":
        given = value.get("input", value.get("args"))
        return {"type": kind, "id": name, "name": value.get("name"), "input": given}
    return {"type": kind, "tool_use_id": name, "content": _given_back(value)}


def _given_back(result: Mapping[str, Any]) -> Any:
    """What a tool gave back, of Bedrock's or Gemini's result."""
    found = result.get("content", result.get("response"))
    if type(found) is list and len(found) == 1 and isinstance(found[0], Mapping) and "json" in found[0]:
        return found[0]["json"]
    return found


def joined(parts: list[Any], left: dict[str, int] | None) -> str:
    """The text of parts; `left` counts those that are none.

    Raises: ReadError where no part is text, or one is not and there is nothing to count it with.
    """
    parts = [*map(typed, parts)]
    texts = [_text(p) for p in parts if p["type"] in TEXTS]
    if not texts or (left is None and len(texts) < len(parts)):
        raise ReadError("read.wrong_type", "a content part that is not text")
    if left is not None and len(texts) < len(parts):
        left["dropped_parts"] = left.get("dropped_parts", 0) + len(parts) - len(texts)
    return "".join(texts)


def _text(part: Mapping[str, Any]) -> str:
    found = part.get(PLACES.get(part["type"], "text"))
    if not isinstance(found, str):
        raise ReadError("read.wrong_type", "a content part without its text")
    return found


def has_tools(value: Any) -> bool:
    """Whether a content has blocks that are turns, calls or thoughts of their own."""
    kinds = ("tool_use", "tool_result", *THOUGHTS, *UNSEEN)
    return is_parts(value) and any(typed(p)["type"] in kinds for p in value)


def plain(
    turn: Mapping[str, Any], role: str, content: str, reasoning: str, left: dict[str, int]
) -> list[dict[str, Any]]:
    """Turns without blocks: results of tools first, then what the turn says, thinks and calls.

    `role`, `content` and `reasoning` are the keys of a turn.
    """
    rest = {k: v for k, v in turn.items() if k != content}
    turns: list[dict[str, Any]] = []
    calls = []
    spoken = []
    thoughts = []
    for part in map(typed, turn[content]):
        kind = part["type"]
        if kind == "tool_result":
            turns.append({role: "tool", **_result(part, content, left)})
        elif kind == "tool_use":
            calls.append(
                {
                    **({"id": part["id"]} if part.get("id") else {}),
                    "type": "function",
                    "function": {"name": part.get("name"), "arguments": part.get("input") or {}},
                }
            )
        elif kind in THOUGHTS:
            thoughts.append(_text(part))
        elif kind not in UNSEEN:
            spoken.append(part)
    if spoken or calls or thoughts:
        own: dict[str, Any] = {**rest, content: joined(spoken, left) if spoken else ""}
        if calls:
            own["tool_calls"] = calls
        if thoughts:
            own[reasoning] = "\n".join(thoughts)
        turns.append(own)
    return turns


def _result(part: Mapping[str, Any], content: str, left: dict[str, int]) -> dict[str, Any]:
    found: Any = part.get("content")
    given = joined(found, left) if is_parts(found) or is_untyped(found) else found
    turn: dict[str, Any] = {content: "" if given is None else given}
    if part.get("tool_use_id"):
        turn["tool_call_id"] = part["tool_use_id"]
    return turn
