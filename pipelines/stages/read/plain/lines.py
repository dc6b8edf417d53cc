"""Blocks of JSON lines as turns, where all lines are plain: no record is made of them.

What: the roles and the contents of all turns of a block, end to end; None where any line of it is anything
else than `Asked` says, and then its lines are parsed to records one by one. The rows are the same either way.

Cost: two nanoseconds a byte where turns are short, against sixteen of records.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.arrow import strings
from headrace.pipelines import structure
from headrace.pipelines.stages.read.plain import scanner
from headrace.pipelines.stages.read.plain.grammar import READ
from headrace.pipelines.stages.read.plain.scanner import Names
from headrace.pipelines.stages.read.records import Turns

OPEN = structure.OPEN.encode()


class Asked(NamedTuple):
    """What to look for (`scanner.table`) in each line, in each turn of one that holds a list of turns, and in
    the place of its speaker: numbers of `roles`.

    Where a line holds no list, `roles` are those of its texts, in their order. input: the second of three
    texts belongs to the first, below an empty line.
    """

    record: Names
    turn: Names
    words: Names
    roles: tuple[str, ...]
    listed: bool
    input: bool = False


def read(block: bytes, asked: Asked, place: int, *, numbered: bool) -> tuple[Turns, tuple[str, ...]] | None:
    """The turns of a block of whole lines, and names in it that nobody asked for; None where it holds others,
    or nothing.

    place: of the block, by which its records have theirs: their lines' numbers, or first bytes.
    """
    data = np.frombuffer(block + b"\n" * READ, np.uint8)
    if not block.isascii() and (_holds_open(block) or not _is_text(data, len(block))):
        return None
    found = scanner.scan(data, len(block), asked.record, asked.turn, asked.words)
    if found is None or not len(found.number):
        return None
    written, offsets = scanner.write(data, found.texts)
    contents = strings(written, offsets, None)
    n = len(found.number)
    if asked.listed:
        numbers, lengths = found.speakers, found.lengths
    else:
        contents = _with_input(contents) if asked.input else contents
        each = len(asked.roles)
        numbers, lengths = np.tile(np.arange(each, dtype=np.int32), n), np.full(n, each)
    roles = pa.array(asked.roles, pa.string()).take(pa.array(numbers))
    places = place + (found.number if numbered else found.place)
    return Turns(roles, contents, lengths, places), found.others


def _holds_open(block: bytes) -> bool:
    """Whether `OPEN` is in a block: by its first byte, many times as fast."""
    return OPEN[:1] in block and OPEN in block


def _is_text(data: NDArray[np.uint8], size: int) -> bool:
    """Whether all of ``data[:size]`` is UTF-8."""
    whole = strings(data, np.array([0, size]), None)
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _with_input(texts: pa.Array) -> pa.Array:
    """Of three texts a record, the first two as one, below an empty line: ``[3N] -> [2N]``."""
    n = len(texts) // 3
    first, more, answer = (texts.take(pa.array(np.arange(at, 3 * n, 3))) for at in range(3))
    joined = pc.binary_join_element_wise(first, more, pa.scalar("\n\n", pa.large_string()))
    asked = pc.if_else(pc.equal(pc.binary_length(more), 0), first, joined)
    return pa.concat_arrays([asked, answer]).take(pa.array(np.arange(2 * n).reshape(2, n).T.reshape(-1)))
