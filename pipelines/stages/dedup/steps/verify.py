"""Verification over files: the texts of candidate pairs are brought together, chunk by chunk.

A pair's rows may lie in any two files. So pairs are cut into chunks of about `CHUNK` bytes of text, every
file that holds a wanted row is read once and gives each chunk its rows, and each chunk is compared by
itself: text is read twice, however many rows and chunks there are.

Cost: gathering holds some 100 bytes a candidate pair, and nothing of rows in none; a chunk its texts.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace import kernels
from headrace.cluster import storage
from headrace.cluster.parquet import guarded
from headrace.cluster.stores import passing
from headrace.pipelines.stages.dedup import against, candidates, decide, verify
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.steps import block as blocking
from headrace.pipelines.stages.dedup.steps import order as ordering
from headrace.pipelines.stages.fingerprint import stage as fingerprint

CHUNK = 2**26  # bytes of text that one task compares, where pairs allow it
BATCH = 2**26  # bytes of rows that a task holds while it puts them in the order of their chunks
RANGE_GROUP = 1024  # rows of a row group of collected texts: about a megabyte
NEEDED = ("row_id", *(f"{p}_{w}" for p in fingerprint.PARTS for w in ("key", "features")))


class File(NamedTuple):
    """A file of fingerprints: the run's own (corpus 0), or of the corpus with that number."""

    path: str
    corpus: int
    sketched: bool


def gather(names: Sequence[str], starts: Sequence[int], work: str, foreign: int) -> dict[str, Any]:
    """All candidate pairs, once each, in chunks; and the rows that each group of files must give.

    `names` are those of the files of pairs, `starts` the numbers of the groups' first files. Returns how many
    chunks there are, and which groups hold wanted rows.
    """
    found = (blocking.read_pairs(work, name) for name in names)
    # What earlier runs hold is not judged again.
    pairs = candidates.unique(pairs[pairs[:, 1] >= foreign] for pairs in found)
    if not len(pairs):
        return {"chunks": 0, "groups": []}
    # Pairs of one component stand together, so that a text is wanted by as few chunks as can be.
    concerned = candidates.distinct(pairs.ravel().copy())
    local = np.searchsorted(concerned, pairs)
    label = kernels.components(local, len(concerned))[local[:, 0]]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], label))
    pairs, local = pairs[order], local[order]
    size = ordering.column(work, "size", concerned).to_numpy()
    weight = np.cumsum(size[local].sum(axis=1, dtype=np.int64))
    chunk = np.unique(weight // CHUNK, return_inverse=True)[1]
    chunks = int(chunk[-1]) + 1
    for number in range(chunks):
        blocking.write_pairs(
            work, f"chunk-{number}", pairs[slice(*np.searchsorted(chunk, [number, number + 1]))]
        )
    wanted = candidates.distinct((local * chunks + chunk[:, None]).ravel())
    place, chunk = wanted // chunks, wanted % chunks
    file = ordering.column(work, "file", concerned).to_numpy()[place]
    group = np.searchsorted(np.array(starts), file, side="right") - 1
    ids = ordering.column(work, "row_id", concerned).to_numpy()[place]
    table = pa.table({"row_id": ids, "file": file, "rank": concerned[place], "chunk": chunk})
    groups = np.unique(group).tolist()
    for one in groups:
        path = storage.join(work, f"wanted-{one}.parquet")
        passing.write_hashes(path, [table.filter(pa.array(group == one))])
    return {"chunks": chunks, "groups": groups}


def collect(item: tuple[int, Sequence[tuple[int, File]]], work: str) -> dict[str, list[str]]:
    """The wanted rows of one group of files, by chunk; returns the files of texts and of sketches."""
    number, files = item
    wanted = storage.read_table(storage.join(work, f"wanted-{number}.parquet")).combine_chunks()
    written: dict[str, list[str]] = {}
    for kind, content in (("texts", ("source", "messages")), ("sketches", against.SKETCHES)):
        mine = [(p, f) for p, f in files if f.sketched == (kind == "sketches")]
        paths = written.setdefault(kind, [])
        for tables in _batches(_rows(mine, wanted, content)):
            paths.append(storage.join(work, f"{kind}-{number}-{len(paths)}.parquet"))
            passing.write(paths[-1], _by_chunk(tables), RANGE_GROUP, filtered=["chunk"])
    return written


def _rows(files: Sequence[tuple[int, File]], wanted: pa.Table, content: Sequence[str]) -> Iterator[pa.Table]:
    """The wanted rows of each file that has some, with their ranks and chunks."""
    for place, file in files:
        mine = wanted.filter(pc.equal(wanted["file"], place))
        if mine.num_rows:
            read = guarded.table if file.corpus else storage.read_table
            table = read(file.path, [*NEEDED, *content])
            at = pc.index_in(mine["row_id"].combine_chunks(), table["row_id"].combine_chunks())
            rows = table.take(at)
            yield rows.append_column("rank", mine["rank"]).append_column("chunk", mine["chunk"])


def _batches(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    """Tables, as many as have `BATCH` bytes together."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(one.nbytes for one in held) >= BATCH:
            yield held
            held = []
    if held:
        yield held


def _by_chunk(tables: list[pa.Table]) -> Iterator[pa.Table]:
    """Rows in the order of their chunks, a row group at a time; empties `tables`."""
    rows = pa.concat_tables(tables).combine_chunks()
    tables.clear()
    order = np.argsort(rows["chunk"].to_numpy(), kind="stable")
    for first in range(0, len(order), RANGE_GROUP):
        yield rows.take(pa.array(order[first : first + RANGE_GROUP]))


def compare(
    chunk: int,
    collected: Sequence[dict[str, list[str]]],
    work: str,
    config: Config,
    ngram: int,
    last: Sequence[str] = (),
) -> dict[str, Any]:
    """Similarities of one chunk's pairs, from the texts, or from sketches where there are no texts.

    last: sources of which the last answer of a row alone is learned.
    """
    pairs = blocking.read_pairs(work, f"chunk-{chunk}")
    texts, sketches = (_read(collected, kind, chunk) for kind in ("texts", "sketches"))
    by_sketch = np.isin(pairs[:, 0], sketches["rank"].to_numpy())
    same = {"min_features": config.min_features, "ngram": ngram}
    ranks = texts["rank"].to_numpy()
    similarity, rule = np.empty(len(pairs)), np.where(by_sketch, decide.SKETCH, decide.NEAR).astype(np.int8)
    local = np.searchsorted(ranks, pairs)
    ends = pc.is_in(texts["source"], pa.array(last, pa.string())).to_numpy() if last else None
    measured = [(~by_sketch, verify.similarities(texts, local[~by_sketch], last=ends, **same))]
    if by_sketch.any():
        better = np.searchsorted(sketches["rank"].to_numpy(), pairs[by_sketch, 0])
        local = np.stack([better, local[by_sketch, 1]], axis=1)
        measured.append((by_sketch, verify.estimates(texts, sketches, local, k=against.K, **same)))
    for chosen, found in measured:
        similarity[chosen] = found.similarity
        rule[np.flatnonzero(chosen)[found.alike]] = decide.ALIKE
    columns = {"better": pairs[:, 0], "worse": pairs[:, 1], "similarity": similarity, "rule": rule}
    path = storage.join(work, f"verified-{chunk}.parquet")
    passing.write_hashes(path, [pa.table(columns)])
    return {"path": path, "pairs": len(pairs)}


def _read(collected: Sequence[dict[str, list[str]]], kind: str, chunk: int) -> pa.Table:
    """The rows of one chunk, by rank."""
    paths = [path for written in collected for path in written[kind]]
    tables = [storage.read_table(path, filters=[("chunk", "==", chunk)]) for path in paths]
    if not tables:
        return pa.table({"rank": pa.array([], pa.int64())})
    return pa.concat_tables(tables).sort_by("rank").combine_chunks()
