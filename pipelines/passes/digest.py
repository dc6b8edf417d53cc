"""The digest: one hash of the content of `packed/`, whatever files it lies in."""

from collections.abc import Callable, Iterator
from typing import Any

import xxhash

from headrace.cluster import storage
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.pack import stage as pack


def files(path: str) -> list[tuple[str, storage.Entry]]:
    """(split, file) of everything packed, in the order of the digest."""
    sides = ((side, storage.listing(storage.join(path, "packed", side))) for side in SPLITS)
    return [(side, entry) for side, entries in sides for entry in entries]


def digest(path: str, each: Callable[..., Iterator[Any]]) -> str:
    """One hash of all of `packed/`: split, ordinal, row over ids, labels, positions and segments.

    each: runs a function over paths, in order, as `stream.each` with its workers does.

    Cost: reads `packed/` once in tasks; the driver sees 16 bytes a packed row.
    """
    whole = xxhash.xxh3_128()
    shards = files(path)
    hashes = each(_row_hashes, [entry.path for _, entry in shards], name="digest")
    side_before = None
    for (side, _), rows in zip(shards, hashes, strict=True):
        if side != side_before:
            whole.update(side.encode())
            side_before = side
        whole.update(rows)
    return whole.hexdigest()


def _row_hashes(path: str) -> bytes:
    return pack.row_hashes(storage.read_table(path, columns=list(pack.DIGEST_COLUMNS)))
