"""Raw records on their way from a file to rows, and why some of them could not be read."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MEMORY_LIMIT = 2**30  # bytes that reading a file may take, where the recipe says nothing else
PARSED = 32  # times its text that a record may take in memory: `{"a":1}` takes some 30 times 7 bytes
SPARE = 64 * 2**20  # bytes that stored data of any size may unpack to
EXPANSION = 1000  # and for each stored byte, which is about gzip's own most
DEPTH_LIMIT = 200  # nested lists and mappings; a bound of our own, as Python's depends on the caller


class ReadError(Exception):
    """A record, or the remainder of a file, that cannot be read.

    `cause` is one of a closed set: read.malformed_json, read.malformed_csv, read.wrong_type,
    read.wrong_columns, read.missing_field, read.unknown_role, read.bad_utf8, read.binary,
    read.truncated, read.corrupt, read.fatal, read.too_long. `detail` never holds content.
    `bytes_lost` is given for remainders: bytes that were there and cannot be used.
    """

    def __init__(self, cause: str, detail: str, bytes_lost: int | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.detail = detail
        self.bytes_lost = bytes_lost

    def __reduce__(self) -> tuple[type["ReadError"], tuple[str, str, int | None]]:
        return ReadError, (self.cause, self.detail, self.bytes_lost)


Split = Literal["file", "line", "paragraph"]


@dataclass(frozen=True)
class Manner:
    """How the text of a source's files is read: None where its files say so themselves."""

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool = True
    split: Split = "file"
    memory: int = MEMORY_LIMIT


class Turns(NamedTuple):
    """The turns of records end to end: roles string[M], contents large_string[M]; lengths int64[N]: how many
    each record has; places int64[N]: where it begins.
    """

    roles: pa.Array
    contents: pa.Array
    lengths: NDArray[np.int64]
    places: NDArray[np.int64]


@dataclass
class Batch:
    """Records in the order of the file; `records[i]` is empty where `errors` has an entry for i.

    repaired: bytes that were no text and became U+FFFD, by record. member: of an archive, the file it is of.
    turns: those of all records, where they were read as such: there is nothing in the other lists then.
    """

    unit: str  # of the places: "line", "byte", "record", "row"
    records: list[dict[str, Any]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    errors: dict[int, ReadError] = field(default_factory=dict)
    repaired: dict[int, int] = field(default_factory=dict)
    member: str = ""
    unread: tuple[str, ...] = ()  # columns of the file that were not asked for
    left_out: dict[str, int] = field(default_factory=dict)  # files of an archive that are no data, by reason
    turns: Turns | None = None

    def add(self, record: dict[str, Any] | ReadError, place: int, repaired: int = 0) -> None:
        """Append one record, or what stands for one that could not be read."""
        if repaired:
            self.repaired[len(self.records)] = repaired
        if isinstance(record, ReadError):
            self.errors[len(self.records)] = record
            record = {}
        self.records.append(record)
        self.places.append(place)


@dataclass
class Noted:
    """What reading passes by: columns that nobody looks at; files of archives that are no data, by reason."""

    unread: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)


def longest(memory: int) -> int:
    """Bytes of the longest line or record that is read where reading may take `memory` bytes."""
    return memory // PARSED


def too_long(what: str, size: int, memory: int) -> ReadError:
    """What is said of a line or record of more bytes than `longest(memory)`."""
    needed = -(-size * PARSED // 2**30)
    over = f"over {longest(memory):,}, a {PARSED}nd of the source's memory"
    return ReadError(
        "read.too_long", f"{what} of {size:,} bytes, {over}: `memory: {needed}GiB` takes it", size
    )


def too_deep(value: Any) -> bool:
    """Whether lists and mappings are nested deeper than `DEPTH_LIMIT`."""
    level = [value]
    for _ in range(DEPTH_LIMIT):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def encodable(text: str) -> bool:
    """Whether UTF-8 can hold `text`: it has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
