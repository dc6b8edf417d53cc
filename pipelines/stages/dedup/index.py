"""The index of a run: where a text's likely relatives are, without reading any text.

A shard holds the parts (prompt or answer) of some thousand rows that the run kept: their 128-bit MinHash
sketches, 4 bits a bin, as a Faiss binary index, and a table of who they are. The Hamming distance of two
such sketches grows with 1 - Jaccard evenly: at .8 it is 13 of 128 on average, between strangers 64.

Cost: 45 bytes a part on storage; a search compares with every sketch, 2 G a second a core.
Source: https://github.com/facebookresearch/faiss/wiki/Binary-indexes; Li & Koenig 2010 (b-bit MinHash),
https://arxiv.org/abs/0910.3349.
"""

from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines.stages.dedup import against
from headrace.pipelines.stages.fingerprint import stage as fingerprint

FOLDER = "index"
BITS = 64 * fingerprint.WORDS
ENTRY = ("row_id", "part", "features", "key")
READ = tuple(
    f"{part}_{kind}"
    for part in fingerprint.PARTS
    for kind in ("features", "key", *(f"sketch_{word}" for word in range(fingerprint.WORDS)))
)


def build(item: tuple[int, str], output: str) -> int:
    """Write shard `item[0]` over the staged fingerprints at `item[1]`; returns how many parts it holds.

    Rows that `removed.parquet` in `output` lists are left out, and parts without a feature or key.
    """
    import faiss

    number, path = item
    entries: list[list[pa.Table]] = [[] for _ in fingerprint.PARTS]
    sketches: list[list[NDArray[np.uint8]]] = [[] for _ in fingerprint.PARTS]
    for group in storage.row_groups(path, ["row_id", *READ]):
        table = against.kept(group, storage.join(output, "removed.parquet")).combine_chunks()
        for part, name in enumerate(fingerprint.PARTS):
            held = np.flatnonzero(
                (table[f"{name}_features"].to_numpy() > 0) | (table[f"{name}_key"].to_numpy() != 0)
            )
            chosen = table.take(pa.array(held))
            columns = [
                chosen["row_id"],
                pa.array(np.full(len(held), part, np.uint8)),
                chosen[f"{name}_features"],
                chosen[f"{name}_key"],
            ]
            entries[part].append(pa.Table.from_arrays(columns, names=list(ENTRY)))
            sketches[part].append(bits(chosen, name))
    found = faiss.IndexBinaryFlat(BITS)
    for of_part in chain(*sketches):
        found.add(of_part)
    _put(output, f"{number:06d}.faiss", faiss.serialize_index_binary(found).tobytes())
    held_rows = pa.concat_tables(chain(*entries)).combine_chunks()
    storage.write_table(storage.join(output, FOLDER, f"{number:06d}.parquet"), held_rows)
    return int(found.ntotal)


def _put(output: str, name: str, data: bytes) -> None:
    storage.put(storage.join(output, FOLDER, name), data)


def bits(table: pa.Table, part: str) -> NDArray[np.uint8]:
    """Sketches of one part as Faiss takes them, ``uint8[N, 16]``."""
    words = [table[f"{part}_sketch_{w}"].to_numpy() for w in range(fingerprint.WORDS)]
    stacked = np.ascontiguousarray(np.stack(words, axis=1).astype("<u8"))
    return stacked.view(np.uint8).reshape(len(stacked), BITS // 8)


def search(shard: str, sketches: NDArray[np.uint8], keys: NDArray[np.uint64], nearest: int) -> pa.Table:
    """The `nearest` parts of a shard to each sketch, and those whose key is one of `keys`.

    shard: path without suffix. Returns `query, row_id, part, features, distance` (0 for an equal key).
    """
    entries = storage.read_table(f"{shard}.parquet").combine_chunks()
    if not entries.num_rows:
        return _found(entries, *(np.zeros(0, np.int64) for _ in range(3)))
    distance, place = _index(f"{shard}.faiss").search(sketches, min(nearest, entries.num_rows))
    query = np.repeat(np.arange(len(sketches)), place.shape[1])
    own = entries["key"].to_numpy()
    equal = [np.flatnonzero((own == key) & (own != 0)) for key in keys]
    queries = np.concatenate([query, np.repeat(np.arange(len(keys)), [len(e) for e in equal])])
    places = np.concatenate([place.ravel(), *equal])
    distances = np.concatenate([distance.ravel(), np.zeros(sum(map(len, equal)), np.int32)])
    return _found(entries, queries, places, distances)


def _found(entries: pa.Table, query: Any, place: Any, distance: Any) -> pa.Table:
    chosen = entries.take(pa.array(place, pa.int64()))
    return pa.table(
        {
            "query": pa.array(query, pa.int64()),
            "row_id": chosen["row_id"],
            "part": chosen["part"],
            "features": chosen["features"],
            "distance": pa.array(distance, pa.int32()),
        }
    )


def _index(path: str) -> Any:
    """A shard's Faiss index, on a GPU where this machine has one."""
    import faiss

    held: Any = faiss.deserialize_index_binary(np.frombuffer(storage.read_bytes(path), np.uint8))
    if getattr(faiss, "get_num_gpus", lambda: 0)() > 0:  # the CPU's package has no such function
        return faiss.GpuIndexBinaryFlat(faiss.StandardGpuResources(), held)
    return held
