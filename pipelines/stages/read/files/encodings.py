"""Which encoding a file's text is in, and its text.

A byte order mark says it; UTF-16 without one shows by its zeros; what is UTF-8 is UTF-8. Of the rest,
text in Latin script is told by its letters (`letters`), and so are other alphabets (`scripts`); what has
two bytes a character is told apart by charset-normalizer where it is sure. Bytes that fit nothing are
replaced by U+FFFD and counted: a bad byte never costs a line. The answer depends on the file alone, never
on the range that is read.

Cost: UTF-8 is decoded as ever; a file with a bad byte is looked at once, 256 KiB of it at the most.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import charset_normalizer

from headrace.cluster import storage
from headrace.pipelines.stages.read.files import letters, scripts
from headrace.pipelines.stages.read.records import ReadError

UTF8 = "utf-8"
BOMS = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, UTF8),
)
SAMPLES = 16  # places of a large file that are looked at
SAMPLE = 2**14  # bytes of each
REPLACED = "\ufffd"
# Tried by charset-normalizer; of those that read alike, the first is taken.
LEGACY = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "cp932"),
    *("gb18030", "euc_jp", "big5", "cp949", "iso8859_2", "iso8859_5", "iso8859_7", "cp737", "cp866"),
    *("mac_roman", "cp850", "cp437"),
)
WIDE = frozenset({"cp932", "gb18030", "euc_jp", "big5", "cp949", "johab", "big5hkscs", "hz"})
POSSIBLE = 3  # encodings that are named where none is sure
LIKE = 0.05  # coherence and mess of two readings that are taken to be alike
LEAST = 12  # bytes beyond ASCII without which an encoding that is not Western is not told
WESTERN = frozenset(
    "äöüßÄÖÜéèêëÉÈÊàâÀÂáÁçÇîïíÍôóòÓÔúùûÚñÑåÅøØæÆœãõ¿¡«»°§€£–—“”„‚’‘…•·®©™½¼²³µ´×\u00a0".encode("cp1252")
)
_HIGH = re.compile(rb"[\x80-\xff]+")
_SURE = 0.9  # of the bytes beyond ASCII: characters that Western text has
_LONGEST = 2.2  # mean length of a run of them: in scripts of their own, whole words are
NAMES = {"cp1252": "windows-1252", "cp932": "Shift-JIS", "cp949": "EUC-KR"}


def shown(encoding: str) -> str:
    """An encoding's name for people."""
    return NAMES.get(encoding, re.sub(r"^cp(125\d)$", r"windows-\1", encoding))


def of_bytes(data: bytes) -> str:
    """Encoding of text without a byte order mark, "utf-8" where nothing else is sure.

    A line with a cut character among whole ones is damaged UTF-8, and so is a stray byte that is no letter.
    """
    if _is_utf8(data):
        return UTF8
    found = letters.latin(data) or scripts.told(data)
    if found is not None:
        return found
    high = b"".join(_HIGH.findall(data))
    return _told_apart(data) if len(high) >= LEAST else UTF8


def _is_utf8(data: bytes) -> bool:
    """Whether text is UTF-8, or that but for some bytes."""
    text = data.decode(UTF8, "replace")
    bad = text.count(REPLACED) - data.decode(UTF8, "ignore").count(REPLACED)
    return not bad or sum(c > "\x7f" for c in text) - bad >= bad


def western(data: bytes) -> bool:
    """Whether the bytes beyond ASCII are letters and marks of Western Europe, as Windows-1252 has them."""
    runs = _HIGH.findall(data)
    high = b"".join(runs)
    return sum(b in WESTERN for b in high) >= _SURE * len(high) and len(high) <= _LONGEST * len(runs)


def _told_apart(data: bytes) -> str:
    """What charset-normalizer is sure of; "utf-8" where that is nothing."""
    found = charset_normalizer.from_bytes(data, cp_isolation=[*LEGACY], enable_fallback=False)
    best = found.best()
    if best is None:
        return UTF8
    alike = {
        match.encoding
        for match in found
        if match.chaos <= best.chaos + LIKE and match.coherence >= best.coherence - LIKE
    }
    told = next((e for e in LEGACY if e in alike), best.encoding)
    return told if told in WIDE else UTF8  # of other scripts it would have been told before


def of_start(start: bytes, *, ended: bool) -> tuple[str, bytes]:
    """Encoding that a file's first bytes show, and its byte order mark; "" where they show another than
    UTF-8.

    ended: these are all the bytes that there are.
    """
    for mark, name in BOMS:
        if start.startswith(mark):
            return name, mark
    wide = _wide(start)
    if wide:
        return wide, b""
    if b"\x1b$" in start and start.isascii():
        return "iso2022_jp", b""
    try:
        codecs.getincrementaldecoder(UTF8)().decode(start, final=ended)
    except UnicodeDecodeError:
        return "", b""
    return UTF8, b""


def _wide(start: bytes) -> str:
    """UTF-16 or UTF-32 without a byte order mark: most characters are ASCII, beside zeros."""
    if len(start) < 8 or b"\0" not in start:
        return ""
    whole = start[: len(start) // 4 * 4]
    share = [whole[n::4].count(0) / (len(whole) // 4) for n in range(4)]
    zeros = (share[0] > 0.5, share[1] > 0.5, share[2] > 0.5, share[3] > 0.5)
    few = all(s < 0.1 or z for s, z in zip(share, zeros, strict=True))
    names = {
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }
    return names.get(zeros, "") if few else ""


def by_lines(encoding: str) -> bool:
    """Whether a file in this encoding can be cut at the byte of a newline."""
    if encoding.replace("-", "_").lower().startswith(("utf_16", "utf_32", "utf_7", "iso2022", "hz", "utf16")):
        return False
    try:
        return "\n".encode(encoding) == b"\n" and "a".encode(encoding) == b"a"
    except (UnicodeError, LookupError):
        return False


def plain(encoding: str) -> str:
    """An encoding's name as this module has it: all names of UTF-8 are "utf-8"."""
    name = codecs.lookup(encoding).name
    return UTF8 if name in ("utf-8", "utf-8-sig", "ascii") else name


def known(encoding: str) -> bool:
    """Whether Python knows an encoding of text by this name."""
    try:
        return bool(codecs.lookup(encoding)._is_text_encoding)
    except (LookupError, ValueError):
        return False


@dataclass(frozen=True)
class Encoding:
    """How one file's bytes become text.

    name: a codec; "utf-8" stands for UTF-8 with what may stand in between. mark: its byte order mark.
    given: by the recipe. path, size: of the file to look at where a byte is no UTF-8; no size: only at the
    bytes at hand.
    """

    name: str = UTF8
    mark: bytes = b""
    given: bool = False
    path: str = ""
    size: int = 0

    @property
    def by_lines(self) -> bool:
        """Whether lines are found before they are decoded; otherwise `utf8` comes first."""
        return by_lines(self.name)

    @cached_property
    def other(self) -> str:
        """Encoding of lines that are no UTF-8; "utf-8" where the file is that, but for some."""
        return UTF8 if self.given or not self.size else of_bytes(sample(self.path, self.size))

    @cached_property
    def possible(self) -> tuple[str, ...] | None:
        """Encodings that the file reads best in, where it is no UTF-8 and none of them is sure; else None."""
        if self.name != UTF8 or self.given or not self.size:
            return None
        data = sample(self.path, self.size)
        if _is_utf8(data) or of_bytes(data) != UTF8:
            return None
        return tuple(encoding for encoding, _ in (letters.scored(data) or scripts.scored(data))[:POSSIBLE])

    def text(self, raw: bytes) -> tuple[str, int]:
        """Whole lines as text, and how many bad bytes or characters were replaced in them."""
        if not self.by_lines:
            found = raw.decode(UTF8, "replace")
            return found, found.count(REPLACED)
        if self.name != UTF8:
            found = raw.decode(self.name, "replace")
            return found, found.count(REPLACED)
        try:
            return raw.decode(), 0
        except UnicodeDecodeError:
            return self.mended(raw)

    def mended(self, raw: bytes) -> tuple[str, int]:
        """`text` of a line that is no UTF-8, in a file that is, or begins as if it were.

        A line of Windows-1252 among lines of UTF-8 is read as that, and its bytes count as bad ones.
        """
        if self.other != UTF8:
            found = raw.decode(self.other, "replace")
            return found, found.count(REPLACED)
        found = raw.decode(UTF8, "replace")
        count = found.count(REPLACED) - raw.decode(UTF8, "ignore").count(REPLACED)
        if not self.given and western(raw):
            found = raw.decode("cp1252", "replace")
        return found, count


def utf8(data: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Bytes in another encoding as UTF-8, what is invalid as U+FFFD. Raises: ReadError as `data` does."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    broken = None
    try:
        for chunk in data:
            yield decoder.decode(chunk).encode(UTF8, "replace")
    except ReadError as bad:
        broken = bad
    yield decoder.decode(b"", final=True).encode(UTF8, "replace")
    if broken is not None:
        raise broken


def sample(path: str, size: int) -> bytes:
    """Bytes of a plain file from places spread over it, each from a line's beginning to a line's end.

    Raises: SourceError, StorageError.
    """
    pieces = []
    try:
        with storage.explained(path, "read"), storage.open_input(path) as file:
            if size <= SAMPLES * SAMPLE:
                return file.read(SAMPLES * SAMPLE)
            for number in range(SAMPLES):
                place = number * (size - SAMPLE) // (SAMPLES - 1)
                file.seek(place)
                piece = file.read(SAMPLE)
                pieces.append(trimmed(piece, first=not place, last=place + SAMPLE >= size))
    except FileNotFoundError as error:
        raise storage.gone(path) from error
    return b"\n".join(pieces)


def trimmed(piece: bytes, *, first: bool, last: bool) -> bytes:
    """`piece` of a file without what may be half of a character at either end."""
    if not first:
        newline = piece.find(b"\n") + 1
        piece = piece[newline:] if newline else piece.lstrip(bytes(range(0x80, 0x100)))
    if not last:
        newline = piece.rfind(b"\n") + 1
        piece = piece[:newline] if newline else piece.rstrip(bytes(range(0x80, 0x100)))
    return piece
