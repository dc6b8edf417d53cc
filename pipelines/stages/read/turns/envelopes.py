"""Records that lie in a list under a key of what a file holds, as services send pages of them: `records`.

Cost: one look-up a page and one record after the other.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from headrace.pipelines.stages.read.records import Batch, ReadError
from headrace.pipelines.stages.read.turns.paths import EVERY, MISSING, items, mapping, root

MOST_NAMES = 100  # of columns beside the records


def unfold(batches: Iterable[Batch], path: str) -> Iterator[Batch]:
    """Each record's own records, in order.

    Where a place is a byte, a record inside stands at the bytes after it; otherwise records are counted.
    """
    number = 0
    for batch in batches:
        inner = replace(batch, records=[], places=[], errors={}, repaired={})
        inner.unit = "byte" if batch.unit == "byte" else "record"
        inner.unread = (*batch.unread, *_beside(batch.records, path))
        for at, (record, place) in enumerate(zip(batch.records, batch.places, strict=True)):
            found: list[Any] = [batch.errors[at]] if at in batch.errors else _found(record, path)
            for step, one in enumerate(found):
                number += 1
                bad = batch.repaired.get(at, 0) if not step else 0
                inner.add(_record(one), place + step if batch.unit == "byte" else number, bad)
        yield inner


def _beside(records: Iterable[Mapping[str, Any]], path: str) -> list[str]:
    """The columns beside the records, which nobody reads."""
    own = root(path)
    return [] if own == EVERY else list(dict.fromkeys(c for r in records for c in r if c != own))[:MOST_NAMES]


def _found(record: Mapping[str, Any], path: str) -> list[Any]:
    found = items(record, path)
    if found is MISSING:
        return [ReadError("read.missing_field", f"no field {path!r} (records)")]
    if not isinstance(found, list):
        return [ReadError("read.wrong_type", f"{path!r} (records) is not a list")]
    return found


def _record(one: Any) -> dict[str, Any] | ReadError:
    one = mapping(one)
    if isinstance(one, dict | ReadError):
        return one
    return ReadError("read.wrong_type", "a record that is not an object")
