"""Columns that hold what was asked and what came back apart, and texts that are the JSON of turns.

Logs, traces and batches keep a request and its response in columns of their own, whose turns follow each
other; trainers' files two answers to one prompt. Turns may stand as JSON where a text is looked for.

Cost: some passes over the first records of a file.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.shapes import Columns
from headrace.pipelines.stages.read.turns import given, items
from headrace.pipelines.stages.read.turns.looks import LOOKED_AT, Record, bare, most, paths_to, role_of
from headrace.pipelines.stages.read.turns.paths import at, mapping


def preferred(records: Sequence[Record]) -> Columns | None:
    """The columns of two answers under OpenAI's names, and of the prompt."""
    found: dict[str, str] = {}
    for path in paths_to(records, lambda v: isinstance(v, str) or bool(roles_of(v))):
        found.setdefault(bare(path), path)
    prompt = next((found[n] for n in ("inputmessages", "input", "prompt") if n in found), None)
    chosen, rejected = found.get("preferredoutput"), found.get("nonpreferredoutput")
    if not (prompt and chosen and rejected):
        return None
    return Columns(
        prompt=prompt, input="" if prompt == "input.messages" else None, chosen=chosen, rejected=rejected
    )


def exchange(records: Sequence[Record]) -> Columns | None:
    """The columns of what was sent to a model and of what came back, as logs and traces hold them apart."""
    asked: list[str] = []
    answered: list[str] = []
    for path in _paths_to_turns(records):
        each = [roles_of(at(r, path)) for r in records]
        if most(bool(roles) and roles[-1] in ("user", "tool") for roles in each):
            asked.append(path)
        elif most(roles[-1:] == ["assistant"] and set(roles) <= {"assistant", "tool"} for roles in each):
            answered.append(path)
    if len(asked) != 1 or len(answered) != 1:
        return None
    return Columns(messages=(asked[0], answered[0]), role="role", content="content")


def _paths_to_turns(records: Sequence[Record]) -> list[str]:
    """Paths to turns with `role` and `content`: to lists of them, to one, and to the first of several choices
    that hold one each.
    """
    found = paths_to(records, lambda v: bool(roles_of(v)))
    for path in paths_to(records, lambda v: type(v) is list and bool(v)):
        first = f"{path}.0.message"
        held = [(v, at(r, first)) for r in records if type(v := at(r, path)) is list]
        if most(len(choices) == 1 and bool(roles_of(message)) for choices, message in held):
            found.append(first)
    return found


def holds_turns(records: Sequence[Record], name: str) -> bool:
    """Whether the texts of a column are JSON of turns, or of a mapping that holds some."""
    texts = [v for r in records[:LOOKED_AT] if isinstance(v := r.get(name), str) and v]
    return most(_are_turns(text) for text in texts)


def _are_turns(text: str) -> bool:
    if not text.lstrip().startswith(("[", "{")):
        return False
    try:
        value = given.parsed(text, "")
    except ReadError:
        return False
    inner = value.values() if isinstance(value, dict) else ()
    return bool(roles_of(value)) or any(type(v) is list and bool(roles_of(v)) for v in inner)


def roles_of(value: Any) -> list[str | None]:
    """The roles of one turn, or of a list of them, or of their JSON; none where it is neither."""
    if isinstance(value, str):
        if not value.lstrip().startswith(("[", "{")):
            return []
        with suppress(ReadError):
            value = given.parsed(value, "")
    value = items.turns(value, {}) if items.are_items(value) else value
    turns = [mapping(t) for t in (value if type(value) is list else [value])]
    if not all(isinstance(t, dict) and "role" in t and "content" in t for t in turns):
        return []
    return [role_of(t["role"]) for t in turns]
