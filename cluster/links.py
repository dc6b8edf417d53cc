"""Files below a local directory, symbolic links followed: data sets are often made of them.

A link to a directory that it lies in is not followed again. What is no file (a FIFO, a socket, a device, a
link to nothing) is told, never opened.

Cost: one stat a file; a directory that several links lead to is searched once for each.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from fsspec.utils import glob_translate

from headrace.cluster import storage
from headrace.cluster.errors import StorageError

MOST_DIRECTORIES = 100_000  # a web of links between directories has more paths than anybody wants
LOOP = "is a link to a directory that it lies in"
SLASH = "is an object whose key ends with /: copy it to a key that does not"
DANGLING = "is a link to what is not there"
KINDS = (
    (stat.S_ISFIFO, "is a FIFO"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


@dataclass(frozen=True)
class Found:
    """Something below a directory: a file, or what is none and why."""

    path: str
    size: int = 0
    stamp: str = ""  # mtime in nanoseconds
    real: tuple[int, int] = (0, 0)  # device and inode: the same for every path to a file
    linked: bool = False  # whether a link is on the way to it
    odd: str = ""  # what it is where it is no file


def search(path: str, *, pattern: bool) -> list[Found]:
    """What lies below a directory, or matches a glob (`pattern`), sorted by path; on disk links are followed.

    What is no file is among it, and says so; temporaries are not. Raises: StorageError.
    """
    if storage.is_remote(path):
        entries = storage.glob(path) if pattern else storage.listing(path)
        # An empty object whose key ends with / is how browsers of buckets draw a folder.
        return [
            Found(e.path, e.size, e.stamp, odd=SLASH if e.path.endswith("/") else "")
            for e in entries
            if e.size or not e.path.endswith("/")
        ]
    plain = storage.filesystem(path)[1]
    fixed = plain[: min(plain.index(c) for c in storage.PATTERN if c in plain)] if pattern else plain + "/"
    top = fixed.rpartition("/")[0] or "/"
    depth = None if not pattern or "**" in plain else plain.count("/") - top.rstrip("/").count("/")
    with storage.explained(path, "list"):
        if not os.path.isdir(top):
            return []
        found = [f for f in below(top, depth) if not f.path.rpartition("/")[2].startswith(storage.TEMPORARY)]
    if pattern:
        fits = re.compile(glob_translate(plain)).match
        found = [f for f in found if fits(f.path)]
    return sorted(found, key=lambda f: f.path)


def below(path: str, depth: int | None = None) -> Iterator[Found]:
    """Everything below directory `path`, `depth` levels deep at most, in the order of the names.

    Raises: StorageError (too many directories), OSError.
    """
    above = [_identity(os.stat(path))]
    count = [0]
    yield from _below(path, above, linked=False, depth=depth, count=count)


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _below(
    path: str, above: list[tuple[int, int]], *, linked: bool, depth: int | None, count: list[int]
) -> Iterator[Found]:
    count[0] += 1
    if count[0] > MOST_DIRECTORIES:
        raise StorageError(
            f"{path}: more than {MOST_DIRECTORIES:,} directories, most of them reached through links; "
            "name the folders with the data one by one"
        )
    with os.scandir(path) as entries:
        names = sorted(entries, key=lambda e: e.name)
    for entry in names:
        through = linked or entry.is_symlink()
        try:
            about = entry.stat()
        except OSError:
            if not entry.is_symlink():
                raise
            yield Found(entry.path, linked=True, odd=DANGLING)  # to nothing, or to itself
            continue
        if not stat.S_ISDIR(about.st_mode):
            yield of(entry.path, about, linked=through)
        elif _identity(about) in above:
            yield Found(entry.path, linked=True, odd=LOOP)
        elif depth is None or depth > 1:
            above.append(_identity(about))
            yield from _below(
                entry.path, above, linked=through, depth=None if depth is None else depth - 1, count=count
            )
            above.pop()


def of(path: str, about: os.stat_result, *, linked: bool = False) -> Found:
    """What `about`, the target of all links, says of `path`."""
    odd = next((what for test, what in KINDS if test(about.st_mode)), "")
    return Found(path, about.st_size, str(about.st_mtime_ns), _identity(about), linked, odd)
