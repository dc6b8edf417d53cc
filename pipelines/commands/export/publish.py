"""An exported directory comes to be at once: written beside it and renamed, or its record uploaded last.

``export/equality.json`` in it is its record: what it is of, its figures, size and hash of each other file. A
directory without one is not an export, or not a whole one. On S3, where nothing is renamed, a second small
file says while others go up that they are an export's: one that was killed there is begun again.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import OutputError

RECORD = "export/equality.json"
BEGUN = "export/begun.json"
FAILED = ".failed"


def standing(target: str, key: str) -> dict[str, Any] | None:
    """The record of an export that is there already, whole, by the same key; None where nothing is there.

    Raises: OutputError where something else is, or it is not whole any more; StorageError.
    """
    if not storage.listing(target):
        return None
    record = storage.read_object(storage.join(target, RECORD))
    if record is None:
        if storage.exists(storage.join(target, BEGUN)):
            return None
        raise OutputError(f"{target!r} is not empty and holds no export of headrace; name another directory")
    if record.get("key") != key:
        raise OutputError(
            f"{target!r} holds the export of another adapter, or one with other options; name another "
            "directory, or remove this one"
        )
    for file, about in record["files"].items():
        try:
            there = _sum(storage.join(target, file)) == about
        except FileNotFoundError:
            there = False
        if not there:
            raise OutputError(
                f"{target}/{file} is not what was exported; remove {target!r}, and export again"
            )
    return record


def _sum(path: str) -> dict[str, Any]:
    whole, size = xxhash.xxh3_64(), 0
    with storage.explained(path, "read"), storage.open_input(path) as file:
        while block := file.read(2**24):
            whole.update(block)
            size += len(block)
    return {"size": size, "xxh3": whole.hexdigest()}


@contextmanager
def beside(target: str) -> Iterator[str]:
    """A private directory on the disk of `target`, or here where it is remote; what is left in it goes."""
    above = None if storage.is_remote(target) else os.path.dirname(os.path.abspath(target))
    if above:
        os.makedirs(above, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=f"{storage.TEMPORARY}export-", dir=above)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def publish(made: str, target: str, record: dict[str, Any]) -> dict[str, Any]:
    """Make `made` the directory `target`; returns its record, which names its files."""
    files = [os.path.relpath(entry.path, made) for entry in storage.listing(made)]
    whole = {**record, "files": {f: _sum(os.path.join(made, f)) for f in sorted(files) if f != RECORD}}
    data = json.dumps(whole, indent=1).encode()
    if storage.is_remote(target):
        storage.delete(target)
        storage.put(storage.join(target, BEGUN), b"{}")
        for file in sorted(files):
            _upload(os.path.join(made, file), storage.join(target, file))
        storage.put(storage.join(target, RECORD), data)
        storage.delete(storage.join(target, BEGUN))
        return whole
    storage.put(os.path.join(made, RECORD), data)
    os.chmod(made, 0o755)  # noqa: S103 - as any directory that is made; the private one was 0700
    if os.path.isdir(target):
        os.rmdir(target)  # an empty one
    os.rename(made, target)
    return whole


def _upload(source: str, target: str) -> None:
    """One file, a block at a time: weights are larger than what `put` should hold."""
    fs, key = storage.filesystem(target)
    with storage.explained(target, "write"):
        fs.put_file(source, key)


def keep_failed(made: str, target: str, record: dict[str, Any]) -> str | None:
    """Leave what failed beside `target`, to be looked at; returns where, None where the target is remote."""
    if storage.is_remote(target):
        return None
    place = os.path.abspath(target) + FAILED
    if os.path.isdir(place) and (os.path.exists(os.path.join(place, RECORD)) or not os.listdir(place)):
        shutil.rmtree(place)
    if os.path.exists(place):
        return None
    publish(made, place, {**record, "key": None})
    return place
