"""Chat templates cut into constants: Jinja runs once a shape of conversation, not once a row.

A template is a program, but what it does with a content is nearly always the same: put it out as it
is, trim it, or cut it at a marker such as `</think>`. So a conversation is reduced to its *shape*:
roles, and of each content only what the template can see (edge white space where it trims, the
strings it looks for: see `sight`), with a placeholder for every stretch of text between. The template
renders the shape once; the rendering, split at the placeholders, is the list of constants between the
*slots* that the texts of all rows of that shape go into. The caller proves each cut on made-up contents,
so a template that changes them (upper case, JSON quoting) is found out; of one that looks at more, every
row is proved. What a row becomes hangs on no row before it.

Cost: a rendering of a new shape (10 to 55 us for two turns; ~1 ms in all for thirty), nothing for a row
of a known one.

Loss marks (`Part.loss`, bits): ASSISTANT is set on what an assistant turn must produce: everything
after the generation prompt up to and with the token that ends the turn. ALL is set on the contents
of every message and on what ends them. No bit is set on role headers or default system prompts, nor on
a turn that says nothing.
"""

import datetime
import re
from typing import Any, NamedTuple

import jinja2

from headrace.pipelines.stages.tokenise import limits
from headrace.pipelines.stages.tokenise.sight import sight

ASSISTANT, ALL = 1, 2  # bits of Part.loss

REMEMBERED = 4096  # entries of a memory before it is emptied

SLOT = "\ue000"  # stands in a skeleton for one stretch of text
SLOT_END = "\ue001"
WHOLE = "\ue003"  # skeleton of a content that no shape can stand for: its row is rendered by itself
NUMBERED = re.compile(f"{SLOT}([0-9]+){SLOT_END}")

# What a template that asks for today's date is told: the clock must not decide bytes. It is the day
# that Llama 3's templates fall back to.
TODAY = datetime.date(2024, 7, 26)

# What a template may raise on a conversation that it refuses, or is not written for.
FAILURES = (
    jinja2.TemplateError,
    *(TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError),
)

Shape = tuple[tuple[str, str], ...]  # (role, skeleton of the content) of each message


class Refusal(Exception):  # noqa: N818  it is an answer of the template, not a fault
    """The template refuses this shape; the text is the template's own, without any content."""


class Part(NamedTuple):
    """A constant (`text`) or the text of slot `slot` (`slot` >= 0) of a rendered shape."""

    text: str
    slot: int
    loss: int
    message: int  # whose turn it belongs to


class Template:
    """A chat template, what it looks for in contents, and its cuts so far.

    source: Jinja; variables: what it sees beside the messages (`bos_token`, ...); specials: matches
    the special tokens; edges: whether white space next to a special token is eaten.
    """

    def __init__(
        self, source: str, variables: dict[str, str], specials: re.Pattern[str], edges: bool
    ) -> None:
        from transformers.utils import chat_template_utils  # takes a second

        environment = chat_template_utils._compile_jinja_template("").environment
        self.source = source
        self._variables = {**variables, "strftime_now": TODAY.strftime}
        self._specials = specials
        self._compiled, tree = limits.compiled(environment, source)
        seen = sight(tree)
        self.sees_edges = edges or seen.edges or any(t.isspace() for t in seen.strings)
        self.triggers = sorted(seen.strings, key=lambda t: (-len(t), t))
        self.sees_anything = seen.anything
        self.forbidden = [t for t in self.triggers if specials.search(t)]
        self._cuts: dict[Any, tuple[int, int]] = {}

    def render(self, messages: list[dict[str, str]], generation: bool = False) -> str:
        """The template's text for `messages`, with the generation prompt on demand.

        Raises: Refusal.
        """
        try:
            return str(
                limits.render(
                    self._compiled,
                    messages=messages,
                    tools=None,
                    documents=None,
                    add_generation_prompt=generation,
                    **self._variables,
                )
            )
        except FAILURES as error:
            raise Refusal(str(error)) from error

    def skeleton(self, content: str) -> tuple[str, list[tuple[int, int]]]:
        """What the template can see of `content`, and the byte range in it of each slot."""
        built, slots, at = [], [], 0
        pieces = self._pieces(content)
        if self._overlaps(content, pieces):
            return WHOLE, []
        for piece in pieces:
            size = len(piece.encode())
            core = piece.strip() if self.sees_edges else piece
            if piece in self.triggers or not core:
                built.append(piece)
            else:
                lead = piece[: piece.index(core)] if self.sees_edges else ""
                start = at + len(lead.encode())
                slots.append((start, start + len(core.encode())))
                built += [lead, SLOT, piece[len(lead) + len(core) :]]
            at += size
        return "".join(built), slots

    def _overlaps(self, content: str, pieces: list[str]) -> bool:
        """Whether a string that the template looks for lies across pieces: no shape would show it."""
        for trigger in self.triggers:
            inside = sum(_occurrences(piece, trigger) for piece in pieces)
            if _occurrences(content, trigger) > inside:
                return True
        return False

    def _pieces(self, content: str) -> list[str]:
        """`content` cut before and after every trigger, the longest of those that begin together."""
        found = [(content.find(trigger), trigger) for trigger in self.triggers]
        pieces, at = [], 0
        while ahead := [f for f in found if f[0] >= 0]:
            place, trigger = min(ahead, key=lambda f: f[0])  # `triggers` has longer ones first
            pieces += [content[at:place], trigger]
            at = place + len(trigger)
            found = [(p if p >= at else content.find(t, at), t) for p, t in ahead]
        return [piece for piece in (*pieces, content[at:]) if piece]

    def cut(self, shape: Shape) -> list[Part]:
        """The rendering of `shape` as constants and slots, with loss marks; slots count by row.

        Raises: Refusal where the template refuses such a conversation.
        """
        owners = [m for m, (_, skeleton) in enumerate(shape) for _ in range(skeleton.count(SLOT))]
        pieces = NUMBERED.split(self.render(numbered(shape)))
        constants, slots = pieces[::2], [int(k) for k in pieces[1::2]]
        parts: list[Part] = []
        for place, constant in enumerate(constants):
            before = owners[slots[place - 1]] if place else None
            after = owners[slots[place]] if place < len(slots) else None
            parts += self._between(shape, constant, before, after)
            if after is not None:
                parts.append(Part("", slots[place], _loss(shape[after][0]), after))
        return parts

    def _between(self, shape: Shape, constant: str, before: int | None, after: int | None) -> list[Part]:
        """`constant` after a slot of message `before` and ahead of one of `after`, cut by loss."""
        if before is not None and before == after:
            return [Part(constant, -1, _loss(shape[before][0]), before)] if constant else []
        ends_all = before is not None and before + 1 == len(shape)
        key = (constant, None if before is None else shape[before], None if after is None else shape[after])
        if (*key, ends_all) not in self._cuts:  # the same words between the same turns are cut alike
            bounded(self._cuts)[*key, ends_all] = self._edges(shape, constant, before, after)
        end, start = self._cuts[*key, ends_all]
        owner = after if after is not None else before if before is not None else 0
        cuts = [
            Part(constant[:end], -1, _loss(shape[before][0]) if before is not None else 0, before or 0),
            Part(constant[end:start], -1, 0, owner),
            Part(constant[start:], -1, ASSISTANT | ALL, owner),
        ]
        return [part for part in cuts if part.text]

    def _edges(self, shape: Shape, constant: str, before: int | None, after: int | None) -> tuple[int, int]:
        """Where in `constant` the turn of `before` ends, and where that of an assistant begins to be said."""
        end = self._closing(shape, before, constant) if before is not None else 0
        start = len(constant)
        if after is not None and shape[after][0] == "assistant":
            start = max(end, _common(constant, self._tail(shape[:after], True) or constant))
        return end, start

    def _closing(self, shape: Shape, message: int, constant: str) -> int:
        """How much of `constant`, which follows message `message`, ends that turn.

        What the template writes after the message when nothing follows, up to and with the first
        special token in it.
        """
        own = constant if message + 1 == len(shape) else self._tail(shape[: message + 1], False)
        end = _common(constant, own or "")
        special = self._specials.search(constant, 0, end)
        return special.end() if special else end

    def _tail(self, shape: Shape, generation: bool) -> str | None:
        """What is rendered after the last slot of `shape`; None where the template refuses it."""
        try:
            return NUMBERED.split(self.render(numbered(shape), generation))[-1]
        except Refusal:
            return None

    def spans(self, messages: list[dict[str, str]], everything: bool) -> tuple[str, list[tuple[int, int]]]:
        """Rendered text and the character ranges with loss, by differences of prefixes.

        For conversations whose shape cannot be cut. With `everything`, the ranges are the contents.
        Raises: Refusal where prefixes do not nest, so that no mask can be told.
        """
        text = self.render(messages)
        spans = []
        for place, message in enumerate(messages):
            if not everything and message["role"] != "assistant":
                continue
            whole = self.render(messages[: place + 1])
            if everything:  # where another content begins, so does this one
                start = _common(whole, self.render([*messages[:place], {**message, "content": SLOT}]))
            else:
                start = _common(whole, self.render(messages[:place], generation=True)) if place else 0
            if not text.startswith(whole):
                raise Refusal("no assistant mask: the rendering of a prefix is not a prefix of the rendering")
            ends = [m.end() for m in self._specials.finditer(whole, start)]
            spans.append((start, ends[-1] if ends else len(whole)))
        return text, spans


def numbered(shape: Shape) -> list[dict[str, str]]:
    """Messages of `shape` with every slot as its number between markers."""
    return filled(shape, lambda slot: f"{SLOT}{slot}{SLOT_END}")


def filled(shape: Shape, fill: Any) -> list[dict[str, str]]:
    """Messages of `shape` with slot k as `fill(k)`."""
    messages, slot = [], 0
    for role, skeleton in shape:
        pieces = skeleton.split(SLOT)
        content = pieces[0]
        for piece in pieces[1:]:
            content += fill(slot) + piece
            slot += 1
        messages.append({"role": role, "content": content})
    return messages


def _occurrences(text: str, part: str) -> int:
    """How often `part` begins somewhere in `text`."""
    count, at = 0, text.find(part)
    while at >= 0:
        count, at = count + 1, text.find(part, at + 1)
    return count


def bounded(memory: dict[Any, Any]) -> dict[Any, Any]:
    """`memory`, emptied where it has grown out of hand (odd data can make any number of shapes)."""
    if len(memory) >= REMEMBERED:
        memory.clear()
    return memory


def _loss(role: str) -> int:
    return ASSISTANT | ALL if role == "assistant" else ALL


def _common(one: str, other: str) -> int:
    """Length of the common prefix."""
    size = min(len(one), len(other))
    return next((i for i in range(size) if one[i] != other[i]), size)
