"""The trainings of a run: each has a home of its own, and none takes another's place.

::

    trainings/<key>/training.json     the settings, written at the first start
                    step-000120/ ...  checkpoints, books and starts (see `train.checkpoints`)
                    adapter/          what it left when it ended (see `train.adapter`)
    trainings/current.json            the key of the training that was asked for last
    adapter/                          a copy of that of the one that ended last: what users know, and evaluate

Why a copy: object storage has no links, and a path that means another thing on a disk than on S3 would be
two ways to do one thing.

A training is superseded where it is neither the one that was asked for last nor that of `adapter/`, nor one
beside these with another seed. Older versions left theirs in checkpoints/ and adapters/: nothing goes on from
there, so these count as superseded.

Reads listings and small files; no PyTorch.
"""

from typing import NamedTuple

from headrace.cluster import ledger, storage

FOLDER = "trainings"
CURRENT = "current.json"
TRAINING = "training.json"
CARD = "adapter/headrace.json"  # below a run, and below the home of a training
EARLIER = ("checkpoints", "adapters")  # of older versions


class Home(NamedTuple):
    """What a training has left. path: below the run; of `EARLIER` the key is empty."""

    key: str
    path: str
    bytes: int
    superseded: bool


def home(run: str, key: str) -> str:
    """Where the training `key` of a run leaves everything."""
    return storage.join(run, FOLDER, key)


def keys(run: str) -> list[str]:
    """Keys of the trainings that have left something, sorted."""
    return sorted({_below(entry.path, FOLDER) for entry in _entries(run, FOLDER)})


def asked(run: str) -> str | None:
    """The key of the training that was asked for last; None where none was. Raises: StorageError."""
    return (storage.read_object(storage.join(run, FOLDER, CURRENT)) or {}).get("key")


def ask(run: str, key: str) -> None:
    """Note that the training `key` is the one that is wanted now. Raises: StorageError."""
    if asked(run) != key:
        storage.put(storage.join(run, FOLDER, CURRENT), ledger.dumps({"key": key}))


def homes(run: str) -> list[Home]:
    """All trainings of a run by key, then what older versions left. Raises: StorageError."""
    needed = {asked(run), (storage.read_object(storage.join(run, CARD)) or {}).get("key")}
    told = (storage.read_object(storage.join(run, "run.json")) or {}).get("train") or {}
    needed |= {other["key"] for other in told.get("seeds", ())}
    sizes: dict[str, int] = {}
    for entry in _entries(run, FOLDER):
        key = _below(entry.path, FOLDER)
        sizes[key] = sizes.get(key, 0) + entry.size
    found = [Home(key, f"{FOLDER}/{key}", sizes[key], key not in needed) for key in sorted(sizes)]
    earlier = {folder: storage.listing(storage.join(run, folder)) for folder in EARLIER}
    left = {folder: sum(entry.size for entry in entries) for folder, entries in earlier.items() if entries}
    return found + [Home("", folder, size, superseded=True) for folder, size in left.items()]


def remove(run: str, left: Home) -> None:
    """Remove what a training has left, its card first, so that no half of it looks whole."""
    storage.delete(storage.join(run, left.path, CARD))
    storage.delete(storage.join(run, left.path))


def _entries(run: str, folder: str) -> list[storage.Entry]:
    """What lies in the homes of trainings."""
    entries = storage.listing(storage.join(run, folder))
    return [e for e in entries if "/" in e.path.rpartition(f"/{folder}/")[2]]


def _below(path: str, folder: str) -> str:
    """The first folder of a path below `folder`."""
    return path.rpartition(f"/{folder}/")[2].partition("/")[0]
