"""Signatures over files: the steps of pass 2 that find candidates by SimHash (see `stages.dedup.signatures`).

One task groups the rows of all staged files by signature; then tasks of `TABLES` tables each, which read
what it wrote and depend on nothing else.

Cost: see there.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.stores import passing
from headrace.pipelines import arrays
from headrace.pipelines.stages.dedup import signatures
from headrace.pipelines.stages.dedup.blocks import SIGNATURE, band_columns
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.steps import block as blocking

TABLES = 8  # a task: reading the signatures costs as much as one table


def sign(staged: Sequence[str], work: str, config: Config) -> int:
    """Write the distinct signatures and the rows that have each; returns how many signatures there are."""
    parts = []
    for number, path in enumerate(staged):
        ranks = storage.read_table(storage.join(work, f"ranks-{number}.parquet"))
        table = storage.read_table(path, band_columns(SIGNATURE))
        best = np.flatnonzero(ranks["representative"].to_numpy())
        held = {name: table[name].to_numpy()[best] for name in table.column_names}
        parts.append(signatures.signed(held, ranks["rank"].to_numpy()[best], config))
    found = signatures.distinct(signatures.Signed(*(np.concatenate(c) for c in zip(*parts, strict=True))))
    words = {"simhash": found.words[:, 0], "meeting": found.words[:, 1], "rows": np.diff(found.starts)}
    _write(work, "signatures", words)
    _write(work, "signed", {"rank": found.ranks, "low": found.low, "high": found.high})
    return len(found.words)


def _write(work: str, name: str, columns: dict[str, NDArray[np.generic]]) -> None:
    path = storage.join(work, f"{name}.parquet")
    passing.write_hashes(path, [pa.table(columns)])


def near(first: int, work: str, config: Config, foreign: int) -> str:
    """Candidate pairs of `TABLES` tables from number `first`; returns the name of their file."""
    words = storage.read_table(storage.join(work, "signatures.parquet"))
    rows = storage.read_table(storage.join(work, "signed.parquet"))
    found = signatures.Signatures(
        np.stack([words["simhash"].to_numpy(), words["meeting"].to_numpy()], axis=1),
        arrays.offsets(words["rows"].to_numpy()),
        *(rows[name].to_numpy() for name in ("rank", "low", "high")),
    )
    masks = signatures.tables(len(found.words), config)
    pairs = [
        signatures.pairs(found, masks, table, config)
        for table in range(first, min(first + TABLES, len(masks)))
    ]
    name = f"near-{first}"
    # What earlier runs hold is not judged again.
    blocking.write_pairs(work, name, np.concatenate([p[p[:, 1] >= foreign] for p in pairs]))
    return name
