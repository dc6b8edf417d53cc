"""JSON: a record a line, an array of records, or records one after the other.

Lines can be cut anywhere, and a bad one is lost alone. An array is parsed element by element in a
sliding window, at the speed of Python's JSON scanner; where its syntax breaks there is no telling
where the next element begins, so the remainder of the file is one quarantined record.

Cost: ~100 MB/s a core, 300 where lines are plain (`plain.lines`); memory of a window of 1 MiB, or of the
largest record.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from headrace.pipelines.stages.read import streams
from headrace.pipelines.stages.read.files.encodings import REPLACED, UTF8, Encoding
from headrace.pipelines.stages.read.plain import lines as plain_lines
from headrace.pipelines.stages.read.records import (
    DEPTH_LIMIT,
    MEMORY_LIMIT,
    PARSED,
    Batch,
    Manner,
    ReadError,
    encodable,
    longest,
    too_deep,
)
from headrace.pipelines.stages.read.streams import Opening

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # half the cost of json.loads
_SPACE = re.compile(r"[ \t\n\r]*")
LOOKED_AT = 3  # lines from which to tell records a line from one large value
BEFORE = "\ufeff\x1e"  # a byte order mark, and what parts the texts of a JSON sequence
WHITE = " \t\n\r\x0b\x0c"  # of which a line without a record may be made
TURNS = "messages"  # the column of a record that is a list
NEAR_END = 16  # characters: longer than any escape or literal that the window may cut


def lines(
    path: str,
    start: int = 0,
    stop: int = -1,
    seen: Opening | None = None,
    manner: Manner | None = None,
    asked: plain_lines.Asked | None = None,
) -> Iterator[Batch]:
    """A record a line, of the lines that begin in bytes [start, stop); blank lines are none.

    asked: of blocks whose lines hold nothing else, the turns are given and no records.
    """
    whole = stop < 0
    seen = seen or streams.look(path, manner)
    memory = manner.memory if manner else MEMORY_LIMIT
    number, tries = 1, plain_lines.Tries()
    for offset, block in streams.blocks(path, seen, start, stop, memory):
        batch = Batch("line" if whole else "byte")
        if isinstance(block, ReadError):
            batch.add(block, number if whole else offset)
            number += 1
        else:
            plain = None
            if asked is not None and seen.encoding.name == UTF8 and tries.due():
                plain = plain_lines.read(block, asked, number if whole else offset, numbered=whole)
                tries.tried(plain=plain is not None)
            if plain is not None:
                batch.turns, batch.unread = plain
            else:
                places = range(number, number + block.count(b"\n") + 1) if whole else _offsets(block, offset)
                _parse_block(batch, block, places, seen.encoding)
            number += block.count(b"\n") if whole else 0  # who counts bytes needs no line's number
        if batch.records or batch.turns is not None:
            yield batch


def _offsets(block: bytes, offset: int) -> list[int]:
    """Where the lines of a block begin that lies at `offset`."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    return [offset, *(ends + offset + 1).tolist()]


def _parse_block(batch: Batch, block: bytes, places: Sequence[int], encoding: Encoding) -> None:
    """Add the records of whole lines: of text that is all UTF-8 the plain ones here, others one by one."""
    try:
        text = block.decode() if encoding.name == UTF8 else None
    except UnicodeDecodeError:
        text = None
    if text is None or _many_in_a_line(block):
        _parse_lines(batch, block.split(b"\n"), places, encoding)
        return
    add, at = batch.records.append, batch.places.append
    for line, place in zip(text.split("\n"), places, strict=True):
        try:
            value, end = _scan(line, 0)
        except (StopIteration, ValueError, RecursionError):
            value, end = None, -1
        if type(value) is dict and (end == len(line) or line[end:] == "\r"):
            add(value)
            at(place)
        elif line.strip(WHITE):
            value = parse(line)
            batch.add(record_of(value), place)


def _many_in_a_line(block: bytes) -> bool:
    """Whether any line opens so many lists and mappings that it may be nested too deep."""
    data = np.frombuffer(block, np.uint8)
    opened = np.flatnonzero((data & 0xDF) == ord("["))  # and "{", which is 0x20 more
    if len(opened) <= DEPTH_LIMIT:
        return False
    ends = np.flatnonzero(data == ord("\n"))
    return bool(np.bincount(np.searchsorted(ends, opened)).max() > DEPTH_LIMIT)


def _parse_lines(batch: Batch, raw: list[bytes], places: Iterable[int], encoding: Encoding) -> None:
    utf8 = encoding.name == UTF8
    for line, place in zip(raw, places, strict=True):
        if not line or line.isspace():
            continue
        repaired = 0
        try:
            value = parse(line.decode()) if utf8 else _undecoded
        except UnicodeDecodeError:
            value = _undecoded
        if value is _undecoded:
            text, repaired = encoding.text(line)
            value = parse(text)
        if type(value) is dict:
            if repaired:
                batch.repaired[len(batch.records)] = repaired
            batch.records.append(value)
            batch.places.append(place)
        else:
            batch.add(record_of(value), place)


_undecoded = object()


def parse(text: str) -> Any:
    """One JSON value, or the `ReadError` that says why it is none.

    A byte order mark before it and a comma after it, of files that were put together, are no part of it.
    """
    try:
        try:
            value, end = _scan(text, 0)
            if end < len(text) and not text[end:].isspace() and not _only_comma(text[end:], value):
                return ReadError("read.malformed_json", f"text after the value, at character {end + 1}")
        except StopIteration:  # white space, or nothing like a value
            value = json.loads(text.lstrip(BEFORE))
    except (ValueError, RecursionError) as error:
        return _syntax(error)
    if text.count("[") + text.count("{") > DEPTH_LIMIT and too_deep(value):
        return _syntax(RecursionError())
    return value


def _only_comma(rest: str, value: Any) -> bool:
    """Whether a record is followed by the comma of an array, whose brackets stand on lines of their own."""
    return rest.strip() == "," and type(value) is dict


def _syntax(error: Exception) -> ReadError:
    """What the JSON parser says, without the text that it says it of."""
    if isinstance(error, json.JSONDecodeError):
        return ReadError("read.malformed_json", f"{error.msg}, at character {error.pos + 1}")
    if isinstance(error, RecursionError):
        return ReadError("read.malformed_json", f"nested deeper than {DEPTH_LIMIT} levels")
    return ReadError("read.malformed_json", "a number that is too long")


def record_of(value: Any) -> dict[str, Any] | ReadError:
    """A value as a record: a list of turns is one whose only column holds them."""
    if isinstance(value, dict | ReadError):
        return value
    if type(value) is list and value and all(isinstance(turn, dict | list) for turn in value):
        return {TURNS: value}
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    kind = names.get(type(value), "null")
    return ReadError("read.wrong_type", f"a record that is a JSON {kind}, not an object")


def has_lines(path: str) -> bool:
    """Whether a .json file holds a record a line: one of its first lines is a whole object."""
    seen = streams.look(path)
    for _, block in streams.blocks(path, seen):
        if isinstance(block, ReadError):
            return False
        first = [line for line in block.split(b"\n") if line.strip()][:LOOKED_AT]
        texts = [seen.encoding.text(line)[0] for line in first]
        return any(map(_is_record, texts)) or _lists(texts)
    return False


def _lists(lines: Sequence[str]) -> bool:
    """Whether each of several lines is a whole list of turns."""
    return len(lines) > 1 and all(
        line.lstrip(BEFORE).startswith("[") and type(record_of(parse(line))) is dict for line in lines
    )


def _is_record(line: str) -> bool:
    return line.lstrip(BEFORE).startswith("{") and type(parse(line)) is dict


def spread(seen: Opening) -> bool:
    """Whether a file of lines holds no record a line after all: an array, or records over several lines each.

    Told by how it begins: by a value that goes on beyond its first line.
    """
    text = seen.text.lstrip()
    if not text.startswith((b"[", b"{")):
        return False
    first = text.partition(b"\n")[0].strip()
    if text.startswith(b"["):
        if _lists([line.decode(UTF8, "replace") for line in text.split(b"\n", 2)[:2] if line.strip()]):
            return False
        return first == b"[" or _array_of_records(text)
    begun = text.decode(UTF8, "replace")
    try:
        value, end = _scan(begun, 0)
    except StopIteration:
        return False
    except ValueError:
        return first == b"{"
    except RecursionError:
        return False
    return type(value) is dict and "\n" in begun[:end]


def _array_of_records(text: bytes) -> bool:
    return text[1:].lstrip().startswith(b"{")


def values(path: str, seen: Opening | None = None, manner: Manner | None = None) -> Iterator[Batch]:
    """The elements of an array, or values one after the other, each a record."""
    seen = seen or streams.look(path, manner)
    memory = manner.memory if manner else MEMORY_LIMIT
    window = _Window(streams.utf8(path, seen, memory), seen.encoding, memory)
    number = 0
    batch = Batch("record")
    size = 0
    elements = window.elements()
    while True:
        try:
            value, length = next(elements)
        except StopIteration:
            break
        except ReadError as bad:
            batch.add(bad, number + 1)
            break
        number += 1
        if type(value) is dict and not window.repaired:
            batch.records.append(value)
            batch.places.append(number)
        else:
            batch.add(record_of(value), number, window.repaired)
        size += length
        if size >= streams.CHUNK:
            yield batch
            batch, size = Batch("record"), 0
    if batch.records:
        yield batch


class _Window:
    """Decoded text of a file, a part of it at a time."""

    def __init__(self, data: Iterator[bytes], encoding: Encoding, memory: int) -> None:
        self.data = data
        self.memory = memory
        self.encoding = encoding
        self.repaired = 0  # bytes that were no text, in the value taken last
        # Invalid bytes become lone surrogates, until the record that holds them is taken.
        self.decoder = codecs.getincrementaldecoder(UTF8)("surrogateescape")
        self.text = ""
        self.at = 0
        self.odd = False  # whether there was an invalid byte so far
        self.ended = False
        self.broken: ReadError | None = None  # why the data ended early

    def more(self) -> bool:
        """Twice as much text from `at` on (a chunk at least); False where there is no more."""
        pieces = [self.text[self.at :]]
        wished = max(len(pieces[0]), 1)
        while wished > 0 and not self.ended:
            try:
                data = next(self.data, None)
            except ReadError as bad:
                self.broken, data = bad, None
            self.ended = data is None
            piece = self.decoder.decode(data or b"", self.ended)
            wished -= len(piece)
            pieces.append(piece)
        self.text, self.at = "".join(pieces), 0
        self.odd = self.odd or not all(map(encodable, pieces[1:]))
        return len(pieces) > 1

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            if self.at < len(self.text) and (char := self.text[self.at]) not in " \t\n\r":
                return char
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def elements(self) -> Iterator[tuple[Any, int]]:
        """Each value with its length in characters. Raises: ReadError for the remainder of the file."""
        array = self.peek() == "["
        self.at += array
        first = True
        while (char := self.peek()) != "]" or not array:
            if not char and not array and self.broken is None:
                return
            if array and not first and char:
                if char != ",":
                    raise self.remainder("read.malformed_json", "no comma between two elements")
                self.at += 1
                char = self.peek()
                if char == "]":  # a comma after the last element
                    break
            if not char:
                raise self.remainder("read.truncated", "the array is not closed")
            yield self.value()
            first = False
        self.at += 1
        if self.peek():
            raise self.remainder("read.malformed_json", "text after the array")
        if self.broken:
            raise self.remainder("read.truncated", "")

    def value(self) -> tuple[Any, int]:
        """The value at `at` with its length; an invalid byte in it makes it a `ReadError`."""
        while True:
            try:
                value, end = _scan(self.text, self.at)
            except StopIteration as stop:
                bad, place = ReadError("read.malformed_json", "no value"), stop.value
            except json.JSONDecodeError as error:
                bad, place = ReadError("read.malformed_json", error.msg), error.pos
                place = len(self.text) if error.msg.startswith("Unterminated string") else place
            except (ValueError, RecursionError) as error:
                bad = _syntax(error)
                raise self.remainder(bad.cause, bad.detail) from None
            else:
                # A number at the end of the window may go on beyond it.
                if end == len(self.text) and self.more():
                    continue
                return self._taken(value, end)
            if place < len(self.text) - NEAR_END:
                raise self.remainder(bad.cause, bad.detail)
            if len(self.text) - self.at > (most := longest(self.memory)):
                enough = f"`memory: {-(-2 * self.memory // 2**30)}GiB` takes twice as much"
                why = f"a record over {most:,} bytes, a {PARSED}nd of the source's memory: {enough}"
                raise self.remainder("read.too_long", why)
            if not self.more():
                raise self.remainder("read.truncated", "the file ends inside a record")

    def _taken(self, value: Any, end: int) -> tuple[Any, int]:
        start, self.at = self.at, end
        text = self.text
        self.repaired = 0
        if self.encoding.name != UTF8:
            self.repaired = text.count(REPLACED, start, end)
        elif self.odd and not encodable(text[start:end]):
            mended, self.repaired = self.encoding.mended(text[start:end].encode(UTF8, "surrogateescape"))
            value = parse(mended)
        if text.count("[", start, end) + text.count("{", start, end) > DEPTH_LIMIT and too_deep(value):
            value = _syntax(RecursionError())
        return value, end - start

    def remainder(self, cause: str, detail: str) -> ReadError:
        """All from `at` to the end of the file as one loss; where the data broke, that is why."""
        lost = len(self.text[self.at :].encode("utf-8", "surrogateescape"))
        while not self.ended:
            try:
                data = next(self.data, None)
            except ReadError as bad:
                self.broken, data = bad, None
            self.ended = data is None
            lost += len(data or b"")
        if self.broken is None:
            return ReadError(cause, detail, lost)
        return ReadError(self.broken.cause, self.broken.detail, lost + (self.broken.bytes_lost or 0))
