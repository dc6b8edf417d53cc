"""Leaks of a run: rows that hold items of evaluation sets, found over `prepared/`, listed in `findings/`.

All turns of a row are looked at, those of the assistant apart from the others. Files are searched one by one;
what many rows of the corpus hold is known when all are done, and settles what is evidence.

Cost: each file of `prepared/` read once, one look-up a word; the index is read once by every worker.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from headrace.cluster import ledger, storage
from headrace.pipelines import schema
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.leaks import index as indexing
from headrace.pipelines.examine.leaks import items, match
from headrace.pipelines.examine.leaks.config import Config, sets
from headrace.pipelines.stages.fingerprint import stage as fingerprint

NAME = "leaks"
VERSION = 4
REASON = "decontaminate.leak"
LISTED = 20  # rows in the report
INDEX = "findings/leaks.index"
FINDINGS = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("item", pa.uint32()),
        ("set", pa.string()),
        ("place", pa.string()),
        ("share", pa.float64()),
        ("rule", pa.string()),
        ("part", pa.string()),
    ]
)
DROPS = pa.schema([("row_id", pa.uint64()), ("reason", pa.string())])
Each = Callable[..., Iterator[Any]]


class Found(NamedTuple):
    """`FINDINGS`, sorted; the items of the sets, those that no n-gram tells from others; rows looked at."""

    findings: pa.Table
    items: pa.Table
    untold: pa.Table
    rows: int


class _Built(NamedTuple):
    """Items of the sets without their texts, those that can be told from others, the mark of their index, and
    its n-grams.
    """

    items: pa.Table
    told: NDArray[np.uint32]
    mark: str
    keys: int


class _Part(NamedTuple):
    """What one file holds: pairs whose `row` is a row id, rows by n-gram, rows."""

    pairs: pa.Table
    counts: pa.Table
    rows: int


def run(prepared: Sequence[str], run: str, config: Config, each: Each) -> dict[str, Any]:
    """Find leaks in the files `prepared` of `run` and write `findings/leaks.parquet`; returns the report.

    Under policy drop `findings/leaks.drops.parquet` says which rows go, and why. each: runs tasks
    over files, results in order.

    Raises: as `items.load`.
    """
    found = find(prepared, run, config, each)
    storage.write_table(storage.join(run, "findings/leaks.parquet"), found.findings)
    hit = found.findings["row_id"].unique()
    if config.policy == "drop":
        drops = pa.table([hit, pa.repeat(pa.scalar(REASON, pa.string()), len(hit))], schema=DROPS)
        storage.write_table(storage.join(run, "findings/leaks.drops.parquet"), drops)
    first = pl.DataFrame(found.findings).unique("row_id", keep="first", maintain_order=True).head(LISTED)
    return {
        "sets": _counts(found.items["set"]),
        "untold": _counts(found.untold["set"]),
        "rows": found.rows,
        "rows_hit": len(hit),
        "by_set": _rows_by(found.findings, "set"),
        "by_rule": _rows_by(found.findings, "rule"),
        "words": f"{len(hit):,} of {found.rows:,} rows hold items of {len(_counts(found.items['set'])):,} "
        "evaluation sets",
        "listed": [[row, place] for row, place in first.select("row_id", "place").iter_rows()],
    }


def marks(config: Config) -> list[tuple[str, int, str]]:
    """What tells the files of the evaluation sets from changed ones: path, size and stamp of each."""
    return items.marks(sets(config))


def find(prepared: Sequence[str], run: str, config: Config, each: Each) -> Found:
    """What `run` writes and reports. Raises: as `items.load`."""
    where = storage.join(run, INDEX)
    built = next(each(partial(_built, config=config), [where], name=f"{NAME} index"))
    work = partial(_of_file, run=run, mark=built.mark, config=config)
    held, n, found = np.zeros(built.keys, np.int64), 0, [match.FOUND.empty_table()]
    for part in each(work, prepared, name=NAME):
        match.add(held, part.counts)
        found.append(part.pairs)
        n += part.rows
    pairs = pa.concat_tables(found).combine_chunks()
    settle = partial(_hits, where=where, mark=built.mark, held=held, rows=n, config=config)
    hits = next(each(settle, [pairs], name=f"{NAME} settle"))
    storage.delete(where)
    untold = built.items.filter(pc.invert(pc.is_in(built.items["item"], pa.array(built.told))))
    return Found(_findings(hits, built.items), built.items, untold, n)


def _built(where: str, config: Config) -> _Built:
    """Load the sets and write their index to `where`: in a task, as it takes hundreds of MiB."""
    evaluation = items.load(sets(config))
    index = indexing.build(evaluation, config)
    data = indexing.dumped(index)
    storage.put(where, data)
    mark = ledger.key(config.model_dump(mode="json"), xxhash.xxh3_128_hexdigest(data))
    return _Built(evaluation.select(["item", "set", "place"]), index.told, mark, len(index.table.keys))


def _hits(
    pairs: pa.Table, where: str, mark: str, held: NDArray[np.int64], rows: int, config: Config
) -> pa.Table:
    """Hits among the pairs of all files."""
    index = _index(where, mark)
    return match.hits(match.settled(pairs, held, rows, index, config), index)


def _of_file(path: str, run: str, mark: str, config: Config) -> _Part:
    index = _index(storage.join(run, INDEX), mark)
    table = rows.left(path, run, ["messages"])
    ids = table["row_id"].combine_chunks()
    roles, owners, texts = schema.contents(table)
    both = fingerprint.parts(roles, owners, texts, table.num_rows).both
    found = match.search(both, np.arange(2 * table.num_rows) // 2, index, config)
    row_ids = ids.take(found.pairs["row"].combine_chunks()).cast(pa.int64())
    pairs = found.pairs.set_column(0, "row", row_ids)
    return _Part(pairs, found.counts, table.num_rows)


@functools.lru_cache(maxsize=1)
def _index(path: str, mark: str) -> indexing.Index:
    """The index of a run; `mark` tells one run's from that of another in the same place."""
    return indexing.loaded(storage.read_bytes(path))


def _findings(hits: pa.Table, evaluation: pa.Table) -> pa.Table:
    """Hits whose rows are row ids as `FINDINGS`."""
    told = evaluation.take(hits["item"])
    return pa.table(
        [
            hits["row"].cast(pa.uint64()),
            hits["item"],
            told["set"],
            told["place"],
            hits["share"],
            hits["rule"],
            hits["part"],
        ],
        schema=FINDINGS,
    ).combine_chunks()


def _counts(names: pa.ChunkedArray) -> dict[str, int]:
    return dict(sorted(Counter(names.to_pylist()).items()))


def _rows_by(findings: pa.Table, column: str) -> dict[str, int]:
    """Rows that a set or a rule has hits in; a row may count for several."""
    counted = pl.DataFrame(findings).group_by(column).agg(pl.col("row_id").n_unique()).sort(column)
    return dict(counted.iter_rows())
