"""Bytes of one input file: opened, decompressed, looked at, cut into whole lines.

Everything is a generator over chunks, so that memory is a few chunks whatever the file's size and
however much a compressed file grows. What cannot be read ends the generator with `ReadError`, after all
that could be read before it.

Cost: plain files at the disk's speed, others as `files.compressed` says.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.cluster import storage
from headrace.pipelines.stages.read.files import compressed, encodings
from headrace.pipelines.stages.read.files.encodings import UTF8, Encoding
from headrace.pipelines.stages.read.records import MEMORY_LIMIT, Manner, ReadError, longest, too_long

CHUNK = 2**20
START = 2**16  # bytes of text from which a file's encoding, line ends and dialect are told
HEAD = 4096
UNPACK = "unpack it, and name the files that were in it"
EXPORT = "export it as Parquet or JSONL"
PICKLE = f"a pickle, which may run code: {EXPORT} where it was made"
MAGIC = {
    b"PAR1": "Parquet data under another name: call it .parquet, or set format: parquet",
    b"ARROW1": "Arrow data under another name: call it .arrow, or set format: arrow",
    b"\x1f\x8b": "gzip data inside compressed data: unpack it once",
    b"\x28\xb5\x2f\xfd": "zstd data inside compressed data: unpack it once",
    b"\xfd7zXZ\x00": "xz data inside compressed data: unpack it once",
    b"BZh": "bzip2 data inside compressed data: unpack it once",
    b"PK\x03\x04": f"a zip archive inside another file: {UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7-Zip archive: {UNPACK}",
    b"Rar!\x1a\x07": f"a RAR archive: {UNPACK}",
    b"\x04\x22\x4d\x18": "LZ4 data: decompress it, or compress it with zstd",
    b"\x1f\x9d": "data of compress (.Z): decompress it, or compress it with zstd",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Office document: save its text as .txt, its sheets as CSV UTF-8",
    b"%PDF-": "a PDF document: extract its text to a .txt file first",
    b"{\\rtf": "an RTF document: save it as plain text",
    b"SQLite format 3": "an SQLite database: export its tables as CSV or JSONL",
    b"Obj\x01": "Avro data: convert it to Parquet or JSONL",
    b"ORC": "ORC data: convert it to Parquet",
    b"version https://git-lfs": "a pointer of git LFS, whose file was not fetched: `git lfs pull` fetches it",
    b"\x93NUMPY": f"an array of NumPy: {EXPORT}",
    b"\x89HDF\r\n": f"HDF5 data: {EXPORT}",
    b"\x80\x02": PICKLE,
    b"\x80\x03": PICKLE,
    b"\x80\x04": PICKLE,
    b"\x80\x05": PICKLE,
    b"\xff\x06\x00\x00sNaPpY": "Snappy data: decompress it, or compress it with zstd",
    b"outs:\n- ": "a pointer of DVC, whose file was not fetched: `dvc pull` fetches it",
    b"\x7fELF": "a program",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
}
BINARY = f"binary data: {EXPORT}, or as text"
CONTROLS = bytes([*range(7), *range(14, 27), 127])  # hardly any of them stand in text
ODD, LEAST = 0.05, 8  # of the bytes, above which it is none


@dataclass(frozen=True)
class Opening:
    """What the beginning of a file shows.

    start: its first bytes unpacked, `START` of them at the most. text: the same as UTF-8, without a byte
    order mark. encoding: of all of it. carriage: whether its lines end in a lone CR. packed: its
    compression.
    """

    start: bytes
    text: bytes
    encoding: Encoding
    carriage: bool
    packed: compressed.Compression | None

    @property
    def cuttable(self) -> bool:
        """Whether lines can be read from any byte on."""
        return self.packed is None and self.encoding.by_lines

    @property
    def lines(self) -> list[bytes]:
        """The first whole lines as UTF-8, without their ends; at least one where there is any text."""
        lines = (self.text.replace(b"\r", b"\n") if self.carriage else self.text).split(b"\n")
        return lines[:-1] if len(lines) > 1 and len(self.start) >= START else lines


def chunks(path: str, start: int = 0, memory: int = MEMORY_LIMIT) -> Iterator[bytes]:
    """Bytes of a file from byte `start` (of a plain file), unpacked where they are compressed.

    Raises: ReadError at the place where the compressed data end or break, SourceError, StorageError.
    """
    try:
        with storage.explained(path, "read"), storage.open_input(path) as file:
            kind = None if start else compressed.of(path, file.read(HEAD))  # by as many bytes as `look`
            file.seek(start)
            stored = iter(lambda: file.read(CHUNK), b"")
            yield from stored if kind is None else compressed.unpacked(stored, kind, memory)
    except FileNotFoundError as error:
        raise storage.gone(path) from error


def look(path: str, manner: Manner | None = None) -> Opening:
    """The beginning of a file: what it is; what cannot be unpacked is empty.

    Raises: SourceError, StorageError.
    """
    manner = manner or Manner()
    start, ended, kind = b"", False, None
    try:
        with storage.explained(path, "read"), storage.open_input(path) as file:
            first = file.read(START)
            size = file.seek(0, 2)
        kind = compressed.of(path, first[:HEAD])
        if kind is None:
            start, ended = first, size <= START
        else:
            start, ended = _unpacked_start(path, manner.memory)
    except FileNotFoundError as error:
        raise storage.gone(path) from error
    encoding = _encoding(path, size, start, kind, manner, ended=ended)
    text = _as_utf8(start, encoding)
    return Opening(start, text, encoding, b"\r" in text and b"\n" not in text.rstrip(b"\n"), kind)


def _unpacked_start(path: str, memory: int) -> tuple[bytes, bool]:
    got = b""
    try:
        for chunk in chunks(path, memory=memory):
            got += chunk
            if len(got) >= START:
                return got[:START], len(got) == START
    except ReadError:
        return got, False
    return got, True


def _encoding(
    path: str, size: int, start: bytes, kind: compressed.Compression | None, manner: Manner, *, ended: bool
) -> Encoding:
    """The encoding of a file that begins with `start`: its mark's, the recipe's, or what its bytes show."""
    shown, mark = encodings.of_start(start, ended=ended)
    plain = 0 if kind else size
    if mark:
        return Encoding(shown, mark, given=True)
    if manner.encoding is not None:
        return Encoding(encodings.plain(manner.encoding), given=True)
    if not shown and b"\0" in start:
        shown = UTF8  # no text at all: nothing is told of it
    if not shown:
        looked = encodings.sample(path, plain) if plain else encodings.trimmed(start, first=True, last=ended)
        shown = encodings.of_bytes(looked)
    return Encoding(shown, path=path, size=plain)


def _as_utf8(start: bytes, encoding: Encoding) -> bytes:
    if encoding.name == UTF8:
        return start.removeprefix(encoding.mark)
    return b"".join(encodings.utf8(iter([start]), encoding.name))


def head(path: str) -> bytes:
    """The beginning of a file's text as UTF-8; what cannot be unpacked is empty.

    Raises: SourceError, StorageError.
    """
    return look(path).text


def unreadable(seen: Opening) -> tuple[str, str] | None:
    """Cause and detail where the beginning of a file shows that it is no text at all."""
    start = seen.start[:HEAD]
    for magic, kind in MAGIC.items():
        if start.startswith(magic):
            return "read.binary", kind
    if start[8:12] == b"DUCK":
        return "read.binary", "a DuckDB database: export its tables as Parquet or CSV"
    if _packed(start):
        return "read.binary", f"MessagePack data: {EXPORT}"
    if seen.encoding.name != UTF8 and not seen.encoding.by_lines:
        return None
    filled = start.strip(b"\0")  # zeros at an end may be what a crash left there
    odd = len(filled) - len(filled.translate(None, CONTROLS))
    if odd > max(LEAST, ODD * len(filled)) and not seen.encoding.given:
        fields = start.count(b"\x01") >= start.count(b"\n") > 0  # Hive parts columns by it
        if not fields:
            return "read.binary", BINARY
    if b"\0" in start and not seen.encoding.mark:
        try:
            start.decode()
        except UnicodeDecodeError as error:
            if error.start < len(start) - 4:
                return "read.binary", BINARY
    return None


def _packed(start: bytes) -> bool:
    """Whether bytes begin as MessagePack's mappings: a count, a key with its length, a value that is none of
    ASCII.
    """
    if len(start) < 4 or not 0x81 <= start[0] <= 0x8F or not 0xA1 <= start[1] <= 0xBF:
        return False
    end = 2 + (start[1] & 0x1F)
    return start[2:end].isascii() and start[2:end].decode().isidentifier() and start[end : end + 1] >= b"\x80"


def blocks(
    path: str, seen: Opening, start: int = 0, stop: int = -1, memory: int = MEMORY_LIMIT
) -> Iterator[tuple[int, bytes | ReadError]]:
    """`lines` of a file, to be decoded by `seen.encoding.text`.

    A file that cannot be cut is all in the range with its first byte.
    """
    if not seen.cuttable:
        if start:
            return
        stop = -1
    encoding = seen.encoding
    data = chunks(path, max(start - 1, 0), memory)
    if not encoding.by_lines:
        data = encodings.utf8(data, encoding.name)
    if seen.carriage:
        data = (chunk.replace(b"\r", b"\n") for chunk in data)
    mark = encoding.mark if encoding.name == UTF8 else b""
    for offset, block in lines(data, start, stop, memory):
        if offset == 0 and mark and isinstance(block, bytes):
            yield len(mark), block.removeprefix(mark)  # the first line begins before its mark
        else:
            yield offset, block


def utf8(path: str, seen: Opening, memory: int = MEMORY_LIMIT) -> Iterator[bytes]:
    """All of a file as UTF-8, without a byte order mark: where it is to be UTF-8 already, as it is."""
    data = chunks(path, memory=memory)
    if seen.encoding.name != UTF8:
        return encodings.utf8(data, seen.encoding.name)
    return without(data, seen.encoding.mark)


def without(data: Iterator[bytes], mark: bytes) -> Iterator[bytes]:
    """`data` without the byte order mark at its beginning."""
    first = b""
    for chunk in data:
        first += chunk
        if len(first) >= len(mark):
            break
    yield first.removeprefix(mark)
    yield from data


def lines(
    data: Iterator[bytes], start: int = 0, stop: int = -1, memory: int = MEMORY_LIMIT
) -> Iterator[tuple[int, bytes | ReadError]]:
    """Blocks of whole lines that begin in bytes [start, stop), each with the offset of its first byte.

    `data` are the file's bytes from `start - 1` on (from 0 where `start` is 0), so that a line that
    begins at `start` is told from one that only passes it. A line that is longer than `records.longest`
    lets it, or what could not be read, comes as `ReadError` with the offset where it begins.
    """
    position = max(start - 1, 0)
    held = b""
    skipping = start > 0  # inside a line that belongs to the range before
    passed = 0  # bytes so far of a line that is being skipped
    try:
        for chunk in data:
            if skipping or passed:
                end = chunk.find(b"\n") + 1
                passed += (end or len(chunk)) if passed else 0
                if not end:
                    position += 0 if passed else len(chunk)
                    continue
                if passed:
                    yield position, too_long("a line", passed, memory)
                position += passed or end
                skipping, passed, chunk = False, 0, chunk[end:]
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
            if len(held) > longest(memory):
                passed, held = len(held), b""
    except ReadError as bad:
        lost = (bad.bytes_lost or 0) + len(held) + passed
        yield position, ReadError(bad.cause, bad.detail, lost)
        return
    if passed:
        yield position, too_long("a line", passed, memory)
    elif held and not skipping:
        yield position, held
