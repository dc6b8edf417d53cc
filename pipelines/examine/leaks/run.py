"""Leaks of a run: rows that hold items of evaluation sets, found over `prepared/`, listed in `findings/`.

All turns of a row are looked at, those of the assistant apart from the others. Files are searched one by one;
what many rows of the corpus hold is known when all are done, and settles what is evidence.

Cost: one look-up a word of each file of `prepared/`; the index is read once by every worker.
"""

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

from headrace.cluster import ledger, process, storage
from headrace.kernels import grams
from headrace.pipelines import arrays, schema
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.leaks import index as indexing
from headrace.pipelines.examine.leaks import items, match
from headrace.pipelines.examine.leaks.config import Config, sets
from headrace.pipelines.stages.fingerprint import stage as fingerprint

NAME = "leaks"
VERSION = 4
REASON = "decontaminate.leak"
LISTED = 20  # rows in the report
WORK = f"findings/work/{NAME}"
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
    """The index of the sets: a mark of it, and how many n-grams it has."""

    mark: str
    keys: int


class Part(NamedTuple):
    """What some files hold: pairs whose `row` is a row id, rows by n-gram, rows; by which index."""

    pairs: pa.Table
    counts: pa.Table
    rows: int
    by: _Built


def looking(run: str, config: Config, each: Each) -> rows.Look:
    """What looks for items in some files. Raises: as `items.load`."""
    built = next(each(partial(_built, config=config), [storage.join(run, WORK)], name=f"{NAME} index"))
    return partial(_of_files, by=built, config=config)


def run(
    prepared: Sequence[str],
    run: str,
    config: Config,
    each: Each,
    looked: Sequence[Part] | None = None,
) -> dict[str, Any]:
    """Find leaks in the files `prepared` of `run` and write `findings/leaks.parquet`; returns the report.

    Under policy drop `findings/leaks.drops.parquet` says which rows go, and why. each: runs tasks
    over files, results in order.

    Raises: as `items.load`.
    """
    found = find(prepared, run, config, each, looked)
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


def find(
    prepared: Sequence[str],
    run: str,
    config: Config,
    each: Each,
    looked: Sequence[Part] | None = None,
) -> Found:
    """What `run` writes and reports. Raises: as `looking`."""
    if looked is None:
        looked = rows.alone(looking(run, config, each), prepared, run, each, name=NAME)
    work, n = storage.join(run, WORK), sum(part.rows for part in looked)
    held = np.zeros(looked[0].by.keys if looked else 0, np.int64)
    for part in looked:
        match.add(held, part.counts)
    hits = [match.HITS.empty_table()]
    if looked:
        pairs = pa.concat_tables([part.pairs for part in looked]).combine_chunks()
        settle = partial(_hits, work=work, mark=looked[0].by.mark, held=held, rows=n, config=config)
        hits.append(next(each(settle, [pairs], name=f"{NAME} settle")))
    evaluation = storage.read_table(storage.join(work, "items.parquet"))
    storage.delete(work)
    untold = evaluation.filter(pc.invert(evaluation["told"]))
    return Found(_findings(pa.concat_tables(hits), evaluation), evaluation, untold, n)


def _built(work: str, config: Config) -> _Built:
    """Load the sets, and write their index and their items, less the texts, below `work`: in a task, as it
    takes hundreds of MiB.
    """
    evaluation = items.load(sets(config))
    index = indexing.build(evaluation, config)
    data = indexing.dumped(index)
    storage.put(storage.join(work, "index"), data)
    told = pa.array(arrays.among(evaluation["item"].to_numpy(), index.told))
    named = evaluation.select(["item", "set", "place"]).append_column("told", told)
    storage.write_table(storage.join(work, "items.parquet"), named)
    mark = ledger.key(config.model_dump(mode="json"), xxhash.xxh3_128_hexdigest(data))
    return _Built(mark, len(index.table.keys))


def _hits(
    pairs: pa.Table, work: str, mark: str, held: NDArray[np.int64], rows: int, config: Config
) -> pa.Table:
    """Hits among the pairs of all files."""
    index = _index(work, mark)
    return match.hits(match.settled(pairs, held, rows, index, config), index)


def _of_files(files: rows.Files, by: _Built, config: Config) -> Part:
    index = _index(storage.join(files.run, WORK), by.mark)
    table = files.table
    ids = table["row_id"].combine_chunks()
    roles, owners, texts = schema.contents(table)
    folded, ends = fingerprint.by_part(roles, owners, texts, table.num_rows)
    words = grams.words(folded)  # none goes on from one message to the next
    words = grams.Words(words.offsets[ends], words.hashes)
    found = match.search(words, np.arange(2 * table.num_rows) // 2, index, config)
    row_ids = ids.take(found.pairs["row"].combine_chunks()).cast(pa.int64())
    pairs = found.pairs.set_column(0, "row", row_ids)
    return Part(pairs, found.counts, table.num_rows, by)


@process.of_step
def _index(work: str, mark: str) -> indexing.Index:
    """The index of a run; `mark` tells one run's from that of another in the same place."""
    return indexing.loaded(storage.read_bytes(storage.join(work, "index")))


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
