"""Bytes of one input file: opened, decompressed, looked at, cut into whole lines.

Everything is a generator over chunks, so that memory is a few chunks whatever the file's size and
however much a compressed file grows. What cannot be read ends the generator with `ReadError`, after all
that could be read before it.

Cost: plain files at the disk's speed; gz ~300 MB and zst ~800 MB of text a second a core.
"""

import codecs
import zlib
from collections.abc import Iterator

import zstandard

from headrace.cluster import storage
from headrace.pipelines.stages.read.records import EXPANSION, RECORD_LIMIT, SPARE, ReadError

CHUNK = 2**20
ZSTD_INPUT = 2**10  # a block of a few bytes may stand for 128 KiB: this bounds one step to ~32 MiB
HEAD = 4096
MAGIC = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"%PDF-": "PDF",
    b"\x7fELF": "ELF",
}
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def compression(name: str) -> str | None:
    """ "gz", "zst" or None, by the suffix of a file's name."""
    lower = name.lower()
    if lower.endswith(".gz"):
        return "gz"
    return "zst" if lower.endswith((".zst", ".zstd")) else None


def stem(name: str) -> str:
    """`name` in lower case without the suffix of its compression."""
    lower = name.lower()
    return lower.rsplit(".", 1)[0] if compression(lower) else lower


def chunks(path: str, start: int = 0) -> Iterator[bytes]:
    """Text bytes of a file from byte `start` (of a plain file), decompressed by its suffix.

    Raises: ReadError at the place where the compressed data end or break, SourceError, StorageError.
    """
    try:
        with storage.explained(path, "read"), storage.open_input(path) as file:
            if start:
                file.seek(start)
            stored = iter(lambda: file.read(CHUNK), b"")
            kind = compression(path)
            yield from _inflated(stored) if kind == "gz" else _unzstd(stored) if kind == "zst" else stored
    except FileNotFoundError as error:
        raise storage.gone(path) from error


def _inflated(stored: Iterator[bytes]) -> Iterator[bytes]:
    """gzip members one after the other; zero padding after the last is allowed."""
    member = zlib.decompressobj(31)
    fresh = True  # no byte of the present member has been read
    for data in stored:
        while data:
            if fresh and not data.strip(b"\0"):
                break
            fresh = False
            try:
                out = member.decompress(data, CHUNK)
            except zlib.error:
                raise ReadError(
                    "read.corrupt", "damaged gzip data", len(data) + sum(map(len, stored))
                ) from None
            if out:
                yield out
            data = member.unconsumed_tail
            if member.eof:
                data, member, fresh = member.unused_data, zlib.decompressobj(31), True
    # What the last step held back because of the bound on its output.
    while not fresh and (out := member.decompress(b"", CHUNK)):
        yield out
    if not fresh and not member.eof:
        raise ReadError("read.truncated", "the gzip data end too early", 0)


def _unzstd(stored: Iterator[bytes]) -> Iterator[bytes]:
    """zstd frames one after the other."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    fresh = True
    taken = given = 0
    for data in stored:
        place = 0
        while place < len(data):
            piece = data[place : place + ZSTD_INPUT]
            place += len(piece)
            fresh = False
            try:
                out = frame.decompress(piece)
            except zstandard.ZstdError:
                lost = len(piece) + len(data) - place + sum(map(len, stored))
                raise ReadError("read.corrupt", "damaged zstd data", lost) from None
            taken, given = taken + len(piece), given + len(out)
            if given > max(SPARE, EXPANSION * taken):
                lost = len(data) - place + sum(map(len, stored))
                raise ReadError(
                    "read.corrupt", f"unpacks to more than {EXPANSION} times its stored bytes", lost
                )
            if out:
                yield out
            if frame.eof:
                place -= len(frame.unused_data)
                frame, fresh = zstandard.ZstdDecompressor().decompressobj(), True
    if not fresh:
        raise ReadError("read.truncated", "the zstd data end too early", 0)


def head(path: str) -> bytes:
    """The first bytes of text of a file; what cannot be decompressed is empty. Raises: SourceError."""
    got = b""
    try:
        for chunk in chunks(path):
            got += chunk
            if len(got) >= HEAD:
                break
    except ReadError:
        pass
    return got[:HEAD]


def unreadable(start: bytes) -> tuple[str, str] | None:
    """Cause and detail where the beginning of a file shows that it is no UTF-8 text at all."""
    if start.startswith(UTF16):
        return "read.utf16", "UTF-16 text; convert the file to UTF-8"
    for magic, kind in MAGIC.items():
        if start.startswith(magic):
            return "read.binary", f"{kind} data under another name"
    if b"\0" in start:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(start)
        except UnicodeDecodeError:
            return "read.binary", "binary data"
    return None


def without_bom(data: Iterator[bytes]) -> Iterator[bytes]:
    """`data` without a UTF-8 byte order mark at its beginning."""
    first = b""
    for chunk in data:
        first += chunk
        if len(first) >= len(codecs.BOM_UTF8):
            break
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from data


def lines(data: Iterator[bytes], start: int = 0, stop: int = -1) -> Iterator[tuple[int, bytes | ReadError]]:
    """Blocks of whole lines that begin in bytes [start, stop), each with the offset of its first byte.

    `data` are the file's bytes from `start - 1` on (from 0 where `start` is 0), so that a line that
    begins at `start` is told from one that only passes it. A line over `RECORD_LIMIT`, or what
    could not be read, comes as `ReadError` with the offset where it begins.
    """
    position = max(start - 1, 0)
    held = b""
    skipping = start > 0  # inside a line that belongs to the range before
    too_long = 0  # bytes so far of a line that is being skipped
    try:
        for chunk in data:
            if skipping or too_long:
                end = chunk.find(b"\n") + 1
                too_long += (end or len(chunk)) if too_long else 0
                if not end:
                    position += 0 if too_long else len(chunk)
                    continue
                if too_long:
                    yield position, ReadError("read.too_long", f"a line of {too_long} bytes", too_long)
                position += too_long or end
                skipping, too_long, chunk = False, 0, chunk[end:]
            if 0 <= stop <= position:
                return
            held += chunk
            # A newline at or after this index ends the last line of the range.
            last = held.find(b"\n", max(stop - position - 1, 0)) + 1 if stop >= 0 else 0
            end = last or held.rfind(b"\n") + 1
            if end:
                yield position, held[:end]
                position, held = position + end, held[end:]
            if last:
                return
            if len(held) > RECORD_LIMIT:
                too_long, held = len(held), b""
    except ReadError as bad:
        lost = (bad.bytes_lost or 0) + len(held) + too_long
        yield position, ReadError(bad.cause, bad.detail, lost)
        return
    if too_long:
        yield position, ReadError("read.too_long", f"a line of {too_long} bytes", too_long)
    elif held and not skipping:
        yield position, held
