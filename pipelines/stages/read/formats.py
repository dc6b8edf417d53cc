"""Which format a file has, and its records as batches of mappings.

A reader is a generator of `Batch` over a byte range, a range of row groups or a whole file.
Content never makes it raise: a record that cannot be read, or the remainder of a file, is one
entry of `errors`. Memory is a few chunks and the largest record, also for a file of many GB.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Literal

from headrace.cluster import storage
from headrace.cluster.storage import Entry
from headrace.pipelines.stages.read import json_text, streams, tabular
from headrace.pipelines.stages.read.files import (
    archives,
    compressed,
    dialects,
    documents,
    encodings,
    ipc,
    mail,
    markup,
    separated,
)
from headrace.pipelines.stages.read.files.encodings import UTF8
from headrace.pipelines.stages.read.plain.lines import Asked
from headrace.pipelines.stages.read.records import MEMORY_LIMIT, Batch, Manner, ReadError
from headrace.pipelines.stages.read.streams import Opening

Format = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "text", "html", "mbox", "eml"]
SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".ldjson": "jsonl",
    ".json-seq": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
    ".rst": "text",
    ".log": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".mbox": "mbox",
    ".eml": "eml",
}
LONGEST_NAMES = 200  # characters of a line that names columns
SPACE = b" \t\r\n\x0b\x0c\x1e"
TEXT = documents.TEXT  # the one column of a plain text file
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_MAIL = re.compile(rb"From \S.*\d\s*\n[A-Za-z][A-Za-z0-9-]*: ")


def of_name(name: str) -> Format | None:
    """Format by the suffix of a file's name, under the suffix of its compression."""
    stem = compressed.stem(name)
    return next((form for suffix, form in SUFFIXES.items() if stem.endswith(suffix)), None)


def of_content(path: str) -> Format:
    """Format by a look into the file: Parquet, Arrow, JSON, HTML, a mailbox or plain text."""
    seen = streams.look(path)
    text = seen.text.lstrip(SPACE)
    if text.startswith(b"PAR1"):
        return "parquet"
    if text.startswith(ipc.MAGIC):
        return "arrow"
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        return "jsonl" if json_text.has_lines(path) else "json"
    if _HTML.match(text):
        return "html"
    return "mbox" if _MAIL.match(text) else "text"


def other(path: str, form: Format, manner: Manner) -> Format | None:
    """What a file that is read as `form` looks like; None where it does not look like anything else."""
    if form in ("parquet", "arrow"):
        return None
    found = of_content(path)
    if found == "text":
        lines = [line.decode(UTF8, "replace").rstrip("\r") for line in streams.look(path, manner).lines]
        named = bool(lines) and not set(lines[0]) & set("{}[]") and len(lines[0]) < LONGEST_NAMES
        delimiter = dialects.table(lines, ("\t", ";", "|", ",", "\x01")) if named else None
        found = "tsv" if delimiter == "\t" else "csv" if delimiter else "text"
    return None if found in ("text", form) or {found, form} == {"json", "jsonl"} else found


def read(
    path: str,
    size: int,
    form: Format | None,
    columns: list[str] | None = None,
    start: int = 0,
    stop: int = -1,
    *,
    stamp: str | None = None,
    memory: int = MEMORY_LIMIT,
    guarded: bool = False,
    manner: Manner | None = None,
    asked: Asked | None = None,
) -> Iterator[Batch]:
    """Batches of the records of a range of a file (all of it by default).

    `size`: the file's stored bytes. `form`: None: as the files of an archive have it. `columns`: the ones
    that anybody will look at (None: all). [start, stop) are bytes of a file of lines or row groups of a
    Parquet file. `stamp`: the file's as it was listed (None: any); size and stamp are compared before and
    after. `memory`: bytes that reading may take. `guarded`: this process must not end, whatever the file
    holds (the driver, which nobody starts again). `manner`: how its text is read, where the recipe says
    it. `asked`: batches of plain JSON lines may come as turns.

    Raises: SourceError (a file that is gone, or has changed), StorageError; never for content.
    """
    manner = replace(manner or Manner(), memory=memory)
    if stamp is not None:
        storage.unchanged(Entry(path, size, stamp))
    single = archives.by_name(path) is None
    if form == "parquet" and single:
        yield from tabular.parquet(path, size, columns, start, stop, memory, guarded=guarded)
    elif form == "arrow" and single:
        yield from ipc.arrow(path, size, columns, memory, guarded=guarded)
    else:
        seen = streams.look(path, manner)
        archive = archives.kind(path, seen.start)
        if archive is not None:
            # Only the range with the first byte speaks for the file: cutting changes nothing in the books.
            if not start:
                of_members = None if single else form
                yield from _members(path, size, archive, of_members, columns, guarded, manner, asked)
        else:
            yield from _text_records(path, size, form or "text", columns, start, stop, seen, manner, asked)
    if stamp is not None:
        storage.unchanged(Entry(path, size, stamp))


def _members(
    path: str,
    size: int,
    archive: archives.Archive,
    form: Format | None,
    columns: list[str] | None,
    guarded: bool,
    manner: Manner,
    asked: Asked | None,
) -> Iterator[Batch]:
    """Records of the files of an archive, each of the format that its name says, or its content."""
    left: Counter[str] = Counter()  # goes with the next batch
    for name, content in archives.members(path, size, archive, manner.memory):
        if isinstance(content, archives.LeftOut):
            left[content] += 1
            continue
        if isinstance(content, ReadError):
            batch = Batch("byte", member=name, left_out=dict(left))
            left.clear()
            batch.add(content, 0)
            yield batch
            continue
        of_member = form or of_name(name) or of_content(content)
        stored = storage.entry(content).size
        memory = manner.memory
        for batch in read(
            content, stored, of_member, columns, memory=memory, guarded=guarded, manner=manner, asked=asked
        ):
            batch.member, batch.left_out = name, dict(left)
            left.clear()
            yield batch
    if left:
        yield Batch("byte", left_out=dict(left))


def _text_records(
    path: str,
    size: int,
    form: Format,
    columns: list[str] | None,
    start: int,
    stop: int,
    seen: Opening,
    manner: Manner,
    asked: Asked | None,
) -> Iterator[Batch]:
    """Records of every format that is text."""
    problem = streams.unreadable(seen)
    if problem is None and form == "html" and path.lower().endswith((".xls", ".xlsx")):
        problem = "read.binary", "a web page under a sheet's name: open it, and save its sheets as CSV UTF-8"
    if problem is not None:
        if start == 0:
            batch = Batch("byte")
            batch.add(ReadError(*problem, size), 0)
            yield batch
    elif form in ("jsonl", "json"):
        if form == "jsonl":
            lined = not json_text.spread(seen)
        else:
            lined = not seen.text.lstrip().startswith(b"[") and json_text.has_lines(path)
        if lined:
            yield from json_text.lines(path, start, stop, seen, manner, asked)
        elif start == 0:
            yield from json_text.values(path, seen, manner)
    elif form in ("csv", "tsv"):
        yield from separated.separated(path, size, "," if form == "csv" else "\t", columns, seen, manner)
    elif form in ("mbox", "eml"):
        yield from mail.messages(path, seen, manner, mailbox=form == "mbox")
    elif form == "html":
        yield from _page(path, seen, manner)
    else:
        yield from documents.text(path, seen, start, stop, manner)


def _page(path: str, seen: Opening, manner: Manner) -> Iterator[Batch]:
    """An HTML page: one record, its text as a reader sees it."""
    named = markup.charset(seen.start[: streams.HEAD])
    if named is not None and manner.encoding is None and not seen.encoding.mark and encodings.known(named):
        seen = streams.look(path, replace(manner, encoding=named))
    for batch in islice(documents.text(path, seen, 0, -1, replace(manner, split="file")), 1):
        batch.records = [{**r, TEXT: markup.text(r[TEXT])} if TEXT in r else r for r in batch.records]
        yield batch
