"""CSV, TSV and Parquet: records under named columns.

CSV and TSV follow RFC 4180: the first record names the columns, a quoted field may hold delimiters
and newlines. A stray quote costs the line in which it stands, not all up to the next quote: the
lines after it are read again. A Parquet row group that cannot be decoded costs that row group.

Cost: CSV 50 to 100 MB/s, Parquet 100 MB/s and more of text a core; memory of a few batches.
"""

import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines.stages.read import streams
from headrace.pipelines.stages.read.records import (
    DEPTH_LIMIT,
    RECORD_LIMIT,
    Batch,
    ReadError,
    encodable,
    too_deep,
)

BATCH_BYTES = 2**20
MOST_ROWS = 4096


class _Lines:
    """Lines for the CSV parser, which can be given back."""

    def __init__(self, blocks: Iterator[tuple[int, bytes | ReadError]]) -> None:
        self.fresh = self._decoded(blocks)
        self.again: list[str | ReadError] = []  # given back, the next one last
        self.taken: list[str] = []  # of the present record
        self.number = 1  # of the first line in `taken`
        self.odd = False  # whether there was an invalid byte so far

    def _decoded(self, blocks: Iterator[tuple[int, bytes | ReadError]]) -> Iterator[str | ReadError]:
        """Lines as text, with invalid bytes as lone surrogates."""
        for _, block in blocks:
            if isinstance(block, ReadError):
                yield block
                continue
            text = block.decode("utf-8", "surrogateescape")
            self.odd = self.odd or not encodable(text)
            # Not splitlines: it also breaks at characters that are no line ends in CSV.
            pieces = text.split("\n")
            for piece in pieces[:-1]:
                yield piece + "\n"
            if pieces[-1]:
                yield pieces[-1]

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


def separated(path: str, size: int, delimiter: str, columns: list[str] | None) -> Iterator[Batch]:
    """Records of a CSV (`,`) or TSV (tab) file of `size` bytes, of their `columns` only (None: all)."""
    csv.field_size_limit(RECORD_LIMIT)
    feed = _Lines(streams.lines(streams.without_bom(streams.chunks(path))))
    rows = _rows(feed, csv.reader(feed, delimiter=delimiter, strict=True))
    place, header = next(rows, (0, []))
    batch = Batch("line")
    if isinstance(header, ReadError):
        # Without its header nothing of the file can be told apart.
        detail = f"the first line, which names the columns: {header.detail}"
        batch.add(ReadError(header.cause, detail, size), place)
        yield batch
        return
    picked = [(name, i) for i, name in enumerate(header) if columns is None or name in columns]
    filled = 0
    for place, row in rows:
        if isinstance(row, ReadError):
            batch.add(row, place)
        elif len(row) != len(header):
            problem = f"{len(row)} columns where the header names {len(header)}"
            batch.add(ReadError("read.wrong_columns", problem), place)
        else:
            batch.records.append({name: row[i] for name, i in picked})
            batch.places.append(place)
            filled += sum(map(len, row))
        if filled >= BATCH_BYTES or len(batch.records) >= MOST_ROWS:
            yield batch
            batch, filled = Batch("line"), 0
    if batch.records:
        yield batch


def _rows(feed: _Lines, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str] | ReadError]]:
    """Each record with the number of its first line; blank lines are none."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except ReadError as bad:
            yield feed.number, bad
            feed.number += 1
            continue
        except csv.Error as error:
            place = feed.number
            feed.back_up()
            yield place, ReadError("read.malformed_csv", str(error))
            continue
        place = feed.number
        feed.advance()
        if row and feed.odd and not all(map(encodable, row)):
            yield place, ReadError("read.bad_utf8", "invalid UTF-8 in the record")
        elif row:
            yield place, row


def parquet(path: str, size: int, columns: list[str] | None, start: int, stop: int) -> Iterator[Batch]:
    """Records of row groups [start, stop) of a Parquet file, of their `columns` only (None: all)."""
    with _opened(path) as (file, broken):
        if broken is not None:
            batch = Batch("byte")
            batch.add(ReadError(broken.cause, broken.detail, size), 0)
            yield batch
            return
        try:
            table = pq.ParquetFile(file, buffer_size=BATCH_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            file.check(error)
            batch = Batch("byte")
            batch.add(_no_parquet(file, size), 0)
            yield batch
            return
        groups = table.metadata.num_row_groups
        first = sum(table.metadata.row_group(i).num_rows for i in range(start))
        for group in range(start, groups if stop < 0 else stop):
            yield from _row_group(file, table, group, first, columns)
            first += table.metadata.row_group(group).num_rows


class _Watched:
    """A binary file that remembers that reading it failed, to tell a broken disk from broken data."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.failure: Exception | None = None
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Bytes from the present position on."""
        try:
            return self.file.read(size)
        except Exception as error:
            self.failure = error
            raise

    def seek(self, place: int, whence: int = 0) -> int:
        """Move; returns the new position."""
        return self.file.seek(place, whence)

    def tell(self) -> int:
        """The present position."""
        return self.file.tell()

    def close(self) -> None:
        """Who opened the file closes it."""
        self.closed = True

    def check(self, error: Exception) -> None:
        """Raise what reading failed with, if that is behind `error`."""
        if self.failure is not None:
            raise self.failure from error


@contextmanager
def _opened(path: str) -> Iterator[tuple[_Watched, ReadError | None]]:
    """A seekable Parquet file; one that is compressed as a whole is unpacked to a temporary first."""
    if streams.compression(path) is None:
        try:
            with storage.explained(path, "read"), storage.open_input(path) as file:
                yield _Watched(file), None
        except FileNotFoundError as error:
            raise SourceError(
                f"{path} was there when the run began and is gone; start the run again"
            ) from error
        return
    with tempfile.TemporaryFile() as unpacked:
        broken = None
        try:
            for chunk in streams.chunks(path):
                unpacked.write(chunk)
        except ReadError as bad:
            broken = bad
        unpacked.seek(0)
        yield _Watched(cast(IO[bytes], unpacked)), broken


def _no_parquet(file: _Watched, size: int) -> ReadError:
    """Why a file does not open as Parquet."""
    file.seek(0)
    if file.read(4) == b"PAR1":
        return ReadError("read.truncated", "the Parquet file has no readable footer", size)
    return ReadError("read.binary", "not a Parquet file", size)


def _row_group(
    file: _Watched, table: pq.ParquetFile, group: int, first: int, columns: list[str] | None
) -> Iterator[Batch]:
    """Records of one row group; what cannot be decoded of it is one quarantined record."""
    about = table.metadata.row_group(group)
    names = table.schema_arrow.names
    picked = [c for c in names if columns is None or c in columns]
    size = max(about.total_byte_size // max(about.num_rows, 1), 1)
    number = 0
    try:
        if not picked:
            yield Batch(
                "row", [{} for _ in range(about.num_rows)], [*range(first + 1, first + about.num_rows + 1)]
            )
            return
        for batch in table.iter_batches(
            batch_size=max(1, min(BATCH_BYTES // size, MOST_ROWS)),
            row_groups=[group],
            columns=picked,
            use_threads=False,
        ):
            yield _records(batch, first + number)
            number += batch.num_rows
    except (pa.ArrowException, OSError):
        stored = sum(about.column(c).total_compressed_size for c in range(about.num_columns))
        lost = stored * (about.num_rows - number) // max(about.num_rows, 1)
        batch = Batch("row")
        batch.add(
            ReadError("read.corrupt", f"row group {group + 1} cannot be decoded", lost), first + number + 1
        )
        yield batch


def _records(batch: pa.RecordBatch, first: int) -> Batch:
    """Rows of an Arrow batch as mappings."""
    errors: dict[int, ReadError] = {}
    columns = [_values(column, errors) for column in batch.columns]
    names = batch.schema.names
    records: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if any(pa.types.is_nested(column.type) for column in batch.columns):
        for i, record in enumerate(records):
            if too_deep(record):
                errors[i] = ReadError("read.wrong_type", f"nested deeper than {DEPTH_LIMIT} levels")
    for i in errors:
        records[i] = {}
    return Batch("row", records, [*range(first + 1, first + len(records) + 1)], errors)


def _values(column: pa.Array, errors: dict[int, ReadError]) -> list[Any]:
    """A column as Python values; a value that is none goes to `errors` under its row."""
    try:
        return cast(list[Any], column.to_pylist())
    except (pa.ArrowException, ValueError, OverflowError):
        values: list[Any] = []
        for i, value in enumerate(column):
            try:
                values.append(value.as_py())
            except UnicodeDecodeError:
                errors[i] = ReadError("read.bad_utf8", "invalid UTF-8 in the record")
                values.append(None)
            except (pa.ArrowException, ValueError, OverflowError):
                errors[i] = ReadError("read.wrong_type", "a value beyond what can be told as text")
                values.append(None)
        return values
