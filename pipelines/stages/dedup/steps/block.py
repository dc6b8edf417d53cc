"""Blocking over files: the steps of pass 2 from ranked rows to candidate pairs.

Rows are scattered by the hash of their block, so that a task meets whole blocks and `PARTITION` rows at the
most, however many there are in all.

Cost: 41 bytes a row and band, written and read once; a task holds those of its partition.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.stores import passing
from headrace.pipelines.stages.dedup import decide
from headrace.pipelines.stages.dedup.blocks import Blocks, Columns, band_columns, bands, blocks_of, pairs_of
from headrace.pipelines.stages.dedup.config import Config

PARTITION = 2**23  # rows that one blocking task looks at, about


def scatter(item: tuple[int, str], work: str, config: Config, partitions: int) -> None:
    """Blocks of every band of one staged file, each row under the partition of its block."""
    number, path = item
    ranks = storage.read_table(storage.join(work, f"ranks-{number}.parquet"))
    representative, rank = (ranks[name].to_numpy() for name in ("representative", "rank"))
    found = bands(config)
    names = list(dict.fromkeys(name for k in found for name in band_columns(k)))
    parts: dict[int, list[Blocks]] = {k: [] for k in found}
    for table in storage.row_groups(path, names):  # all bands of some rows, so that they are read once
        held = {name: table[name].to_numpy() for name in names}
        for k in found:
            parts[k].append(blocks_of(held, k, config))
    for k in found:
        blocks = Blocks(*(np.concatenate(values) for values in zip(*parts.pop(k), strict=True)))
        rows = np.flatnonzero(representative & (blocks.key != 0))
        partition = (blocks.key[rows] % np.uint64(partitions)).astype(np.uint32)
        order = np.argsort(partition, kind="stable")
        rows = rows[order]
        columns = {name: values[rows] for name, values in blocks._asdict().items()}
        columns |= {"partition": partition[order], "place": rows, "rank": rank[rows]}
        # In groups, so that a reader of one partition leaves the others unread.
        passing.write_hashes(_blocks(work, k, number), [pa.table(columns)], filtered=["partition"])


def _blocks(work: str, k: int, number: int) -> str:
    return storage.join(work, f"blocks-{k}-{number}.parquet")


def block(item: tuple[int, int], staged: Sequence[str], work: str, config: Config) -> dict[str, int]:
    """Candidate pairs of one partition of one band."""
    k, partition = item
    mine = [("partition", "==", partition)]
    tables = [storage.read_table(_blocks(work, k, n), filters=mine) for n in range(len(staged))]
    owner = np.repeat(np.arange(len(tables)), [t.num_rows for t in tables])
    table = pa.concat_tables(tables).combine_chunks()
    order = np.argsort(table["rank"].to_numpy())
    owner, place, rank = owner[order], *(table[n].to_numpy()[order] for n in ("place", "rank"))

    def some(names: Sequence[str], rows: NDArray[np.int64]) -> Columns:
        order = np.lexsort((place[rows], owner[rows]))
        chosen = rows[order]
        columns = {name: np.empty(len(rows), np.uint64) for name in names}
        for number in np.unique(owner[chosen]):  # a row group at a time: all bands of some rows, not of all
            begin, end = np.searchsorted(owner[chosen], [number, number + 1])
            wanted, at = place[chosen[begin:end]], 0
            for table in storage.row_groups(staged[number], list(names)):
                first, last = begin + np.searchsorted(wanted, [at, at + table.num_rows])
                for name, values in columns.items():
                    values[order[first:last]] = table[name].to_numpy()[
                        wanted[first - begin : last - begin] - at
                    ]
                at += table.num_rows
        return columns

    blocks = Blocks(*(table[name].to_numpy()[order] for name in Blocks._fields))
    pairs, capped = pairs_of(blocks, some, k, config)
    write_pairs(work, f"band-{k}-{partition}", rank[pairs].astype(np.int64))
    return {"capped": capped}


def write_pairs(work: str, name: str, pairs: decide.Pairs) -> None:
    table = pa.table({"better": pairs[:, 0], "worse": pairs[:, 1]})
    passing.write_hashes(storage.join(work, f"{name}.parquet"), [table])


def read_pairs(work: str, name: str) -> decide.Pairs:
    return as_pairs(storage.read_table(storage.join(work, f"{name}.parquet")))


def as_pairs(table: pa.Table) -> decide.Pairs:
    pairs: decide.Pairs = np.stack([table["better"].to_numpy(), table["worse"].to_numpy()], axis=1)
    return pairs
