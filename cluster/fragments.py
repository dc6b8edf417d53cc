"""The unit of work: a list of (file, range), cut once and recorded.

A fragment is what is read, retried and committed as one. Big line files are cut by bytes, big
Parquet files by row groups; small files of a source are combined in the order of their relative
paths; a big file that cannot be cut is one fragment that is read in order. The records of a
grouped source may stand anywhere in it, so each of its fragments is a bucket of all its ranges.

Nothing here depends on the order of a listing or on where the files lie: fragments are ordered by
(source name, relative path, range), and a composition that was recorded before is kept as it is,
so that adding files to a source changes nothing of what is done already.

Cost: one pass over the listing; the footer of each Parquet file larger than a fragment is read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import xxhash

from headrace.cluster import storage
from headrace.cluster.parquet import footer

Kind = Literal["ranges", "stream", "grouped"]
Cut = Literal["bytes", "row_groups"]
FileKey = tuple[str, str, int, str]  # source, relative path, size, stamp

COMPRESSED = (
    *(".gz", ".zst", ".zstd", ".bz2", ".xz", ".lzma", ".zip"),
    *(".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".gzip"),
)
EXPANSION = 4  # a compressed file counts this often its stored size
INPUT = 8 * 2**20  # stored bytes that one reader of a grouped source takes
FOOTERS = 16  # Parquet footers read at once


@dataclass(frozen=True)
class File:
    """One input file: `relative` is its path below the fixed part of the source's path."""

    source: str
    path: str
    relative: str
    size: int  # stored bytes
    stamp: str  # etag or mtime: changes with the content

    @property
    def key(self) -> FileKey:
        """What makes it the same file, wherever it lies."""
        return (self.source, self.relative, self.size, self.stamp)

    @property
    def weight(self) -> int:
        """Bytes that it counts for: a compressed file more than it stores."""
        return self.size * EXPANSION if self.relative.lower().endswith(COMPRESSED) else self.size


@dataclass(frozen=True)
class Range:
    """A part of a file: bytes of a line file or row groups of a Parquet file; (0, -1) is all of it.

    A byte range owns the lines that begin in it.
    """

    path: str
    relative: str
    size: int
    stamp: str
    start: int = 0
    stop: int = -1
    stored: int = -1  # bytes of the range, for progress; no part of an identity; -1: the file's size

    @property
    def bytes(self) -> int:
        """Stored bytes of the range."""
        return self.size if self.stored < 0 else self.stored

    @property
    def whole(self) -> bool:
        """Whether this is all of the file."""
        return self.stop < 0


@dataclass(frozen=True)
class Fragment:
    """The unit of work. `ordinal` is -1 until the ledger has claimed one."""

    source: str
    kind: Kind
    ranges: tuple[Range, ...]
    ordinal: int = -1
    bucket: int = 0  # of a grouped fragment: which of the `buckets` it is
    buckets: int = 0

    @property
    def identity(self) -> str:
        """Hex digest (128 bits) of what is to be read; full paths and the ordinal are no part of it."""
        parts: list[object] = [self.source, self.kind, self.bucket, self.buckets]
        for r in self.ranges:
            parts += [r.relative, r.size, r.stamp, r.start, r.stop]
        return xxhash.xxh3_128_hexdigest("\0".join(map(str, parts)).encode("utf-8", "surrogateescape"))

    @property
    def order(self) -> tuple[str, str, int, int]:
        """Fragments claim their ordinals in this order."""
        first = self.ranges[0]
        return (self.source, first.relative, first.start, self.bucket)

    @property
    def bytes(self) -> int:
        """Stored bytes to read; of a bucket, its share."""
        total = sum(r.bytes for r in self.ranges)
        return total // self.buckets if self.kind == "grouped" else total

    def to_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Fragment":
        """Inverse of `to_json`."""
        return cls(**{**data, "ranges": tuple(Range(**r) for r in data["ranges"])})


def cut(
    files: Iterable[File],
    fragment_size: int,
    cuttable: Callable[[File], Cut | None],
    *,
    grouped: Collection[str] = (),
    known: Sequence[Fragment] = (),
) -> list[Fragment]:
    """Fragments over `files`, in the order in which they claim ordinals.

    `cuttable` says how a file larger than `fragment_size` bytes may be cut (None: not at all).
    Sources named in `grouped` become buckets. Fragments in `known` whose files are all still
    there come back as they are (with their ordinals, and paths as listed now); the rest of the
    files is cut anew. A grouped source is done again as a whole where any of its files changed.
    """
    listed = sorted(files, key=lambda f: (f.source, f.relative))
    kept = _still_there(listed, known, cuttable, frozenset(grouped))
    done = {(f.source, r.relative, r.size, r.stamp) for f in kept for r in f.ranges}
    new = [f for f in listed if f.key not in done]
    plain = [f for f in new if f.source not in grouped]
    pieces = _pieces([f for f in plain if f.weight > fragment_size], fragment_size, cuttable)
    fresh = [*pieces, *_combined([f for f in plain if f.weight <= fragment_size], fragment_size)]
    for source in sorted({f.source for f in new if f.source in grouped}):
        fresh += _buckets([f for f in new if f.source == source], fragment_size, cuttable)
    return [*kept, *sorted(fresh, key=lambda f: f.order)]


def _still_there(
    files: Sequence[File],
    known: Sequence[Fragment],
    cuttable: Callable[[File], Cut | None],
    grouped: frozenset[str],
) -> list[Fragment]:
    """Known fragments whose files are all there, unchanged, to be read in the same way as then."""
    by_key = {f.key: f for f in files}
    of_source: dict[str, set[FileKey]] = {}
    for file in files:
        of_source.setdefault(file.source, set()).add(file.key)
    kept = []
    for fragment in known:
        keys = [(fragment.source, r.relative, r.size, r.stamp) for r in fragment.ranges]
        if not all(k in by_key for k in keys) or (fragment.source in grouped) != (fragment.kind == "grouped"):
            continue
        if fragment.kind == "grouped" and set(keys) != of_source[fragment.source]:
            continue
        if any(
            not r.whole and cuttable(by_key[k]) is None for k, r in zip(keys, fragment.ranges, strict=True)
        ):
            continue
        ranges = tuple(replace(r, path=by_key[k].path) for k, r in zip(keys, fragment.ranges, strict=True))
        kept.append(replace(fragment, ranges=ranges))
    return kept


def _whole(file: File) -> Range:
    return Range(file.path, file.relative, file.size, file.stamp)


def _combined(files: Sequence[File], fragment_size: int) -> Iterator[Fragment]:
    """Small files of one source side by side, up to `fragment_size`."""
    source = ""
    ranges: list[Range] = []
    total = 0
    for file in files:
        if ranges and (file.source != source or total + file.weight > fragment_size):
            yield Fragment(source, "ranges", tuple(ranges))
            ranges, total = [], 0
        source = file.source
        ranges.append(_whole(file))
        total += file.weight
    if ranges:
        yield Fragment(source, "ranges", tuple(ranges))


def _pieces(
    files: Sequence[File], fragment_size: int, cuttable: Callable[[File], Cut | None]
) -> Iterator[Fragment]:
    """Big files, cut where they can be."""
    with ThreadPoolExecutor(FOOTERS) as pool:
        for file, ranges in zip(
            files, pool.map(lambda f: _ranges(f, fragment_size, cuttable(f)), files), strict=True
        ):
            kind: Kind = "stream" if cuttable(file) is None else "ranges"
            for one in ranges:
                yield Fragment(file.source, kind, (one,))


def _ranges(file: File, fragment_size: int, how: Cut | None) -> list[Range]:
    """Ranges of one file that together are all of it, each at most `fragment_size` where it can be."""
    if how is None or file.weight <= fragment_size:
        return [_whole(file)]
    bounds = _even(file.size, fragment_size) if how == "bytes" else _row_groups(file, fragment_size)
    return [replace(_whole(file), start=a, stop=b, stored=n) for a, b, n in bounds] or [_whole(file)]


def _even(size: int, fragment_size: int) -> list[tuple[int, int, int]]:
    """Byte ranges of nearly equal length, each at most `fragment_size`."""
    n = -(-size // fragment_size)
    edges = [i * size // n for i in range(n + 1)]
    return [(a, b, b - a) for a, b in pairwise(edges)]


def _row_groups(file: File, fragment_size: int) -> list[tuple[int, int, int]]:
    """Ranges of row groups with their stored bytes; none where the footer is unreadable."""
    try:
        with storage.explained(file.path, "read"), storage.open_input(file.path) as stream:
            groups = footer.read(stream, file.size).groups
    except footer.Damaged:
        return []
    bounds: list[tuple[int, int, int]] = []
    start, total = 0, 0
    for i, group in enumerate(groups):
        if i > start and total + group.stored > fragment_size:
            bounds.append((start, i, total))
            start, total = i, 0
        total += group.stored
    return [*bounds, (start, len(groups), total)] if groups else []


def _buckets(
    files: Sequence[File], fragment_size: int, cuttable: Callable[[File], Cut | None]
) -> list[Fragment]:
    """One fragment a bucket, each with every range of the source."""
    ranges = tuple(r for f in files for r in _ranges(f, fragment_size, cuttable(f)))
    n = max(1, -(-sum(f.weight for f in files) // fragment_size))
    return [Fragment(files[0].source, "grouped", ranges, bucket=k, buckets=n) for k in range(n)]


def inputs(fragment: Fragment, size: int = INPUT) -> list[Fragment]:
    """What has to be read to fill the buckets of a grouped source: `fragment` is any one of them.

    Its ranges, combined up to `size` stored bytes; the results carry `buckets` but no ordinal.
    """
    groups: list[list[Range]] = []
    total = 0
    for one in fragment.ranges:
        if not groups or total + one.bytes > size:
            groups.append([])
            total = 0
        groups[-1].append(one)
        total += one.bytes
    return [Fragment(fragment.source, "ranges", tuple(g), buckets=fragment.buckets) for g in groups]
