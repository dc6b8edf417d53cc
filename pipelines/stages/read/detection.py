"""Format, shape and columns of a source, told by a look at its first records.

The look is taken once, in the order of the relative paths, and what it finds is kept with the run.
Nothing is guessed past what is there: where no shape fits, or a named column is absent, the error
says which columns were seen.

Cost: the first records of one file or a few.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from headrace.cluster.errors import SourceError
from headrace.cluster.fragments import File
from headrace.pipelines.stages.read import calling, formats, json_text, shapes, streams
from headrace.pipelines.stages.read.files import archives
from headrace.pipelines.stages.read.formats import Format
from headrace.pipelines.stages.read.records import Batch, ReadError
from headrace.pipelines.stages.read.shapes import TURN_NAMES, Columns, Shape
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import (
    advice,
    envelopes,
    exchanges,
    fitting,
    looks,
    paths,
    proposals,
)
from headrace.pipelines.stages.read.turns.proposals import Proposal

RECORDS = 200  # looked at for shape and columns
FILES = 5  # looked into until a readable record is found
SPACE = b"\xef\xbb\xbf \t\r\n"


Proposals = Callable[[Sequence[dict[str, Any]]], Iterable[Proposal]]


@dataclass(frozen=True)
class Look:
    """What the first records of a source show."""

    file: str
    records: list[dict[str, Any]]
    problem: ReadError | None  # why the first record that cannot be read cannot be
    form: Format | None = None  # of the file
    beside: tuple[str, ...] = ()  # columns that lie beside the records
    hint: str = ""  # what else the file may be

    @property
    def unnamed(self) -> bool:
        """Whether the columns' names look like the values of a record: a table without a line of names."""
        return any(map(paths.is_value, self.columns))

    @property
    def shown(self) -> list[str]:
        """The columns for people: by name, or by place where a name may be somebody's."""
        return [f"column {n}" if self.unnamed else c for n, c in enumerate(self.columns, 1)]

    def unread(self, source: Source) -> tuple[list[str], int]:
        """Columns that the source does not look at: their names, and how many have none that can be told."""
        read = set(source.stored())
        found = [c for c in dict.fromkeys((*self.columns, *self.beside)) if c not in read]
        names = [c for c in found if not paths.is_value(c)]
        return names, len(found) - len(names)

    @property
    def columns(self) -> list[str]:
        """Columns seen, in the order in which they first appear."""
        return list(dict.fromkeys(c for r in self.records for c in r))


def file_format(source: Source, files: Sequence[File]) -> Format | None:
    """The one format of a source's files; None where every file's own suffix says it.

    Raises: SourceError for files of several kinds, or of unknown ones beside known ones.
    """
    by_format: dict[Format | None, list[File]] = {}
    plain = [file for file in files if archives.by_name(file.relative) is None]
    for file in plain:
        by_format.setdefault(formats.of_name(file.relative), []).append(file)
    if len(plain) < len(files) and None not in by_format:
        return None  # the files of an archive say it each for itself
    if list(by_format) == ["json"]:
        lined = [json_text.has_lines(f.path) and not _array(f) for f in files[:FILES]]
        return "jsonl" if all(lined) else "json"
    if list(by_format) == ["jsonl"] and not any(json_text.has_lines(f.path) for f in files[:FILES] if f.size):
        # Records over several lines, or an array: what is read as lines is then lost line by line.
        whole = [
            f for f in files[:FILES] if f.size and streams.head(f.path).lstrip(SPACE)[:1] in (b"{", b"[")
        ]
        return "json" if whole and any(_is_json(f) for f in whole) else "jsonl"
    if list(by_format) == [None]:
        return formats.of_content(plain[0].path)
    if len(by_format) == 1:
        return next(iter(by_format))
    if None in by_format or "text" in by_format:
        found = ", ".join(
            f"{len(of)} {form or 'of no known suffix'} (such as {of[0].relative!r})"
            for form, of in sorted(by_format.items(), key=lambda item: item[0] or "~")
        )
        raise SourceError(
            f"source {source.name!r}: {source.shown} holds files of several formats: {found}; "
            "set format:, or give a glob that matches only the data, such as '*.json'"
        )
    return None


def _array(file: File) -> bool:
    return streams.head(file.path).lstrip(SPACE).startswith(b"[")


def _is_json(file: File) -> bool:
    """Whether the first value of a file, over several lines, is a record."""
    first = next(json_text.values(file.path), None)
    return first is not None and 0 not in first.errors


def look(source: Source, files: Iterable[File]) -> Look:
    """The first records of the first file that has one that can be read."""
    problem = None
    name = ""
    files = [f for f in files if f.size][:FILES]
    for file in files:
        name = name or file.relative
        records: list[dict[str, Any]] = []
        beside: dict[str, None] = {}
        form = source.format_of(file.relative)
        stored = formats.read(
            file.path, file.size, form, memory=source.memory, guarded=True, manner=source.manner
        )
        for batch in source.opened(stored, file.relative):
            good = [r for i, r in enumerate(batch.records) if i not in batch.errors]
            problem = problem or next(iter(batch.errors.values()), None)
            records += good[: RECORDS - len(records)]
            beside.update(dict.fromkeys(batch.unread))
            if len(records) == RECORDS:
                break
        if records:
            hint = _hint(source, file) if form in ("csv", "tsv") else ""
            return Look(file.relative, records, problem, form, tuple(beside), hint)
    return Look(name, [], problem, hint=_hint(source, files[0]) if files else "")


def _hint(source: Source, file: File) -> str:
    form = source.format_of(file.relative)
    other = formats.other(file.path, form, source.manner) if form is not None else None
    page = " (a page in the place of data, where it was fetched)" if other == "html" else ""
    return f"; it looks like {other}{page}: format: {other} reads it so" if other else ""


def shape(source: Source, seen: Look) -> Source:
    """`source` with its shape and the names of its columns filled in.

    Raises: SourceError where no shape fits or a named column is not there.
    """
    if not seen.records:
        if source.shape is None:
            why = f": {seen.problem.cause}, {seen.problem.detail}" if seen.problem else ""
            there = f"no record of {seen.file!r} can be read" if why else f"{seen.file!r} holds no records"
            raise SourceError(f"source {source.name!r}: {there}, so its shape cannot be told{why}{seen.hint}")
        return source.model_copy(update={"columns": source.completed()})
    _check_records(source, seen)
    found = _usual(source, seen) or _proposed(source, seen, proposals.conversations)
    found = found or _in_envelopes(source, seen) or _proposed(source, seen, proposals.texts)
    if found is not None:
        if source.shape is None:
            _refuse_single_turns(found, seen)
        return found
    if source.shape is not None:
        # Say which of the shape's columns is missing.
        _check(source.model_copy(update={"columns": source.completed()}), seen)
    if seen.unnamed:
        raise SourceError(
            f"source {source.name!r}: the {len(seen.columns)} columns of {seen.file!r} have names that look "
            "like the values of a record: put a line with names before the first record, or say header: "
            f"false and, under columns:, which of 'column 1', 'column 2', ... holds what{seen.hint}"
        )
    what = f"shape {source.shape}" if source.shape else "any known shape"
    if seen.form in ("csv", "tsv") and len(seen.columns) == 1 and seen.problem is not None:
        what += f" ({seen.problem.detail}: take away what stands above the line of names)"
    raise SourceError(
        f"source {source.name!r}: the columns of {seen.file!r} do not fit {what}: {_listed(seen)}; "
        f"set shape: and say under columns: which column holds what{advice.advice(seen.records, seen.file)}"
    )


def _usual(source: Source, seen: Look) -> Source | None:
    """The source with the first shape whose usual columns are there."""
    candidates: Iterable[Shape] = [source.shape] if source.shape else fitting.possible(source)
    for candidate in candidates:
        columns = fitting.columns(candidate, source, seen.records)
        if columns is not None and not (source.shape is None and _is_json_of_turns(candidate, columns, seen)):
            found = source.model_copy(update={"shape": candidate, "columns": columns})
            _check(found, _lifted(found, seen) if found.group_by is not None else seen)
            return _without_tools(found, source, seen)
    return None


def _is_json_of_turns(candidate: Shape, columns: Columns, seen: Look) -> bool:
    """Whether what a shape takes for the words of somebody is the JSON of turns."""
    asked = columns.text if candidate == "text" else None
    asked = getattr(columns, shapes.SIDES[candidate][0]) if candidate in shapes.SIDES else asked
    return asked is not None and exchanges.holds_turns(seen.records, asked)


def _proposed(source: Source, seen: Look, propose: Proposals) -> Source | None:
    """The source with the first shape that its columns may have under other names.

    What the recipe says stays.
    """
    given = source.columns.model_dump(exclude_none=True, exclude_defaults=True)
    if seen.unnamed or source.group_by is not None:
        return None
    for one in propose(seen.records):
        fields = {*fitting.fields(one.shape), *fitting.ANY_SHAPE}
        if source.shape not in (None, one.shape) or not set(given) <= fields:
            continue
        columns = shapes.complete(
            one.shape, Columns(**{**one.columns.model_dump(exclude_none=True), **given})
        )
        found = source.model_copy(update={"shape": one.shape, "columns": columns})
        with suppress(SourceError):
            _check(found, _lifted(found, seen))
            return _without_tools(found, source, seen)
    return None


def _without_tools(found: Source, source: Source, seen: Look) -> Source:
    """`found`, which reads no column of tools where the recipe names none and what is there holds none.

    It is then a column that nobody reads, and named among those.
    """
    name = found.columns.tools
    values = [r[name] for r in seen.records if name and r.get(name)]
    if source.columns.tools is not None or not values or any(map(calling.may_be_tools, values)):
        return found
    return found.model_copy(update={"columns": found.columns.model_copy(update={"tools": ""})})


def _in_envelopes(source: Source, seen: Look) -> Source | None:
    """The source with the place where its records lie, if not on their own."""
    if source.records or seen.form not in ("json", "jsonl") or source.group_by is not None:
        return None
    for path in proposals.envelopes(seen.records):
        inner = envelopes.unfold([Batch("record", seen.records, [*range(len(seen.records))])], path)
        records = [r for batch in inner for i, r in enumerate(batch.records) if i not in batch.errors]
        within = Look(seen.file, records[:RECORDS], None, seen.form)
        opened = source.model_copy(update={"records": path})
        with suppress(SourceError):
            found = records and (_usual(opened, within) or _proposed(opened, within, proposals.conversations))
            if found and _whole(found, seen, within):
                _refuse_single_turns(found, within)
                return found
    return None


def _whole(found: Source, seen: Look, within: Look) -> bool:
    """Whether records that lie in a list are whole: not parts of what the records around it hold."""
    if found.shape in ("text", "text_label") and (len(seen.records) > 1 or looks.people(within.records)):
        return False
    if found.shape not in TURN_NAMES:
        return True
    turns_of, sizes = found.mapper(), []
    for record in _lifted(found, within).records:
        with suppress(ReadError):
            sizes.append(len(turns_of(record)))
    return not looks.most(size < 2 for size in sizes)


def _lifted(source: Source, seen: Look) -> Look:
    """`seen` with the columns inside columns that `source` names."""
    records = [dict(r) for r in seen.records]
    paths.lift(records, [n for n in source.wanted() if paths.is_path(n)])
    return Look(seen.file, records, seen.problem, seen.form)


def _check_records(source: Source, seen: Look) -> None:
    """Raises: SourceError for `records` where there are none to be found."""
    if source.records and seen.form not in (None, "json", "jsonl"):
        raise SourceError(
            f"source {source.name!r}: records: {source.records} is for JSON, and {seen.file!r} is {seen.form}"
        )


def _refuse_single_turns(found: Source, seen: Look) -> None:
    """Raises: SourceError for records that are turns, each with its speaker, read as if each were a row."""
    if found.shape not in ("text", "text_label") or found.group_by is not None:
        return
    turns = advice.single_turns(seen.records)
    if turns is not None:
        raise SourceError(
            f"source {found.name!r}: each record of {seen.file!r} is one turn: {turns.role!r} names its "
            f"speaker. {turns.advice}; or `shape: {found.shape}` where each is a text of its own"
        )


def _check(source: Source, seen: Look) -> None:
    """Raises: SourceError for a column that the recipe needs and no record seen has."""
    where: dict[str, Iterable[str | None]] = {
        "columns": shapes.required(source.shape or "messages", source.columns),
        "columns.system": [source.columns.system],
        "columns.id": [source.columns.id],
        "columns.parent": [source.columns.parent],
        "group_by": [source.group_by],
        "order_by": source.orders(),
        "only": source.only,
        "group": [source.group],
        "time": [source.time],
        "meta": source.meta,
    }
    for key, columns in where.items():
        for column in columns:
            if column is not None and column not in seen.columns:
                raise SourceError(
                    f"source {source.name!r}: no column {column!r} ({key}) in {seen.file!r}; "
                    f"the columns there are {_listed(seen)}"
                )


def _listed(seen: Look) -> str:
    columns = seen.shown if seen.unnamed else [repr(c) for c in seen.shown]
    more = f" and {len(columns) - 40} more" if len(columns) > 40 else ""
    hint = " (their names look like values: is the line of names missing?)" if seen.unnamed else ""
    return ", ".join(columns[:40]) + more + hint or "none"
