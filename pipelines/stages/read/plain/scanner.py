"""Lines of JSON walked by compiled code, where each is an object of a plain form.

What: of every line the texts that stand under given names, by where they lie and how many bytes they are,
and who speaks. A text is not made here: `write` puts those that were found end to end, escapes resolved.
`Names` say of each name what may stand under it. Where something else does, a name comes twice, or a line is
odd (`grammar`), `scan` gives up: it takes what Python's parser takes, or less, and reads it as that does.

Cost: one nanosecond a byte where turns are short.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headrace.kernels.bits import load64, pointer, store64
from headrace.pipelines.stages.read.plain.grammar import (
    CLOSES,
    COMMA,
    ENDS,
    FALSE,
    LISTS,
    NEWLINE,
    NO_LIST,
    NO_OBJECT,
    NO_TEXT,
    NULL,
    ONE,
    OPENS,
    QUOTE,
    READ,
    begins,
    code_unit,
    key,
    next_mark,
    past_spaces,
    past_text,
    past_value,
)

# What may stand under a name, beside a text, which has its number: 0, 1, ...
EMPTY = -1  # what is false in Python: null, false, "", [], {}, or nothing at all
NEVER = -2  # null, or nothing at all
SPEAKER = -3  # one of the words
TURNS = -4  # a list of objects that hold the texts and the speaker
OTHER = -5  # anything: the name is told
OPTIONAL = 16  # more for a text that may be null or absent

ESCAPED = np.zeros(256, np.uint8)
ESCAPED[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
WORDS = 6  # of eight bytes, that the longest name has
EACH_NAME = 2 + WORDS
LEAST = 8  # bytes of a line, or of a turn, with a name and a text
MOST_NAMES = 64  # that nobody asked for, in one block


Names: TypeAlias = NDArray[np.uint64]


def table(kinds: Mapping[str, int]) -> Names | None:
    """How many names there are; of each its length in bytes, what may stand under it, and its bytes, in
    `WORDS` words. None where a name is too long.
    """
    texts = [name.encode() for name in kinds]
    if any(len(text) > 8 * WORDS for text in texts):
        return None
    names = np.zeros((len(texts), EACH_NAME), np.uint64)
    names[:, 0] = [len(text) for text in texts]
    names[:, 1] = np.array([*kinds.values()], np.int64).view(np.uint64)
    filled = b"".join(text.ljust(8 * WORDS, b"\0") for text in texts)
    names[:, 2:] = np.frombuffer(filled, "<u8").reshape(-1, WORDS)
    return np.append(np.uint64(len(texts)), names.reshape(-1))


def _kinds(names: Names) -> NDArray[np.int64]:
    return names[2::EACH_NAME].view(np.int64)


class Found(NamedTuple):
    """Of N lines with M turns (M = N where lines hold no lists) of K texts each.

    number, place int64[N]: of each line with a record, and its first byte. lengths int64[N]: turns of each.
    speakers int32[M]: which of the words. texts int64[M * K, 3]: where each text begins and ends as it lies,
    and its bytes without escapes. others: the names that nobody asked for, as they were met.
    """

    number: NDArray[np.int64]
    place: NDArray[np.int64]
    lengths: NDArray[np.int64]
    speakers: NDArray[np.int32]
    texts: NDArray[np.int64]
    others: tuple[str, ...]


def scan(data: NDArray[np.uint8], size: int, record: Names, turn: Names, words: Names) -> Found | None:
    """What the lines of ``data[:size]`` hold, UTF-8 with `READ` line breaks behind it; None where one is odd.

    record: of the names of each line; turn: of the elements of its `TURNS`. words: who may be a `SPEAKER`,
    each with the number that stands for it.
    """
    listed = bool((_kinds(record) == TURNS).any())
    kinds = _kinds(turn if listed else record)
    lines = most = size // LEAST + 1
    k = int((kinds >= 0).sum())
    needed = sum(1 << kind for kind in kinds.tolist() if 0 <= kind < OPTIONAL)
    needed |= int((kinds == SPEAKER).any()) << k
    of_lines, lengths = np.zeros((2, lines), np.int64), np.zeros(lines, np.int64)
    speakers, texts = np.zeros(most, np.int32), np.zeros((most * k, 3), np.int64)
    others = np.zeros((MOST_NAMES, 2), np.int64)
    found = of_lines, lengths, speakers, texts, others
    n, turns, told = _scan(data, size, record, turn, words, listed, needed, k, *found)
    if n < 0:
        return None
    names = tuple(data[a:b].tobytes().decode() for a, b in others[:told].tolist())
    return Found(of_lines[0, :n], of_lines[1, :n], lengths[:n], speakers[:turns], texts[: turns * k], names)


def write(data: NDArray[np.uint8], texts: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of `Found.texts` end to end, and where each begins: ``uint8[B], int64[M + 1]``."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(texts[:, 2], out=offsets[1:])
    out = np.empty(int(offsets[-1]) + READ, np.uint8)
    _write(data, texts, offsets, out)
    return out[: offsets[-1]], offsets


@njit(nogil=True, cache=True)
def _kind(data, start, stop, names):  # type: ignore[no-untyped-def]
    """What stands with ``data[start:stop]`` in `names`; `OTHER` where it is none of them."""
    size = stop - start
    for first in range(1, 1 + np.int64(names[0]) * EACH_NAME, EACH_NAME):
        if np.int64(names[first]) != size:
            continue
        word, at = first + 2, start
        while stop - at >= 8 and names[word] == load64(data, at):
            word, at = word + 1, at + 8
        if stop - at < 8:
            mask = (ONE << np.uint64(8 * (stop - at))) - ONE
            if at == stop or names[word] == load64(data, at) & mask:
                return np.int64(names[first + 1])
    return OTHER


@njit(nogil=True, cache=True)
def _noted(data, start, stop, others, told):  # type: ignore[no-untyped-def]
    """How many names there are in `others`, once ``data[start:stop]`` is among them; -1: too many."""
    for i in range(told):
        begin, size = others[2 * i], stop - start
        if others[2 * i + 1] - begin != size:
            continue
        k = 0
        while k < size and data[start + k] == data[begin + k]:
            k += 1
        if k == size:
            return told
    if told == MOST_NAMES:
        return -1
    others[2 * told], others[2 * told + 1] = start, stop
    return told + 1


@njit(nogil=True, cache=True)
def _unasked(data, at, kind):  # type: ignore[no-untyped-def]
    """Where the value at `at` ends; -1 where it is more than its kind may hold."""
    if kind == OTHER:
        return past_value(data, at)
    if begins(data, at, NULL):
        return at + 4
    if kind == NEVER:
        return -1
    if begins(data, at, FALSE):
        return at + 5
    for pair in (NO_TEXT, NO_LIST, NO_OBJECT):
        if begins(data, at, pair):
            return at + 2
    return -1


@njit(nogil=True, cache=True)
def _object(data, at, names, words, needed, row, k, texts, speakers, others, told):  # type: ignore[no-untyped-def]
    """Texts and speaker of the object behind whose bracket `at` lies; where it ends (-1: odd), and `told`.

    needed: a bit of each text, and behind them the speaker's, that must be there. others: where `told` names
    lie that nobody asked for; of an object where nobody wants to know, `told` is -1.
    """
    met = 0
    at = past_spaces(data, at)
    while True:
        start, stop, at = key(data, at)
        if at < 0:
            return -1, told
        kind = _kind(data, start, stop, names)
        if kind >= 0 or kind == SPEAKER:
            slot = k if kind == SPEAKER else kind & (OPTIONAL - 1)
            if met >> slot & 1:
                return -1, told
            met |= 1 << slot
            if data[at] == QUOTE:
                begin = at + 1
                end, size = past_text(data, begin)
                who = _kind(data, begin, end, words) if kind == SPEAKER else 0
                if end < 0 or who < 0:
                    return -1, told
                if kind == SPEAKER:
                    speakers[row] = who
                else:
                    place = 3 * (row * k + slot)
                    texts[place], texts[place + 1], texts[place + 2] = begin, end, size
                at = end + 1
            elif kind >= OPTIONAL and begins(data, at, NULL):
                at += 4
            else:
                return -1, told
        else:
            if kind == OTHER and told >= 0:
                told = _noted(data, start, stop, others, told)
                if told < 0:
                    return -1, told
            at = _unasked(data, at, kind)
            if at < 0:
                return -1, told
        at = past_spaces(data, at)
        if data[at] == CLOSES:
            return (at + 1 if met & needed == needed else -1), told
        if data[at] != COMMA:
            return -1, told
        at = past_spaces(data, at + 1)


@njit(nogil=True, cache=True)
def _listed(data, at, names, words, needed, row, k, texts, speakers):  # type: ignore[no-untyped-def]
    """Where the list of turns at `at` ends (-1: odd), and the number of turns behind them."""
    if data[at] != LISTS:
        return -1, row
    at = past_spaces(data, at + 1)
    if data[at] == ENDS:
        return at + 1, row
    while data[at] == OPENS:
        at, _ = _object(data, at + 1, names, words, needed, row, k, texts, speakers, texts, -1)
        if at < 0:
            return -1, row
        row += 1
        at = past_spaces(data, at)
        if data[at] == ENDS:
            return at + 1, row
        if data[at] != COMMA:
            return -1, row
        at = past_spaces(data, at + 1)
    return -1, row


@njit(nogil=True, cache=True)
def _record(data, at, record, names, words, needed, row, k, texts, speakers, others, told):  # type: ignore[no-untyped-def]
    """As `_object`, of a record whose texts stand in a list of turns; and the number of turns behind them."""
    met = False
    at = past_spaces(data, at)
    while True:
        start, stop, at = key(data, at)
        if at < 0:
            return -1, row, told
        kind = _kind(data, start, stop, record)
        if kind == TURNS:
            if met:
                return -1, row, told
            met = True
            at, row = _listed(data, at, names, words, needed, row, k, texts, speakers)
        else:
            if kind == OTHER:
                told = _noted(data, start, stop, others, told)
                if told < 0:
                    return -1, row, told
            at = _unasked(data, at, kind)
        if at < 0:
            return -1, row, told
        at = past_spaces(data, at)
        if data[at] == CLOSES:
            return (at + 1 if met else -1), row, told
        if data[at] != COMMA:
            return -1, row, told
        at = past_spaces(data, at + 1)


@njit(nogil=True, cache=True)
def _scan(  # type: ignore[no-untyped-def]
    lying, size, record, turn, words, listed, needed, k, of_lines, lengths, speakers, texts, others
):
    """Fill the arrays of `Found`; returns lines, turns and names, -1 lines where one of them is odd."""
    data, asked, names, known = pointer(lying), pointer(record), pointer(turn), pointer(words)
    said, who, noted = pointer(texts), pointer(speakers), pointer(others)
    at, line, n, row, told = 0, 0, 0, 0, 0
    while at < size:
        place, at = at, past_spaces(data, at)
        if data[at] == OPENS:
            first, at = row, at + 1
            if listed:
                at, row, told = _record(data, at, asked, names, known, needed, row, k, said, who, noted, told)
            else:
                at, told = _object(data, at, asked, known, needed, row, k, said, who, noted, told)
                row += 1
            if at < 0:
                return -1, 0, 0
            of_lines[0, n], of_lines[1, n], lengths[n] = line, place, row - first
            n += 1
            at = past_spaces(data, at)
        if data[at] != NEWLINE:
            return -1, 0, 0
        at += 1
        line += 1
    return n, row, told


@njit(nogil=True, cache=True)
def _put(out, to, code):  # type: ignore[no-untyped-def]
    """Write a character as UTF-8 at `to`; returns where it ends."""
    if code < 0x80:
        out[to] = code
        return to + 1
    if code < 0x800:
        out[to], out[to + 1] = 0xC0 | code >> 6, 0x80 | code & 0x3F
        return to + 2
    if code < 0x10000:
        out[to], out[to + 1], out[to + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
        return to + 3
    out[to], out[to + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 0x3F
    out[to + 2], out[to + 3] = 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
    return to + 4


@njit(nogil=True, cache=True)
def _write(lying, texts, offsets, out):  # type: ignore[no-untyped-def]
    data, to_put = pointer(lying), pointer(out)
    for row in range(len(texts)):
        at, stop, to = texts[row, 0], texts[row, 1], offsets[row]
        plain = stop - at == texts[row, 2]
        while at < stop:
            # Eight at a time: what is written beyond a text is written over by the next.
            end = stop if plain else min(next_mark(data, at), stop)
            for k in range(0, end - at, 8):
                store64(out, to + k, load64(data, at + k))
            to += end - at
            at = end
            if at == stop:
                break
            letter = data[at + 1]
            if letter != 117:
                out[to] = ESCAPED[letter]
                to += 1
                at += 2
                continue
            code = code_unit(data, at + 2)
            at += 6
            if 0xD800 <= code < 0xDC00:
                code = 0x10000 + ((code - 0xD800) << 10) + code_unit(data, at + 2) - 0xDC00
                at += 6
            to = _put(to_put, to, code)


def warm() -> None:
    """Compile, or load from Numba's cache."""
    data = np.frombuffer(b'{"a": ""}' + b"\n" * READ, np.uint8)
    text, none = table({"a": 0}), table({})
    assert text is not None
    assert none is not None
    found = scan(data, 9, text, none, none)
    assert found is not None
    write(data, found.texts)
