"""The digest: one hash of the content of `packed/`, whatever files it lies in."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import Any

import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import DamagedError
from headrace.pipelines.passes import outputs
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.pack import stage as pack


def files(path: str) -> list[tuple[str, storage.Entry]]:
    """(split, file) of everything packed, in the order of the digest."""
    sides = ((side, storage.listing(storage.join(path, "packed", side))) for side in SPLITS)
    return [(side, entry) for side, entries in sides for entry in entries]


def digest(path: str, each: Callable[..., Iterator[Any]], sums: Mapping[str, str] | None = None) -> str:
    """One hash of all of `packed/`: split, ordinal, row over ids, labels, positions and segments.

    each: runs a function over paths, in order, as `stream.each` with its workers does. sums: hashes of the
    files' bytes by their paths below the run, as the commit records have them.

    Raises: DamagedError where a file is not what was committed.

    Cost: reads `packed/` once in tasks; the driver sees 16 bytes a packed row.
    """
    shards, known = files(path), sums or {}
    below = [f"packed/{side}/{entry.path.rpartition('/')[2]}" for side, entry in shards]
    for gone in sorted(known.keys() - set(below)):
        raise DamagedError(storage.join(path, gone))
    hashes = each(partial(_row_hashes, run=path), [(one, known.get(one)) for one in below], name="digest")
    return of((side, rows) for (side, _), rows in zip(shards, hashes, strict=True))


def of(shards: Iterable[tuple[str, bytes]]) -> str:
    """The digest of shards in their order: each its side, and the hashes of its rows end to end."""
    whole = xxhash.xxh3_128()
    for side, of_side in groupby(shards, key=lambda shard: shard[0]):
        whole.update(side.encode())
        for _, rows in of_side:
            whole.update(rows)
    return whole.hexdigest()


def _row_hashes(shard: tuple[str, str | None], run: str) -> bytes:
    groups = outputs.row_groups(run, *shard, pack.DIGEST_COLUMNS)
    return b"".join(pack.row_hashes(rows) for rows in groups)
