"""Jitted loops of tokenise and pack: texts into segments, tokens into samples, samples into rows.

A shape of conversation is a short program of *operations*: put out a constant token, or the tokens of
a *segment*, the text between two special tokens, which is a row of constant and slot *parts*. All
programs of a batch lie end to end in `Programs`; the loops walk rows by their programs.

Cost: one copy of the text and one of the tokens, ~1 GB a second each.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.bits import pointer
from headrace.pipelines.schema import IGNORE

Ints = NDArray[np.int64]


class Programs(NamedTuple):
    """Operations `ops[s]:ops[s + 1]` belong to shape s, parts `parts[g]:parts[g + 1]` to segment g.

    op_token int64 (-1: a segment), op_segment, op_led (1: the marker is due ahead of its text), op_loss
    (bits), op_message (its turn); part_slot (-1: the constant `constants[part_start:part_stop]`), part_loss.
    """

    ops: Ints
    op_token: Ints
    op_segment: Ints
    op_led: Ints
    op_loss: Ints
    op_message: Ints
    parts: Ints
    part_slot: Ints
    part_start: Ints
    part_stop: Ints
    part_loss: Ints
    constants: NDArray[np.uint8]


class Slots(NamedTuple):
    """Row r has slots `first[r]:first[r + 1]`, each the text ``data[start:stop]``."""

    first: Ints
    start: Ints
    stop: Ints
    data: NDArray[np.uint8]


@njit(nogil=True, cache=True)
def count_segments(programs, shapes):  # type: ignore[no-untyped-def]
    """Segments before each row, ``int64[R + 1]``."""
    first = np.zeros(len(shapes) + 1, np.int64)
    for row in range(len(shapes)):
        shape = shapes[row]
        count = 0
        for op in range(programs.ops[shape], programs.ops[shape + 1]):
            count += programs.op_token[op] < 0
        first[row + 1] = first[row] + count
    return first


@njit(nogil=True, cache=True)
def segment_offsets(programs, shapes, slots, first, lead):  # type: ignore[no-untyped-def]
    """Byte offsets of the segments' texts, ``int64[S + 1]``.

    `lead` bytes are left free for the marker where it is due.
    """
    offsets = np.zeros(first[-1] + 1, np.int64)
    for row in range(len(shapes)):
        shape, at = shapes[row], first[row]
        for op in range(programs.ops[shape], programs.ops[shape + 1]):
            if programs.op_token[op] >= 0:
                continue
            size = lead if programs.op_led[op] else 0
            segment = programs.op_segment[op]
            for part in range(programs.parts[segment], programs.parts[segment + 1]):
                slot = programs.part_slot[part]
                if slot < 0:
                    size += programs.part_stop[part] - programs.part_start[part]
                else:
                    size += slots.stop[slots.first[row] + slot] - slots.start[slots.first[row] + slot]
            offsets[at + 1] = offsets[at] + size
            at += 1
    return offsets


@njit(nogil=True, cache=True)
def segment_texts(programs, shapes, slots, first, offsets, marker):  # type: ignore[no-untyped-def]
    """Texts of the segments end to end, ``uint8[offsets[-1]]``, behind `marker` where it is due."""
    out = np.empty(offsets[-1], np.uint8)
    for row in range(len(shapes)):
        shape, at = shapes[row], first[row]
        for op in range(programs.ops[shape], programs.ops[shape + 1]):
            if programs.op_token[op] >= 0:
                continue
            place = offsets[at]
            if programs.op_led[op]:
                out[place : place + len(marker)] = marker
                place += len(marker)
            segment = programs.op_segment[op]
            for part in range(programs.parts[segment], programs.parts[segment + 1]):
                slot = programs.part_slot[part]
                if slot < 0:
                    a, b = programs.part_start[part], programs.part_stop[part]
                    out[place : place + b - a] = programs.constants[a:b]
                else:
                    a = slots.start[slots.first[row] + slot]
                    b = slots.stop[slots.first[row] + slot]
                    out[place : place + b - a] = slots.data[a:b]
                place += b - a
            at += 1
    return out


@njit(nogil=True, cache=True)
def sample_offsets(programs, shapes, first, token_offsets, marked):  # type: ignore[no-untyped-def]
    """Offsets of the rows' tokens, ``int64[R + 1]``; `marked`: the first token of a led segment goes."""
    offsets = np.zeros(len(shapes) + 1, np.int64)
    for row in range(len(shapes)):
        shape, at, count = shapes[row], first[row], 0
        for op in range(programs.ops[shape], programs.ops[shape + 1]):
            if programs.op_token[op] >= 0:
                count += 1
            else:
                count += token_offsets[at + 1] - token_offsets[at] - (marked and programs.op_led[op])
                at += 1
        offsets[row + 1] = offsets[row] + count
    return offsets


@njit(nogil=True, cache=True)
def _part_size(part, before, texts):  # type: ignore[no-untyped-def]
    """Bytes of a part; before: slots of the rows before."""
    part_slot, starts, stops, slot_starts, slot_stops = texts
    if part_slot[part] < 0:
        return stops[part] - starts[part]
    return slot_stops[before + part_slot[part]] - slot_starts[before + part_slot[part]]


@njit(nogil=True, cache=True)
def _token_size(token, sizes):  # type: ignore[no-untyped-def]
    """Bytes that a token stands for: its own, where they are known, or those of its id."""
    encoded, of_ids, of_tokens, known = sizes
    return of_tokens[token] if known else of_ids[encoded[token]]


@njit(nogil=True, cache=True)
def _segment_loss(first, last, before, texts, own, tokens, sizes, bits):  # type: ignore[no-untyped-def]
    """Loss bits of each token of a segment of the parts `first` to `last`, into `bits`: of the part that its
    first byte lies in.

    False where the tokens' bytes do not add up to the text, so that places cannot be told.
    """
    begin, end, prefixed = tokens
    same, total, length = True, 0, 0
    for part in range(first, last):
        same = same and own[part] == own[first]
        total += _part_size(part, before, texts)
    if same:
        for i in range(end - begin):
            bits[i] = own[first]
        return True
    if prefixed:  # where it begins hangs on whether a space was put before it
        for i in range(begin, end):
            length += _token_size(i, sizes)
    place, part, stop = total - length if prefixed else 0, first - 1, 0
    for i in range(begin, end):
        while part < first or (place >= stop and part + 1 < last):
            part += 1
            stop += _part_size(part, before, texts)
        bits[i - begin] = own[part]
        place += _token_size(i, sizes)
    return place == total and (not prefixed or length in (total, total + 1))


@njit(nogil=True, cache=True)
def assemble(  # type: ignore[no-untyped-def]
    programs, shapes, slots, first, tokens, token_offsets, marked, of_ids, of_tokens, prefixed, offsets
):
    """Tokens and loss bits of all rows, and the segments whose bits could not be told.

    ``int32[T], uint8[T], bool[S]``. of_ids: how many bytes of text each id stands for; of_tokens: the same of
    each token, where that is not empty.
    """
    ids = np.empty(offsets[-1], np.int32)
    loss = np.zeros(offsets[-1], np.uint8)
    unknown = np.zeros(first[-1], np.bool_)
    parts = pointer(programs.part_slot), pointer(programs.part_start), pointer(programs.part_stop)
    texts = (*parts, pointer(slots.start), pointer(slots.stop))
    own, encoded = pointer(programs.part_loss), pointer(tokens)
    sizes = encoded, pointer(of_ids), pointer(of_tokens), len(of_tokens) > 0
    for row in range(len(shapes)):
        shape, at, place = shapes[row], first[row], offsets[row]
        for op in range(programs.ops[shape], programs.ops[shape + 1]):
            if programs.op_token[op] >= 0:
                ids[place] = programs.op_token[op]
                loss[place] = programs.op_loss[op]
                place += 1
                continue
            a, b = token_offsets[at] + (marked and programs.op_led[op]), token_offsets[at + 1]
            for i in range(b - a):
                ids[place + i] = encoded[a + i]
            segment = programs.op_segment[op]
            begin, end = programs.parts[segment], programs.parts[segment + 1]
            given, bits = (a, b, prefixed), pointer(loss[place:])
            unknown[at] = not _segment_loss(begin, end, slots.first[row], texts, own, given, sizes, bits)
            place += b - a
            at += 1
    return ids, loss, unknown


@njit(nogil=True, cache=True)
def turn_lengths(programs, shapes, first, token_offsets, marked, messages, turns):  # type: ignore[no-untyped-def]
    """Add the tokens of each turn to `turns`; those of row r begin at ``turns[messages[r]]``."""
    for row in range(len(shapes)):
        shape, at, mine = shapes[row], first[row], messages[row]
        for op in range(programs.ops[shape], programs.ops[shape + 1]):
            turn = mine + programs.op_message[op]
            if programs.op_token[op] >= 0:
                turns[turn] += 1
            else:
                turns[turn] += token_offsets[at + 1] - token_offsets[at] - (marked and programs.op_led[op])
                at += 1


@njit(nogil=True, cache=True)
def gather(ids, loss, modes, starts, offsets):  # type: ignore[no-untyped-def]
    """Samples cut out of `ids`: tokens, labels and how many labels count, ``int32[T], int32[T], int64[N]``.

    Sample i is ``ids[starts[i]:starts[i] + length]``, its labels are its tokens where ``loss & modes[i]``.
    The first token of a sample has nothing to be predicted from and is not counted.
    """
    out = np.empty(offsets[-1], np.int32)
    labels = np.empty(offsets[-1], np.int32)
    targets = np.zeros(len(starts), np.int64)
    given, bits, to, taught = pointer(ids), pointer(loss), pointer(out), pointer(labels)
    for sample in range(len(starts)):
        first, last, mode = offsets[sample], offsets[sample + 1], modes[sample]
        shift, wanted = starts[sample] - first, 0
        for place in range(first, last):
            token = given[place + shift]
            learned = (bits[place + shift] & mode) != 0
            to[place] = token
            taught[place] = token if learned else np.int32(IGNORE)
            wanted += learned
        if first < last:
            wanted -= (bits[first + shift] & mode) != 0
        targets[sample] = wanted
    return out, labels, targets


@njit(nogil=True, cache=True)
def lay(ids, labels, offsets, order, row, rows, capacity, pad_id):  # type: ignore[no-untyped-def]
    """Tokens, labels, positions and segments, each ``int32[rows * capacity]``; `order` is by row."""
    out, targets = np.empty(rows * capacity, np.int32), np.empty(rows * capacity, np.int32)
    positions, segments = np.empty(rows * capacity, np.int32), np.empty(rows * capacity, np.int32)
    given, taught = pointer(ids), pointer(labels)
    at, segment = 0, 0
    for place in range(len(order)):
        if place == 0 or row[place] != row[place - 1]:
            at, segment = row[place] * capacity, 0
        segment += 1
        first = offsets[order[place]]
        size = offsets[order[place] + 1] - first
        for token in range(size):
            out[at + token] = given[first + token]
        for token in range(size):
            targets[at + token] = taught[first + token]
        for token in range(size):
            positions[at + token] = token
        for token in range(size):
            segments[at + token] = segment
        if size:
            targets[at] = IGNORE
        at += size
        if place + 1 == len(order) or row[place + 1] != row[place]:
            rest = (row[place] + 1) * capacity - at
            for token in range(rest):
                out[at + token], targets[at + token] = pad_id, IGNORE
            for token in range(rest):
                positions[at + token], segments[at + token] = token, 0
    return out, targets, positions, segments


def warm() -> None:
    """Compile `lay`, or load it from Numba's cache, with arrays of the kinds that Arrow gives."""
    ids, one = np.zeros(1, np.int32), np.zeros(1, np.int64)
    ids.flags.writeable = False
    lay(ids, ids, np.array([0, 1]), one, one, 1, 1, 0)
