"""What has been done: plans of fragments and commit records, on the run's own storage.

::

    ledger/plan/00000.json          the fragments that were new to this run, with their ordinals
    ledger/<pass>/<unit>.json       a commit record: key, books, outputs, seal; written last
    ledger/<pass>/snapshot.json     the records of the pass so far in one object, for a fast start
    ledger/<pass>/snapshot-<n>.json the records that a start has added, so many at a time

A plan is put once (`If-None-Match: *`) and never changed: it claims the ordinals of all its
fragments in one atomic step, so a run killed while planning has either claimed all or none.
A commit record stands for finished outputs: it is written after them, and who finds it with
the key that he expects can leave the work out. Writing it twice writes the same.

Each object carries a hash of itself, its seal. A commit record that is no JSON, holds nothing or has another
hash counts as not written: its unit is done again. A damaged snapshot is passed over: its records stand by
themselves. Only a damaged plan needs a hand: it is named, and once it is removed its inputs are planned
anew, with the ordinals that they had.

Cost: one listing a pass and one request an object; a record is read only where no snapshot holds it as it
stands. A start that is killed leaves at most `SNAPSHOT_EVERY` records outside of snapshots.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import LedgerError
from headrace.cluster.fragments import Fragment

Record = dict[str, Any]
FOLDER = "ledger"
SNAPSHOT = "snapshot"
SNAPSHOT_EVERY = 512  # records that a start adds between two snapshots
SEAL = "seal"
READERS = 16


def dumps(value: object) -> bytes:
    """Canonical JSON: the same value gives the same bytes.

    Bytes of a file's name that are no UTF-8, which Python holds as lone surrogates, become `\\udc..` escapes.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def key(*parts: object) -> str:
    """Hex digest (128 bits) of anything that JSON can hold."""
    return hashlib.blake2b(dumps(parts), digest_size=16).hexdigest()


def commit(run: str, name: str, unit: str, record: Record) -> None:
    """Write the commit record of `unit` in pass `name`. Its outputs must be written before."""
    storage.put(storage.join(run, FOLDER, name, f"{unit}.json"), _sealed(record))


def _sealed(record: Record) -> bytes:
    """A record with its own hash in it."""
    return dumps({**record, SEAL: xxhash.xxh3_64_hexdigest(dumps(record))})


def _opened(data: bytes) -> Record | None:
    """The record in `data` without its seal; None where it is damaged. One of old has no seal."""
    try:
        record = json.loads(data)
    except ValueError:
        return None
    if not isinstance(record, dict) or not record:
        return None
    seal = record.pop(SEAL, None)
    return record if seal in (None, xxhash.xxh3_64_hexdigest(dumps(record))) else None


@dataclass(frozen=True)
class Ledger:
    """The commit records of one pass by unit, sorted by unit, and the paths of objects that are damaged."""

    records: dict[str, Record]
    damaged: tuple[str, ...]


def read(run: str, name: str) -> Ledger:
    """What the ledger holds of pass `name`. Raises: StorageError."""
    folder = storage.join(run, FOLDER, name)
    entries = {_unit(e.path): e for e in storage.listing(folder)}
    snapshots = [entries.pop(unit) for unit in sorted(entries) if unit.startswith(SNAPSHOT)]
    held: dict[str, Record] = {}
    damaged: list[str] = []
    with ThreadPoolExecutor(READERS) as pool:
        for entry, snapshot in zip(snapshots, pool.map(_snapshot, snapshots), strict=True):
            if snapshot is None:
                damaged.append(entry.path)
            held |= snapshot or {}
        fresh = {u: h["record"] for u, h in held.items() if u in entries and h["stamp"] == entries[u].stamp}
        missing = [unit for unit in entries if unit not in fresh]
        paths = [entries[unit].path for unit in missing]
        for unit, path, data in zip(missing, paths, pool.map(storage.read_bytes, paths), strict=True):
            record = _opened(data)
            if record is None:
                damaged.append(path)
            else:
                fresh[unit] = record
    return Ledger(dict(sorted(fresh.items())), tuple(sorted(damaged)))


def load(run: str, name: str) -> dict[str, Record]:
    """The commit records of pass `name` by unit, sorted; damaged ones are left out. Raises: StorageError."""
    return read(run, name).records


def is_snapshot(path: str) -> bool:
    """Whether an object of the ledger is a snapshot: where it is damaged, its records stand by themselves."""
    return _unit(path).startswith(SNAPSHOT)


def _unit(path: str) -> str:
    return path.rsplit("/", 1)[-1].removesuffix(".json")


def _snapshot(entry: storage.Entry) -> dict[str, Record] | None:
    """What a snapshot holds: stamp and record by unit; None where it is damaged."""
    whole = _opened(storage.read_bytes(entry.path))
    if whole is None:
        return None
    held = whole.get("records", whole)  # of old, without a seal, the units stand at the top
    return (
        held if all(isinstance(h, dict) and {"stamp", "record"} <= h.keys() for h in held.values()) else None
    )


class Snapshots:
    """Snapshots of the records that one start of a pass adds, while it runs."""

    def __init__(self, run: str, name: str) -> None:
        self._run, self._name = run, name
        self._waiting: dict[str, Record] = {}
        self._number: int | None = None

    def add(self, unit: str, record: Record) -> None:
        """Take note of a record that was committed; write a snapshot where enough have come together."""
        self._waiting[unit] = record
        if len(self._waiting) >= SNAPSHOT_EVERY:
            self._write()

    def _write(self) -> None:
        folder = storage.join(self._run, FOLDER, self._name)
        stamps = {_unit(e.path): e.stamp for e in storage.listing(folder)}
        if self._number is None:  # after those of earlier starts
            earlier = [u.removeprefix(f"{SNAPSHOT}-") for u in stamps if u.startswith(f"{SNAPSHOT}-")]
            self._number = max((int(n) for n in earlier if n.isdigit()), default=-1)
        self._number += 1
        held = {u: {"stamp": stamps[u], "record": r} for u, r in self._waiting.items() if u in stamps}
        storage.put(storage.join(folder, f"{SNAPSHOT}-{self._number:05d}.json"), _sealed({"records": held}))
        self._waiting = {}


def compact(run: str, name: str, live: Iterable[str]) -> None:
    """Keep only the records of the units in `live` and write them as one snapshot."""
    folder = storage.join(run, FOLDER, name)
    wanted = set(live)
    ledger = read(run, name)
    for unit in ledger.records:
        if unit not in wanted:
            storage.delete(storage.join(folder, f"{unit}.json"))
    stamps = {_unit(e.path): e.stamp for e in storage.listing(folder)}
    held = {u: {"stamp": stamps[u], "record": r} for u, r in ledger.records.items() if u in wanted}
    storage.put(storage.join(folder, f"{SNAPSHOT}.json"), _sealed({"records": held}))
    old = [storage.join(folder, f"{u}.json") for u in stamps if u.startswith(f"{SNAPSHOT}-")]
    for path in {*old, *ledger.damaged} - {storage.join(folder, f"{SNAPSHOT}.json")}:
        storage.delete(path)


def forget(run: str, name: str) -> None:
    """Remove all records of pass `name`: what they say of its files is about to be true no more."""
    storage.delete(storage.join(run, FOLDER, name))


def plans(run: str) -> dict[int, list[Fragment]]:
    """The fragments of every plan so far by its number, oldest plan first, with their ordinals.

    Raises: LedgerError where a plan is damaged; StorageError.
    """
    ledger = read(run, "plan")
    expanded, damaged = {}, list(ledger.damaged)
    for unit, plan in ledger.records.items():
        try:
            expanded[int(unit)] = _expand(plan["fragments"])
        except (KeyError, TypeError, ValueError):
            damaged.append(storage.join(run, FOLDER, "plan", f"{unit}.json"))
    if damaged:
        raise LedgerError(
            f"{sorted(damaged)[0]} is damaged: it says which inputs the run has. Remove that file and start "
            "again: its inputs are planned anew, and where they are what they were, all that was done stands"
        )
    return expanded


def _shrink(fragments: Sequence[Fragment]) -> list[Record]:
    """As JSON; the buckets of a grouped source share their ranges, so only the first holds them."""
    return [
        {**f.to_json(), "ranges": None} if f.bucket and f.ranges == before.ranges else f.to_json()
        for before, f in zip([*fragments[:1], *fragments], fragments, strict=False)
    ]


def _expand(plan: list[Record]) -> list[Fragment]:
    ranges: object = None
    found = []
    for data in plan:
        ranges = data["ranges"] if data["ranges"] is not None else ranges
        found.append(Fragment.from_json({**data, "ranges": ranges}))
    return found


def claim(run: str, earlier: Mapping[int, list[Fragment]], new: list[Fragment]) -> list[Fragment]:
    """Give `new` fragments (in their final order) the next ordinals, in one plan object.

    Where a plan between others is missing, they take its place if they are as many as it had.

    Raises: LedgerError where another process planned at the same time.
    """
    if not new:
        return []
    number, first = _room(earlier, len(new))
    claimed = [replace(f, ordinal=first + i) for i, f in enumerate(new)]
    path = storage.join(run, FOLDER, "plan", f"{number:05d}.json")
    data = _sealed({"fragments": _shrink(claimed)})
    if not storage.put_new(path, data) and _opened(storage.read_bytes(path)) != _opened(data):
        raise LedgerError(f"another run is writing into {run}; wait until it ends and start again")
    return claimed


def _room(earlier: Mapping[int, list[Fragment]], count: int) -> tuple[int, int]:
    """Number and first ordinal of a plan of `count` fragments."""
    firsts = {number: plan[0].ordinal for number, plan in sorted(earlier.items())}
    ends = {number: plan[-1].ordinal + 1 for number, plan in earlier.items()}
    gap = next((n for n in range(len(earlier)) if n not in earlier), None)
    if gap is not None:
        begin = max((end for n, end in ends.items() if n < gap), default=0)
        if count == next(first for n, first in firsts.items() if n > gap) - begin:
            return gap, begin
    return max(earlier, default=-1) + 1, max(ends.values(), default=0)
