"""A batch of conversations into token ids and loss bits.

Every message gets a class (its role, and what the template can see of its content); conversations with
the same classes have the same shape, and share a program. Messages that the template may look into
(edge white space, markers) are looked at one by one in Python; all others, and all else, in arrays.

Cost: that of the encoder and two copies of the text; ~10 us more for a message that is looked at, and
~1 ms for a conversation of thirty turns whose shape was never met.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans, one_span
from headrace.kernels.textstats import contains
from headrace.pipelines import arrays, schema, structure
from headrace.pipelines.stages.tokenise import programs, whole
from headrace.pipelines.stages.tokenise.programs import Ints, Programs, Slots
from headrace.pipelines.stages.tokenise.template import (
    SLOT,
    THINK,
    THOUGHT,
    WHOLE,
    Refusal,
    Shape,
    Unreadable,
)
from headrace.pipelines.stages.tokenise.tokenizer import COUNTS, Program, Tokenizer

# First and last bytes of the characters that Python's str.strip takes off.
OPENS = np.isin(np.arange(256), [*range(9, 14), *range(28, 33), 0xC2, 0xE1, 0xE2, 0xE3])
CLOSES = np.isin(
    np.arange(256), [*range(9, 14), *range(28, 33), *range(0x80, 0x8B), 0x9F, 0xA0, 0xA8, 0xA9, 0xAF]
)


@dataclass(frozen=True)
class Messages:
    """All messages of a batch; message m has the slots `first[m]:first[m + 1]`, each ``data[start:stop]``.

    codes int32[M]: index into `classes`, (role, skeleton of the content); ("", reason) for a message
    that cannot be used.
    """

    codes: NDArray[np.int32]
    classes: list[tuple[str, str]]
    first: Ints
    start: Ints
    stop: Ints
    data: NDArray[np.uint8]
    roles: pa.Array
    texts: pa.Array

    @property
    def assistants(self) -> NDArray[np.bool_]:
        """Which messages are an assistant's, ``bool[M]``."""
        theirs = np.array([role == "assistant" for role, _ in self.classes])
        mask: NDArray[np.bool_] = theirs[self.codes]
        return mask

    @property
    def unlearned(self) -> NDArray[np.bool_]:
        """Which messages say that nothing is to be learned from them, ``bool[M]``."""
        sealed = np.flatnonzero(np.array([skeleton == WHOLE for _, skeleton in self.classes])[self.codes])
        found = np.zeros(len(self.codes), np.bool_)
        for message, text in zip(sealed.tolist(), self.texts.take(pa.array(sealed)).to_pylist(), strict=True):
            found[message] = structure.OPEN in text and structure.unlearned(text)
        return found

    def plain(self, chosen: Ints) -> list[dict[str, str]]:
        """Some messages as Jinja takes them."""
        roles, texts = self.roles.take(pa.array(chosen)), self.texts.take(pa.array(chosen))
        return [{"role": r, "content": t} for r, t in zip(roles.to_pylist(), texts.to_pylist(), strict=True)]


@dataclass(frozen=True)
class Encoded:
    """Conversation i is ``ids[start[i]:stop[i]]``, loss bits beside; empty where `refusals[i]` says why.

    turns int64: tokens of the turn of each message of each conversation, end to end. counts int64[N, K]: of
    each conversation, as the K `COUNTS`.
    """

    ids: NDArray[np.int32]
    loss: NDArray[np.uint8]
    start: Ints
    stop: Ints
    turns: Ints
    counts: Ints
    refusals: dict[int, str]


def read(table: pa.Table, tokenizer: Tokenizer) -> tuple[Messages, Ints]:
    """The messages of `table` by class, and the first message of each row, ``int64[N + 1]``."""
    roles, rows, texts = schema.contents(table)
    span = one_span(texts)
    classes = [(role, SLOT) for role in schema.ROLES]
    codes = pc.fill_null(pc.index_in(roles, pa.array(schema.ROLES)), -1).to_numpy(zero_copy_only=False)
    codes = _refused(codes.astype(np.int32), codes < 0, "an unknown role", classes)
    if span.valid is not None:
        codes = _refused(codes, ~span.valid, "a content that is null", classes)
    counts = np.ones(len(codes), np.int64)
    odd: dict[int, list[tuple[int, int]]] = {}
    index = {key: code for code, key in enumerate(classes)}
    for message in np.flatnonzero(_looked_at(codes, span, tokenizer)).tolist():
        key, ranges = _look(str(roles[message]), str(texts[message]), tokenizer)
        codes[message] = index.setdefault(key, len(index))
        counts[message], odd[message] = len(ranges), ranges
    first = arrays.offsets(counts)
    start, stop = np.repeat(span.starts, counts), np.repeat(span.stops, counts)
    for message, ranges in odd.items():
        begin = span.starts[message]
        for slot, (a, b) in enumerate(ranges, first[message]):
            start[slot], stop[slot] = begin + a, begin + b
    messages = Messages(codes, list(index), first, start, stop, span.data, roles, texts)
    return messages, arrays.offsets(np.bincount(rows, minlength=table.num_rows))


def _refused(
    codes: NDArray[np.int32], mask: NDArray[np.bool_], reason: str, classes: list[tuple[str, str]]
) -> NDArray[np.int32]:
    classes.append(("", reason))
    return np.where(mask, len(classes) - 1, codes).astype(np.int32)


def _looked_at(codes: NDArray[np.int32], span: Spans, tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Messages in which the template may see more than a stretch of text."""
    template = tokenizer.template
    if template is None:
        return np.zeros(len(codes), np.bool_)
    found: NDArray[np.bool_] = span.stops == span.starts
    if template.sees_edges and len(span.data):
        filled = ~found
        ends = OPENS[span.data[span.starts[filled]]] | CLOSES[span.data[span.stops[filled] - 1]]
        found[filled] = ends
    for trigger in (*template.looked_for, structure.OPEN):
        found |= contains(span, trigger.encode())
    chats: NDArray[np.bool_] = codes < schema.ROLES.index("text")
    return found & chats


def _look(role: str, text: str, tokenizer: Tokenizer) -> tuple[tuple[str, str], list[tuple[int, int]]]:
    """Class of one message and the byte ranges of its slots."""
    assert tokenizer.template is not None
    forbidden = [t for t in tokenizer.template.forbidden if role != "assistant" or t not in (THINK, THOUGHT)]
    if structure.OPEN in text or any(trigger in text for trigger in forbidden):
        return (role, WHOLE), []
    skeleton, ranges = tokenizer.template.skeleton(role, text)
    return (role, skeleton), ranges


def encode(
    messages: Messages, first: Ints, chosen: Ints, tokenizer: Tokenizer, apart: Sequence[int] = ()
) -> Encoded:
    """Ids and loss bits of conversations; i is made of the messages ``chosen[first[i]:first[i + 1]]``.

    apart: those that are rendered by themselves whatever their shape.
    Raises: ModelError where there is no chat template for them.
    """
    shapes, of_row = shapes_of(messages, first, chosen)
    compiled: list[Program] = []
    local = np.full(len(shapes), -1, np.int64)  # place in `compiled`; -1 refused, -2 row by row
    reasons = {}
    for number, shape in enumerate(shapes):
        try:
            program = program_of(shape, tokenizer)
        except Refusal as refusal:
            reasons[number] = refusal.literal or str(refusal)
            continue
        local[number] = -2 if program is None else len(compiled)
        compiled += [] if program is None else [program]
    alone = np.isin(np.arange(len(of_row)), list(apart))
    quick = np.flatnonzero((local[of_row] >= 0) & ~alone)
    encoded = _assemble(messages, first, chosen, quick, local[of_row[quick]], compiled, tokenizer)
    refusals = {int(row): reasons[of_row[row]] for row in np.flatnonzero(local[of_row] == -1)}
    slow = np.flatnonzero((local[of_row] == -2) | ((local[of_row] >= 0) & alone))
    wrong = _disproved(encoded, messages, first, chosen, quick, shapes, of_row, tokenizer)
    slow = np.union1d(slow, np.array(wrong, np.int64))
    return _rendered(encoded, messages, first, chosen, slow, refusals, tokenizer)


def program_of(shape: Shape, tokenizer: Tokenizer) -> Program | None:
    """As `Tokenizer.program`, and a Refusal of what cannot be used as well."""
    bad = [reason for role, reason in shape if not role]
    if bad:
        raise Refusal(bad[0])
    return tokenizer.program(shape)


def shapes_of(messages: Messages, first: Ints, chosen: Ints) -> tuple[list[Shape], Ints]:
    """Distinct shapes in the order of their first row, and the shape of each row."""
    codes = np.ascontiguousarray(messages.codes[chosen])
    buffers = [None, pa.py_buffer(first * 4), pa.py_buffer(codes)]
    keys = pa.Array.from_buffers(pa.large_binary(), len(first) - 1, buffers).dictionary_encode()
    numbers = [np.frombuffer(key.as_py(), np.int32) for key in keys.dictionary]
    shapes = [tuple(messages.classes[code] for code in codes) for codes in numbers]
    return shapes, keys.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _assemble(
    messages: Messages,
    first: Ints,
    chosen: Ints,
    rows: Ints,
    shapes: Ints,
    compiled: list[Program],
    tokenizer: Tokenizer,
) -> Encoded:
    """The rows whose shapes have a program; all others stay empty."""
    encoder = tokenizer.encoder
    flat, slots = _flatten(compiled), _slots(messages, first, chosen, rows)
    marker = np.frombuffer(encoder.marker, np.uint8)
    marked = len(marker) > 0
    segments = programs.count_segments(flat, shapes)
    offsets = programs.segment_offsets(flat, shapes, slots, segments, len(marker))
    texts = programs.segment_texts(flat, shapes, slots, segments, offsets, marker)
    tokens, ends = encoder.encode(texts, offsets)
    places = programs.sample_offsets(flat, shapes, segments, ends, marked)
    turns = np.zeros(len(chosen), np.int64)
    sizes = np.zeros(0, np.int32)
    for _ in range(2):
        ids, loss, unknown = programs.assemble(
            *(flat, shapes, slots, segments, tokens, ends, marked),
            *(encoder.sizes, sizes, encoder.prefixed, places),
        )
        if not unknown.any():
            break
        sizes = encoder.sizes[tokens]
        for segment in np.flatnonzero(unknown):  # the encoder changed the text: ask it for places
            text = texts[offsets[segment] : offsets[segment + 1]].tobytes()
            _, starts = encoder.ids_and_starts(text.decode())
            lead = int(marked and text.startswith(encoder.marker))
            at = np.array([*starts[lead:], len(text)], np.int64)
            at[0] = len(encoder.marker) * lead
            sizes[ends[segment] + lead : ends[segment + 1]] = np.diff(at)
    programs.turn_lengths(flat, shapes, segments, ends, marked, first[rows], turns)
    start = np.zeros(len(first) - 1, np.int64)
    stop = np.zeros(len(first) - 1, np.int64)
    start[rows], stop[rows] = places[:-1], places[1:]
    counts = np.zeros((len(first) - 1, len(COUNTS)), np.int64)
    if compiled:
        counts[rows] = np.array([program.counts for program in compiled], np.int64)[shapes]
    return Encoded(ids, loss, start, stop, turns, counts, {})


def _flatten(compiled: list[Program]) -> Programs:
    """Programs end to end, as arrays."""
    ops, parts, constants, size = [], [], [], 0
    bounds, ends = [0], [0]
    for program in compiled:
        for number, (what, loss, message) in enumerate(program.operations):
            if isinstance(what, int):
                ops.append((what, 0, 0, loss, message))
                continue
            ops.append((-1, len(bounds) - 1, int(program.led and number > 0), 0, message))
            for part in what:
                text = part.text.encode()
                parts.append((part.slot, size, size + len(text), part.loss))
                constants.append(text)
                size += len(text)
            bounds.append(len(parts))
        ends.append(len(ops))
    table = np.array(ops, np.int64).reshape(-1, 5)
    of_parts = np.array(parts, np.int64).reshape(-1, 4)
    data = np.frombuffer(b"".join(constants), np.uint8)
    token, segment, led, op_loss, message = np.ascontiguousarray(table.T)
    slot, start, stop, part_loss = np.ascontiguousarray(of_parts.T)
    return Programs(
        np.array(ends),
        token,
        segment,
        led,
        op_loss,
        message,
        np.array(bounds),
        slot,
        start,
        stop,
        part_loss,
        data,
    )


def _slots(messages: Messages, first: Ints, chosen: Ints, rows: Ints) -> Slots:
    """Slots of `rows`, in the order in which their shapes count them."""
    mine = chosen[arrays.ranges(first[rows], first[rows + 1] - first[rows])]
    counts = messages.first[mine + 1] - messages.first[mine]
    flat = arrays.ranges(messages.first[mine], counts)
    per_row = np.bincount(np.repeat(np.arange(len(rows)), first[rows + 1] - first[rows]), counts, len(rows))
    return Slots(arrays.offsets(per_row), messages.start[flat], messages.stop[flat], messages.data)


def _disproved(
    encoded: Encoded,
    messages: Messages,
    first: Ints,
    chosen: Ints,
    rows: Ints,
    shapes: list[Shape],
    of_row: Ints,
    tokenizer: Tokenizer,
) -> list[int]:
    """Those of `rows` that came out otherwise than the template has them, where each must be looked at.

    That is where the template sees more of a content than its shape tells, or where the run's first rows
    have shown that ids differ (`proof`).
    """
    template = tokenizer.template
    sees_anything = template is not None and template.sees_anything
    if not (sees_anything or tokenizer.checked):
        return []
    wrong = []
    for row in rows.tolist():
        program = tokenizer.program(shapes[of_row[row]])
        assert program is not None
        mine = chosen[first[row] : first[row + 1]]
        plain = messages.plain(mine)
        ids = encoded.ids[encoded.start[row] : encoded.stop[row]].tolist()
        good = True
        if sees_anything and plain[0]["role"] != "text" and not program.altered:
            good = whole.rendered(plain, tokenizer) == _text(program, messages, mine)
        elif sees_anything and program.altered:
            good = False
        if not good or (tokenizer.checked and not program.altered and not agrees(ids, plain, tokenizer)):
            wrong.append(row)
    return wrong


def agrees(ids: list[int], plain: list[dict[str, str]], tokenizer: Tokenizer) -> bool:
    """Whether these are Hugging Face's ids of a conversation, but for an end token of ours.

    True where a content holds a special token's string, or reasoning that the template would leave out: there
    we mean to differ.
    """
    if any(tokenizer.specials.search(m["content"]) for m in plain):
        return True
    text = plain[0]["role"] == "text"
    rendered = plain[0]["content"] if text else whole.rendered(plain, tokenizer)
    if rendered is None:
        return False
    wanted = tokenizer.reference(rendered, plain=text)
    if ids == wanted or (ids[:-1] == wanted and ids[-1:] == [tokenizer.eos_id]):
        return True
    return any(m["role"] == "assistant" and THOUGHT in m["content"] for m in plain)


def _text(program: Program, messages: Messages, mine: Ints) -> str:
    """The text that a program stands for on one conversation."""
    slots = arrays.ranges(messages.first[mine], messages.first[mine + 1] - messages.first[mine])
    texts = [messages.data[messages.start[s] : messages.stop[s]].tobytes().decode() for s in slots]
    return "".join(texts[p.slot] if p.slot >= 0 else p.text for p in program.parts)


def _rendered(
    encoded: Encoded,
    messages: Messages,
    first: Ints,
    chosen: Ints,
    slow: Ints,
    refusals: dict[int, str],
    tokenizer: Tokenizer,
) -> Encoded:
    """`encoded` with the rows that are rendered one by one."""
    if not len(slow):
        return replace(encoded, refusals=refusals)
    ids, loss, at = [encoded.ids], [encoded.loss], len(encoded.ids)
    for row in slow:
        mine = slice(first[row], first[row + 1])
        plain = messages.plain(chosen[mine])
        try:
            alone = plain[0]["role"] == "text"
            found = (
                whole.text(plain[0]["content"], tokenizer) if alone else whole.conversation(plain, tokenizer)
            )
        except Refusal as refusal:  # a template's words may hold content, those in its source do not
            said = (
                f"the chat template refuses it: {refusal.literal}"
                if refusal.literal
                else "the chat template refuses it, or shows no assistant mask"
            )
            refusals[int(row)] = str(refusal) if isinstance(refusal, Unreadable) else said
            encoded.start[row] = encoded.stop[row] = 0
            continue
        ids.append(np.array(found.ids, np.int32))
        loss.append(np.array(found.loss, np.uint8))
        encoded.start[row], encoded.stop[row] = at, at + len(found.ids)
        encoded.turns[mine], encoded.counts[row] = found.turns, found.counts
        at += len(found.ids)
    return replace(encoded, ids=np.concatenate(ids), loss=np.concatenate(loss), refusals=refusals)
