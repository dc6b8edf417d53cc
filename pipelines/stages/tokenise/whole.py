"""One conversation rendered by itself: with tools, calls and names of results, or by a template that changes
contents.

What: the row's own texts stand between marks where a shape has placeholders, so that the rendering itself
says where each turn is. Without the marks it must be what the template renders of the row; where it is not
(the template measures or compares contents), turns are told by the differences of what it renders of the
conversation's beginnings.

Strings of special tokens in anybody's words are broken by a mark before the template sees them, and whole
again when they are encoded, as text.

Cost: four renderings and more for each turn, 100 us to 1 ms each; nothing of it is remembered.
"""

import re
from itertools import pairwise
from typing import Any, NamedTuple

from headrace.pipelines import structure
from headrace.pipelines.stages.tokenise.rendering.marking import Marking
from headrace.pipelines.stages.tokenise.rendering.speech import Speech
from headrace.pipelines.stages.tokenise.template import (
    ALL,
    ASSISTANT,
    BREAK,
    NUMBERED,
    SLOT,
    SLOT_END,
    SLOT_FILLED,
    WHOLE,
    Part,
    Refusal,
    Row,
    Shape,
    Unreadable,
)
from headrace.pipelines.stages.tokenise.tokenizer import COUNTS, Tokenizer

OURS = dict.fromkeys(range(0xFDD0, 0xFDF0), "\ufffd")


class Spoken(NamedTuple):
    """A row as its template takes it. places: number of each message among the row's; lost: calls and tools
    that the template has no form for.
    """

    marking: Marking
    shape: Shape
    texts: list[str]
    beside: list[dict[str, Any]]
    tools: list[Any] | None
    places: list[int]
    lost_calls: int
    lost_tools: int

    def row(self, marked: bool) -> Row:
        """The row, the names of its calls between marks on demand."""
        slot = len(self.texts)
        beside = []
        for one in self.beside:
            calls = []
            for call in one.get("tool_calls", ()):
                calls.append(_anchored(call, slot, self.marking.speech.anchor))
                slot += 1
            beside.append({**one, "tool_calls": calls} if calls and marked else one)
        return Row(self.texts, beside, self.tools)

    def messages(self) -> list[dict[str, Any]]:
        """The messages as Jinja takes them."""
        return self.marking.template.messages(self.shape, self.texts.__getitem__, self.row(marked=False))


def _anchored(call: dict[str, Any], slot: int, anchor: str) -> dict[str, Any]:
    """A call with its name, or its id, between the marks of `slot`."""
    function = call["function"]
    if anchor == "id" and "id" in call:
        return {**call, "id": f"{SLOT}{slot}{SLOT_END}{call['id']}{SLOT_FILLED}"}
    return {
        **call,
        "function": {**function, "name": f"{SLOT}{slot}{SLOT_END}{function['name']}{SLOT_FILLED}"},
    }


class Whole(NamedTuple):
    """Ids, loss bits and tokens of each turn of one row; its counts (`tokenizer.COUNTS`)."""

    ids: list[int]
    loss: list[int]
    turns: list[int]
    counts: tuple[int, ...]


def spoken(plain: list[dict[str, str]], tokenizer: Tokenizer) -> Spoken:
    """A row as its template takes it. Raises: Refusal where what it holds beside its texts is broken."""
    try:
        opened = [structure.unsealed(m["role"], m["content"]) for m in plain]
    except ValueError:
        raise Unreadable(
            "tools or calls that are no JSON any more, as something in them was masked"
        ) from None
    tools = next((held["tools"] for _, held in opened if held.get("tools")), None)
    calls = [len(held.get("tool_calls", ())) for _, held in opened]
    marking = tokenizer.tool_marking if tools or any(calls) else tokenizer.marking
    speech, specials = marking.speech, tokenizer.specials
    shape, texts, beside, places = [], [], [], []
    for place, (message, (text, held)) in enumerate(zip(plain, opened, strict=True)):
        role = message["role"]
        if role == "system" and not text and structure.OPEN in message["content"]:
            continue
        skeleton, ranges = marking.template.skeleton(role, text)
        data = text.encode()
        if skeleton == WHOLE:
            skeleton, ranges = SLOT, [(0, len(data))]
        shape.append((role, skeleton))
        texts += [_safe(data[a:b].decode(), specials) for a, b in ranges]
        beside.append(_safe(_beside(held, speech), specials))
        places.append(place)
    lost_calls = 0 if not any(calls) or speech.calls else sum(calls)
    lost_tools = int(tools is not None and not speech.tools)
    return Spoken(
        marking, tuple(shape), texts, beside, _safe(tools, specials), places, lost_calls, lost_tools
    )


def _beside(held: dict[str, Any], speech: Speech) -> dict[str, Any]:
    """What a message holds beside its text, as the template takes it."""
    kept = {key: value for key, value in held.items() if key in ("name", "tool_call_id")}
    if held.get("tool_calls") and speech.calls:
        kept["tool_calls"] = [speech.call(one) for one in held["tool_calls"]]
        if "content" in held and speech.null:
            kept["content"] = None
    return kept


def _safe(value: Any, specials: re.Pattern[str]) -> Any:
    """`value` with no special token and no mark of ours in its texts, at any depth."""
    if isinstance(value, str):
        clean = value.translate(OURS) if not value.isascii() else value
        return specials.sub(lambda found: found[0][0] + BREAK + found[0][1:], clean)
    if isinstance(value, list):
        return [_safe(one, specials) for one in value]
    if isinstance(value, dict):
        return {_safe(key, specials): _safe(one, specials) for key, one in value.items()}
    return value


def rendered(plain: list[dict[str, str]], tokenizer: Tokenizer) -> str | None:
    """The template's text of one conversation; None where it refuses it."""
    try:
        row = spoken(plain, tokenizer)
        return row.marking.template.render(row.messages(), tools=row.tools).replace(BREAK, "")
    except Refusal:
        return None


def text(content: str, tokenizer: Tokenizer) -> Whole:
    """A plain text as Hugging Face encodes it. Raises: Refusal where it holds a special token."""
    if tokenizer.specials.search(content):
        raise Refusal("a text holds a special token, and this tokenizer cannot be cut")
    program = tokenizer.text()
    ids = tokenizer.reference(content, plain=True) + [int(tokenizer.eos_id or 0)] * program.ended
    lead = next(n for n, (what, _, _) in enumerate(program.operations) if not isinstance(what, int))
    loss = [0] * lead + [ASSISTANT | ALL] * (len(ids) - lead)
    return Whole(ids, loss, [len(ids)], (0,) * len(COUNTS))


def conversation(plain: list[dict[str, str]], tokenizer: Tokenizer) -> Whole:
    """One conversation. Raises: Refusal where the template refuses it or shows no mask."""
    row = spoken(plain, tokenizer)
    if not row.shape:
        raise Refusal("no messages")
    template = row.marking.template
    wanted = template.render(row.messages(), tools=row.tools)
    marked = row.row(marked=True)
    unended: frozenset[int] = frozenset()
    counts, calls, texts = [0, 0, 0, 0, 0], row.lost_calls, 0
    try:
        exact = NUMBERED.sub(r"\2", template.marked(row.shape, marked)) == wanted
    except Refusal:
        exact = False
    if exact:
        cut = row.marking.cut(row.shape, marked)
        unended, parts = cut.unended, cut.parts
        counts = [0, cut.kept, cut.lost, cut.empty, cut.behind]
        calls, texts = calls + cut.calls, cut.texts
        behind = 1 + max((i for i, p in enumerate(parts) if p.slot >= 0), default=-1)
    else:
        parts, behind = _by_beginnings(row)
    ended = tokenizer.ends(row.shape[-1][0], parts[behind:])
    counts[0] = len(unended - {len(row.shape) - 1} if ended else unended)
    ids, loss, owners = tokenizer.compiled(parts)
    turns = [0] * len(plain)
    for owner in owners:
        turns[row.places[owner]] += 1
    if ended:
        ids, loss = [*ids, int(tokenizer.hf.eos_token_id)], [*loss, ASSISTANT | ALL]
        turns[-1] += 1
    return Whole(ids, loss, turns, (*counts, calls, row.lost_tools, texts))


def _by_beginnings(row: Spoken) -> tuple[list[Part], int]:
    """Parts by the differences of what the template renders of the conversation's beginnings, and the first
    that may end the last turn.
    """
    messages = row.messages()
    text, said = row.marking.template.spans(messages, False, row.tools)
    _, contents = row.marking.template.spans(messages, True, row.tools)
    edges = sorted({0, len(text), *(at for span in (*said, *contents) for at in span)})
    parts, behind = [], 0
    for start, stop in pairwise(edges):
        loss = ASSISTANT * any(a <= start < b for a, b in said) | ALL * any(
            a <= start < b for a, b in contents
        )
        owner = min(sum(b <= start for _, b in contents), len(messages) - 1)
        behind += bool(said) and start < said[-1][0]
        parts.append(Part(text[start:stop], -1, loss, owner))
    return parts, behind
