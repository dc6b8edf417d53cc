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
a turn that says nothing, nor on an empty block of reasoning (see `marking`).
"""

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jinja2
from jinja2 import nodes

from headrace.pipelines.stages.tokenise import limits
from headrace.pipelines.stages.tokenise.sight import sight

ASSISTANT, ALL = 1, 2  # bits of Part.loss

LONGEST_REASON = 200  # characters of what a template says
REMEMBERED = 4096  # entries of a memory before it is emptied

SLOT = "\ue000"  # stands in a skeleton for one stretch of text
SLOT_END = "\ue001"
SLOT_FILLED = "\ufdd2"  # behind the text of a slot in a rendering
WHOLE = "\ue003"  # skeleton of a content that no shape can stand for: its row is rendered by itself
ANSWER = "\ufdd3"  # in a skeleton: reasoning before it, the answer behind it, each in a field of its own
BREAK = "\ufdd4"  # in the string of a special token that somebody says, so that it is none
NUMBERED = re.compile(f"{SLOT}([0-9]+){SLOT_END}([^{SLOT_FILLED}]*){SLOT_FILLED}")
THINK, THOUGHT = "<think>", "</think>"  # around reasoning, as rows have it

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
    """The template refuses this shape; the text is the template's own, without any content.

    literal: what of the text stands in the template as it is, whatever the conversation holds; may be empty.
    """

    def __init__(self, text: str, literal: str = "") -> None:
        super().__init__(text)
        self.literal = literal

    def __reduce__(self) -> tuple[type["Refusal"], tuple[str, str]]:
        return type(self), (str(self), self.literal)


class Unreadable(Refusal):
    """What a row holds beside its texts cannot be read; the text is ours."""


class Part(NamedTuple):
    """A constant (`text`) or the text of slot `slot` (`slot` >= 0) of a rendered shape.

    Of a row that is rendered by itself a slot's part has the text, too.
    """

    text: str
    slot: int
    loss: int
    message: int  # whose turn it belongs to


class Row(NamedTuple):
    """One conversation beside its shape: texts of its slots, what messages hold beside their texts, tools."""

    texts: Sequence[str]
    beside: Sequence[dict[str, Any]]
    tools: list[Any] | None


class Template:
    """A chat template, and what it looks for in contents.

    source: Jinja; variables: what it sees beside the messages (`bos_token`, ...); specials: matches
    the special tokens; edges: whether white space next to a special token is eaten.
    """

    def __init__(
        self, source: str, variables: dict[str, Any], specials: re.Pattern[str], edges: bool
    ) -> None:
        from transformers.utils import chat_template_utils  # takes a second

        environment = chat_template_utils._compile_jinja_template("").environment
        self.source = source
        self._variables = {**variables, "strftime_now": TODAY.strftime}
        self.specials = specials
        self._compiled, tree = limits.compiled(environment, source)
        self._reasons = _reasons(tree)
        seen = sight(tree)
        self.sees_edges = edges or seen.edges or any(t.isspace() for t in seen.strings)
        self._own = _long_first(seen.strings)
        self._with_thought = _long_first(seen.strings | {THINK, THOUGHT})
        self.triggers = self._with_thought
        self.looked_for = _long_first(seen.strings | {THOUGHT})  # without an end there is no reasoning
        self.sees_anything = seen.anything
        self.forbidden = [t for t in self._own if specials.search(t)]
        self.field = self._reasoning_field()

    def render(
        self, messages: Sequence[dict[str, Any]], generation: bool = False, tools: list[Any] | None = None
    ) -> str:
        """The template's text for `messages`, with the generation prompt on demand.

        Raises: Refusal.
        """
        variables: dict[str, Any] = {"tools": tools, "documents": None, **self._variables}
        try:
            return str(
                limits.render(
                    self._compiled, messages=messages, add_generation_prompt=generation, **variables
                )
            )
        except FAILURES as error:
            raise Refusal(str(error), self._literal(str(error))) from error

    def _literal(self, text: str) -> str:
        """What of an error's text is the template's own, "..." where it puts in something else."""
        for pieces in self._reasons:
            pattern = "".join(".*" if piece is None else re.escape(piece) for piece in pieces)
            if re.fullmatch(pattern, text, re.DOTALL):
                said = " ".join("".join("..." if piece is None else piece for piece in pieces).split())
                return said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]}..."
        return ""

    def skeleton(self, role: str, content: str) -> tuple[str, list[tuple[int, int]]]:
        """What the template can see of a turn's content, and the byte range in it of each slot."""
        halves = thought(content) if role == "assistant" and self.field else None
        if halves is not None and not halves[0][0].strip() and THOUGHT in self.source:
            halves = None  # nothing to convert, and the template may look for the block
        if halves is None:
            return self._skeleton(content, 0, self._with_thought if role == "assistant" else self._own)
        (first, slots), (second, more) = (
            self._skeleton(text, len(content[:at].encode()), self._own) for text, at in halves
        )
        if WHOLE in (first, second):
            return WHOLE, []
        if not first.strip():  # reasoning that says nothing is none
            return second, more
        return first + ANSWER + second, [*slots, *more]

    def _skeleton(self, content: str, at: int, triggers: list[str]) -> tuple[str, list[tuple[int, int]]]:
        built, slots = [], []
        pieces = _pieces(content, triggers)
        if _overlaps(content, pieces, triggers):
            return WHOLE, []
        blanks = None if self.sees_edges else "\n" if THOUGHT in pieces and triggers is not self._own else ""
        for piece in pieces:
            core = piece if blanks == "" else piece.strip(blanks)
            if piece in triggers or not core.strip():
                built.append(piece)
            else:
                lead = piece[: piece.index(core)]
                start = at + len(lead.encode())
                slots.append((start, start + len(core.encode())))
                built += [lead, SLOT, piece[len(lead) + len(core) :]]
            at += len(piece.encode())
        return "".join(built), slots

    def messages(
        self, shape: Shape, fill: Callable[[int], str], row: Row | None = None
    ) -> list[dict[str, Any]]:
        """Messages of `shape` as Jinja takes them, slot k as `fill(k)`."""
        found, slot = [], 0
        for place, (role, skeleton) in enumerate(shape):
            texts = []
            for half in skeleton.split(ANSWER):
                pieces = half.split(SLOT)
                text = pieces[0]
                for piece in pieces[1:]:
                    text += fill(slot) + piece
                    slot += 1
                texts.append(text)
            message: dict[str, Any] = {"role": role, "content": texts[-1]}
            if len(texts) > 1:
                message |= _under_all_names(texts[0], str(self.field))
            if row is not None:
                beside = row.beside[place]
                message |= {k: v for k, v in beside.items() if k != "content" or not texts[-1]}
            # As `apply_chat_template` does: what is null is not there.
            found.append({key: value for key, value in message.items() if value is not None})
        return found

    def marked(self, shape: Shape, row: Row | None = None, generation: bool = False) -> str:
        """The rendering of `shape` with every slot between marks (`NUMBERED`). Raises: Refusal."""
        texts = row.texts if row is not None else ()

        def fill(slot: int) -> str:
            return f"{SLOT}{slot}{SLOT_END}{texts[slot] if row is not None else ''}{SLOT_FILLED}"

        tools = row.tools if row is not None else None
        return self.render(self.messages(shape, fill, row), generation, tools)

    def _reasoning_field(self) -> str | None:
        """The field of a message in which the template takes reasoning; None where a content may hold it."""
        said, mused = "headrace answered", "headrace considered"
        ask = {"role": "user", "content": "headrace asked"}
        for field in ("reasoning_content", "reasoning", "thinking"):
            if field not in self.source:
                continue
            try:
                turn = {"role": "assistant", "content": said, **_under_all_names(mused, field)}
                apart = self.render([ask, turn])
                if mused not in apart or said not in apart:
                    continue
                inside = f"{THINK}\n{mused}\n{THOUGHT}\n\n{said}"
                together = self.render([ask, {"role": "assistant", "content": inside}])
            except Refusal:
                continue
            return None if apart == together else field
        return None

    def spans(
        self, messages: list[dict[str, Any]], everything: bool, tools: list[Any] | None = None
    ) -> tuple[str, list[tuple[int, int]]]:
        """Rendered text and the character ranges with loss, by differences of prefixes.

        For conversations whose shape cannot be cut. With `everything`, the ranges are the contents.
        Raises: Refusal where prefixes do not nest, so that no mask can be told.
        """
        text = self.render(messages, tools=tools)
        spans = []
        for place, message in enumerate(messages):
            if not everything and message["role"] != "assistant":
                continue
            whole = self.render(messages[: place + 1], tools=tools)
            if everything:  # where another content begins, so does this one
                other = self.render([*messages[:place], {**message, "content": SLOT}], tools=tools)
                start = common(whole, other)
            else:
                start = common(whole, self.render(messages[:place], True, tools)) if place else 0
            if not text.startswith(whole):
                raise Refusal("no assistant mask: the rendering of a prefix is not a prefix of the rendering")
            ends = [m.end() for m in self.specials.finditer(whole, start)]
            spans.append((start, ends[-1] if ends else len(whole)))
        return text, spans


def _reasons(tree: nodes.Template) -> list[tuple[str | None, ...]]:
    """What the template may say where it refuses: by place its own words, None where it puts in others."""
    found = []
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "raise_exception" and call.args:
            pieces = tuple(_words(call.args[0]))
            if any(piece and piece.strip() for piece in pieces):
                found.append(pieces)
    return sorted(set(found), key=lambda pieces: (pieces.count(None), str(pieces)))


def _words(node: nodes.Node) -> list[str | None]:
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, nodes.Add):
        return [*_words(node.left), *_words(node.right)]
    if isinstance(node, nodes.Concat):
        return [piece for one in node.nodes for piece in _words(one)]
    return [None]


def thought(content: str) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """Reasoning and answer of a content that begins with reasoning, each with its place; None of others."""
    lead = len(content) - len(content.lstrip())
    end = content.find(THOUGHT, lead)
    if end < 0 or not content.startswith(THINK, lead):
        return None
    start = lead + len(THINK)
    inner, rest = content[start:end], content[end + len(THOUGHT) :]
    mused, said = inner.strip("\n"), rest.lstrip("\n")
    return (mused, start + inner.find(mused)), (said, len(content) - len(said))


def _under_all_names(reasoning: str, field: str) -> dict[str, str]:
    """Reasoning in the fields in which `apply_chat_template` hands it to templates, whatever its name was."""
    return {"thinking": reasoning, field: reasoning, "reasoning_content": reasoning}


def _pieces(content: str, triggers: list[str]) -> list[str]:
    """`content` cut before and after every trigger, the longest of those that begin together."""
    found = [(content.find(trigger), trigger) for trigger in triggers]
    pieces, at = [], 0
    while ahead := [f for f in found if f[0] >= 0]:
        place, trigger = min(ahead, key=lambda f: f[0])  # `triggers` has longer ones first
        pieces += [content[at:place], trigger]
        at = place + len(trigger)
        found = [(p if p >= at else content.find(t, at), t) for p, t in ahead]
    return [piece for piece in (*pieces, content[at:]) if piece]


def _overlaps(content: str, pieces: list[str], triggers: list[str]) -> bool:
    """Whether a string that the template looks for lies across pieces: no shape would show it."""
    for trigger in triggers:
        inside = sum(_occurrences(piece, trigger) for piece in pieces)
        if _occurrences(content, trigger) > inside:
            return True
    return False


def _occurrences(text: str, part: str) -> int:
    """How often `part` begins somewhere in `text`."""
    count, at = 0, text.find(part)
    while at >= 0:
        count, at = count + 1, text.find(part, at + 1)
    return count


def _long_first(strings: frozenset[str] | set[str]) -> list[str]:
    return sorted(strings, key=lambda t: (-len(t), t))


def bounded(memory: dict[Any, Any]) -> dict[Any, Any]:
    """`memory`, emptied where it has grown out of hand (odd data can make any number of shapes)."""
    if len(memory) >= REMEMBERED:
        memory.clear()
    return memory


def common(one: str, other: str) -> int:
    """Length of the common prefix."""
    size = min(len(one), len(other))
    if one[:size] == other[:size]:
        return size
    return next(i for i in range(size) if one[i] != other[i])
