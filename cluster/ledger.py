"""What has been done: plans of fragments and commit records, on the run's own storage.

::

    ledger/plan/00000.json          the fragments that were new to this run, with their ordinals
    ledger/<pass>/<unit>.json       a commit record: key, books, outputs; written last
    ledger/<pass>/snapshot.json     the same records in one object, for a fast start

A plan is put once (`If-None-Match: *`) and never changed: it claims the ordinals of all its
fragments in one atomic step, so a run killed while planning has either claimed all or none.
A commit record stands for finished outputs: it is written after them, and who finds it with
the key that he expects can leave the work out. Writing it twice writes the same.

Cost: one listing a pass; a record is read only where the snapshot does not hold it as it stands.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import LedgerError
from headrace.cluster.fragments import Fragment

Record = dict[str, Any]
FOLDER = "ledger"
SNAPSHOT = "snapshot.json"
READERS = 16


def dumps(value: object) -> bytes:
    """Canonical JSON: the same value gives the same bytes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def key(*parts: object) -> str:
    """Hex digest (128 bits) of anything that JSON can hold."""
    return hashlib.blake2b(dumps(parts), digest_size=16).hexdigest()


def commit(run: str, name: str, unit: str, record: Record) -> None:
    """Write the commit record of `unit` in pass `name`. Its outputs must be written before."""
    storage.put(storage.join(run, FOLDER, name, f"{unit}.json"), dumps(record))


def load(run: str, name: str) -> dict[str, Record]:
    """All commit records of pass `name` by unit, sorted by unit.

    Raises: LedgerError (a record that is not JSON), StorageError.
    """
    folder = storage.join(run, FOLDER, name)
    entries = {e.path.rsplit("/", 1)[-1]: e for e in storage.listing(folder)}
    snapshot = {}
    if entries.pop(SNAPSHOT, None) is not None:
        snapshot = _parse(storage.join(folder, SNAPSHOT), storage.read_bytes(storage.join(folder, SNAPSHOT)))
    records = {}
    missing = []
    for file, entry in entries.items():
        held = snapshot.get(file.removesuffix(".json"))
        if held is not None and held["stamp"] == entry.stamp:
            records[file.removesuffix(".json")] = held["record"]
        else:
            missing.append(entry.path)
    with ThreadPoolExecutor(READERS) as pool:
        for path, data in zip(missing, pool.map(storage.read_bytes, missing), strict=True):
            records[path.rsplit("/", 1)[-1].removesuffix(".json")] = _parse(path, data)
    return dict(sorted(records.items()))


def compact(run: str, name: str, live: Iterable[str]) -> None:
    """Keep only the records of the units in `live` and write them as one snapshot."""
    folder = storage.join(run, FOLDER, name)
    wanted = set(live)
    records = load(run, name)
    for unit in records:
        if unit not in wanted:
            storage.delete(storage.join(folder, f"{unit}.json"))
    stamps = {e.path.rsplit("/", 1)[-1].removesuffix(".json"): e.stamp for e in storage.listing(folder)}
    held = {u: {"stamp": stamps[u], "record": r} for u, r in records.items() if u in wanted}
    storage.put(storage.join(folder, SNAPSHOT), dumps(held))


def forget(run: str, name: str) -> None:
    """Remove all records of pass `name`: what they say of its files is about to be true no more."""
    storage.delete(storage.join(run, FOLDER, name))


def _parse(path: str, data: bytes) -> Record:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise LedgerError(f"{path} is not JSON; the run directory is damaged: remove that file") from error
    if not isinstance(value, dict):
        raise LedgerError(f"{path} holds no record; the run directory is damaged: remove that file")
    return value


def plans(run: str) -> list[list[Fragment]]:
    """The fragments of every plan so far, oldest plan first, with their ordinals."""
    return [_expand(plan["fragments"]) for plan in load(run, "plan").values()]


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


def claim(run: str, earlier: Sequence[list[Fragment]], new: list[Fragment]) -> list[Fragment]:
    """Give `new` fragments (in their final order) the next ordinals, in one plan object.

    Raises: LedgerError where another process planned at the same time.
    """
    if not new:
        return []
    first = 1 + max((f.ordinal for plan in earlier for f in plan), default=-1)
    claimed = [replace(f, ordinal=first + i) for i, f in enumerate(new)]
    path = storage.join(run, FOLDER, "plan", f"{len(earlier):05d}.json")
    data = dumps({"fragments": _shrink(claimed)})
    if not storage.put_new(path, data) and storage.read_bytes(path) != data:
        raise LedgerError(f"another run is writing into {run}; wait until it ends and start again")
    return claimed
