"""A first recipe, written from a look at the data (`headrace init`).

It has one source for each format and shape that lies there, names the columns, and holds every other key
as a comment with its default, so that it runs as it is and shows what can be changed. No content of a row
is in it: of the columns it says the names, the kinds and the usual lengths.

Cost: a listing, and the first records of `LOOKED_AT` files.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fsspec.utils import glob_translate

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.cluster.fragments import File
from headrace.pipelines.commands import init_text
from headrace.pipelines.commands.init_text import Found
from headrace.pipelines.stages.read import detection, formats, inputs, mappers, shapes
from headrace.pipelines.stages.read.files import archives, notes
from headrace.pipelines.stages.read.shapes import Columns
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import advice, looks, paths
from headrace.pipelines.stages.read.turns.unknown import KNOWN

LOOKED_AT = 40  # files; the others are taken to be like those of their format
BLANK = ("is empty", "holds no record")  # what may lie in a source without harm
OPTIONAL = {"system", "reasoning", "roles", "tools"}  # columns that some files of a kind may lack
SYSTEMS = ("system", "systemprompt", "systemmessage", "systeminstruction", "metainstruction")
SIDES = {  # of the split, by how sets call their files; what is trained on needs none
    **dict.fromkeys(("train", "training"), None),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
_SIDE = re.compile(rf"({'|'.join(SIDES)})(?![a-z])")
NAMED = 3  # files that are named of those that are left out


@dataclass(frozen=True)
class Starter:
    """A recipe, what is to be said of it, and what is wrong with it, if anything is."""

    text: str
    lines: list[str]
    problem: str = ""


def starter(path: str) -> str:
    """YAML of `look`."""
    return look(path).text


def look(path: str) -> Starter:
    """A commented recipe for the data at `path` (a file, directory or glob), and words on what it found.

    Raises: SourceError (nothing there, nothing that can be read), StorageError.
    """
    whole = inputs.named([Source(path=path)])[0]
    listing = inputs.found(whole)
    data, left = _data(listing.files)
    found, strange = _found(whole, data)
    blank = {name for name, why in {**left, **strange}.items() if why in BLANK}
    problem = ""
    if not found:
        tried = [f for f in data if f.relative in strange] or data
        largest = max(tried, key=lambda f: (f.size, f.relative))
        source = whole.model_copy(update={"format": detection.file_format(whole, [largest])})
        seen = detection.look(source, [largest])
        if not seen.records:
            detection.shape(source, seen)
        problem = strange.pop(largest.relative, f"{largest.relative!r} holds no record")
        found = [Found(source, seen, data)]
    left |= strange
    sources = _paths(whole, found, [f for f in listing.files if f.relative not in blank])
    manners = [note for one in found for note in notes.of(one.source, one.files)]
    lines = [*map(_said, found), *manners, *_left_out(left), *listing.notes]
    text = init_text.recipe(whole, sources, found, len(left) + len(listing.left))
    return Starter(text, lines, problem)


def _data(files: Sequence[File]) -> tuple[list[File], dict[str, str]]:
    """The files that hold data, and why each other does not: licences and notes lie beside data."""
    filled = [f for f in files if f.size]
    left = {f.relative: BLANK[0] for f in files if not f.size}
    forms: dict[str, str | None] = {
        f.relative: formats.of_name(f.relative) or ("archive" if archives.by_name(f.relative) else None)
        for f in filled
    }
    if any(form not in (None, "text") for form in forms.values()):
        for name, form in forms.items():
            if form is None:
                left[name] = "has no suffix of a known format"
            elif form == "text":
                left[name] = "is text beside data"
    return [f for f in filled if f.relative not in left], left


def _found(whole: Source, files: Sequence[File]) -> tuple[list[Found], dict[str, str]]:
    """Sources by format and shape, in the order of their first files, and what fits no shape, and why."""
    found: dict[str, Found] = {}
    strange: dict[str, str] = {}
    by_format: dict[Any, str] = {}
    for number, file in enumerate(files):
        form = formats.of_name(file.relative)
        if number >= LOOKED_AT and form in by_format:
            found[by_format[form]].files.append(file)
            continue
        try:
            one = _of_file(whole, file, alone=len(files) == 1)
        except SourceError as error:
            strange[file.relative] = str(error)
            continue
        if not one.look.records:
            strange[file.relative] = BLANK[1]
            continue
        key = by_format[form] = _kind_of(one.source, form)
        same = found.setdefault(key, one)
        same.files.append(file)
        same.source = _with_more(same.source, one.source.columns)
        same.roleless = max(same.roleless, one.roleless)
    for one in [*found.values()]:
        if one.source.format in ("json", "jsonl") and formats.of_name(one.files[0].relative) == "json":
            one.source = one.source.model_copy(update={"format": detection.file_format(whole, one.files)})
    return [part for one in found.values() for part in _sides(one)], strange


def _sides(found: Found) -> list[Found]:
    """The files of one kind, apart where some of them are named as a test or a validation set."""
    names = {_named_for(file.relative) for file in found.files}
    if not {"train", "training"} & names or not {SIDES[name] for name in names if name} - {None}:
        return [found]
    by_side: dict[str | None, list[File]] = {}
    for file in found.files:
        by_side.setdefault(SIDES.get(_named_for(file.relative)), []).append(file)
    parts = []
    for side, files in by_side.items():
        source = found.source.model_copy(update={"side": side})
        look = (
            detection.look(source, files)
            if found.look.file not in {f.relative for f in files}
            else found.look
        )
        parts.append(replace(found, source=source, look=look, files=files))
    return parts


def _named_for(relative: str) -> str:
    """The word of `SIDES` that a file or its folder is named by; empty for none."""
    each = (_SIDE.match(part.lower()) for part in reversed(relative.split("/")))
    return next((found[1] for found in each if found is not None), "")


def _kind_of(source: Source, form: Any) -> str:
    """What files of one source have in common: format, shape and the columns that the shape must have."""
    beside = {"name", "path", "format", "columns"}
    columns = source.columns.model_dump(mode="json", exclude=OPTIONAL)
    read = source.model_dump(mode="json", exclude=beside) | columns
    return json.dumps([form if form == "json" else source.format, read], sort_keys=True)


def _with_more(source: Source, other: Columns) -> Source:
    """The source with the columns and roles that another file of its kind has beside."""
    own = source.columns
    more = {n: getattr(other, n) for n in sorted(OPTIONAL - {"roles"}) if not getattr(own, n)}
    columns = own.model_copy(update={**more, "roles": {**other.roles, **own.roles}})
    return source.model_copy(update={"columns": columns})


def _of_file(whole: Source, file: File, *, alone: bool) -> Found:
    """What one file holds. Raises: SourceError where it has no shape that can be told."""
    source = whole.model_copy(update={"format": detection.file_format(whole, [file])})
    seen = detection.look(source, [file])
    if not seen.records and seen.problem is None:
        return Found(source, seen)
    try:
        shaped = detection.shape(source, seen)
        shaped = _marked(source if shaped.shape == "text" else shaped, seen) or shaped
    except SourceError:
        shaped = _marked(source, seen) or _grouped(source, seen, alone=alone)
    if shaped.records or any(map(paths.is_path, shaped.wanted())):
        seen = detection.look(shaped, [file])
    shaped = _wanted(_fuller(shaped, seen), seen)
    shaped, roleless = _with_roles(shaped, seen)
    return Found(shaped, seen, roleless=roleless)


def _marked(source: Source, seen: detection.Look) -> Source | None:
    """The source with the turns in its texts, where these are whole conversations with markers of turns, or
    prompts that are all of one but the answer.
    """
    pairs = advice.marked_pairs(seen.records, source.shape, source.completed())
    if pairs is not None:
        columns = source.columns.model_copy(update={pairs[0]: pairs[1], "markers": pairs[2]})
        return source.model_copy(update={"columns": columns})
    if source.shape not in (None, "text"):
        return None
    found = advice.marked_texts(seen.records)
    if found is None:
        return None
    columns = Columns(messages=found[0], markers=found[1])
    return detection.shape(source.model_copy(update={"columns": columns}), seen)


def _grouped(source: Source, seen: detection.Look, *, alone: bool) -> Source:
    """The source with its records put together to conversations. Raises: SourceError where they are none."""
    turns = advice.single_turns(seen.records)
    if (
        turns is None
        or turns.strangers
        or not (turns.group_by or turns.whole_file)
        or (alone and not turns.group_by)
    ):
        detection.shape(source, seen)  # says what is wrong
        raise SourceError(f"source {source.name!r}: no shape fits")
    keys = {
        "group_by": turns.group_by or paths.FILE,
        "order_by": turns.order_by or (),
        "columns": Columns(role=turns.role, content=turns.content, id=turns.own, parent=turns.parent),
    }
    records = [{**r, paths.FILE: seen.file} for r in seen.records]
    return detection.shape(
        source.model_copy(update=keys), detection.Look(seen.file, records, seen.problem, seen.form)
    )


def _fuller(source: Source, seen: detection.Look) -> Source:
    """The source with columns that its shape may have beside those that it must have."""
    named = {looks.bare(c): c for c in seen.unread(source)[0]}
    columns = source.columns
    more: dict[str, str | None] = {}

    def first(*names: str) -> str | None:
        return next((named[n] for n in names if n in named), None)

    system, context = first(*SYSTEMS), first("context", "passage", "paragraph")
    if isinstance(columns.messages, tuple):  # of what was sent to a model and what came back
        system = system or first("instructions")
    if system is not None and source.shape not in ("text", "text_label"):
        more["system"] = _inner(system, seen)
    if source.shape in shapes.SIDES:
        more["reasoning"] = first("reasoning", "reasoningcontent", "thinking", "chainofthought")
        before = first("history")
        if before is not None and any(isinstance(r.get(before), list) for r in seen.records):
            more["history"] = before
    if source.shape == "text_label" and not any(
        isinstance(r.get(columns.label or ""), str) for r in seen.records
    ):
        more["label"] = first("labeltext", "labelname")
    if source.shape == "question_answer" and context is not None:
        more |= {"instruction": columns.question, "output": columns.answer}
        columns = columns.model_copy(update={"question": None, "answer": None})
        source = source.model_copy(update={"shape": "alpaca"})
    if source.shape == "alpaca" and context is not None and columns.input not in seen.columns:
        more["input"] = context
    full = columns.model_copy(update={name: value for name, value in more.items() if value is not None})
    if source.shape is not None:
        full = shapes.complete(source.shape, full, source.group_by is not None)
    return source.model_copy(update={"columns": full})


def _wanted(source: Source, seen: detection.Look) -> Source:
    """The source without rows of which a column says that they are not wanted."""
    names = seen.unread(source)[0] if source.group_by is None else ()
    found = advice.unwanted(seen.records, names, source.completed())
    return source if found is None else source.model_copy(update={"only": {found[0]: found[1]}})


def _inner(name: str, seen: detection.Look) -> str:
    """A column, or the list of parts in it that is its text."""
    value: dict[str, Any] = next((r[name] for r in seen.records if isinstance(r.get(name), dict)), {})
    return next((f"{name}.{key}" for key in ("parts", "content", "text") if key in value), name)


def _with_roles(source: Source, seen: detection.Look) -> tuple[Source, int]:
    """The source with roles for speakers of other usual names, and how many speakers are left without one."""
    roles: dict[str, Any] = {}
    others = set()
    for record in seen.records:
        for value in mappers.speakers(record, source.completed(), source.group_by is not None):
            name = value.strip().lower()
            if name in shapes.ROLES or name in source.columns.roles or value in source.columns.roles:
                continue
            if name in KNOWN:
                roles[name] = KNOWN[name]
            else:
                others.add(name)
    if roles:
        columns = source.columns.model_copy(update={"roles": {**roles, **source.columns.roles}})
        source = source.model_copy(update={"columns": columns})
    return source, len(others)


def _said(found: Found) -> str:
    """What lies in files of one format and shape, in words."""
    source, n = found.source, len(found.files)
    columns = source.columns.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    hidden = {"roles", "reasoning", *({"tools"} if source.columns.tools not in found.look.columns else ())}
    shown = ", ".join(f"{k}: {init_text.flow(v)}" for k, v in columns.items() if k not in hidden)
    where = f"{n} file{'s' * (n != 1)} such as {found.files[0].relative!r}" if found.files else "no file"
    if source.shape is None:
        return f"{where}: {source.format}, no known shape"
    text = f"{where}: {source.format}, {source.shape} ({shown})"
    text += f", records under {source.records}" if source.records else ""
    text += f", grouped by {source.group_by}" if source.group_by else ""
    text += f", side: {source.side}, held out" if source.side else ""
    text += f", only {init_text.flow(source.only)}" if source.only else ""
    names, more = found.look.unread(source)
    text += f"; {advice.unread(names, more)}" if names or more else ""
    if found.roleless:
        text += f"; {found.roleless} speakers have no role: `columns: {{roles: {{...}}}}` says whose they are"
    return text


def _left_out(left: dict[str, str]) -> list[str]:
    """Why files were left out, in words."""
    by_why: dict[str, list[str]] = {}
    for name, why in sorted(left.items()):
        by_why.setdefault(why.replace(repr(name), "the file"), []).append(name)
    return [
        f"left out: {', '.join(map(repr, names[:NAMED]))}"
        + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        + f": {why}"
        for why, names in by_why.items()
    ]


def _paths(whole: Source, found: Sequence[Found], files: Sequence[File]) -> list[Source]:
    """The sources with names and paths of their own: the whole path where one source takes it all."""
    sources = []
    names: set[str] = set()
    for one in found:
        own = {f.path for f in one.files}
        path: Any = whole.path
        if own != {f.path for f in files}:
            path = _pattern(whole, own, files)
        name, number = whole.name, 2
        if len(found) > 1:
            name = f"{whole.name}-{one.source.format or 'mixed'}-{one.source.shape}".replace("_", "-")
        name += f"-{one.source.side}" if one.source.side else ""
        while name in names:
            name, number = f"{name.rstrip('0123456789')}{number}", number + 1
        names.add(name)
        sources.append(one.source.model_copy(update={"name": name, "path": path}))
    return sources


def _pattern(whole: Source, own: set[str], files: Sequence[File]) -> str | tuple[str, ...]:
    """A glob that matches the `own` paths of all files and no others; the paths where there is none."""
    root = whole.paths[0]
    if len(whole.paths) == 1 and storage.is_directory(root):
        folder = os.path.commonpath([os.path.dirname(path) for path in own])
        if folder != _absolute(root) and {f.path for f in files if f.path.startswith(f"{folder}/")} == own:
            return storage.join(root, os.path.relpath(folder, _absolute(root)))
        lead = os.path.commonprefix([os.path.basename(path) for path in own])  # noqa: RUF071 - by letters
        suffixes = {suffix for path in own for suffix in formats.SUFFIXES if suffix in path.lower()}
        for suffix in sorted(suffixes, key=len, reverse=True):
            for ending in (
                f"*{suffix}*",
                f"*{suffix}",
                *([f"{lead}*"] if lead and not set(lead) & set(storage.PATTERN) else []),
            ):
                pattern = storage.join(root, f"**/{ending}")
                matches = re.compile(glob_translate(storage.join(_absolute(root), f"**/{ending}"))).match
                if {f.path for f in files if matches(f.path)} == own:
                    return pattern
    return tuple(sorted(own))


def _absolute(path: str) -> str:
    return path if storage.is_remote(path) else os.path.abspath(path.removeprefix("file://"))
