"""Where the raw text is: the sources of a recipe, their files, formats and shapes.

`resolve` looks at the first records of every source once and freezes what it found (names,
format, shape, columns) into the recipe that is kept with the run, so that a later look at other
files cannot change the meaning of the ones before.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fsspec.utils import glob_translate

from headrace.cluster import fragments, links, storage
from headrace.cluster.errors import OutputError, RecipeError, SourceError
from headrace.cluster.fragments import Cut, File, Fragment
from headrace.cluster.links import Found
from headrace.cluster.storage import PATTERN
from headrace.pipelines.stages.read import detection, formats
from headrace.pipelines.stages.read.files import archives, compressed, encodings, leftout
from headrace.pipelines.stages.read.source import Source


def named(sources: Sequence[Source]) -> list[Source]:
    """The sources with their names filled in.

    A directory's or glob's last fixed component, a file's name without suffixes, for a list the
    last component of the longest common directory. Raises: RecipeError for two of one name.
    """
    with_names = [s if s.name else s.model_copy(update={"name": _name(s)}) for s in sources]
    names = [s.name for s in with_names]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"two sources are called {name!r}; give each a name: of its own")
    return with_names


def _name(source: Source) -> str:
    """Default name of a source; a path need not be UTF-8, a name must."""
    root = _root(source)
    single = isinstance(source.path, str) and not _is_pattern(source.path)
    last = root.rstrip("/").rsplit("/", 1)[-1]
    if single and not storage.is_directory(_plain(source.paths[0])):
        whole = _plain(source.paths[0]).rsplit("/", 1)[-1]
        last = whole[: len(compressed.stem(whole).split(".")[0])]
    return last.encode("utf-8", "replace").decode() or "source"


def _plain(path: str) -> str:
    """A path as listings spell it: absolute where it is local, without a slash at its end."""
    if storage.is_remote(path):
        return path.rstrip("/").replace("s3a://", "s3://", 1)
    return os.path.abspath(path.removeprefix("file://"))


def _is_pattern(path: str) -> bool:
    """Whether a path is a glob; a file whose name has such characters is none."""
    return any(c in path for c in PATTERN) and not storage.exists(path)


def _root(source: Source) -> str:
    """The directory below which the source's relative paths begin."""
    roots = []
    for path in source.paths:
        plain = _plain(path)
        if _is_pattern(path):
            first = min(plain.index(c) for c in PATTERN if c in plain)
            roots.append(plain[:first].rpartition("/")[0])
        else:
            roots.append(plain if storage.is_directory(plain) else plain.rpartition("/")[0])
    parts = [r.split("/") for r in roots]
    if len({storage.is_remote(r) for r in roots}) > 1:
        raise RecipeError(f"source {source.shown}: local and remote paths in one list; make two sources")
    common = 0
    while all(len(p) > common for p in parts) and len({p[common] for p in parts}) == 1:
        common += 1
    return "/".join(parts[0][:common])


def files(source: Source) -> list[File]:
    """The files of a source, sorted by relative path: those of `found`. Raises: as it does."""
    return found(source).files


@dataclass(frozen=True)
class Listing:
    """The files of a source, and what is to be said of its paths."""

    files: list[File]
    linked: int  # of the files: reached through symbolic links
    notes: list[str]  # what was left out, in words
    left: dict[str, str]  # why, by relative path, of what is no data by its name


def found(source: Source) -> Listing:
    """The files of a source, sorted by relative path, and what lies there that is none.

    A directory is searched recursively; symbolic links are followed, and a file that several paths lead to
    is read once. What is no data by its name (`leftout`) is left out, and said, unless a path names it, or a
    glob spells out the first letters of it.

    Raises: SourceError (no such path, nothing in it, one file named twice, a link to nothing), StorageError.
    """
    root = _root(source)
    by_path: dict[str, Found] = {}
    left: dict[str, list[str]] = {}
    notes = []
    for path in source.paths:
        entries = _entries(path)
        if not entries:
            raise SourceError(f"source {source.name!r}: path matched no files: {path!r}")
        for entry in entries:
            relative = entry.path[len(root) :].removeprefix("/")
            named = _plain(path) == entry.path
            why = None if named else leftout.rule(relative, _spelled(path, root, relative))
            if entry.odd and (named or (entry.odd == links.DANGLING and not why)):
                raise SourceError(
                    f"source {source.name!r}: {entry.path} {entry.odd}; "
                    + (
                        "save its content to a file"
                        if entry.odd != links.DANGLING
                        else "fetch it, or remove it"
                    )
                )
            if why:
                left.setdefault(why, []).append(relative)
            elif entry.odd:
                notes.append(f"source {source.name!r}: {relative!r} {entry.odd}: left out")
            elif relative in by_path:
                raise SourceError(f"source {source.name!r}: {relative!r} is named twice by {source.shown}")
            else:
                by_path[relative] = entry
    if not any(map(_is_pattern, source.paths)):
        _refuse_lakes(source, [*by_path, *(r for relatives in left.values() for r in relatives)])
    _leave_out(by_path, left, {_plain(p) for p in source.paths})
    notes += _said(source, left)
    if not by_path:
        raise SourceError(
            f"source {source.name!r}: {source.shown} holds no data files" + "".join(f"; {n}" for n in notes)
        )
    notes += _without_doubles(source, by_path)
    if not any(f.size for f in by_path.values()):
        raise SourceError(
            f"source {source.name!r} is empty: {len(by_path)} files of 0 bytes in {source.shown}"
        )
    kept = [File(source.name, f.path, r, f.size, f.stamp) for r, f in sorted(by_path.items())]
    why_left = {relative: why for why, found in left.items() for relative in found}
    return Listing(kept, sum(f.linked for f in by_path.values()), notes, why_left)


def _refuse_lakes(source: Source, relatives: Sequence[str]) -> None:
    """Raises: SourceError for folders of which not all counts: tables of lakes, rows chosen by an index."""
    what = leftout.lake(relatives)
    if what is not None:
        raise SourceError(
            f"source {source.name!r}: {source.shown} is {what}, whose own log says which files count: "
            "others hold rows that were deleted or replaced. Write its rows to Parquet by what reads such "
            "tables; where nothing was ever replaced, name the files by a pattern: DIRECTORY/*.parquet"
        )
    chosen = next((r for r in relatives if r.rpartition("/")[2] == "indices.arrow"), None)
    if chosen is not None:
        raise SourceError(
            f"source {source.name!r}: {chosen!r} says which rows of its folder are meant, and is not "
            "followed: write the set again by `datasets`, with flatten_indices().save_to_disk(...)"
        )


def _spelled(path: str, root: str, relative: str) -> set[int]:
    """Which components of `relative` a glob spells out with their first letters."""
    if not _is_pattern(path):
        return set()
    parts = _plain(path)[len(root) :].removeprefix("/").split("/")
    own = relative.split("/")
    # Behind `**` components are counted from the end.
    deep = parts.index("**") if "**" in parts else len(parts)
    pairs = [
        *enumerate(parts[:deep]),
        *((len(own) - len(parts) + n, parts[n]) for n in range(deep, len(parts))),
    ]
    return {n for n, part in pairs if part and part[0] not in PATTERN}


def _leave_out(by_path: dict[str, Found], left: dict[str, list[str]], named: set[str]) -> None:
    """Move what is no data beside the other files from `by_path` to `left`."""
    hashed = leftout.by_hash(by_path)
    for relative in sorted(hashed):
        left.setdefault(
            "files of the hub's cache by their hashes, which have names below snapshots", []
        ).append(relative)
        del by_path[relative]
    forms = {r: formats.of_name(r) or ("archive" if archives.by_name(r) else None) for r in by_path}
    arrows = {r.rpartition("/")[0] for r, form in forms.items() if form == "arrow"}
    beside = {r for r in by_path if leftout.beside(r, ("json",), arrow=True)}
    others = {form for r, form in forms.items() if form and r not in beside}
    for relative in sorted(beside):
        why = leftout.beside(relative, others, arrow=relative.rpartition("/")[0] in arrows)
        if why and by_path[relative].path not in named:
            left.setdefault(why, []).append(relative)
            del by_path[relative]


def _said(source: Source, left: dict[str, list[str]]) -> list[str]:
    """What was left out, in words: how many files, why, and one of them."""
    notes = []
    for why, found in sorted(left.items()):
        such = f" (such as {sorted(found)[0]!r})" if len(found) > 1 else f" ({found[0]!r})"
        notes.append(
            f"source {source.name!r}: {len(found)} left out: {why}{such}; to read one, name it by its path"
        )
    return notes


def _without_doubles(source: Source, by_path: dict[str, Found]) -> list[str]:
    """Leave each real file once, under its own path before those of links; says which were left out.

    Hard links are files of their own: copies made by them are meant to be there.
    """
    first: dict[tuple[int, int], str] = {}
    doubles = []
    for relative, entry in sorted(by_path.items(), key=lambda item: (item[1].linked, item[0])):
        if entry.linked and entry.real in first:
            doubles.append((relative, first[entry.real]))
            del by_path[relative]
        elif entry.real != (0, 0):
            first.setdefault(entry.real, relative)
    if not doubles:
        return []
    again, own = doubles[0]
    return [
        f"source {source.name!r}: {len(doubles)} paths lead to files that are there already, such as "
        f"{again!r} to {own!r}: each file is read once"
    ]


def _entries(path: str) -> list[Found]:
    """What one path stands for; nothing where it matches nothing."""
    plain = _plain(path)
    pattern = _is_pattern(path)
    if pattern or storage.is_directory(plain):
        return links.search(plain, pattern=pattern)
    if not storage.is_remote(plain):
        if not os.path.lexists(plain):
            return []
        if not os.path.exists(plain):
            return [Found(plain, linked=True, odd=links.DANGLING)]
        return [links.of(plain, os.stat(plain), linked=os.path.islink(plain))]
    try:
        entry = storage.entry(plain)
    except FileNotFoundError:
        return []
    return [Found(plain, entry.size, entry.stamp)]


# Paths as they lie in a run directory: whether a glob would take a run's own files as rows.
RUN_FILES = (
    "recipe.yaml",
    "run.json",
    "report.html",
    "report.md",
    "prepared/part-0-0.parquet",
    "rejected/part-0-0.parquet",
    "pii.json",
    "packed/train/part-0.parquet",
    "ledger/plan/00000.json",
    "duplicates/removed.parquet",
)


def require_apart(sources: Sequence[Source], output: str) -> None:
    """Raises: OutputError where a run in `output` would read its own files, or write among its inputs."""
    run = _real(output)
    for source in sources:
        for path in source.paths:
            place = _real(path)
            if _is_pattern(path):
                fits = re.compile(glob_translate(place)).match
                among = any(fits(f"{run}/{name}") for name in RUN_FILES)
                first = min(place.index(c) for c in PATTERN if c in place)
                place = place[:first].rpartition("/")[0]
            else:
                among = _lies_in(run, place)
            if among:
                raise OutputError(
                    f"output {output!r} lies in an input, {path!r}: the next start would read the run's own "
                    "files as rows; name a directory outside of it"
                )
            if _lies_in(place, run):
                raise OutputError(
                    f"input {path!r} lies in the output {output!r}, which is the run's alone; "
                    "name another directory"
                )


def _real(path: str) -> str:
    """A path without symbolic links; a glob's up to where it begins."""
    plain = _plain(path)
    if storage.is_remote(plain):
        return plain
    first = min((plain.index(c) for c in PATTERN if c in plain), default=len(plain))
    if first == len(plain) or not _is_pattern(path):
        return os.path.realpath(plain)
    fixed, _, rest = plain[:first].rpartition("/")
    return f"{os.path.realpath(fixed or '/').rstrip('/')}/{rest}{plain[first:]}"


def _lies_in(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def resolve(sources: Sequence[Source]) -> list[Source]:
    """The sources with names, formats, shapes and columns filled in from a look at their files.

    Raises: RecipeError, SourceError (missing, empty, of no known shape, a wrong column),
    StorageError.
    """
    resolved = []
    for source in named(sources):
        _check_keys(source)
        listed = files(source)
        if source.format is None:
            source = source.model_copy(update={"format": detection.file_format(source, listed)})
        resolved.append(detection.shape(source, detection.look(source, listed)))
    return resolved


def _check_keys(source: Source) -> None:
    """Raises: RecipeError for keys that say nothing together."""
    if source.orders() and source.group_by is None:
        raise RecipeError(
            f"source {source.name!r}: order_by without group_by; say which records belong together"
        )
    if source.only and source.group_by is not None:
        raise RecipeError(
            f"source {source.name!r}: only is for records that are rows each, and group_by puts several "
            "together: leave the others out of the files"
        )
    tree = (source.columns.id, source.columns.parent)
    if tree != (None, None) and (source.group_by is None or None in tree):
        raise RecipeError(
            f"source {source.name!r}: columns.parent names the record that each one answers: say columns.id, "
            "which holds a record's own name, and group_by, which all records of a tree share, too"
        )
    if source.label_names and source.shape not in (None, "text_label"):
        raise RecipeError(f"source {source.name!r}: label_names is for shape text_label, not {source.shape}")


def frozen(source: Source, earlier: Source | None) -> Source:
    """`source` with what an earlier run of it found, where the recipe still leaves it open."""
    if earlier is None:
        return source
    open_still = (n for n in ("shape", "format", "records", "dates") if getattr(source, n) is None)
    same = {n: getattr(earlier, n) for n in open_still}
    given = source.columns.model_dump(exclude_none=True, exclude_defaults=True)
    columns = earlier.columns.model_dump()
    if source.shape in (None, earlier.shape) and all(columns[n] == value for n, value in given.items()):
        same["columns"] = earlier.columns
    return source.model_copy(update=same)


def plan(source: Source, fragment_size: int, known: Sequence[Fragment] = ()) -> list[Fragment]:
    """The fragments of a resolved source: known ones as they are, what is new cut to fit.

    Raises: SourceError, StorageError.
    """
    grouped = (source.name,) if source.group_by else ()
    return fragments.cut(
        files(source), fragment_size, lambda f: cuttable(source, f), grouped=grouped, known=known
    )


def cuttable(source: Source, file: File) -> Cut | None:
    """How a big file of `source` may be cut."""
    form = source.format_of(file.relative)
    if compressed.by_suffix(file.relative) or archives.by_name(file.relative):
        return None
    if form == "parquet":
        return "row_groups"
    by_lines = form == "jsonl" or (form == "text" and source.split == "line")
    return "bytes" if by_lines and (source.encoding is None or encodings.by_lines(source.encoding)) else None
