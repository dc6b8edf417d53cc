"""Records of one file, whatever its format, as batches of mappings.

A reader is a generator of `Batch` over a byte range, a range of row groups or a whole file.
Content never makes it raise: a record that cannot be read, or the remainder of a file, is one
entry of `errors`. Memory is a few chunks (and the largest record), also for a file of many GB.

Causes (a closed set): read.malformed_json, read.malformed_csv, read.wrong_type,
read.wrong_columns, read.missing_field, read.unknown_role, read.bad_utf8, read.utf16, read.binary,
read.truncated, read.corrupt, read.too_long.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines import streams
from pipelines.streams import ReadError

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
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # half the cost of json.loads


@dataclass
class Batch:
    """Records in the order of the file; `records[i]` is empty where `errors` has an entry for i."""

    unit: str  # of the places: "line", "byte", "record", "row"
    records: list[dict[str, Any]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    errors: dict[int, ReadError] = field(default_factory=dict)

    def add(self, record: dict[str, Any] | ReadError, place: int) -> None:
        """Append one record, or what stands for one that could not be read."""
        if isinstance(record, ReadError):
            self.errors[len(self.records)] = record
            record = {}
        self.records.append(record)
        self.places.append(place)


def of_name(name: str) -> Format | None:
    """Format by the suffix of a file's name, under the suffix of its compression."""
    stem = streams.stem(name)
    return next((form for suffix, form in SUFFIXES.items() if stem.endswith(suffix)), None)


def read(
    path: str, size: int, form: Format, columns: list[str], start: int = 0, stop: int = -1
) -> Iterator[Batch]:
    """Batches of the records of a range of a file (all of it by default).

    `columns` are the ones that anybody will look at: a reader may leave out others. `size` is the
    file's stored size in bytes. Raises: SourceError, StorageError; never for content.
    """
    if form == "jsonl":
        yield from _text_guard(path, size, start, lambda: _jsonl(path, start, stop))


def _text_guard(path: str, size: int, start: int, reader: Any) -> Iterator[Batch]:
    """One quarantined record in place of a file that is no text at all; else what `reader` gives.

    Only the range with the file's first byte speaks for the file, so that its cutting changes
    nothing in the books.
    """
    problem = streams.unreadable(streams.head(path))
    if problem is None:
        yield from reader()
    elif start == 0:
        batch = Batch("byte")
        batch.add(ReadError(*problem, size), 0)
        yield batch


def _jsonl(path: str, start: int, stop: int) -> Iterator[Batch]:
    """A record a line; blank lines are none."""
    whole = stop < 0
    data = streams.chunks(path, max(start - 1, 0))
    blocks = streams.lines(streams.without_bom(data) if start == 0 else data, start, stop)
    number = 1
    for offset, block in blocks:
        batch = Batch("line" if whole else "byte")
        if isinstance(block, ReadError):
            batch.add(block, number if whole else offset)
            number += 1
        else:
            raw = block.split(b"\n")
            _parse_lines(batch, raw, _numbers(number) if whole else _offsets(raw, offset))
            number += len(raw) - 1
        if batch.records:
            yield batch


def _numbers(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def _offsets(raw: list[bytes], offset: int) -> Iterator[int]:
    for line in raw:
        yield offset
        offset += len(line) + 1


def _parse_lines(batch: Batch, raw: list[bytes], places: Iterable[int]) -> None:
    for line, place in zip(raw, places, strict=False):
        if not line or line.isspace():
            continue
        try:
            text = line.decode()
            value, end = _scan(text, 0)
            if end < len(text) and not text[end:].isspace():
                value = ReadError("read.malformed_json", f"text after the value, at character {end + 1}")
        except (ValueError, StopIteration, RecursionError):
            value = parse(line)
        if type(value) is dict:
            batch.records.append(value)
            batch.places.append(place)
        else:
            batch.add(_not_a_mapping(value), place)


def parse(line: bytes) -> Any:
    """One JSON value, or the `ReadError` that says why it is none."""
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        return ReadError("read.bad_utf8", f"invalid UTF-8 at byte {error.start + 1} of the record")
    except json.JSONDecodeError as error:
        return ReadError("read.malformed_json", f"{error.msg}, at character {error.pos + 1}")
    except RecursionError:
        return ReadError("read.malformed_json", "nested too deeply")
    except ValueError:  # an integer of more digits than Python converts
        return ReadError("read.malformed_json", "a number that is too long")


def _not_a_mapping(value: Any) -> ReadError:
    if isinstance(value, ReadError):
        return value
    return ReadError("read.wrong_type", f"a record that is a JSON {_kind(value)}, not an object")


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
