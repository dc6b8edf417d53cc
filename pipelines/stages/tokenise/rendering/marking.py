"""Where in a rendered conversation each turn begins and ends, and so which of it carries loss.

What: a rendering, with its slots marked, becomes parts. A turn of the assistant begins where the generation
prompt ends, and ends with the token on which generation stops:

- the first special token that the template writes behind the turn, also where nothing follows, with those
  that stand right behind it there;
- where it writes none, the special token that opens what follows (GLM), as generation stops on it;
- where calls are answered within the turn, the one that opens their results, too;
- where it writes one behind the last turn only: the one that ends other speakers' turns, where it stands
  there (Harmony); else the turn has none (Apertus), which is counted.

Reasoning that the template leaves out of turns but the last, or of all, is put back as the model says it: as
the template renders that turn when nothing follows, else in ``<think>`` before the answer. By turn, the last
turn alone gets its own back, as earlier ones are seen without theirs.

Cost: two renderings for each turn of a shape, which are remembered by what stands between two turns.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from headrace.pipelines.stages.tokenise.config import Earlier
from headrace.pipelines.stages.tokenise.rendering.speech import Speech
from headrace.pipelines.stages.tokenise.rendering.thoughts import (
    called,
    cut_off,
    in_tags,
    mark,
    thoughts,
    words,
)
from headrace.pipelines.stages.tokenise.template import (
    ALL,
    ASSISTANT,
    NUMBERED,
    SLOT,
    Part,
    Refusal,
    Row,
    Shape,
    Template,
    bounded,
    common,
)

SILENT = 4  # bit of `Part.loss` that no mode counts: an empty block of reasoning
EMPTY = re.compile(r"\s*<([a-z:_]*think[a-z]*)>\s*</\1>\s*", re.IGNORECASE)  # reasoning that says nothing


@dataclass(frozen=True)
class Cut:
    """A rendered shape: its parts, the turns in it that have no end, and how many kept and lost their
    reasoning, have an empty block of it, or stand behind reasoning that was put back and is not there when
    the model answers. altered: reasoning was put back, and `put_back` are the beginnings of the
    conversation whose renderings had it. calls, texts: calls, and turns whose other words, the template
    leaves out.
    """

    parts: list[Part]
    unended: frozenset[int]
    kept: int
    lost: int
    empty: int
    behind: int
    altered: bool
    put_back: tuple[Shape, ...]
    calls: int
    texts: int


class Marking:
    """The cuts of one template. earlier: what is made of reasoning that it leaves out."""

    def __init__(self, template: Template, earlier: Earlier) -> None:
        self.template = template
        self.earlier = earlier
        self.keep = earlier != "as_template"
        self.speech = Speech(template)
        self._cuts: dict[Any, tuple[int, int]] = {}

    def cut(self, shape: Shape, row: Row | None = None) -> Cut:
        """The rendering of `shape` as constants and slots, with loss marks; slots count by row.

        Raises: Refusal where the template refuses such a conversation.
        """
        rendered = self.template.marked(shape, row)
        text, put_back = self._with_reasoning(shape, rendered, row) if self.keep else (rendered, ())
        altered = text != rendered
        owners = [m for m, (_, skeleton) in enumerate(shape) for _ in range(skeleton.count(SLOT))]
        calls = len(owners)  # slots from here on are names of functions that are called
        if row is not None:
            owners += [m for m, one in enumerate(row.beside) for _ in one.get("tool_calls", ())]
        parts = self._parts(shape, _pieces(text, calls), owners, row)
        slots = {part.slot for part in parts}
        mused = thoughts(shape).values()
        kept = sum(slots.issuperset(one.slots) for one in mused)
        lost = len(mused) - kept + cut_off(shape, slots)
        empty = sum(part.loss == SILENT for part in parts)
        behind = self._behind(shape, text, row) if altered else 0
        left_out = sum(slot not in slots for slot in range(calls, len(owners)))
        texts = len({owners[slot] for slot in words(shape) - slots})
        unended = self._unended(parts)
        return Cut(parts, unended, kept, lost, empty, behind, altered, put_back, left_out, texts)

    def asked(self, shape: Shape, row: Row | None = None) -> set[int] | None:
        """Slots that stand in the prompt for the turn behind `shape`; None where the template refuses it."""
        try:
            return _slots(self.template.marked(shape, row, generation=True))
        except Refusal:
            return None

    def _behind(self, shape: Shape, text: str, row: Row | None) -> int:
        """Turns of the assistant in `text` before which reasoning stands that their prompt has not."""
        there, mused, count = _slots(text), thoughts(shape), 0
        for turn in range(min(mused) + 1, len(shape)):
            before = {slot for m, one in mused.items() if m < turn for slot in one.slots} & there
            if shape[turn][0] == "assistant" and before:
                prompt = self.asked(shape[:turn], row)
                count += prompt is not None and not prompt.issuperset(before)
        return count

    def _parts(self, shape: Shape, pieces: list[str], owners: list[int], row: Row | None) -> list[Part]:
        constants, slots, texts = pieces[::3], [int(k) for k in pieces[1::3]], pieces[2::3]
        parts: list[Part] = []
        for place, constant in enumerate(constants):
            before = owners[slots[place - 1]] if place else None
            after = owners[slots[place]] if place < len(slots) else None
            parts += self._between(shape, constant, before, after, row)
            if after is not None:
                parts.append(Part(texts[place], slots[place], _loss(shape[after][0]), after))
        return parts

    def _between(
        self, shape: Shape, constant: str, before: int | None, after: int | None, row: Row | None
    ) -> list[Part]:
        """`constant` after a slot of message `before` and ahead of one of `after`, cut by loss."""
        if before is not None and before == after:
            return [Part(constant, -1, _loss(shape[before][0]), before)] if constant else []
        end, start = self._bounds(shape, constant, before, after, row)
        owner = after if after is not None else before if before is not None else 0
        begun, silent = (
            self._silent(constant, start) if self.keep and start < len(constant) else (start, start)
        )
        cuts = [
            Part(constant[:end], -1, _loss(shape[before][0]) if before is not None else 0, before or 0),
            Part(constant[end:start], -1, 0, owner),
            Part(constant[start:begun], -1, ASSISTANT | ALL, owner),
            Part(constant[begun:silent], -1, SILENT, owner),
            Part(constant[silent:], -1, ASSISTANT | ALL, owner),
        ]
        return [part for part in cuts if part.text]

    def _silent(self, constant: str, start: int) -> tuple[int, int]:
        """Where blocks of reasoning that say nothing, at `start` of `constant`, across it or behind special
        tokens there, begin and end.
        """
        begun = end = start
        for block in EMPTY.finditer(constant):
            before = self.template.specials.sub("", constant[end : block.start()])
            if block.end() >= end and not before.strip():
                begun = max(start, block.start()) if end == start else begun
                end = block.end()
        return begun, end

    def _bounds(
        self, shape: Shape, constant: str, before: int | None, after: int | None, row: Row | None
    ) -> tuple[int, int]:
        """Where in `constant` the turn of `before` ends, and where that of an assistant begins to be said."""
        if row is not None:
            return self._edges(shape, constant, before, after, row)
        last = before is not None and before + 1 == len(shape)
        key = (constant, *(None if m is None else shape[m] for m in (before, after)), last)
        if key not in self._cuts:  # the same words between the same turns are cut alike
            bounded(self._cuts)[key] = self._edges(shape, constant, before, after, None)
        return self._cuts[key]

    def _edges(
        self, shape: Shape, constant: str, before: int | None, after: int | None, row: Row | None
    ) -> tuple[int, int]:
        end = self._closing(shape, before, constant, row) if before is not None else 0
        start = len(constant)
        if after is not None and shape[after][0] == "assistant":
            prompt = self._tail(shape[:after], True, row)
            start = max(end, self._prompted(constant, prompt)) if prompt else start
            if prompt and start == end:
                start = self._headed(constant, end, prompt, self._tail(shape[:after], False, row) or "")
            if start == len(constant):  # a space is one token with the word behind it, which is to be said
                start = max(end, len(constant.rstrip(" ")))
        return end, start

    def _headed(self, constant: str, end: int, prompt: str, own: str) -> int:
        """Where the head of a turn, told by the generation prompt, stops in `constant` behind `end`: of turns
        that end in another way, or not, where nothing follows (`own`).
        """
        at = len(constant) - len(constant[end:].lstrip())
        size = self._prompted(constant[at:], prompt.removeprefix(own).lstrip())
        return at + size if size else end

    def _closing(self, shape: Shape, message: int, constant: str, row: Row | None) -> int:
        """How much of `constant`, which follows message `message`, ends that turn."""
        last = message + 1 == len(shape)
        own = constant if last else self._tail(shape[: message + 1], False, row)
        end = 0 if own is None else self._common(constant, own)
        specials = self.template.specials
        found = [m for m in specials.finditer(constant) if m.end() <= end]
        calls = row is not None and row.beside[message].get("tool_calls")
        if found and not calls:
            closed = self._closers and constant.startswith(self._closers, found[0].start())
            return found[0].start() + len(self._closers) if closed else found[0].end()
        if found and not constant[found[-1].end() : end].strip():
            return self._answered(constant, found[-1].end(), own or "") if not last else found[-1].end()
        if last or shape[message][0] != "assistant":
            return end
        blank = len(constant[end:]) - len(constant[end:].lstrip())
        opening = specials.match(constant, end + blank)
        endless = own is not None and (found or not specials.search(own))
        if opening and (opening[0] in self._ends or endless):
            return opening.end()
        return end

    def _answered(self, constant: str, end: int, own: str) -> int:
        """`end` of a turn of calls; with the token that opens their results where the turn goes on with them:
        generation stops on it.
        """
        specials = self.template.specials
        opening = specials.match(constant, end)
        if opening is None or any(found[0] in self._ends for found in specials.finditer(own)):
            return end
        return end if opening[0] in self._heads else opening.end()

    @cached_property
    def _heads(self) -> set[str]:
        """Special tokens in what the template opens turns by."""
        shape = (("user", SLOT),)
        prompt = self._tail(shape, True, None) or ""
        try:
            before = NUMBERED.split(self.template.marked(shape, None))[0]
        except Refusal:
            before = ""
        return {found[0] for found in self.template.specials.finditer(before + prompt)}

    @cached_property
    def _closers(self) -> str:
        """The special tokens, one behind the other, by which the template ends a turn that others follow."""
        shape = (("user", SLOT), ("assistant", SLOT), ("user", SLOT))
        own = self._tail(shape[:2], False, None)
        try:
            between = NUMBERED.split(self.template.marked(shape, None))[-4]
        except Refusal:
            return ""
        end, run = self._common(between, own or ""), ""
        for token in self.template.specials.finditer(between):
            if token.end() > end or (
                run and not between.startswith(run + token[0], token.start() - len(run))
            ):
                break
            run += token[0]
        return run

    @cached_property
    def _ends(self) -> set[str]:
        """Special tokens that the template ends a turn by."""
        ends = set()
        for roles in (("user",), ("system", "user"), ("user", "assistant")):
            own = self._tail(tuple((role, SLOT) for role in roles), False, None)
            found = self.template.specials.search(own or "")
            ends |= {found[0]} if found else set()
        return ends

    def _unended(self, parts: list[Part]) -> frozenset[int]:
        """Turns of the assistant that carry loss and do not end with a special token."""
        last: dict[int, Part] = {}
        for part in parts:
            if part.loss & ASSISTANT:
                last[part.message] = part
        ends = {m: part.text.rstrip() if part.slot < 0 else "" for m, part in last.items()}
        found = self.template.specials.finditer
        return frozenset(m for m, e in ends.items() if not any(one.end() == len(e) for one in found(e)))

    def _tail(self, shape: Shape, generation: bool, row: Row | None) -> str | None:
        """What is rendered after the last slot of `shape`; None where the template refuses it."""
        try:
            return NUMBERED.split(self.template.marked(shape, row, generation))[-1]
        except Refusal:
            return None

    def _common(self, one: str, other: str) -> int:
        """Length of the common prefix, no part of a special token."""
        size = common(one, other)
        for text in (one, other):
            for found in self.template.specials.finditer(text):
                if found.start() < size < found.end():
                    size = found.start()
        return size

    def _prompted(self, constant: str, prompt: str) -> int:
        """How much of `constant` the generation prompt says, however its words are spaced."""
        exact = self._common(constant, prompt)
        spaced = r"\s*".join(map(re.escape, prompt.split()))
        found = re.compile(rf"\s*{spaced}").match(constant) if spaced and exact < len(prompt) else None
        if found is None:
            return exact
        end = found.end()
        behind = prompt[len(prompt.rstrip()) :]
        return end + (len(constant[end:]) - len(constant[end:].lstrip()) if behind else 0)

    def _with_reasoning(self, shape: Shape, text: str, row: Row | None) -> tuple[str, tuple[Shape, ...]]:
        """`text` with the reasoning that the template left out, and the beginnings that it was taken from."""
        put_back = []
        for message, one in sorted(thoughts(shape).items(), reverse=True):
            if self.earlier == "by_turn" and message + 1 < len(shape):
                continue
            anchors = [slot for slot in (one.answer, called(shape, message, row)) if slot is not None]
            answer = next((slot for slot in anchors if mark(slot) in text), None)
            if answer is None or all(mark(slot) in text for slot in one.slots):
                continue
            at = text.find(mark(answer))
            try:
                prompt = self.template.marked(shape[:message], row, True)
                alone = self.template.marked(shape[: message + 1], row)
            except Refusal:
                continue
            begun = self._common(text[:at], prompt)
            said = alone[: max(alone.find(mark(answer)), 0)]
            if all(mark(slot) in said for slot in one.slots) and said.startswith(text[:begun]):
                put_back.append(shape[: message + 1])
                said = said[begun:]
            else:
                begun = self._begun(text[:at], prompt, begun)
                said = in_tags(shape[message][1], one.slots, row)
                if answer != one.answer:  # what opens the call stays
                    said += EMPTY.sub("", text[begun:at], count=1).lstrip("\n")
            text = text[:begun] + said + text[at:]
        return text, tuple(put_back)

    def _begun(self, text: str, prompt: str, begun: int) -> int:
        """Where at the end of `text` the turn behind `prompt` begins: `begun`, unless others speak after."""
        last = max((found.end() for found in NUMBERED.finditer(text)), default=0)
        return begun if begun >= last else last + self._common(text[last:], NUMBERED.split(prompt)[-1])


def _pieces(text: str, calls: int) -> list[str]:
    """`text` as constant, slot, its text, constant, ...; a name that is said again later is constant."""
    pieces, met = [""], set()
    at = 0
    for found in NUMBERED.finditer(text):
        slot = int(found[1])
        pieces[-1] += text[at : found.start()]
        at = found.end()
        if slot >= calls and slot in met:
            pieces[-1] += found[2]
            continue
        met.add(slot)
        pieces += [found[1], found[2], ""]
    pieces[-1] += text[at:]
    return pieces


def _slots(text: str) -> set[int]:
    return {int(found[1]) for found in NUMBERED.finditer(text)}


def _loss(role: str) -> int:
    return ASSISTANT | ALL if role == "assistant" else ALL
