"""Thrift's compact protocol, as far as Parquet's footer and page headers use it, read with bounds.

A struct is a mapping of field id to (type, value), a list a pair of (element type, values). Nothing is
allocated that the bytes at hand do not hold: a list of n elements takes n bytes at least. A value takes up to
256 bytes here, also one that is a single byte there, so their number has a limit, too.

Cost: about a microsecond a byte that holds a number.
"""

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
BITS = {BYTE: 8, I16: 16, I32: 32, I64: 64}
MOST_VALUES = 2**22  # in one struct, with those in it: 1 GiB
DEPTH = 12  # of structs and lists in each other: a footer has 7

Struct = dict[int, tuple[int, Any]]


class Malformed(Exception):  # noqa: N818 - it says what the bytes are
    """Bytes that are no struct."""


class TooMany(Malformed):
    """Bytes that hold more values than `MOST_VALUES`."""


class Short(Malformed):
    """Bytes that end inside a struct: with more of them it may be one."""


def read(data: bytes | memoryview, at: int = 0) -> tuple[Struct, int]:
    """The struct that begins at byte `at` of `data`, and where it ends. Raises: Malformed, TooMany, Short."""
    try:
        return _struct(data, at, 0, [MOST_VALUES])
    except IndexError:
        raise Short from None


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 128:
        return byte, at
    value, shift = byte & 127, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise Malformed


def _spend(left: list[int], values: int) -> None:
    """Take `values` from those that may still come. Raises: TooMany."""
    left[0] -= values
    if left[0] < 0:
        raise TooMany


def _struct(data: bytes | memoryview, at: int, depth: int, left: list[int]) -> tuple[Struct, int]:
    if depth > DEPTH:
        raise Malformed
    fields: Struct = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        if head == 0:
            _spend(left, len(fields))
            return fields, at
        kind, step = head & 15, head >> 4
        if step:
            number += step
        else:
            number, at = _number(data, at, 16)
        if number in fields:  # readers differ in which of the two they take
            raise Malformed
        if kind in (TRUE, FALSE):
            fields[number] = (kind, kind == TRUE)
        else:
            value, at = _value(data, at, kind, depth, left)
            fields[number] = (kind, value)


def _number(data: bytes | memoryview, at: int, bits: int) -> tuple[int, int]:
    """A zigzag number that fits in `bits`: readers cut longer ones off, each in its own way."""
    raw, at = _varint(data, at)
    if raw >> bits:
        raise Malformed
    return (raw >> 1) ^ -(raw & 1), at


def _value(data: bytes | memoryview, at: int, kind: int, depth: int, left: list[int]) -> tuple[Any, int]:
    if kind in (I16, I32, I64):
        return _number(data, at, BITS[kind])
    if kind == BINARY:
        length, at = _varint(data, at)
        if at + length > len(data):
            raise Short
        return bytes(data[at : at + length]), at + length
    if kind == STRUCT:
        return _struct(data, at, depth + 1, left)
    if kind in (LIST, SET):
        return _list(data, at, depth + 1, left)
    if kind in (TRUE, FALSE, BYTE):  # in a list a boolean is a byte
        return data[at], at + 1
    if kind == DOUBLE:
        if at + 8 > len(data):
            raise Short
        return bytes(data[at : at + 8]), at + 8
    raise Malformed  # a map: Parquet has none


def _list(
    data: bytes | memoryview, at: int, depth: int, left: list[int]
) -> tuple[tuple[int, list[Any]], int]:
    if depth > DEPTH:
        raise Malformed
    head = data[at]
    at += 1
    kind, length = head & 15, head >> 4
    if length == 15:
        length, at = _varint(data, at)
    if at + length > len(data):
        raise Short
    _spend(left, length)
    values = []
    for _ in range(length):
        value, at = _value(data, at, kind, depth, left)
        values.append(value)
    return (kind, values), at


def write(fields: Struct) -> bytes:
    """A struct as bytes: inverse of `read`."""
    out = bytearray()
    _put_struct(out, fields)
    return bytes(out)


def _put_varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _put_struct(out: bytearray, fields: Struct) -> None:
    last = 0
    for number in sorted(fields):
        kind, value = fields[number]
        if 0 < number - last < 16:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _put_varint(out, number << 1 if number >= 0 else -number * 2 - 1)
        last = number
        if kind not in (TRUE, FALSE):
            _put(out, kind, value)
    out.append(0)


def _put(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _put_varint(out, value << 1 if value >= 0 else -value * 2 - 1)
    elif kind == BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _put_struct(out, value)
    elif kind in (LIST, SET):
        inner, values = value
        if len(values) < 15:
            out.append(len(values) << 4 | inner)
        else:
            out.append(0xF0 | inner)
            _put_varint(out, len(values))
        for one in values:
            _put(out, inner, one)
    elif kind == DOUBLE:
        out += value
    else:
        out.append(value)
