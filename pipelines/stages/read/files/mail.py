"""Messages of e-mail: `.eml` files, and mailboxes (`mbox`) with one after the other.

A message is a record: `text` (its plain text, or its HTML's), `subject`, `from`, `to`, `date` (ISO 8601),
`id`, and `thread`, the id of the message that the conversation began with, to `group_by`. Attachments are
left out.

Cost: ~10 MB/s a core (`email` of Python); memory of one message.
"""

import email
import re
from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any

from headrace.pipelines.stages.read import streams
from headrace.pipelines.stages.read.files import markup
from headrace.pipelines.stages.read.records import Batch, Manner, ReadError, longest, too_long
from headrace.pipelines.stages.read.streams import Opening

BATCH_BYTES = 2**20
COLUMNS = ("text", "subject", "from", "to", "date", "id", "thread")
_FROM = re.compile(rb"From \S.*\d")  # the line that begins a message of a mailbox
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_ID = re.compile(r"<[^<>\s]+>")


def messages(path: str, seen: Opening, manner: Manner, *, mailbox: bool) -> Iterator[Batch]:
    """The messages of a file, each a record; place: the line where it begins.

    Raises: SourceError, StorageError.
    """
    batch, size = Batch("line"), 0
    each = _of_mailbox(path, manner) if mailbox else _whole(path, manner)
    for place, raw in each:
        batch.add(raw if isinstance(raw, ReadError) else record(raw), place)
        size += 0 if isinstance(raw, ReadError) else len(raw)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = Batch("line"), 0
    if batch.records:
        yield batch


def _whole(path: str, manner: Manner) -> Iterator[tuple[int, bytes | ReadError]]:
    pieces, size = [], 0
    try:
        for chunk in streams.chunks(path, memory=manner.memory):
            size += len(chunk)
            pieces += [chunk] if size <= longest(manner.memory) else []
    except ReadError as bad:
        yield 1, ReadError(bad.cause, bad.detail, size + (bad.bytes_lost or 0))
        return
    whole = size <= longest(manner.memory)
    yield 1, b"".join(pieces) if whole else too_long("a message", size, manner.memory)


def _of_mailbox(path: str, manner: Manner) -> Iterator[tuple[int, bytes | ReadError]]:
    """Messages between the lines that begin with "From " and follow an empty one."""
    begun: list[bytes] = []
    size, place, blank = 0, 0, True
    for number, line in _lines(path, manner):
        if isinstance(line, ReadError) or (blank and _FROM.match(line)):
            if place:
                yield place, _joined(begun, size, manner)
            begun, size, place = [], 0, number
            if isinstance(line, ReadError):
                yield number, line
                place = 0
            blank = False
            continue
        blank = not line.strip()
        if not place and not blank:
            place = number
        size += len(line)
        begun += [line] if size <= longest(manner.memory) else []
    if place:
        yield place, _joined(begun, size, manner)


def _lines(path: str, manner: Manner) -> Iterator[tuple[int, bytes | ReadError]]:
    number = 1
    for _, block in streams.lines(streams.chunks(path, memory=manner.memory), memory=manner.memory):
        if isinstance(block, ReadError):
            yield number, block
            number += 1
            continue
        for line in (
            block.splitlines(keepends=True) if b"\r" not in block else re.findall(rb"[^\n]*\n|[^\n]+$", block)
        ):
            yield number, line
            number += 1


def _joined(lines: list[bytes], size: int, manner: Manner) -> bytes | ReadError:
    if size > longest(manner.memory):
        return too_long("a message", size, manner.memory)
    whole = _QUOTED.sub(rb"\1", b"".join(lines))
    # A mailbox parts its messages by a blank line.
    return whole.removesuffix(b"\n") if whole.endswith(b"\n\n") else whole


def record(raw: bytes) -> dict[str, Any] | ReadError:
    """One message as a record, or why it is none."""
    try:
        message = email.message_from_bytes(raw, policy=default)
        body = message.get_body(("plain", "html"))
        content = "" if body is None else body.get_content()
        if body is not None and body.get_content_type() == "text/html":
            content = markup.text(content)
        fields = {name: _header(message, name) for name in ("subject", "from", "to")}
    except Exception:  # noqa: BLE001 - whatever a header, a charset or a part makes Python raise
        return ReadError("read.corrupt", "a message that cannot be decoded", len(raw))
    if not any(message.keys()):
        return ReadError("read.wrong_type", "no message: it has no header", len(raw))
    ids = _ID.findall(f"{message.get('References', '')} {message.get('In-Reply-To', '')}")
    own = next(iter(_ID.findall(str(message.get("Message-ID", "")))), None)
    text = content.replace("\r\n", "\n") if isinstance(content, str) else ""
    more = {"date": _date(message), "id": own, "thread": ids[0] if ids else own}
    return {"text": text, **fields, **more}


def _header(message: EmailMessage, name: str) -> str | None:
    value = message.get(name)
    return None if value is None else str(value)


def _date(message: EmailMessage) -> str | None:
    found = getattr(message.get("date"), "datetime", None)
    return found.isoformat() if isinstance(found, datetime) else None
