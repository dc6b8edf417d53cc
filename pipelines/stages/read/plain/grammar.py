"""The grammar of JSON for compiled code: where names, texts and values end.

All functions take the bytes of some lines, with line breaks behind them (`READ`), and a place among them. No
text and no value goes beyond a line break, so nothing is read behind them. What is no JSON ends at -1, and so
does what JSON allows and nobody writes in rows: halves of surrogate pairs, escapes in a name, numbers of
hundreds of digits, lists of lists of lists. Nothing ends elsewhere than Python's parser has it end.

Cost: eight bytes of a text at once.
"""

import numpy as np
from numba import njit

from headrace.kernels.bits import load64, trailing_zeros
from headrace.pipelines import structure

QUOTE, BACKSLASH, COLON, COMMA, NEWLINE = (ord(c) for c in '"\\:,\n')
OPENS, CLOSES, LISTS, ENDS = (ord(c) for c in "{}[]")
NULL, TRUE, FALSE, NO_TEXT, NO_LIST, NO_OBJECT = b"null", b"true", b"false", b'""', b"[]", b"{}"
HIGH, EACH = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
QUOTES, SLASHES, SPACES = (np.uint64(0x0101010101010101 * byte) for byte in (QUOTE, BACKSLASH, 32))
ZERO, ONE, THREE = np.uint64(0), np.uint64(1), np.uint64(3)
DEEPEST = 60  # lists and objects in a value
LONGEST = 200  # characters of a number, far below what Python refuses
SEALS = ord(structure.OPEN)  # which nobody's words hold, and escapes could
READ = 8  # line breaks behind the data: as many bytes are read at once


@njit(nogil=True, cache=True)
def past_spaces(data, at):  # type: ignore[no-untyped-def]
    """Where the spaces at `at` end."""
    while data[at] == 32 or data[at] == 9 or data[at] == 13:
        at += 1
    return at


@njit(nogil=True, cache=True)
def next_mark(data, at):  # type: ignore[no-untyped-def]
    """The first quotation mark, backslash or control character at or behind `at`."""
    while True:
        word = load64(data, at)
        quotes, slashes = word ^ QUOTES, word ^ SLASHES
        marks = ((quotes - EACH) & ~quotes) | ((slashes - EACH) & ~slashes) | ((word - SPACES) & ~word)
        marks &= HIGH
        if marks:
            return at + np.int64(trailing_zeros(marks) >> THREE)
        at += 8


@njit(nogil=True, cache=True)
def _hex(byte):  # type: ignore[no-untyped-def]
    if 48 <= byte <= 57:
        return np.int64(byte) - 48
    byte |= 0x20
    return np.int64(byte) - 87 if 97 <= byte <= 102 else np.int64(-1 << 20)


@njit(nogil=True, cache=True)
def code_unit(data, at):  # type: ignore[no-untyped-def]
    """The number that four hexadecimal digits are; negative where they are none."""
    return _hex(data[at]) << 12 | _hex(data[at + 1]) << 8 | _hex(data[at + 2]) << 4 | _hex(data[at + 3])


@njit(nogil=True, cache=True)
def past_text(data, at):  # type: ignore[no-untyped-def]
    """Where the text ends whose first byte is at `at`, and its bytes without escapes; -1 where it is odd."""
    start, less = at, 0
    while True:
        at = next_mark(data, at)
        if data[at] == QUOTE:
            return at, at - start - less
        if data[at] != BACKSLASH:
            return -1, 0
        letter = data[at + 1]
        if letter != 117:
            if letter not in (34, 92, 47, 98, 102, 110, 114, 116):
                return -1, 0
            at += 2
            less += 1
            continue
        code = code_unit(data, at + 2)
        if code < 0 or 0xDC00 <= code < 0xE000 or code == SEALS:
            return -1, 0
        at += 6
        if 0xD800 <= code < 0xDC00:
            low = code_unit(data, at + 2) if data[at] == BACKSLASH and data[at + 1] == 117 else -1
            if not 0xDC00 <= low < 0xE000:
                return -1, 0
            at += 6
            less += 8
        else:
            less += 5 if code < 0x80 else 4 if code < 0x800 else 3


@njit(nogil=True, cache=True)
def key(data, at):  # type: ignore[no-untyped-def]
    """Where the name at `at` begins and ends, and where its value begins; -1 where there is none."""
    if data[at] != QUOTE:
        return -1, -1, -1
    stop = next_mark(data, at + 1)
    if data[stop] != QUOTE:
        return -1, -1, -1
    colon = past_spaces(data, stop + 1)
    if data[colon] != COLON:
        return -1, -1, -1
    return at + 1, stop, past_spaces(data, colon + 1)


@njit(nogil=True, cache=True)
def begins(data, at, word):  # type: ignore[no-untyped-def]
    """Whether `word` stands at `at`."""
    k = 0
    while k < len(word) and data[at + k] == word[k]:
        k += 1
    return k == len(word)


@njit(nogil=True, cache=True)
def _digits(data, at):  # type: ignore[no-untyped-def]
    while 48 <= data[at] <= 57:
        at += 1
    return at


@njit(nogil=True, cache=True)
def _number(data, at):  # type: ignore[no-untyped-def]
    """Where the number at `at` ends; -1 where there is none, or one that is too long."""
    start = at
    if data[at] == 45:
        at += 1
    first, at = at, _digits(data, at)
    if at == first or (data[first] == 48 and at > first + 1):
        return -1
    if data[at] == 46:
        first, at = at + 1, _digits(data, at + 1)
        if at == first:
            return -1
    if data[at] | 0x20 == 101:
        at += 1
        if data[at] == 43 or data[at] == 45:
            at += 1
        first, at = at, _digits(data, at)
        if at == first:
            return -1
    return at if at - start <= LONGEST else -1


@njit(nogil=True, cache=True)
def _single(data, at):  # type: ignore[no-untyped-def]
    """Where the text, number or literal at `at` ends; -1 where there is none."""
    byte = data[at]
    if byte == QUOTE:
        stop, _ = past_text(data, at + 1)
        return stop + 1 if stop >= 0 else -1
    if byte == NULL[0]:
        return at + 4 if begins(data, at, NULL) else -1
    if byte == TRUE[0]:
        return at + 4 if begins(data, at, TRUE) else -1
    if byte == FALSE[0]:
        return at + 5 if begins(data, at, FALSE) else -1
    return _number(data, at)


@njit(nogil=True, cache=True)
def past_value(data, at):  # type: ignore[no-untyped-def]
    """Where the value at `at` ends, whatever it is; -1 where it is odd."""
    depth, lists = 0, ZERO  # a bit of each that is open: whether it is a list
    while True:
        byte = data[at]
        opens = byte in (OPENS, LISTS)
        if opens:
            if depth == DEEPEST:
                return -1
            depth += 1
            lists = lists << ONE | np.uint64(byte == LISTS)
            at = past_spaces(data, at + 1)
            opens = data[at] != (ENDS if lists & ONE else CLOSES)  # else there is nothing in it
        else:
            at = _single(data, at)
            if at < 0:
                return -1
        while not opens:  # behind a value
            if not depth:
                return at
            at = past_spaces(data, at)
            if data[at] == (ENDS if lists & ONE else CLOSES):
                at += 1
                depth -= 1
                lists >>= ONE
            elif data[at] == COMMA:
                at = past_spaces(data, at + 1)
                opens = True
            else:
                return -1
        if not lists & ONE:
            at = _inner_value(data, at)
            if at < 0:
                return -1


@njit(nogil=True, cache=True)
def _inner_value(data, at):  # type: ignore[no-untyped-def]
    """Where the value begins whose name is at `at`, with or without escapes."""
    if data[at] != QUOTE:
        return -1
    stop, _ = past_text(data, at + 1)
    colon = past_spaces(data, stop + 1)
    return past_spaces(data, colon + 1) if stop >= 0 and data[colon] == COLON else -1
