"""Reading and writing, the same on a local disk and on S3.

A path is a plain string, local or `s3://bucket/key`. Endpoint, region and credentials come
from the provider's usual environment variables, never from a recipe. Every write is atomic:
a temporary beside the target and a rename on disk, one PutObject on S3, so a reader sees the
whole old object or the whole new one. Failures become `StorageError` that name the path and
what to do, without a secret.
"""

import io
import json
import os
import platform
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.cluster.errors import DamagedError, FullDiskError, HeadraceError, SourceError, StorageError
from headrace.cluster.stores import clients, disk, hints, temporary

PATTERN = "*?["
TEMPORARY = temporary.PREFIX
RANGE_ROWS = 65_536  # of a row group, in tables that are read by range
CHANGED = (
    "nothing of it was kept: wait until it is written, then run the same command again, which plans it anew"
)
PROBE_WAITS = (1, 3)  # seconds before the first contact is tried again, where the store says that it is busy
PROBE_SECONDS = 8  # first contact fails fast; later calls may wait out a storm


@dataclass(frozen=True)
class Entry:
    """A stored object: its full path, size in bytes and a stamp that changes with its content."""

    path: str
    size: int
    stamp: str  # etag on S3, mtime in nanoseconds on disk


def is_remote(path: str) -> bool:
    """Whether `path` is object storage rather than a local file."""
    return "://" in path and not path.startswith("file://")


def join(path: str, *parts: str) -> str:
    """`path` with `parts` below it, by slashes."""
    return "/".join([path.rstrip("/"), *(p.strip("/") for p in parts)])


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec filesystem of `path` and the path as that filesystem spells it."""
    if not is_remote(path):
        return clients.local(), os.path.abspath(path.removeprefix("file://"))
    scheme, _, key = path.partition("://")
    if scheme not in ("s3", "s3a"):
        raise StorageError(f"{path}: the scheme {scheme!r} is not supported; use a local path or s3://")
    return clients.s3(os.getpid()), key


def probe(path: str) -> None:
    """Look at remote `path` once, with short time limits: do credentials, bucket and endpoint answer?

    Raises: StorageError, within about 20 seconds.
    """
    if not is_remote(path):
        return
    fs = clients.made(connect=PROBE_SECONDS, read=PROBE_SECONDS, attempts=1)
    fs.retries = 1
    bucket = filesystem(path)[1].split("/", 1)[0]
    with explained(path, "reach"):
        for waiting in (*PROBE_WAITS, None):
            try:
                fs.call_s3("list_objects_v2", Bucket=bucket, MaxKeys=1)
                return
            except FileNotFoundError as error:
                raise StorageError(
                    f"cannot reach {path}: there is no bucket {bucket!r} at this endpoint"
                ) from error
            except Exception as error:
                if waiting is None or not hints.is_busy(error):
                    raise
                time.sleep(waiting)


@contextmanager
def explained(path: str, doing: str) -> Iterator[None]:
    """Turn what storage raises while `doing` something with `path` into a `StorageError`.

    A missing object stays FileNotFoundError: the caller knows what it means.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError, HeadraceError):
        raise
    except PermissionError as error:
        if (expired := hints.expired(error)) is not None:
            raise StorageError(f"cannot {doing} {path}: {expired}") from error
        why = f"access denied; {hints.access(remote=is_remote(path))}"
        raise StorageError(f"cannot {doing} {path}: {why}") from error
    except Exception as error:
        if any(type(e).__name__ == "FileExpired" for e in hints.chain(error)):  # s3fs' word for another etag
            raise SourceError(f"{path} changed while it was read; {CHANGED}") from error
        if any(getattr(e, "errno", None) in disk.FULL for e in hints.chain(error)):
            raise FullDiskError(
                f"cannot {doing} {path}: the disk is full ({disk.in_words(disk.free(path) or 0)} free). "
                "Nothing that was committed is lost: free some space, then the same command goes on where it "
                "was"
            ) from error
        hint = hints.of(error, remote=is_remote(path))
        if hint is None:
            raise
        raise StorageError(f"cannot {doing} {path}: {hint}") from error


def exists(path: str) -> bool:
    """Whether there is an object (or a directory) at `path`."""
    fs, key = filesystem(path)
    with explained(path, "look up"):
        return bool(fs.exists(key))


def entry(path: str) -> Entry:
    """Size and stamp of one object. Raises: FileNotFoundError, StorageError."""
    fs, key = filesystem(path)
    with explained(path, "look up"):
        info = fs.info(key)
    return _entry(path, info)


def gone(path: str) -> SourceError:
    """What to say of an input that was listed and is not there, or not for this machine."""
    return SourceError(
        f"{path} was there when the run began and is gone, as {platform.node()} sees it; start the run "
        "again, and on a cluster name inputs that every node can read (s3://, or a directory that all have)"
    )


def unchanged(was: Entry) -> None:
    """Hold an object against how it was listed.

    Raises: SourceError where it is another or gone, StorageError.
    """
    try:
        now = entry(was.path)
    except FileNotFoundError as error:
        raise gone(was.path) from error
    if (now.size, now.stamp) != (was.size, was.stamp):
        what = f"from {was.size:,} to {now.size:,} bytes" if now.size != was.size else "and has another stamp"
        raise SourceError(f"{was.path} changed while it was read ({what}); {CHANGED}")


def _entry(path: str, info: dict[str, Any]) -> Entry:
    if "ETag" in info:
        return Entry(path, int(info["size"]), str(info["ETag"]).strip('"'))
    mtime = os.stat(info["name"]).st_mtime_ns if not is_remote(path) else info.get("LastModified", "")
    return Entry(path, int(info["size"]), str(mtime))


def listing(path: str) -> list[Entry]:
    """Every object below directory `path`, recursively, sorted by path; temporaries left out.

    An absent directory has none. Raises: StorageError.
    """
    fs, key = filesystem(path)
    with explained(path, "list"):
        try:
            found = fs.find(key, detail=True)
        except FileNotFoundError:
            return []
    scheme = path.partition("://")[0] + "://" if is_remote(path) else ""
    keep = {
        name: info
        for name, info in found.items()
        if info["type"] == "file" and not name.rsplit("/", 1)[-1].startswith(TEMPORARY)
    }
    return [_entry(scheme + name, keep[name]) for name in sorted(keep)]


def glob(pattern: str) -> list[Entry]:
    """Every object that matches `pattern` (`*`, `?`, `[...]`, `**`), sorted by path."""
    fs, key = filesystem(pattern)
    with explained(pattern, "list"):
        found = fs.glob(key, detail=True)
    scheme = pattern.partition("://")[0] + "://" if is_remote(pattern) else ""
    return [_entry(scheme + name, found[name]) for name in sorted(found) if found[name]["type"] == "file"]


def is_directory(path: str) -> bool:
    """Whether `path` is a directory (on S3: a prefix with objects below it)."""
    fs, key = filesystem(path)
    with explained(path, "look up"):
        return bool(fs.isdir(key))


def open_input(path: str) -> IO[bytes]:
    """A seekable binary file for reading. Raises: FileNotFoundError, StorageError."""
    fs, key = filesystem(path)
    with explained(path, "open"):
        return cast(IO[bytes], fs.open(key, "rb"))


def read_bytes(path: str) -> bytes:
    """All of one object. Raises: FileNotFoundError, StorageError."""
    fs, key = filesystem(path)
    with explained(path, "read"):
        # On S3 without a look at the size first: that is a request more a read.
        return bytes(fs.cat_file(key, max_concurrency=1) if is_remote(path) else fs.cat_file(key))


def read_object(path: str) -> dict[str, Any] | None:
    """A stored JSON object; None where there is none, or something else. Raises: StorageError."""
    try:
        held = json.loads(read_bytes(path))
    except (FileNotFoundError, ValueError):
        return None
    return held if isinstance(held, dict) else None


def put(path: str, data: bytes) -> None:
    """Write one object whole, replacing what was there. Raises: StorageError."""
    fs, key = filesystem(path)
    with explained(path, "write"):
        if is_remote(path):
            fs.pipe_file(key, data)
            return
        os.replace(temporary.written(key, data), key)


def put_new(path: str, data: bytes) -> bool:
    """Write one small object unless it exists; False where another writer was first.

    S3: PutObject with `If-None-Match: *`; disk: a hard link of a finished temporary.
    """
    fs, key = filesystem(path)
    with explained(path, "write"):
        if is_remote(path):
            try:
                fs.pipe_file(key, data, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if any("PreconditionFailed" in str(e) or "412" in str(e) for e in hints.chain(error)):
                    return False
                if exists(path):  # s3fs maps the 412 to EINVAL without a code on some servers
                    return False
                raise
            return True
        name = temporary.written(key, data)
        try:
            os.link(name, key)
        except FileExistsError:
            return False
        finally:
            os.unlink(name)
        return True


def delete(path: str) -> None:
    """Remove an object, or a directory with all below it; absent is fine."""
    fs, key = filesystem(path)
    with explained(path, "delete"):
        try:
            fs.rm(key, recursive=True)
        except FileNotFoundError:
            return


def write_table(
    path: str,
    table: pa.Table,
    row_group: int | None = None,
    dictionary: bool | list[str] = True,
    hashes: Collection[str] = (),
) -> tuple[int, str]:
    """Write `table` as one Parquet object; returns (bytes, xxh3-64 of the bytes, hex).

    The bytes depend on the table alone: zstd, no writer's clock, one row group or groups of
    `row_group` rows (for tables of which readers want a range). `dictionary`: the columns of which the
    distinct values are stored once, all or some. Looking for values that repeat where none do holds ten
    times what a column of integers takes, and most of the time of writing it. `hashes`: columns of such, or
    of lists of such, which get no dictionary, and LZ4: as large, written and read in half the time. On disk
    nothing else is held but the row group at hand.
    """
    group = row_group or max(table.num_rows, 1)
    compression: str | dict[str, str] = "zstd"
    if hashes:
        leaves = _leaves(table.schema)
        compression = {leaf: "lz4" if leaf.partition(".")[0] in hashes else "zstd" for leaf in leaves}
        repeating = leaves if dictionary is True else dictionary or []
        dictionary = [leaf for leaf in repeating if compression[leaf] == "zstd"]
    with written(path) as sink:
        pq.write_table(table, sink, compression=compression, row_group_size=group, use_dictionary=dictionary)
    return sink.size, sink.hash.hexdigest()


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns of a Parquet object of this schema, by their paths."""
    sink = io.BytesIO()
    pq.write_table(schema.empty_table(), sink)
    return [column.path for column in pq.ParquetFile(sink).schema]


def write_groups(
    path: str, schema: pa.Schema, groups: Iterable[pa.Table], dictionary: bool | list[str] = True
) -> tuple[int, str]:
    """`write_table` for tables of one schema that become a row group each: one of them is held at a time."""
    form: dict[str, Any] = {"compression": "zstd", "use_dictionary": dictionary}
    with written(path) as sink, pq.ParquetWriter(sink, schema, **form) as writer:
        for group in groups:
            writer.write_table(group, max(group.num_rows, 1))
            del group
    return sink.size, sink.hash.hexdigest()


@contextmanager
def written(path: str, *, kept: bool = True) -> Iterator[temporary.Hashed]:
    """What a Parquet object is written to, which is there at the end."""
    fs, key = filesystem(path)
    with explained(path, "write"):
        if is_remote(path):
            whole = io.BytesIO()
            yield temporary.Hashed(whole)
            fs.pipe_file(key, whole.getvalue())
        else:
            with temporary.opened(key, kept=kept) as (name, file):
                yield temporary.Hashed(file)
            os.replace(name, key)
    pa.default_memory_pool().release_unused()  # tens of MiB of the encoder's tables


def write_ranges(path: str, table: pa.Table, dictionary: bool | list[str] = True) -> tuple[int, str]:
    """`write_table` for a table of which readers want ranges of rows: groups of `RANGE_ROWS` rows."""
    return write_table(path, table, RANGE_ROWS, dictionary)


@contextmanager
def intact(path: str) -> Iterator[None]:
    """Turn what Arrow raises of a Parquet object that was cut or changed into a DamagedError."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise DamagedError(path) from error
    except OSError as error:
        # Arrow's own have no number; those of disks and networks have one, or are of a class of their own.
        if type(error) is OSError and error.errno is None:
            raise DamagedError(path) from error
        raise


def read_table(
    path: str, columns: list[str] | None = None, filters: list[tuple[str, str, Any]] | None = None
) -> pa.Table:
    """One Parquet object as a table, or some of its columns and rows (`filters` as pyarrow's).

    Row groups that the filters rule out are not read. Raises: FileNotFoundError, StorageError.
    """
    with explained(path, "read"), intact(path), open_input(path) as file:
        return pq.read_table(file, columns=columns, filters=filters)


def row_groups(path: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of one Parquet object as tables, one held at a time.

    Raises: FileNotFoundError, StorageError.
    """
    with explained(path, "read"), intact(path), open_input(path) as file:
        held = pq.ParquetFile(file)
        for number in range(held.num_row_groups):
            yield held.read_row_group(number, columns=columns)


def rows(path: str) -> int:
    """Rows of one Parquet object, from its footer alone. Raises: FileNotFoundError, StorageError."""
    with explained(path, "read"), intact(path), open_input(path) as file:
        return int(pq.ParquetFile(file).metadata.num_rows)
