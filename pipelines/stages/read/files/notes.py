"""What is to be said of a source's files before they are read: how they will be, and what else they may be.

Encodings other than UTF-8, dialects other than the usual, what archives hold that is no data, and text
files that look like tables or like a document a line.

Cost: the beginnings of a few files; a table of contents of a few archives, 64 MiB of a tar at the most.
"""

import re
import statistics
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from headrace.cluster import storage
from headrace.cluster.fragments import File
from headrace.pipelines.stages.read import detection, formats, shapes, streams
from headrace.pipelines.stages.read.files import archives, compressed, dialects, encodings, leftout, separated
from headrace.pipelines.stages.read.files.encodings import UTF8
from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.streams import Opening
from headrace.pipelines.stages.read.turns import advice, markers, paths

FILES = 20  # looked at
ARCHIVES = 3
MEMBERS = 10_000
TAR = 64 * 2**20  # bytes
LONG = 40  # characters of a line that may be a document
FEW = 20  # folders that may be labels
LINES = 5  # fewer show nothing
MANY = 20  # lines without a blank one among them
TEXTS = ("text",)
# "01/03/24, 10:00 - Somebody: words", "[2024-03-01, 10:00:59 AM] Somebody: words"
_SUBTITLE = re.compile(rb"\d+\s*\n\d\d:\d\d:\d\d[,.]\d{3} --> ")
_MESSAGE = re.compile(
    r"[\u200e\u200f]?\[?\d{1,4}[./-]\d{1,2}[./-]\d{1,4},?\s\d{1,2}[:.]\d{2}(?:[:.]\d{2})?"
    r"(?:\s?[AaPp]\.?\s?[Mm]\.?)?(?:\]|\s-)\s[^:\n]{1,60}:\s"
)


def of(source: Source, files: Sequence[File], *, members: bool = True) -> list[str]:
    """Sentences about a resolved source's files; `members`: about what archives hold that is no data, too.

    Raises: SourceError, StorageError.
    """
    plain = [f for f in files if f.size and archives.by_name(f.relative) is None]
    packed = [f for f in files if f.size and archives.by_name(f.relative) is not None]
    seen = [
        (file, streams.look(file.path, source.manner))
        for file in plain[:FILES]
        if source.format_of(file.relative) not in ("parquet", "arrow", "eml", "mbox")
    ]
    paired = advice.preferences(source.columns)
    said = [*_encodings(seen), *_dialects(source, seen), *_texts(source, seen), *([paired] if paired else [])]
    said += [*_marked(source, plain[:1]), *_folders(source, plain)]
    said += _unwanted(source, plain[:1])
    for file in packed[: ARCHIVES * members]:
        said += _members(file)
    return [f"source {source.name!r}: {one}" for one in said]


def _encodings(seen: Iterable[tuple[File, Opening]]) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for file, opening in seen:
        name = opening.encoding.name
        if name == UTF8 and not opening.encoding.given and opening.encoding.other:
            name = opening.encoding.other
        if (possible := opening.encoding.possible) is not None:
            best = " or ".join(map(encodings.shown, possible)) or "windows-1251, Shift-JIS or the like"
            yield (
                f"{file.relative!r} is no UTF-8, and of no encoding that is sure: bytes that do not fit "
                f"become U+FFFD and are counted. Say encoding: ({best})"
            )
        if name != UTF8:
            names.setdefault(encodings.shown(name), []).append(file.relative)
    for name, files in sorted(names.items()):
        yield f"{_such(files)} read as {name}; where that is wrong, say encoding:"


def _such(files: Sequence[str]) -> str:
    return f"{files[0]!r} is" if len(files) == 1 else f"{len(files)} files (such as {files[0]!r}) are"


def _dialects(source: Source, seen: Iterable[tuple[File, Opening]]) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for file, opening in seen:
        form = source.format_of(file.relative)
        if form not in ("csv", "tsv"):
            continue
        usual = "," if form == "csv" else "\t"
        dialect = separated.dialect_of(opening, usual, source.manner)
        words = [f"delimiter: {dialect.delimiter!r}"] if dialect.delimiter != usual else []
        words += [f"quote: {dialect.quote or ''!r}"] if dialect.quote != '"' else []
        words += [f"escape: {dialect.escape!r}"] if dialect.escape else []
        if words and (source.delimiter, source.quote, source.escape) == (None, None, None):
            found.setdefault(", ".join(words), []).append(file.relative)
    for how, files in sorted(found.items()):
        yield f"{_such(files)} read with {how}; where that is wrong, say so"


def _texts(source: Source, seen: Iterable[tuple[File, Opening]]) -> Iterator[str]:
    tables: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    lined, chats = [], []
    for file, opening in seen:
        if source.format_of(file.relative) not in TEXTS or source.split != "file":
            continue
        lines = [line.decode(UTF8, "replace").rstrip("\r") for line in opening.lines]
        delimiter = dialects.table(lines)
        if (kind := _other_kind(file, opening)) is not None:
            others.setdefault(kind, []).append(file.relative)
        elif delimiter is not None:
            tables.setdefault(delimiter, []).append(file.relative)
        elif _a_chat(lines):
            chats.append(file.relative)
        elif _a_document_a_line(lines):
            lined.append(file.relative)
    for delimiter, files in sorted(tables.items()):
        form = "tsv" if delimiter == "\t" else "csv"
        yield f"{_such(files)} one record a file, and looks like a table: format: {form} reads its rows"
    for kind, files in sorted(others.items()):
        yield f"{_such(files)} one record a file, and {kind}"
    if chats:
        yield (
            f"{_such(chats)} the export of a chat (time, name and message on each line, as WhatsApp writes "
            "it), and one record a file, with names and times. To learn its conversations, write its "
            "messages as records with the columns chat, time, name, text; then `group_by: chat`, `order_by: "
            'time`, `columns: {role: name, content: text, roles: {NAME: assistant, "*": user}}`. As texts, '
            "say split: line"
        )
    if lined:
        yield f"{_such(lined)} one record a file; where each line is a document, say split: line"


def _other_kind(file: File, opening: Opening) -> str | None:
    """What a text file is that has a form of its own, which is learned as it stands."""
    text, name = opening.text.lstrip(formats.SPACE), compressed.stem(file.relative)
    if text.startswith((b"{", b"[")) and formats.of_content(file.path) == "jsonl":
        return "looks like a record of JSON a line: format: jsonl reads them"
    if text.startswith(b"<?xml"):
        return "is XML, learned with its tags: write its texts as JSONL, or as .txt"
    if name.endswith(".sql"):
        return "is SQL, learned as it stands: load it, and export its tables as CSV or JSONL"
    if text.startswith(b"WEBVTT") or _SUBTITLE.match(text):
        return "looks like subtitles, learned with their times: write what was said as .txt or JSONL"
    if name.endswith((".yaml", ".yml", ".toml")):
        return "looks like YAML or TOML, learned as it stands: write its records as JSONL"
    return None


def _folders(source: Source, files: Sequence[File]) -> Iterator[str]:
    """What is said of folders whose names say something of the files in them, which nobody reads."""
    folders = [f.relative.split("/")[:-1] for f in files]
    keys = dict.fromkeys(part.partition("=")[0] for parts in folders for part in parts if "=" in part[1:])
    named = [key for key in keys if not paths.is_value(key)]
    if named:
        yield f"folders name values of {', '.join(map(repr, named))}, which no file holds: nobody reads these"
    labels = Counter(parts[-1] for parts in folders if parts)
    if source.shape == "text" and 1 < len(labels) <= FEW and min(labels.values()) > 1:
        shown = ", ".join(repr(name) for name in labels if not paths.is_value(name))
        yield (
            f"its texts lie in the folders {shown}: where these are labels, nobody reads them; write a "
            "table with the columns text and label"
        )


def _marked(source: Source, files: Sequence[File]) -> Iterator[str]:
    """What is said where texts are whole conversations, with markers of turns."""
    column = source.completed().text
    if source.shape not in ("text", *shapes.SIDES) or not files:
        return
    look = detection.look(source, files)
    pairs = advice.marked_pairs(look.records, source.shape, source.completed())
    if pairs is not None:
        field, name, marks = pairs
        yield (
            f"the prompts in {name!r} of {look.file!r} hold turns ({next(iter(marks))!r} begins one), and "
            f"are learned as one turn with their markers. To read them: {markers.line(name, marks, field)}"
        )
    if source.shape != "text" or column is None:
        return
    found = markers.of([text for r in look.records if type(text := r.get(column)) is str])
    if found is not None:
        yield (
            f"{look.file!r} holds whole conversations as texts ({next(iter(found))!r} begins a turn), and "
            "they are learned as they stand, questions too. To read their turns: "
            f"{markers.line(column, found)}"
        )


def _unwanted(source: Source, files: Sequence[File]) -> Iterator[str]:
    """What is said where a column tells wanted answers from others, and all are learned."""
    if source.only or source.shape is None or source.group_by is not None or not files:
        return
    look = detection.look(source, files)
    found = advice.unwanted(look.records, look.unread(source)[0], source.completed())
    if found is not None:
        name, value = found
        yield (
            f"{name!r} says which rows are wanted, and all are learned: "
            f"`only: {{{name}: {str(value).lower()}}}` leaves the others out"
        )


def _a_chat(lines: list[str]) -> bool:
    """Whether lines are messages of a chat, one after the other; a message may go on over more lines."""
    full = [line for line in lines if line.strip()]
    told = sum(_MESSAGE.match(line) is not None for line in full)
    return told >= LINES and told >= len(full) / 4


def _a_document_a_line(lines: list[str]) -> bool:
    """Whether lines are long enough to be documents, and no blank lines part paragraphs."""
    full = [line for line in lines if line.strip()]
    blank = len(lines) - len(full) - (not lines[-1].strip() if lines else 0)
    if len(full) < LINES or blank > len(full) / 10:
        return False
    if not blank and len(full) >= MANY:
        return True
    return statistics.median(map(len, full)) >= LONG and not all(len(line) < 90 for line in full[:-1:2])


def _members(file: File) -> Iterator[str]:
    """What of an archive is left out."""
    left: dict[str, list[str]] = {}
    read = 0
    with suppress(ReadError, tarfile.TarError, zipfile.BadZipFile, ValueError, NotImplementedError):
        for name in islice(_names(file), MEMBERS):
            why = leftout.rule(name) or leftout.beside(name, ("json",), arrow=False)
            if why:
                left.setdefault(why, []).append(name)
            else:
                read += 1
    for why, names in sorted(left.items()):
        yield f"{file.relative!r}: {len(names)} of the files in it left out: {why} (such as {names[0]!r})"


def _names(file: File) -> Iterator[str]:
    opening = streams.look(file.path)
    if archives.kind(file.path, opening.start) == "zip":
        with storage.explained(file.path, "read"), storage.open_input(file.path) as stream:
            yield from (m.filename for m in zipfile.ZipFile(stream).infolist() if not m.is_dir())
        return
    data = streams.chunks(file.path)
    taken = 0

    def bounded() -> Iterator[bytes]:
        nonlocal taken
        for chunk in data:
            taken += len(chunk)
            if taken > TAR:
                return
            yield chunk

    with tarfile.open(fileobj=archives.Feed(bounded()), mode="r|", bufsize=archives.BLOCK) as archive:
        yield from (about.name for about in archive if about.isreg())
