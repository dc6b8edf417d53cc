"""What commit records say that was written, held against what is stored.

A record counts as done only where all its outputs are there in the size that they were written in: one
listing of each folder a pass tells. Their content is looked at where it is read anyway: `read` gives a table
only of bytes that have the hash they were written with, and what a later pass reads in pieces is looked
through before (`require`), if an earlier start has written it. Whatever is found to be damaged is removed
(`discard`), and so made
again: with the same bytes, so that what was made of it stands.

Records of older versions may name no outputs, or no sizes: there it is only seen whether the files exist.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from headrace.cluster import ledger, storage, stream
from headrace.cluster.errors import DamagedError
from headrace.pipelines.console import Mode, say
from headrace.pipelines.rundir import Run

Output = Mapping[str, Any]  # path below the run, and of newer records size, xxh3 (of its bytes), rows
What = Literal["missing", "size", "content", "record", "recipe"]
WORDS: dict[str, str] = {
    "missing": "is gone",
    "size": "has another size than what was written",
    "content": "holds other bytes than what was written",
    "record": "is no commit record any more",
    "recipe": "is gone or damaged: sources were looked at anew",
}
NAMED = 5  # of what failed is told line by line, the rest as a number
BLOCK = 8 * 2**20


class Wrong(NamedTuple):
    """An output, by its path below the run, that is not what was written, and how that is seen."""

    path: str
    what: What


def sizes(run: str, folders: Iterable[str]) -> dict[str, int]:
    """Bytes of every file in some folders of a run, by its path below the run; one listing a folder."""
    return {
        f"{folder}/{entry.path.rpartition(f'/{folder}/')[2]}": entry.size
        for folder in sorted(set(folders))
        for entry in storage.listing(storage.join(run, folder))
    }


def wrong(outputs: Iterable[Output], stored: Mapping[str, int]) -> list[Wrong]:
    """Outputs that are not there, or not in their size."""
    failed = []
    for output in outputs:
        size = stored.get(output["path"])
        if size is None:
            failed.append(Wrong(output["path"], "missing"))
        elif size != output.get("size", size):
            failed.append(Wrong(output["path"], "size"))
    return failed


def checksum(path: str) -> str | None:
    """xxh3-64 of a stored object's bytes, hex; None where there is none. Raises: StorageError."""
    try:
        if storage.is_remote(path):
            return xxhash.xxh3_64_hexdigest(storage.read_bytes(path))
        with storage.explained(path, "read"), storage.open_input(path) as file:
            digest = xxhash.xxh3_64()
            while block := file.read(BLOCK):
                digest.update(block)
            return digest.hexdigest()
    except FileNotFoundError:
        return None


def read(
    run: str,
    path: str,
    xxh3: str | None,
    columns: Sequence[str] | None = None,
    without: Collection[str] = (),
) -> pa.Table:
    """One output as a table, read whole, once its bytes are those that were committed (None: not known).

    columns: those that are read (left out: all); without: of them, those that are not.

    Raises: DamagedError, StorageError.
    """
    file = _intact(run, path, xxh3)
    names = file.schema_arrow.names if columns is None else columns
    return file.read(columns=[name for name in names if name not in without], use_threads=False)


def row_groups(run: str, path: str, xxh3: str | None, columns: Sequence[str]) -> Iterator[pa.Table]:
    """`read`, a row group at a time."""
    file = _intact(run, path, xxh3)
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, columns=list(columns), use_threads=False)


def _intact(run: str, path: str, xxh3: str | None) -> pq.ParquetFile:
    """One output, once its bytes are those that were committed. Raises: DamagedError, StorageError."""
    whole = storage.join(run, path)
    try:
        data = storage.read_bytes(whole)
    except FileNotFoundError as error:
        raise DamagedError(whole) from error
    if xxh3 is not None and xxhash.xxh3_64_hexdigest(data) != xxh3:
        raise DamagedError(whole)
    return pq.ParquetFile(pa.BufferReader(data))  # `pq.read_table` takes twice as long for a small file


def wrong_content(run: str, outputs: Sequence[Output], each: Callable[..., Iterator[Any]]) -> list[Wrong]:
    """Outputs whose bytes have another hash than what was written; those without one are passed over.

    each: runs a function over paths, in order, as `stream.each` does.
    """
    known = [o for o in outputs if "xxh3" in o]
    sums = each(checksum, [storage.join(run, o["path"]) for o in known], name="checksums")
    return [
        Wrong(o["path"], "missing" if found is None else "content")
        for o, found in zip(known, sums, strict=True)
        if found != o["xxh3"]
    ]


def require(run: Run, outputs: Iterable[Output], workers: int) -> None:
    """Look through outputs of earlier starts that are about to be read in pieces.

    Raises: DamagedError of the first that is not what was written.
    """
    earlier = [o for o in outputs if o["path"] not in run.written]
    for one in wrong_content(run.path, earlier, partial(stream.each, workers=workers)) if earlier else ():
        raise DamagedError(storage.join(run.path, one.path))


def described(run: str, folders: Iterable[str], workers: int) -> list[dict[str, Any]]:
    """What a record says of all files at or below some paths of a run, in the order of their paths."""
    stored = {
        path: size
        for top in sorted({folder.partition("/")[0] for folder in folders})
        for path, size in sizes(run, [top]).items()
        if path.startswith(tuple(folders))
    }
    sums = stream.each(checksum, [storage.join(run, p) for p in stored], workers=workers, name="checksums")
    return [{"path": p, "size": s, "xxh3": x} for (p, s), x in zip(stored.items(), sums, strict=True)]


def say_wrong(mode: Mode, name: str, failed: Sequence[Wrong]) -> None:
    """Name what failed and is made again; the first ones line by line."""
    for one in failed[:NAMED]:
        text = f"{name}: {one.path} {WORDS[one.what]}; what it held is made again"
        say(mode, "warning", text, path=one.path, what=one.what)
    if len(failed) > NAMED:
        more = len(failed) - NAMED
        say(mode, "warning", f"{name}: so are {more:,} more; run.json names them (`remade`)", more=more)


def discard(run: Run, error: DamagedError, names: Sequence[str], workers: int, mode: Mode) -> None:
    """Remove what is damaged among everything that the pass of a damaged output has written.

    names: the passes that have outputs.

    Raises: `error` where the damage is in none of this run's outputs, or in one that this start has written.
    """
    path = below(run.path, error.path)
    if path in run.written:
        raise error
    for name in names:
        outputs = [o for record in ledger.load(run.path, name).values() for o in record["outputs"]]
        if any(o["path"] == path for o in outputs):
            failed = wrong_content(run.path, outputs, partial(stream.each, workers=workers))
            if not failed:
                break
            say_wrong(mode, name, failed)
            for one in failed:
                run.remade.setdefault(one.path, one.what)
                storage.delete(storage.join(run.path, one.path))
            return
    raise error


def below(run: str, path: str) -> str:
    """A path as it is below the run, however the run was named; one that is not below it as it is."""
    for root in (run,) if storage.is_remote(run) else (run, os.path.abspath(run), os.path.realpath(run)):
        if path.startswith(f"{root.rstrip('/')}/"):
            return path[len(root.rstrip("/")) + 1 :]
    return path


def remade(run: Run) -> dict[str, Any]:
    """What run.json says of outputs that had to be made again: how many, why, and their paths."""
    counts = {what: sum(1 for w in run.remade.values() if w == what) for what in WORDS}
    return {"n": len(run.remade), **counts, "paths": sorted(run.remade)}
