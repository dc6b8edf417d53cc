"""CSV and TSV: records under named columns, in whatever dialect they are written.

Files follow RFC 4180, with the delimiter, quotes and escapes that `dialects` tells or the recipe names:
the first record names the columns, a quoted field may hold delimiters and newlines. A stray quote costs
the line in which it stands, not all up to the next quote: the lines after it are read again.

Cost: 50 to 100 MB/s a core; memory of a few batches.
"""

import csv
from collections.abc import Iterator
from itertools import chain, islice

from headrace.pipelines.stages.read import streams
from headrace.pipelines.stages.read.files import dialects
from headrace.pipelines.stages.read.files.encodings import UTF8, Encoding
from headrace.pipelines.stages.read.records import Batch, Manner, ReadError, longest
from headrace.pipelines.stages.read.streams import Opening
from headrace.pipelines.stages.read.turns.paths import is_value

BATCH_BYTES = 2**20
MOST_ROWS = 4096

Rows = Iterator[tuple[int, list[str] | ReadError, int]]  # place, fields, bad bytes


class _Lines:
    """Lines for the CSV parser, which can be given back."""

    def __init__(self, blocks: Iterator[tuple[int, bytes | ReadError]], encoding: Encoding) -> None:
        self.encoding = encoding
        self.repaired: dict[int, int] = {}  # bytes that were no text, by number of their line
        self.fresh = self._decoded(blocks)
        self.again: list[str | ReadError] = []  # given back, the next one last
        self.taken: list[str] = []  # of the present record
        self.number = 1  # of the first line in `taken`

    def _decoded(self, blocks: Iterator[tuple[int, bytes | ReadError]]) -> Iterator[str | ReadError]:
        """Lines as text."""
        number = 1
        for _, block in blocks:
            if isinstance(block, ReadError):
                yield block
                number += 1
                continue
            # Not splitlines: it also breaks at characters that are no line ends in CSV.
            pieces, bad = self._pieces(block)
            self.repaired |= {number + i: n for i, n in bad.items()}
            number += len(pieces) - 1
            for piece in pieces[:-1]:
                yield piece + "\n"
            if pieces[-1]:
                yield pieces[-1]

    def _pieces(self, block: bytes) -> tuple[list[str], dict[int, int]]:
        """The lines of a block, and the bytes replaced in them by the line's place."""
        try:
            text = block.decode() if self.encoding.name == UTF8 else ""
            repaired = 0
            if self.encoding.name != UTF8:
                text, repaired = self.encoding.text(block)
        except UnicodeDecodeError:
            repaired = 1
        if not repaired:
            return text.split("\n"), {}
        each = [self.encoding.text(line) for line in block.split(b"\n")]
        return [text for text, _ in each], {i: n for i, (_, n) in enumerate(each) if n}

    def bad(self) -> int:
        """Bytes replaced in the present record."""
        if not self.repaired:
            return 0
        return sum(self.repaired.get(self.number + i, 0) for i in range(len(self.taken)))

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.again.pop() if self.again else next(self.fresh)
        if isinstance(line, ReadError):
            if self.taken:  # it comes again when the record that it cuts off is dealt with
                self.again.append(line)
                raise csv.Error("unexpected end of data")
            raise line
        self.taken.append(line)
        return line

    def advance(self) -> None:
        """The present record is done."""
        self.number += len(self.taken)
        self.taken = []

    def back_up(self) -> None:
        """Only the first line of the present record is done; the others come again."""
        self.again.extend(reversed(self.taken[1:]))
        del self.taken[1:]
        self.advance()


def separated(
    path: str, size: int, usual: str, columns: list[str] | None, seen: Opening, manner: Manner
) -> Iterator[Batch]:
    """Records of a CSV (`usual` delimiter `,`) or TSV (tab) file of `size` bytes.

    columns: only these of them; None: all.
    """
    csv.field_size_limit(longest(manner.memory))
    dialect = dialect_of(seen, usual, manner)
    feed = _Lines(streams.blocks(path, seen, memory=manner.memory), seen.encoding)
    for _ in islice(feed, int(dialect.named)):
        feed.advance()
    rows = _rows(feed, dialect)
    place, header, bad = next(rows, (0, [], 0))
    batch = Batch("line")
    if isinstance(header, ReadError):
        # Without its header nothing of the file can be told apart.
        detail = f"the first line, which names the columns: {header.detail}"
        batch.add(ReadError(header.cause, detail, size), place)
        yield batch
        return
    names = unique(header) if manner.header else [f"column {n}" for n in range(1, len(header) + 1)]
    if not manner.header and header:
        rows = chain([(place, header, bad)], rows)
    told = manner.header and not any(map(is_value, header))  # else a record that stands there again is one
    yield from _batches(rows, names, columns, header if told else [])


def _batches(rows: Rows, names: list[str], columns: list[str] | None, header: list[str]) -> Iterator[Batch]:
    picked = [(name, i) for i, name in enumerate(names) if columns is None or name in columns]
    unread = tuple(name for name in names if columns is not None and name not in columns)
    batch, filled = Batch("line", unread=unread), 0
    for place, row, bad in rows:
        if isinstance(row, ReadError):
            batch.add(row, place, bad)
        elif len(row) != len(names):
            problem = f"{len(row)} columns where the header names {len(names)}"
            batch.add(ReadError("read.wrong_columns", problem), place, bad)
        elif row == header:
            batch.add(
                ReadError("read.wrong_columns", "the line of names again, as of tables put together"), place
            )
        else:
            if bad:
                batch.repaired[len(batch.records)] = bad
            batch.records.append({name: row[i] for name, i in picked})
            batch.places.append(place)
            filled += sum(map(len, row))
        if filled >= BATCH_BYTES or len(batch.records) >= MOST_ROWS:
            yield batch
            batch, filled = Batch("line", unread=unread), 0
    if batch.records:
        yield batch


def dialect_of(seen: Opening, usual: str, manner: Manner) -> dialects.Dialect:
    """The dialect of a file that was looked at."""
    lines = [line.decode(UTF8, "replace").removesuffix("\r") for line in seen.lines]
    return dialects.of(lines, usual, manner, ended=len(seen.start) < streams.START)


def unique(header: list[str]) -> list[str]:
    """Names of columns, each another.

    One without a name is called by its place, one that is there twice by both.
    """
    names: list[str] = []
    for n, name in enumerate(header, 1):
        own = name if name.strip() else f"column {n}"
        names.append(own if own not in names else f"{own} (column {n})")
    return names


def _rows(feed: _Lines, dialect: dialects.Dialect) -> Rows:
    """Each record with the number of its first line and its bad bytes; blank lines are none."""
    reader = dialect.reader(feed)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except ReadError as bad:
            yield feed.number, bad, 0
            feed.number += 1
            continue
        except csv.Error as error:
            place = feed.number
            feed.back_up()
            yield place, ReadError("read.malformed_csv", str(error)), 0
            continue
        place, repaired = feed.number, feed.bad()
        feed.advance()
        if row:
            yield place, row, repaired
