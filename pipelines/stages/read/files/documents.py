"""Plain text: a file a record, or a line, or a paragraph.

Cost: the disk's speed; memory of a few chunks and the largest record.
"""

from collections.abc import Iterator

from headrace.pipelines.stages.read import streams
from headrace.pipelines.stages.read.files.encodings import REPLACED, UTF8
from headrace.pipelines.stages.read.records import Batch, Manner, ReadError, longest, too_long
from headrace.pipelines.stages.read.streams import Opening

TEXT = "text"  # the one column


def text(path: str, seen: Opening, start: int, stop: int, manner: Manner) -> Iterator[Batch]:
    """Records of a text file, cut as `manner.split` says; of its lines those that begin in [start, stop)."""
    if manner.split == "file":
        yield _whole(path, seen, manner)
    elif manner.split == "line":
        yield from _lines(path, seen, start, stop, manner)
    else:
        yield from _paragraphs(path, seen, manner)


def _whole(path: str, seen: Opening, manner: Manner) -> Batch:
    """The file as one record."""
    pieces: list[bytes] = []
    size = repaired = 0
    record: dict[str, str] | ReadError
    try:
        for chunk in streams.utf8(path, seen, manner.memory):
            size += len(chunk)
            if size <= longest(manner.memory):
                pieces.append(chunk)
        if size > longest(manner.memory):
            record = too_long("a text (split: line, or paragraph, makes records of it)", size, manner.memory)
        else:
            whole, repaired = _text(b"".join(pieces), seen)
            record = {TEXT: whole.replace("\r", "\n") if seen.carriage else whole}
    except ReadError as bad:
        record = ReadError(bad.cause, bad.detail, size + (bad.bytes_lost or 0))
    batch = Batch("line")
    batch.add(record, 1, repaired)
    return batch


def _text(data: bytes, seen: Opening) -> tuple[str, int]:
    """A file's UTF-8 as text, and how many bytes of it were none."""
    if seen.encoding.name != UTF8:
        found = data.decode(UTF8, "replace")
        return found, found.count(REPLACED)
    try:
        return data.decode(), 0
    except UnicodeDecodeError:
        each = [seen.encoding.text(line) for line in data.split(b"\n")]
        return "\n".join(line for line, _ in each), sum(n for _, n in each)


def _lines(path: str, seen: Opening, start: int, stop: int, manner: Manner) -> Iterator[Batch]:
    """A line a record; blank lines are none."""
    whole = stop < 0 or not seen.cuttable
    number = 1
    for offset, block in streams.blocks(path, seen, start, stop, manner.memory):
        batch = Batch("line" if whole else "byte")
        if isinstance(block, ReadError):
            batch.add(block, number if whole else offset)
            number += 1
            yield batch
            continue
        for line in block.removesuffix(b"\n").split(b"\n"):
            if line and not line.isspace():
                found, repaired = seen.encoding.text(line)
                batch.add({TEXT: found.removesuffix("\r")}, number if whole else offset, repaired)
            number += 1
            offset += len(line) + 1
        if batch.records:
            yield batch


def _paragraphs(path: str, seen: Opening, manner: Manner) -> Iterator[Batch]:
    """What stands between blank lines, a record each."""
    batch, size = Batch("line"), 0
    for place, found, repaired in _parted(path, seen, manner):
        batch.add(found if isinstance(found, ReadError) else {TEXT: found}, place, repaired)
        size += 0 if isinstance(found, ReadError) else len(found)
        if size >= streams.CHUNK:
            yield batch
            batch, size = Batch("line"), 0
    if batch.records:
        yield batch


def _parted(path: str, seen: Opening, manner: Manner) -> Iterator[tuple[int, str | ReadError, int]]:
    """Each paragraph with the number of its first line and its bad bytes."""
    number, place, size, repaired = 1, 0, 0, 0
    held: list[str] = []

    def done() -> tuple[int, str | ReadError, int]:
        if size > longest(manner.memory):
            return place, too_long("a paragraph", size, manner.memory), 0
        return place, "\n".join(held), repaired

    for _, block in streams.blocks(path, seen, memory=manner.memory):
        lines: list[bytes | ReadError]
        lines = [block] if isinstance(block, ReadError) else [*block.removesuffix(b"\n").split(b"\n")]
        for line in lines:
            if isinstance(line, ReadError) or not line or line.isspace():
                if place:
                    yield done()
                if isinstance(line, ReadError):
                    yield number, line, 0
                held, place, size, repaired = [], 0, 0, 0
            else:
                place = place or number
                size += len(line) + 1
                if size <= longest(manner.memory):
                    found, bad = seen.encoding.text(line)
                    held.append(found.removesuffix("\r"))
                    repaired += bad
            number += 1
    if place:
        yield done()
