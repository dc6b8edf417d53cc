"""Conversations whose every turn is learned behind what the model is given when it answers (`reasoning:
by_turn`).

What: where the template leaves reasoning out of earlier turns, one sample cannot hold both a turn with its
reasoning and a later one as it is asked. Such a row becomes several *units*: the whole conversation, and its
beginnings up to a turn whose reasoning the whole has not. A turn is taught in the longest unit in which it
has its reasoning and the turns before it have what they have in its prompt; every turn in one unit.

Cost: two renderings for each turn of a shape, once a batch; of rows with tools, for each row. Tokens: a row
with n turns of reasoning has up to n samples.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines import arrays
from headrace.pipelines.stages.tokenise import whole
from headrace.pipelines.stages.tokenise.conversations import Encoded, Messages
from headrace.pipelines.stages.tokenise.programs import Ints
from headrace.pipelines.stages.tokenise.rendering.marking import SILENT, Marking
from headrace.pipelines.stages.tokenise.rendering.thoughts import thoughts
from headrace.pipelines.stages.tokenise.template import ANSWER, THOUGHT, WHOLE, Refusal, Row, Shape
from headrace.pipelines.stages.tokenise.tokenizer import COUNTS, Tokenizer

Beginning = tuple[Marking, Shape, Row | None]


@dataclass(frozen=True)
class Units:
    """Conversations to be encoded: the rows in their order, then beginnings of some.

    row int64[U]; messages ``chosen[first[u]:first[u + 1]]``; rank int64[U]: order among the units of a row;
    taught bool[len(chosen)]: the turn carries loss in this unit (None: all do); apart: units to be rendered
    by themselves, as the tokens of their turns cannot be told else; counts: as the first of `COUNTS`, of rows
    with several.
    """

    row: Ints
    first: Ints
    chosen: Ints
    rank: Ints
    taught: NDArray[np.bool_] | None = None
    apart: tuple[int, ...] = ()
    counts: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def taught_in(self, unit: Ints, message: Ints) -> NDArray[np.bool_] | None:
        """Whether message i, which is one of unit i's, carries loss there, ``bool[M]``; None where all do."""
        if self.taught is None:
            return None
        taught: NDArray[np.bool_] = self.taught[self.first[unit] + message - self.chosen[self.first[unit]]]
        return taught


class Piece(NamedTuple):
    """The first `end` turns of a conversation, of which `taught` carry loss."""

    end: int
    taught: frozenset[int]


class Plan(NamedTuple):
    """Pieces of one conversation, the longest first; what is counted of them, as the first of `COUNTS`."""

    pieces: list[Piece]
    counts: tuple[int, ...]


def units(messages: Messages, first: Ints, tokenizer: Tokenizer) -> Units:
    """The units of rows; row r has the messages `first[r]:first[r + 1]`."""
    n, chosen = len(first) - 1, np.arange(first[-1])
    found = Units(np.arange(n), first, chosen, np.zeros(n, np.int64))
    if tokenizer.earlier != "by_turn" or tokenizer.template is None:
        return found
    plans = dict(_plans(messages, first, tokenizer))
    several = {row: plan for row, plan in plans.items() if len(plan.pieces) > 1}
    if not several:
        return found
    taught, extra = np.ones(len(chosen), np.bool_), []
    for row, plan in several.items():
        begin = int(first[row])
        for end, learned in plan.pieces:
            mine = np.ones(end, np.bool_) if end == first[row + 1] - begin else np.zeros(end, np.bool_)
            spoken = messages.assistants[begin : begin + end]
            mine[spoken] = np.isin(np.flatnonzero(spoken), list(learned))
            if len(mine) == first[row + 1] - begin:
                taught[begin : begin + end] = mine
            else:
                extra.append((row, np.arange(begin, begin + end), mine))
    rows = np.array([*range(n), *(row for row, _, _ in extra)])
    sizes = np.array([*np.diff(first), *(len(one) for _, one, _ in extra)])
    joined = Units(
        rows,
        arrays.offsets(sizes),
        np.concatenate([chosen, *(one for _, one, _ in extra)]),
        np.where(np.isin(rows, list(several)), sizes, 0),
        np.concatenate([taught, *(mine for _, _, mine in extra)]),
        counts={row: plan.counts for row, plan in several.items()},
    )
    return replace(joined, apart=tuple(_apart(messages, joined, several, tokenizer)))


def last_turns(found: Units, messages: Messages, rows: NDArray[np.bool_], tokenizer: Tokenizer) -> Units:
    """`found` with one unit for each of `rows` (bool[N]), the whole row, in which its last turn alone carries
    loss.
    """
    n = len(rows)
    keep = (np.arange(len(found.row)) < n) | ~rows[found.row]
    sizes = np.diff(found.first)
    taught = np.ones(len(found.chosen), np.bool_) if found.taught is None else found.taught.copy()
    taught[np.repeat(rows[found.row], sizes)] = False
    taught[found.first[1:][rows[found.row]] - 1] = True
    kept = np.repeat(keep, sizes)
    numbers = np.cumsum(keep) - 1
    made = Units(
        found.row[keep],
        arrays.offsets(sizes[keep]),
        found.chosen[kept],
        np.where(rows[found.row], 0, found.rank)[keep],
        taught[kept],
        counts={row: counts for row, counts in found.counts.items() if not rows[row]},
    )
    spoken = np.add.reduceat(np.append(messages.assistants[made.chosen], False), made.first[:-1])
    several = np.flatnonzero(rows & (spoken[:n] > 1)).tolist()
    apart = {int(numbers[unit]) for unit in found.apart if keep[unit]}
    return replace(made, apart=tuple(sorted(apart | set(_apart(messages, made, several, tokenizer)))))


def without(found: Units, unlearned: NDArray[np.bool_]) -> Units:
    """`found` with no loss on messages that say that nothing is to be learned from them (bool[M])."""
    if not unlearned.any():
        return found
    taught = np.ones(len(found.chosen), np.bool_) if found.taught is None else found.taught
    return replace(found, taught=taught & ~unlearned[found.chosen])


def silenced(encoded: Encoded, first: Ints, taught: NDArray[np.bool_] | None) -> Encoded:
    """`encoded` without loss in turns that are not `taught`; conversation i has those of `first[i]:first[i
    + 1]`.
    """
    if taught is None or taught.all():
        return encoded
    ends = arrays.offsets(encoded.turns)
    shift = np.repeat(encoded.start - ends[first[:-1]], np.diff(first))
    loss = encoded.loss.copy()
    loss[arrays.ranges((ends[:-1] + shift)[~taught], encoded.turns[~taught])] = 0
    return replace(encoded, loss=loss)


def _plans(messages: Messages, first: Ints, tokenizer: Tokenizer) -> Iterator[tuple[int, Plan]]:
    """The plans of rows that have reasoning in a turn which others follow."""
    musing = [
        code
        for code, (role, skeleton) in enumerate(messages.classes)
        if role == "assistant" and (THOUGHT in skeleton or ANSWER in skeleton or skeleton == WHOLE)
    ]
    hits = np.flatnonzero(np.isin(messages.codes, musing))
    owners = np.searchsorted(first, hits, side="right") - 1
    made: dict[Shape, Plan] = {}
    for row in np.unique(owners[hits + 1 < first[owners + 1]]).tolist():
        mine = np.arange(first[row], first[row + 1])
        shape = tuple(messages.classes[code] for code in messages.codes[mine])
        if any(not role for role, _ in shape):
            continue
        if all(skeleton != WHOLE for _, skeleton in shape):
            if shape not in made:
                of_shape = [(tokenizer.marking, shape[: end + 1], None) for end in range(len(shape))]
                made[shape] = plan(of_shape, tokenizer)
            yield row, made[shape]
            continue
        plain = messages.plain(mine)
        try:
            spoken = whole.spoken(plain, tokenizer)
        except Refusal:
            continue
        beginnings = [whole.spoken(plain[: place + 1], tokenizer) for place in spoken.places]
        of_row = [(one.marking, one.shape, one.row(marked=True)) for one in beginnings]
        found = plan(of_row, tokenizer)
        pieces = [
            Piece(spoken.places[end - 1] + 1, frozenset(spoken.places[m] for m in learned))
            for end, learned in found.pieces
        ]
        yield row, Plan(pieces, found.counts)


def plan(beginnings: Sequence[Beginning], tokenizer: Tokenizer) -> Plan:
    """How the conversation of which these are the beginnings, of one turn and more, is learned."""
    _, shape, _ = beginnings[-1]
    mused, pieces = thoughts(shape), []
    left = {m for m, (role, _) in enumerate(shape) if role == "assistant"}
    unended = kept = empty = 0
    end = len(shape)
    while True:
        try:
            marking, part, row = beginnings[end - 1]
            cut = marking.cut(part, row)
        except Refusal:  # what refuses the whole is told when it is encoded
            if end == len(shape):
                return Plan([Piece(end, frozenset(left))], (0,) * len(COUNTS))
            left.discard(end - 1)
        else:
            there = {part.slot for part in cut.parts}
            seen = {m for m in left if m < end and (m + 1 == end or _as_asked(beginnings, m, there))}
            behind = 1 + max((i for i, p in enumerate(cut.parts) if p.slot >= 0), default=-1)
            ended = tokenizer.ends(shape[end - 1][0], cut.parts[behind:])
            unended += len((cut.unended - {end - 1} if ended else cut.unended) & seen)
            kept += sum(m in mused and there.issuperset(mused[m].slots) for m in seen)
            empty += sum(part.loss == SILENT and part.message in seen for part in cut.parts)
            pieces.append(Piece(end, frozenset(seen)))
            left -= seen
        if not left:
            return Plan(pieces, (unended, kept, len(mused) - kept, empty, 0))
        end = max(left) + 1


def _as_asked(beginnings: Sequence[Beginning], turn: int, there: set[int]) -> bool:
    """Whether a turn has its reasoning, and the turns before it what they have in its prompt; there: slots
    that are rendered.
    """
    mused = thoughts(beginnings[turn][1])
    if turn in mused and not there.issuperset(mused[turn].slots):
        return False
    earlier = {slot for m, one in mused.items() if m < turn for slot in one.slots}
    if not earlier:
        return True
    marking, before, row = beginnings[turn - 1]
    prompt = marking.asked(before, row)
    return prompt is None or prompt & earlier == there & earlier


def _apart(messages: Messages, found: Units, several: Collection[int], tokenizer: Tokenizer) -> Iterator[int]:
    """Units in which a stretch between two special tokens holds words of several turns."""
    spans: dict[Shape, bool] = {}
    for unit in np.flatnonzero(np.isin(found.row, list(several))).tolist():
        mine = found.chosen[found.first[unit] : found.first[unit + 1]]
        shape = tuple(messages.classes[code] for code in messages.codes[mine])
        if any(skeleton == WHOLE for _, skeleton in shape):
            continue
        if shape not in spans:
            spans[shape] = _spans(shape, tokenizer)
        if spans[shape]:
            yield unit


def _spans(shape: Shape, tokenizer: Tokenizer) -> bool:
    try:
        program = tokenizer.program(shape)
    except Refusal:
        return False
    stretches = (
        [] if program is None else [what for what, _, _ in program.operations if not isinstance(what, int)]
    )
    return any(len({part.message for part in what}) > 1 for what in stretches)
