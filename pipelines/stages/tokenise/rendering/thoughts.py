"""Where reasoning stands in the shape of a conversation, and how it is written into a rendering."""

from typing import NamedTuple

from headrace.pipelines.stages.tokenise.template import (
    ANSWER,
    SLOT,
    SLOT_END,
    SLOT_FILLED,
    THINK,
    THOUGHT,
    Row,
    Shape,
)


class Thought(NamedTuple):
    """Slots of the reasoning of one turn, and the first of its answer."""

    slots: list[int]
    answer: int | None


def thoughts(shape: Shape) -> dict[int, Thought]:
    """The reasoning of each message that has some."""
    found, slot = {}, 0
    for message, (role, skeleton) in enumerate(shape):
        count = skeleton.count(SLOT)
        apart = skeleton.partition(ANSWER if ANSWER in skeleton else THOUGHT)
        begun = ANSWER in skeleton or apart[0].lstrip().startswith(THINK)
        inside = apart[0].count(SLOT)
        if role == "assistant" and apart[1] and begun and inside:
            answer = slot + inside if count > inside else None
            found[message] = Thought(list(range(slot, slot + inside)), answer)
        slot += count
    return found


def called(shape: Shape, message: int, row: Row | None) -> int | None:
    """The slot of the first call of a message; None where it calls nothing."""
    if row is None or not row.beside[message].get("tool_calls"):
        return None
    before = sum(len(one.get("tool_calls", ())) for one in row.beside[:message])
    return before + sum(skeleton.count(SLOT) for _, skeleton in shape)


def words(shape: Shape) -> set[int]:
    """Slots of what is said, without reasoning."""
    found: set[int] = set()
    slot = 0
    for role, skeleton in shape:
        end = slot + skeleton.count(SLOT)
        begun = ANSWER if ANSWER in skeleton else THOUGHT
        if role == "assistant" and begun in skeleton:
            slot += skeleton.partition(begun)[0].count(SLOT)
        found.update(range(slot, end))
        slot = end
    return found


def cut_off(shape: Shape, slots: set[int]) -> int:
    """Turns that close reasoning which they never opened, and of which the template leaves out a part."""
    slot, count = 0, 0
    for message, (role, skeleton) in enumerate(shape):
        inside = range(slot, slot + skeleton.partition(THOUGHT)[0].count(SLOT))
        slot += skeleton.count(SLOT)
        if role == "assistant" and THOUGHT in skeleton and message not in thoughts(shape):
            count += not slots.issuperset(inside)
    return count


def in_tags(skeleton: str, slots: list[int], row: Row | None) -> str:
    """Reasoning between ``<think>`` and ``</think>``, its slots marked."""
    inner = skeleton.split(ANSWER)[0].partition(THOUGHT)[0].partition(THINK)
    pieces = (inner[2] or inner[0]).strip().split(SLOT)
    texts = [row.texts[s] if row is not None else "" for s in slots]
    marks = [f"{mark(s)}{t}{SLOT_FILLED}" for s, t in zip(slots, texts, strict=True)]
    joined = pieces[0] + "".join(m + p for m, p in zip(marks, pieces[1:], strict=True))
    return f"{THINK}\n{joined}\n{THOUGHT}\n\n"


def mark(slot: int) -> str:
    return f"{SLOT}{slot}{SLOT_END}"
