"""Archives: zip and tar, also compressed, and the files in them.

Each file is unpacked to a temporary one of this machine and read as any other; its path in the archive is
only a name. What is no data by its name (`leftout`) is passed over. A member that cannot be read costs
itself; where an archive breaks off, the remainder is one record. An archive within an archive is not
opened.

Cost: a copy of each file on the local disk; memory of a few chunks.
"""

import errno
import io
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Literal

from headrace.cluster import storage
from headrace.pipelines.stages.read import streams
from headrace.pipelines.stages.read.files import compressed, leftout
from headrace.pipelines.stages.read.records import EXPANSION, MEMORY_LIMIT, SPARE, ReadError, longest

Archive = Literal["zip", "tar"]

BLOCK = 512  # of a tar
END, WIDE_END = b"PK\x05\x06", b"PK\x06\x06"  # the last record of a zip, and of a large one
LONGEST_END = 2**16 + 200  # bytes of both, with a comment
TAR = (257, b"ustar")  # where a header says what it is
DOCUMENTS = (
    "[Content_Types].xml",
    "mimetype",
)  # in zips that are documents: Office's, OpenDocument's, EPUB's
OFFICE = (".xlsx", ".xlsm", ".docx", ".pptx", ".ods", ".odt", ".odp", ".epub")


class LeftOut(str):
    """Why a file of an archive is no data by its name."""

    __slots__ = ()


# Its name, and the path of its content, or why there is none.
Member = tuple[str, str | ReadError | LeftOut]


def by_name(name: str) -> Archive | None:
    """The kind of archive by a file's name."""
    bare = compressed.stem(name)
    return "tar" if bare.endswith(".tar") else "zip" if bare.endswith(".zip") else None


def kind(name: str, start: bytes) -> Archive | None:
    """The kind of archive by a file's first bytes, unpacked; its name decides where they say nothing."""
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start[TAR[0] : TAR[0] + len(TAR[1])] == TAR[1] or (by_name(name) == "tar" and start):
        return "tar"
    return "zip" if by_name(name) == "zip" and start else None


def members(path: str, size: int, archive: Archive, memory: int) -> Iterator[Member]:
    """The files of an archive of `size` stored bytes, in their order; a path is good until the next one.

    Raises: SourceError, StorageError; never for content.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        each = _zipped(path, size, folder) if archive == "zip" else _tarred(path, folder, memory)
        for name, content in each:
            inner = by_name(name)
            if type(content) is str and inner is not None:
                content = ReadError("read.binary", "an archive within an archive: unpack the outer one", None)
            yield name, content


def _zipped(path: str, size: int, folder: str) -> Iterator[Member]:
    """Members of a zip. All of them together are bounded by its size: entries may share their bytes."""
    try:
        with storage.explained(path, "read"), storage.open_input(path) as file:
            if path.lower().endswith(OFFICE):
                yield "", ReadError("read.binary", _document([path]), size)
                return
            try:
                archive = zipfile.ZipFile(file)
            except DAMAGE as error:
                _unless_storage(error)
                cause = "read.truncated" if "not a zip" in str(error) else "read.corrupt"
                yield "", ReadError(cause, "a zip archive whose table of contents cannot be read", size)
                return
            names = archive.namelist()
            document = next((n for n in DOCUMENTS if n in names), None)
            if document is not None:
                yield "", ReadError("read.binary", _document(names), size)
                return
            if len(names) != _promised(file):
                lost = ReadError("read.corrupt", "a zip archive whose table of contents is damaged", size)
                yield "", lost
                return
            left = max(SPARE, EXPANSION * size)
            for about in archive.infolist():
                if about.is_dir():
                    continue
                if why := _left_out(about.filename):
                    yield about.filename, why
                    continue
                content = _copied_zip(archive, about, folder, left)
                left -= os.path.getsize(content) if isinstance(content, str) else 0
                yield about.filename, content
    except FileNotFoundError as error:
        raise storage.gone(path) from error


def _promised(file: IO[bytes]) -> int:
    """The number of entries that the end of a zip tells of."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - LONGEST_END))
    end = file.read()
    at = end.rfind(END)
    (told,) = struct.unpack_from("<H", end, at + 10)
    wide = end.rfind(WIDE_END, 0, at)
    if told == 0xFFFF and wide >= 0:
        (told,) = struct.unpack_from("<Q", end, wide + 32)
    return int(told)


def _left_out(name: str) -> LeftOut:
    """Why a member is no data by its name: in an archive there is something else beside it; else empty."""
    why = leftout.rule(name) or leftout.beside(name, ("json",), arrow=name.endswith("state.json"))
    return LeftOut(why or "")


DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError, struct.error)


def _unless_storage(error: Exception) -> None:
    """Raise what a disk or a network says; a place before the file's beginning is the archive's own doing."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error


def _document(names: list[str]) -> str:
    if any(n.startswith("xl/") or n.lower().endswith((".xlsx", ".xlsm")) for n in names):
        return "an Excel workbook: save each sheet as CSV UTF-8"
    return "an Office document or e-book: save its text as .txt, its sheets as CSV UTF-8"


def _copied_zip(archive: zipfile.ZipFile, about: zipfile.ZipInfo, folder: str, left: int) -> str | ReadError:
    if about.flag_bits & 1:
        return ReadError("read.binary", "encrypted: unpack it with its password", about.compress_size)
    bound = min(left, max(SPARE, EXPANSION * about.compress_size))
    try:
        with archive.open(about) as member:
            return _copied(iter(lambda: member.read(streams.CHUNK), b""), about.filename, folder, bound)
    except ReadError as bad:
        return ReadError(bad.cause, bad.detail, about.compress_size)
    except NotImplementedError:
        return ReadError("read.corrupt", "packed by a method that is not known here", about.compress_size)
    except DAMAGE as error:
        _unless_storage(error)
        cause = "read.truncated" if isinstance(error, EOFError) else "read.corrupt"
        return ReadError(cause, "damaged zip data", about.compress_size)


def _copied(data: Iterator[bytes], name: str, folder: str, bound: int) -> str:
    """The path of a copy that ends as `name` does. Raises: ReadError, what `data` raises."""
    endings = [e for e in os.path.basename(name).split(".")[1:] if e.isalnum()]
    path = os.path.join(folder, ".".join(["member", *endings[-2:]]))
    written = 0
    with open(path, "wb") as copy:
        for chunk in data:
            written += len(chunk)
            if written > bound:
                raise ReadError("read.corrupt", compressed.TOO_MUCH)
            copy.write(chunk)
    return path


class Feed(io.RawIOBase):
    """The bytes of a tar, as tarfile asks for them."""

    def __init__(self, data: Iterator[bytes]) -> None:
        self.data = data
        self.held = b""
        self.last = b""  # the block read last

    def read(self, size: int = -1, /) -> bytes:
        if size > longest(MEMORY_LIMIT):
            raise ReadError("read.corrupt", "a header of more bytes than any")
        while len(self.held) < size and (chunk := next(self.data, None)) is not None:
            self.held += chunk
        out, self.held = self.held[:size], self.held[size:]
        self.last = (self.last + out)[-BLOCK:]
        return out

    def rest(self) -> bytes:
        """The first bytes of what follows the zeros at the present place; empty where nothing does."""
        while not self.held.lstrip(b"\0"):
            chunk = next(self.data, None)
            if chunk is None:
                return b""
            self.held = chunk
        zeros = len(self.held) - len(self.held.lstrip(b"\0"))
        self.held = self.held[zeros // BLOCK * BLOCK :]
        return self.held[:BLOCK]


def _tarred(path: str, folder: str, memory: int) -> Iterator[Member]:
    """Members of a tar, and of those that were written after its end."""
    feed = Feed(streams.chunks(path, memory=memory))
    name = ""
    try:
        while True:
            with tarfile.open(fileobj=feed, mode="r|", bufsize=BLOCK, errorlevel=0) as archive:
                for about in archive:
                    name = about.name
                    if not about.isreg():
                        continue
                    if why := _left_out(name):
                        yield name, why
                        continue
                    member = archive.extractfile(about)
                    assert member is not None
                    yield name, _copied(_read(member, about.size), name, folder, about.size)
            ended = not feed.last.strip(b"\0")
            more = feed.rest()
            if ended and more:
                continue
            if not ended:
                lost = len(feed.held) + sum(map(len, feed.data)) + len(feed.last)
                cause = "read.corrupt" if more else "read.truncated"
                yield "", ReadError(cause, "the tar archive breaks off before its end", lost)
            return
    except ReadError as bad:
        yield name, ReadError(bad.cause, bad.detail, bad.bytes_lost or 0)
    except (tarfile.TarError, ValueError, EOFError) as error:
        cause = "read.truncated" if "end of data" in str(error) else "read.corrupt"
        yield name, ReadError(cause, "the tar archive breaks off", _size_of(feed.data))


def _size_of(data: Iterator[bytes]) -> int:
    """Bytes that are left of `data`, as far as they can be read."""
    size = 0
    with suppress(ReadError):
        for chunk in data:
            size += len(chunk)
    return size


def _read(member: IO[bytes], size: int) -> Iterator[bytes]:
    """A member's bytes. Raises: ReadError where there are fewer than `size`."""
    got = 0
    while got < size:
        chunk = member.read(min(streams.CHUNK, size - got))
        if not chunk:
            raise ReadError("read.truncated", "the tar archive ends inside a file", 0)
        got += len(chunk)
        yield chunk
