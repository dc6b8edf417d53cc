"""Counting: what came in, what was kept, what was dropped or quarantined and why.

Books count *records*: a dropped conversation of eight turns is eight. Each pass has its own;
what a pass keeps is what the next one takes in, and `in == kept + dropped + quarantined` must hold
for every part, pass and run.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster.errors import BooksError
from headrace.pipelines import schema

Books = dict[str, Any]

# Bins of every histogram of lengths, eight to a doubling: 0, 1, ... 16, 18, 20, ...
# Older runs have one to a doubling.
DOUBLINGS = [0, *(2**k for k in range(27))]
EDGES = sorted({0, *(2**k + 2**k * eighth // 8 for k in range(26) for eighth in range(8)), 2**26})


def records(table: pa.Table) -> int:
    """Records that the rows of `table` are made of."""
    return int(pc.sum(table["n_records"]).as_py() or 0)


def of(table: pa.Table) -> Books:
    """Books over a table of rows with their marks."""
    table = table.select(["n_records", "drop", "error"])
    kept = table.filter(schema.live(table))
    return {
        "in": records(table),
        "kept": records(kept),
        "dropped": _by_reason(table.filter(pc.is_null(table["error"])), "drop"),
        "quarantined": _by_reason(table, "error"),
    }


def _by_reason(table: pa.Table, column: str) -> dict[str, int]:
    sums = table.filter(pc.is_valid(table[column])).group_by(column).aggregate([("n_records", "sum")])
    pairs = zip(sums[column].to_pylist(), sums["n_records_sum"].to_pylist(), strict=True)
    return dict(sorted(pairs))


def total(each: Iterable[Books]) -> Books:
    """Sum of books."""
    dropped: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    came = kept = 0
    for book in each:
        came += book["in"]
        kept += book["kept"]
        dropped.update(book["dropped"])
        quarantined.update(book["quarantined"])
    return {
        "in": came,
        "kept": kept,
        "dropped": dict(sorted(dropped.items())),
        "quarantined": dict(sorted(quarantined.items())),
    }


def check(book: Books, entered: int, where: str) -> None:
    """Raises: BooksError unless everything that entered is kept, dropped or quarantined."""
    out = book["kept"] + sum(book["dropped"].values()) + sum(book["quarantined"].values())
    if not book["in"] == entered == out:
        raise BooksError(
            f"{where}: the books do not balance: {entered} records came in, {book['in']} were counted, "
            f"{book['kept']} kept + {sum(book['dropped'].values())} dropped + "
            f"{sum(book['quarantined'].values())} quarantined = {out}"
        )


def lengths(table: pa.Table) -> list[int]:
    """Histogram of characters a row over `EDGES`; rows without messages are left out."""
    _, rows, texts = schema.contents(table)
    sizes = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False)
    per_row = np.bincount(rows, weights=sizes, minlength=table.num_rows) if len(rows) else np.zeros(0)
    readable = table["messages"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    return histogram(per_row[readable] if len(per_row) else per_row)


def histogram(values: np.ndarray) -> list[int]:
    """Counts of `values` between the `EDGES`; the last bin takes all above."""
    counts, _ = np.histogram(np.minimum(values, EDGES[-1]), bins=np.array(EDGES, dtype=np.float64))
    return [int(c) for c in counts]


def add(histograms: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    """Sum of histograms, {edges, counts}; over `DOUBLINGS` where one of them is of an older run."""
    if not histograms:
        return {"edges": EDGES, "counts": []}
    coarse = any(len(counts) < len(EDGES) - 1 for counts in histograms)
    starts = np.searchsorted(EDGES, DOUBLINGS[:-1])
    sums = np.zeros(len(DOUBLINGS if coarse else EDGES) - 1, np.int64)
    for counts in histograms:
        own = np.array(counts, np.int64)
        sums += np.add.reduceat(own, starts) if coarse and len(own) > len(sums) else own
    return {"edges": DOUBLINGS if coarse else EDGES, "counts": sums.tolist()}


def timing(seconds: float, table: pa.Table) -> dict[str, float]:
    """CPU seconds of a stage with the rows and the UTF-8 bytes of content that entered it."""
    _, _, texts = schema.contents(table)
    return {
        "seconds": seconds,
        "rows": table.num_rows,
        "bytes": int(pc.sum(pc.binary_length(texts)).as_py() or 0),
    }


def entering(table: pa.Table) -> dict[str, float]:
    """`timing` of a stage that is about to begin: the rows that are not marked yet, and their bytes."""
    live = schema.live(table).to_numpy(zero_copy_only=False)
    _, rows, texts = schema.contents(table)
    sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    return {"seconds": 0.0, "rows": int(live.sum()), "bytes": int(sizes[live[rows]].sum())}


def add_timings(each: Iterable[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Sum of timings by stage, stages in the order in which they first appear."""
    sums: dict[str, dict[str, float]] = {}
    for timings in each:
        for stage, values in timings.items():
            total = sums.setdefault(stage, {"seconds": 0.0, "rows": 0, "bytes": 0})
            for name in total:
                total[name] += values[name]
    return sums


def entities(table: pa.Table) -> dict[str, int]:
    """PII findings replaced, by entity."""
    if "pii" not in table.column_names:
        return {}
    flat = table["pii"].combine_chunks().cast(schema.PII)
    sums = pa.table({"entity": flat.keys, "n": flat.items}).group_by("entity").aggregate([("n", "sum")])
    return dict(sorted(zip(sums["entity"].to_pylist(), sums["n_sum"].to_pylist(), strict=True)))


def traits(table: pa.Table, weights: np.ndarray | None = None) -> dict[str, dict[str, Any]]:
    """Rows by each value of each trait, and by the rule that told their task; none where none were told.

    weights: ``float64[N]``, whose sums are given in place of numbers of rows.
    """
    if "traits" not in table.column_names:
        return {}
    column = table["traits"].combine_chunks()
    told = column.is_valid()
    weights = None if weights is None else weights[told.to_numpy(zero_copy_only=False)]
    column = column.filter(told)
    mixes = {}
    for name in (*schema.TRAITS_BY, "rule") if len(column) else ():
        values, own = pc.struct_field(column, name), weights
        if pa.types.is_list(values.type):
            own = None if own is None else own[pc.list_parent_indices(values).to_numpy()]
            values = pc.list_flatten(values)
        coded = values.dictionary_encode(null_encoding="encode")
        sums = np.bincount(coded.indices.to_numpy(), own, len(coded.dictionary))
        pairs = zip(coded.dictionary.to_pylist(), sums.tolist(), strict=True)
        mixes[name] = dict(sorted((str(value), n) for value, n in pairs))
    return mixes


def flagged(mixes: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Of rows by trait and value: how many have traits, and how many have each flag."""
    return {"rows": sum(mixes.get("task", {}).values()), "flags": mixes.get("flags", {})}


def add_mixes(each: Iterable[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Sum of `traits`: rows by trait and value, in the order of `schema.TRAITS_BY`."""
    mixes = list(each)
    names = (*schema.TRAITS_BY, "rule")
    return {n: add_counts(m.get(n, {}) for m in mixes) for n in names if any(n in m for m in mixes)}


def changed(changes: pa.Table, more: dict[str, int]) -> dict[str, int]:
    """Sum of `schema.CHANGES` by kind, with `more` kinds; zeros are left out."""
    sums = changes.group_by("kind").aggregate([("n", "sum")])
    pairs = zip(sums["kind"].to_pylist(), sums["n_sum"].to_pylist(), strict=True)
    return add_counts([dict(pairs), {kind: n for kind, n in more.items() if n}])


def add_counts(each: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Sum of counters, keys sorted."""
    sums: Counter[str] = Counter()
    for counts in each:
        sums.update(counts)
    return dict(sorted(sums.items()))
