"""What every run proves of its packed shards: that nothing stands on two sides of the split.

Of every row in `packed/` its side is read from the shards themselves. Then no prompt (its words in whatever
order) may be that of rows on two sides, or the beginning of a conversation on another side; no `group` may,
nor a template where the split goes by them; nor two rows that pass 2 found alike. What is proved of some
shards stays proved: where nothing has changed nothing is read again.

Cost: `row_ids` of the shards, and the openings and groups of `prepared/`: 9 bytes an opening of the run,
sorted in tasks of `PARTITION` rows each.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import ledger, storage
from headrace.cluster.errors import BooksError
from headrace.cluster.stores import passing
from headrace.pipelines.console import Mode
from headrace.pipelines.examine.diversity import templates
from headrace.pipelines.passes import outputs, parts
from headrace.pipelines.passes.units import Pass, Records, each_measured, resume, workers
from headrace.pipelines.rundir import Run
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.fingerprint.stage import OPENINGS

WORK = "findings/work/proof"
PARTITION = 2**25  # rows that one task sorts the openings of
KINDS = ("rows", "prompts", "groups", "pairs")
SIDES = "_on_two_sides"


PASS = Pass(parts.PROOF, number="run", unit=lambda record: "all")


class Shards(NamedTuple):
    """One window: its parts of `prepared/`, and its shards: path, hash and side of each."""

    window: parts.Window
    packed: tuple[tuple[str, str | None, str], ...]


def prove(
    run: Run,
    rows: Sequence[ledger.Record],
    duplicates: ledger.Record,
    windows: Sequence[ledger.Record],
    mode: Mode,
) -> ledger.Record:
    """The record of the proof: counts of what was looked at, and of what stands on two sides (none).

    rows, duplicates, windows: the commit records of passes 1, 2 and 3. Raises: BooksError, DamagedError.
    """
    cut = {w.number: w for w in parts.windows(rows, run.epochs, run.recipe.pack.window)}
    shards = [
        Shards(
            cut[w["window"]],
            tuple((o["path"], o.get("xxh3"), o["split"]) for o in w["outputs"] if "split" in o),
        )
        for w in windows
    ]
    key = ledger.key([[*s.window.parts, *s.packed] for s in shards], duplicates["key"])
    work = partial(_proved, run=run, shards=shards, key=key)
    (record,) = resume(run, PASS, {0: key}, work, sizes={0: 0}, mode=mode)
    return record


def _proved(
    todo: Sequence[int], done: Mapping[int, Records], *, run: Run, shards: Sequence[Shards], key: str
) -> Iterator[ledger.Record]:
    """The one record of the proof. Raises: BooksError."""
    spent: list[float] = []
    each = partial(each_measured, workers=workers(run), name="proof", spent=spent)
    counts = _counted(run.path, shards, each, by_template=run.recipe.split.by == "template")
    two_sided = {name: n for name, n in counts.items() if name.endswith(SIDES) and n}
    if two_sided:
        told = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in two_sided.items())
        raise BooksError(
            f"packed/ of {run.path} does not keep its sides apart: {told}. Nothing of it can be trusted as "
            "held out; this is a fault of headrace: please report it with run.json"
        )
    stages = {"split": {"seconds": sum(spent), "rows": 0, "bytes": 0}}
    record = {"run": 0, "key": key, "stages": stages, "rows": counts["rows"], "outputs": [], "counts": counts}
    ledger.commit(run.path, PASS.name, "all", record)
    yield record


def _counted(
    run: str, shards: Sequence[Shards], each: Callable[..., Iterator[Any]], *, by_template: bool
) -> dict[str, int]:
    """By kind how many were looked at, and how many stand on two sides."""
    storage.delete(storage.join(run, WORK))
    found = list(each(partial(_scatter, run=run), shards))
    units = [s.window.unit for s in shards]
    partitions = -(-sum(f["rows"][0] for f in found) // PARTITION)
    found += each(partial(_gather, run=run, units=units, partitions=partitions), range(partitions))
    found += each(partial(_pairs, run=run), [units])
    found += each(partial(_templates, run=run), [units]) if by_template else []
    storage.delete(storage.join(run, WORK))
    kinds = (*KINDS, "templates") if by_template else KINDS
    sums = {kind: np.sum([f.get(kind, (0, 0)) for f in found], axis=0) for kind in kinds}
    looked = {kind: int(n) for kind, (n, _) in sums.items()}
    return {**looked, **{f"{kind}{SIDES}": int(n) for kind, (_, n) in sums.items()}}


def _scatter(shards: Shards, run: str) -> dict[str, tuple[int, int]]:
    """Write the openings and groups of a window's packed rows with their sides; returns how many rows there
    are, and how many on two sides.
    """
    sides = [_sides(run, *shard) for shard in shards.packed]
    ids = np.concatenate([np.zeros(0, np.uint64), *(i for i, _ in sides)])
    codes = np.concatenate([np.zeros(0, np.uint8), *(s for _, s in sides)])
    order = np.argsort(ids, kind="stable")
    ids, first = np.unique(ids[order], return_index=True)
    codes = np.bitwise_or.reduceat(codes[order], first) if len(ids) else codes
    tables = [outputs.read(run, p, x, ["row_id", OPENINGS.name, "group"]) for p, x in shards.window.parts]
    table = pa.concat_tables(tables).combine_chunks()
    at = np.minimum(np.searchsorted(ids, table["row_id"].to_numpy()), max(len(ids) - 1, 0))
    there = ids[at] == table["row_id"].to_numpy() if len(ids) else np.zeros(table.num_rows, np.bool_)
    table, at = table.filter(pa.array(there)), at[there]
    lists = table[OPENINGS.name].combine_chunks()
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    last = np.zeros(int(counts.sum()), np.bool_)
    last[np.cumsum(counts)[counts > 0] - 1] = True
    columns = {"hash": pc.list_flatten(lists), "side": np.repeat(codes[at], counts), "last": last}
    unit = shards.window.unit
    passing.write_hashes(storage.join(run, f"{WORK}/prompts-{unit}.parquet"), [pa.table(columns)])
    grouped = table["group"].is_valid().to_numpy()
    whole = np.ones(int(grouped.sum()), np.bool_)
    groups = {"hash": table["group"].drop_null(), "side": codes[at][grouped], "last": whole}
    passing.write_hashes(storage.join(run, f"{WORK}/groups-{unit}.parquet"), [pa.table(groups)])
    rows = pa.table({"row_id": ids, "side": codes})
    passing.write_hashes(storage.join(run, f"{WORK}/rows-{unit}.parquet"), [rows])
    return {"rows": (len(ids), int(_several(codes).sum()))}


def _sides(run: str, path: str, xxh3: str | None, side: str) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """The rows of one shard, and their side as a bit."""
    lists = outputs.read(run, path, xxh3, ["row_ids"])["row_ids"]
    ids = np.unique(pc.list_flatten(lists).to_numpy())
    return ids, np.full(len(ids), 1 << SPLITS.index(side), np.uint8)


def _gather(number: int, run: str, units: Sequence[str], partitions: int) -> dict[str, tuple[int, int]]:
    """Prompts and groups of one partition of the hashes: how many there are, and how many on two sides."""
    found = {}
    for kind in ("prompts", "groups"):
        tables = [storage.read_table(storage.join(run, f"{WORK}/{kind}-{unit}.parquet")) for unit in units]
        table = pa.concat_tables(tables)
        hashes, sides, last = (table[name].to_numpy() for name in ("hash", "side", "last"))
        mine = hashes % np.uint64(partitions) == number
        found[kind] = two_sided_hashes(hashes[mine], sides[mine], last[mine])
    return found


def two_sided_hashes(
    hashes: NDArray[np.uint64], sides: NDArray[np.uint8], last: NDArray[np.bool_]
) -> tuple[int, int]:
    """Hashes that are some row's own (`last`): how many there are, and how many stand on two sides."""
    if not len(hashes):
        return 0, 0
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(hashes[order]) != 0]))
    held = np.bitwise_or.reduceat(sides[order], starts)
    own = np.logical_or.reduceat(last[order], starts)
    return int(own.sum()), int((_several(held) & own).sum())


def _several(sides: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether more than one bit is set."""
    more: NDArray[np.bool_] = (sides & (sides - np.uint8(1))) != 0
    return more


def _pairs(units: Sequence[str], run: str) -> dict[str, tuple[int, int]]:
    """Pairs of like rows that are both packed: how many there are, and how many stand on two sides."""
    joined = storage.read_table(storage.join(run, "duplicates/joined.parquet"))
    clustered = np.unique(np.concatenate([joined["a"].to_numpy(), joined["b"].to_numpy()]))
    sides = _sides_of(clustered, units, run)
    a, b = (sides[np.searchsorted(clustered, joined[end].to_numpy())] for end in ("a", "b"))
    both = (a != 0) & (b != 0)
    return {"pairs": (int(both.sum()), int((both & _several(a | b)).sum()))}


def _templates(units: Sequence[str], run: str) -> dict[str, tuple[int, int]]:
    """Templates that several rows have of which one is packed: how many, and how many stand on two sides."""
    told = storage.read_table(storage.join(run, f"duplicates/{templates.FILE}"))
    sides = _sides_of(told["row_id"].to_numpy(), units, run)
    firsts, place = np.unique(told["first"].to_numpy(), return_inverse=True)
    held = np.zeros(len(firsts), np.uint8)
    np.bitwise_or.at(held, place, sides)
    return {"templates": (int((held != 0).sum()), int(_several(held).sum()))}


def _sides_of(rows: NDArray[np.uint64], units: Sequence[str], run: str) -> NDArray[np.uint8]:
    """Sides, as bits, of some rows by ascending id; none of those that are not packed."""
    sides = np.zeros(len(rows), np.uint8)
    for unit in units if len(rows) else ():
        table = storage.read_table(storage.join(run, f"{WORK}/rows-{unit}.parquet"))
        at = np.minimum(np.searchsorted(rows, table["row_id"].to_numpy()), len(rows) - 1)
        there = rows[at] == table["row_id"].to_numpy()
        np.bitwise_or.at(sides, at[there], table["side"].to_numpy()[there])
    return sides
