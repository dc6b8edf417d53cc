"""Which format a file has, and its records as batches of mappings.

A reader is a generator of `Batch` over a byte range, a range of row groups or a whole file.
Content never makes it raise: a record that cannot be read, or the remainder of a file, is one
entry of `errors`. Memory is a few chunks and the largest record, also for a file of many GB.
"""

from collections.abc import Iterator
from typing import Literal

from headrace.cluster import storage
from headrace.cluster.storage import Entry
from headrace.pipelines.stages.read import json_text, streams, tabular
from headrace.pipelines.stages.read.records import MEMORY_LIMIT, RECORD_LIMIT, Batch, ReadError

Format = Literal["jsonl", "json", "csv", "tsv", "parquet", "text"]
SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
TEXT = "text"  # the one column of a plain text file


def of_name(name: str) -> Format | None:
    """Format by the suffix of a file's name, under the suffix of its compression."""
    stem = streams.stem(name)
    return next((form for suffix, form in SUFFIXES.items() if stem.endswith(suffix)), None)


def of_content(path: str) -> Format:
    """Format by a look into the file: Parquet, JSON or plain text."""
    head = streams.head(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"["):
        return "json"
    if head.startswith(b"{"):
        return "jsonl" if json_text.has_lines(path) else "json"
    return "text"


def read(
    path: str,
    size: int,
    form: Format,
    columns: list[str] | None = None,
    start: int = 0,
    stop: int = -1,
    *,
    stamp: str | None = None,
    memory: int = MEMORY_LIMIT,
    guarded: bool = False,
) -> Iterator[Batch]:
    """Batches of the records of a range of a file (all of it by default).

    `size`: the file's stored bytes. `columns`: the ones that anybody will look at (None: all).
    [start, stop) are bytes of a jsonl file or row groups of a Parquet file. `stamp`: the file's as it was
    listed (None: any); size and stamp are compared before and after. `memory`: bytes that reading may take.
    `guarded`: this process must not end, whatever the file holds (the driver, which nobody starts again).

    Raises: SourceError (a file that is gone, or has changed), StorageError; never for content.
    """
    if stamp is not None:
        storage.unchanged(Entry(path, size, stamp))
    if form != "parquet":
        yield from _text_records(path, size, form, columns, start, stop)
    else:
        yield from tabular.parquet(path, size, columns, start, stop, memory, guarded=guarded)
    if stamp is not None:
        storage.unchanged(Entry(path, size, stamp))


def _text_records(
    path: str, size: int, form: Format, columns: list[str] | None, start: int, stop: int
) -> Iterator[Batch]:
    """Records of every format but Parquet."""
    head = streams.head(path)
    problem = streams.unreadable(head)
    if problem is not None:
        # Only the range with the first byte speaks for the file: cutting changes nothing in the books.
        if start == 0:
            batch = Batch("byte")
            batch.add(ReadError(*problem, size), 0)
            yield batch
    elif form == "jsonl":
        yield from json_text.lines(path, start, stop)
    elif form == "json":
        lined = not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") and json_text.has_lines(path)
        yield from json_text.lines(path) if lined else json_text.values(path)
    elif form == "text":
        yield _text(path)
    else:
        yield from tabular.separated(path, size, "," if form == "csv" else "\t", columns)


def _text(path: str) -> Batch:
    """A plain text file: one record."""
    pieces: list[bytes] = []
    size = 0
    record: dict[str, str] | ReadError
    try:
        for chunk in streams.without_bom(streams.chunks(path)):
            size += len(chunk)
            if size <= RECORD_LIMIT:
                pieces.append(chunk)
        if size > RECORD_LIMIT:
            record = ReadError("read.too_long", f"a text of {size} bytes", size)
        else:
            record = {TEXT: b"".join(pieces).decode()}
    except UnicodeDecodeError as error:
        record = ReadError("read.bad_utf8", f"invalid UTF-8 at byte {error.start + 1}", size)
    except ReadError as bad:
        record = ReadError(bad.cause, bad.detail, size + (bad.bytes_lost or 0))
    batch = Batch("line")
    batch.add(record, 1)
    return batch
