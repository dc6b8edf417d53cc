"""The pages of a Parquet column, looked at as Arrow reads them: their claims are held against it.

Arrow allocates what a page's header claims and trusts its counts. `Guard` stands between Arrow and the
file: it sees every byte before Arrow does, finds the headers and fails the read where one cannot be right.
`widest` says how much one value can take: one that stands in a dictionary once may be meant a million times.

Cost: about 20 microseconds a page; for `widest` the dictionary of a column of text is unpacked once more.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from headrace.cluster.parquet import thrift
from headrace.cluster.parquet.footer import BYTE_ARRAY, Chunk, Damaged
from headrace.cluster.parquet.thrift import I32, STRUCT, Struct

DATA, INDEX, DICTIONARY, DATA_V2 = range(4)  # types of pages
DELTA_BYTE_ARRAY = 7  # a value is told by the one before it: it, too, may stand for many
ENCODINGS = 10
HEADER_LIMIT = 16 * 2**20  # bytes; Arrow's own
HEAD = 2**16  # read to find a dictionary's header
CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_NUMBERS = {
    DATA: (5, (1, 2)),  # the field with the type's own header, and numbers that must stand in it
    DICTIONARY: (7, (1, 2)),
    DATA_V2: (8, (1, 2, 3, 4, 5, 6)),
}


class File(Protocol):
    """What is read from."""

    def read(self, size: int = -1) -> bytes: ...
    def seek(self, place: int, whence: int = 0) -> int: ...


def _header(data: bytes | memoryview, at: int) -> tuple[int, int, int, Struct, int]:
    """A page's type, stored and unpacked size, its own header's fields and where its data begin.

    Raises: Damaged, thrift.Short.
    """
    try:
        fields, end = thrift.read(data, at)
        kind, unpacked, stored = (_number(fields, n) for n in (1, 2, 3))
        inner: Struct = {}
        if kind in _NUMBERS:
            number, needed = _NUMBERS[kind]
            if number not in fields or fields[number][0] != STRUCT:
                raise Damaged("a page without its header")
            inner = fields[number][1]
            for one in needed:
                _number(inner, one)
        elif kind != INDEX:
            raise Damaged("a page of no known type")
    except thrift.Short:
        raise
    except thrift.Malformed:
        raise Damaged("a page header that cannot be decoded") from None
    if min(unpacked, stored) < 0:
        raise Damaged("a page of a negative size")
    return kind, stored, unpacked, inner, end


def _number(fields: Struct, number: int) -> int:
    kind, value = fields.get(number, (0, 0))
    if kind != I32:
        raise Damaged("a page header without its numbers")
    return int(value)


class Guard:
    """A binary file for Arrow in which every page header of `chunks` is checked before Arrow has it.

    limit: bytes that a page may unpack to.
    """

    def __init__(self, file: File, chunks: Sequence[Chunk], limit: int) -> None:
        self.file = file
        self.closed = False
        self.failure: Exception | None = None  # what reading raised: a broken disk is no broken data
        self.place = 0
        self.limit = limit
        self.walks = sorted((_Walk(c, limit) for c in chunks), key=lambda w: w.chunk.start)
        self.starts = [w.chunk.start for w in self.walks]

    def read(self, size: int = -1) -> bytes:
        """Bytes from the present position on. Raises: Damaged, what reading raises."""
        try:
            self.file.seek(self.place)
            data = self.file.read(size)
        except Exception as error:
            self.failure = error
            raise
        number = bisect_right(self.starts, self.place) - 1
        if number >= 0:
            self.walks[number].see(self.place, data)
        self.place += len(data)
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        """Move; returns the new position."""
        if whence == 1:
            place += self.place
        elif whence == 2:
            place = self.file.seek(place, 2)
        self.place = place
        return place

    def tell(self) -> int:
        """The present position."""
        return self.place

    def close(self) -> None:
        """Who opened the file closes it."""
        self.closed = True

    def check(self, error: Exception) -> None:
        """Raise what reading failed with, if that is behind `error`."""
        if self.failure is not None:
            raise self.failure from error


class _Walk:
    """From header to header through the bytes of one column, as they come."""

    def __init__(self, chunk: Chunk, limit: int) -> None:
        self.chunk, self.limit = chunk, limit
        self.seen = chunk.start  # bytes before it were seen
        self.next = chunk.start  # where the next header begins
        self.held = b""  # from `next` on, where a header goes on beyond what was seen
        self.values = 0

    def see(self, start: int, data: bytes) -> None:
        """Bytes of the file from `start` on. Raises: Damaged."""
        stop = min(start + len(data), self.chunk.stop)
        if start > self.seen:
            raise Damaged("pages that are not read in their order")
        if stop <= self.seen:
            return
        fresh = memoryview(data)[self.seen - start : stop - start]
        base = self.seen - len(self.held)
        view: bytes | memoryview = self.held + bytes(fresh) if self.held else fresh
        self.seen, self.held = stop, b""
        while self.next < stop and self.values < self.chunk.values:
            try:
                end = self._page(view, self.next - base)
            except thrift.Short:
                self.held = bytes(view[self.next - base :])
                if stop == self.chunk.stop or len(self.held) > HEADER_LIMIT:
                    raise Damaged("a page header that does not end") from None
                return
            self.next = base + end

    def _page(self, view: bytes | memoryview, at: int) -> int:
        """Check the page at `at`; returns where its data end, which may lie beyond `view`."""
        kind, stored, unpacked, inner, end = _header(view, at)
        left = self.chunk.stop - self.next - (end - at)
        if stored > left:
            raise Damaged("a page that goes on beyond its column")
        if unpacked > self.limit:
            raise Damaged(f"a page that claims {unpacked} bytes")
        if self.chunk.codec == 0 and stored != unpacked:
            raise Damaged("a page of two sizes")
        if kind == DICTIONARY:
            if not 0 <= _number(inner, 1) <= unpacked:
                raise Damaged("a dictionary of more values than bytes")
        elif kind != INDEX:
            self._data(kind, stored, unpacked, inner)
        return end + stored

    def _data(self, kind: int, stored: int, unpacked: int, inner: Struct) -> None:
        values = _number(inner, 1)
        self.values += values
        encoding = _number(inner, 2 if kind == DATA else 4)
        if values < 0 or self.values > self.chunk.values:
            raise Damaged("pages of more values than their column")
        if not 0 <= encoding < ENCODINGS:
            raise Damaged("a page of no known encoding")
        if encoding == DELTA_BYTE_ARRAY and encoding not in self.chunk.encodings:
            raise Damaged("a page of an encoding that its column does not name")
        if kind == DATA_V2:
            nulls, rows, levels, repeats = (_number(inner, n) for n in (2, 3, 5, 6))
            if min(nulls, rows, levels, repeats) < 0 or max(nulls, rows) > values:
                raise Damaged("a page of more rows than values")
            if levels + repeats > min(stored, unpacked):
                raise Damaged("a page whose levels are longer than it is")


def widest(file: File, chunk: Chunk, enough: int) -> int:
    """Bytes that one value of a column can take where it need not be stored each time; 0: it is stored.

    A bound not over `enough` is not looked into further, nor a dictionary that cannot be read: the guard says
    what is wrong with it. Raises: what reading raises.
    """
    if chunk.leaf.width:
        return chunk.leaf.width
    if chunk.leaf.kind != BYTE_ARRAY:
        return 8
    if DELTA_BYTE_ARRAY in chunk.encodings:
        return chunk.size
    file.seek(chunk.start)
    data = file.read(min(HEAD, chunk.stored))
    try:
        kind, stored, unpacked, inner, end = _header(data, 0)
    except (thrift.Short, Damaged):
        return 0
    if kind != DICTIONARY:
        return 0
    if unpacked <= enough or chunk.codec not in (0, *CODECS):
        return unpacked
    if end + stored > len(data):
        data += file.read(end + stored - len(data))
    return _longest(data[end : end + stored], unpacked, chunk.codec, _number(inner, 1))


def _longest(packed: bytes, size: int, codec: int, values: int) -> int:
    """Length of the longest of the byte arrays in a dictionary."""
    data: Any = packed
    if codec:
        try:
            data = pa.decompress(packed, decompressed_size=size, codec=CODECS[codec], asbytes=True)
        except (pa.ArrowException, OSError, ValueError):
            return 0
    longest = at = 0
    for _ in range(values):
        if at + 4 > len(data):
            break
        length = int.from_bytes(data[at : at + 4], "little")
        at += 4 + length
        longest = max(longest, length)
    return min(longest, len(data))
