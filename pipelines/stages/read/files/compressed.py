"""Compressed files: which ones are, and their bytes unpacked.

Every unpacker is a generator over chunks, bounded in memory and in what it may grow to. What cannot be
unpacked ends it with `ReadError`, after all that could be before it.

Cost: gz ~300 MB, zst ~800 MB, xz ~100 MB and bz2 ~30 MB of text a second a core.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import zstandard

from headrace.pipelines.stages.read.records import EXPANSION, MEMORY_LIMIT, SPARE, ReadError

Compression = Literal["gz", "zst", "bz2", "xz"]
SUFFIXES: dict[str, Compression] = {
    ".gz": "gz",
    ".gzip": "gz",
    ".tgz": "gz",
    ".zst": "zst",
    ".zstd": "zst",
    ".tzst": "zst",
    ".bz2": "bz2",
    ".tbz": "bz2",
    ".tbz2": "bz2",
    ".xz": "xz",
    ".txz": "xz",
    ".lzma": "xz",
}
NAMES = {"gz": "gzip", "zst": "zstd", "bz2": "bzip2", "xz": "xz"}
MAGIC: dict[bytes, Compression] = {
    b"\x1f\x8b\x08": "gz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"]\x00\x00": "xz",  # LZMA alone, before xz
}
SKIPPABLE = bytes.fromhex("2a4d18")  # of zstd: the last three bytes of a frame without data
CHUNK = 2**20
ZSTD_INPUT = 2**10  # a block of a few bytes may stand for 128 KiB: this bounds one step to ~32 MiB
ZSTD_WINDOW = 2**27  # bytes that a frame may look back without asking
ZSTD_LONGEST = 2**31  # that zstd itself lets any look back
OTHERS_INPUT = 2**14


def by_suffix(name: str) -> Compression | None:
    """Compression by the suffix of a file's name."""
    lower = name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if lower.endswith(suffix)), None)


def stem(name: str) -> str:
    """`name` in lower case without the suffix of its compression; a .tgz is a .tar."""
    lower = name.lower()
    suffix = next((s for s in SUFFIXES if lower.endswith(s)), "")
    bare = lower[: len(lower) - len(suffix)]
    return f"{bare}.tar" if suffix.startswith(".t") else bare


def of(name: str, start: bytes) -> Compression | None:
    """Compression of a file by its first bytes; its name decides only where they are neither text nor known.

    A file that a download has unpacked keeps its .gz, and one that was never renamed has none.
    """
    for magic, kind in MAGIC.items():
        if start.startswith(magic) and (magic != b"]\x00\x00" or by_suffix(name) == "xz"):
            return kind
    if start[1:4] == SKIPPABLE and start[:1] in b"PQRSTUVWXYZ[\\]^_":
        return "zst"
    named = by_suffix(name)
    return None if named is None or _plain(start) else named


def _plain(start: bytes) -> bool:
    """Whether a file's first bytes are text, as no compressed data are."""
    if not start or any(b < 9 or 13 < b < 32 for b in start):
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4
    return True


def unpacked(stored: Iterator[bytes], kind: Compression, memory: int = MEMORY_LIMIT) -> Iterator[bytes]:
    """`stored` unpacked, members one after the other. Raises: ReadError where they end or break.

    memory: bytes that a frame's window may take.
    """
    if kind == "gz":
        return _inflated(stored)
    if kind == "zst":
        return _unzstd(stored, memory)
    fresh: Callable[[], Any] = bz2.BZ2Decompressor
    if kind == "xz":
        fresh = lambda: lzma.LZMADecompressor(memlimit=memory)  # noqa: E731
    return _others(stored, NAMES[kind], fresh, memory)


class _Bound:
    """How much stored bytes may unpack to."""

    def __init__(self) -> None:
        self.taken = self.given = 0

    def add(self, taken: int, given: int) -> bool:
        """Count; whether it is too much."""
        self.taken, self.given = self.taken + taken, self.given + given
        return self.given > max(SPARE, EXPANSION * self.taken)


TOO_MUCH = f"unpacks to more than {EXPANSION} times its stored bytes"


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
                data, member, fresh = member.unused_data.lstrip(b"\0"), zlib.decompressobj(31), True
    # What the last step held back because of the bound on its output.
    while not fresh and (out := member.decompress(b"", CHUNK)):
        yield out
    if not fresh and not member.eof:
        raise ReadError("read.truncated", "the gzip data end too early", 0)


def _unzstd(stored: Iterator[bytes], memory: int) -> Iterator[bytes]:
    """zstd frames one after the other."""
    window = min(max(ZSTD_WINDOW, memory), ZSTD_LONGEST)
    frame = zstandard.ZstdDecompressor(max_window_size=window).decompressobj()
    fresh = True
    bound = _Bound()
    for data in stored:
        place = 0
        while place < len(data):
            piece = data[place : place + ZSTD_INPUT]
            place += len(piece)
            fresh = False
            try:
                out = frame.decompress(piece)
            except zstandard.ZstdError as error:
                lost = len(piece) + len(data) - place + sum(map(len, stored))
                raise ReadError("read.corrupt", _zstd_problem(error, window), lost) from None
            if bound.add(len(piece), len(out)):
                raise ReadError("read.corrupt", TOO_MUCH, len(data) - place + sum(map(len, stored)))
            if out:
                yield out
            if frame.eof:
                place -= len(frame.unused_data)
                bound.taken -= len(frame.unused_data)
                frame = zstandard.ZstdDecompressor(max_window_size=window).decompressobj()
                fresh = True
    if not fresh:
        raise ReadError("read.truncated", "the zstd data end too early", 0)


def _zstd_problem(error: Exception, window: int) -> str:
    if "too much memory" in str(error):
        return (
            f"a zstd frame with a window of more than {window // 2**20} MiB: set memory: to what it asks "
            "for, or compress the file without --long"
        )
    if "ictionary" in str(error):
        return "zstd data made with a dictionary: decompress the file with it first"
    return "damaged zstd data"


def _others(stored: Iterator[bytes], name: str, new: Callable[[], Any], memory: int) -> Iterator[bytes]:
    """Streams of bzip2 or xz one after the other; zero padding is allowed after each."""
    stream, fresh = new(), True
    bound = _Bound()
    for data in stored:
        place = 0
        while place < len(data):
            piece = data[place : place + OTHERS_INPUT]
            place += len(piece)
            if fresh:
                piece = piece.lstrip(b"\0")
            if not piece:
                continue
            fresh = False
            taken = len(piece)
            while piece or not (stream.eof or stream.needs_input):
                try:
                    out = stream.decompress(piece, CHUNK)
                except (OSError, lzma.LZMAError, MemoryError) as error:
                    lost = len(piece) + len(data) - place + sum(map(len, stored))
                    raise ReadError("read.corrupt", _problem(name, error, memory), lost) from None
                too_much, taken, piece = bound.add(taken, len(out)), 0, b""
                if too_much:
                    raise ReadError("read.corrupt", TOO_MUCH, len(data) - place + sum(map(len, stored)))
                if out:
                    yield out
            if stream.eof:
                place -= len(stream.unused_data)
                bound.taken -= len(stream.unused_data)
                stream, fresh = new(), True
    if not fresh:
        raise ReadError("read.truncated", f"the {name} data end too early", 0)


def _problem(name: str, error: Exception, memory: int) -> str:
    if "emory" in str(error):
        return f"{name} data that take more than {memory // 2**20} MiB to unpack: set memory: to more"
    return f"damaged {name} data"
