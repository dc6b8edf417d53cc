"""Repeated passages over the files of a run: the last steps of pass 2, where the recipe asks for them.

Stage the chunks of the rows that stay (a task for `GROUP` files: texts are read once, a file at a time),
count them (a task for each range of hashes), and give every file its cuts (a task for each group). A group
hands on one line a passage, so that boilerplate that stands in every row weighs no more than any other;
what the steps hand on lies in `duplicates/passages/work/`, and the driver sees counts and names.

Writes duplicates/passages/part-*.parquet, a line a repeated passage, and duplicates/cuts/part-<unit>.parquet,
the stretches of the rows of prepared/part-<unit>.parquet that repeat what a better row holds.

Cost: chunking and reading the text; a staging task holds one file's text and about 40 bytes a chunk of its
group, a counting one about 64 bytes for each of `SHARE` lines.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import decide, passages
from headrace.pipelines.stages.dedup.blocks import Columns, scores
from headrace.pipelines.stages.dedup.config import Passages

GROUP = 16  # prepared files that are staged together
SHARE = 2**21  # lines (a passage of a group) that one task counts
LISTED = 10  # passages in the report
HASHES = 2**64
Each = Callable[..., Iterator[Any]]
ORDER = ("priority", "score", "size", "row_id", "plan")  # as `decide.total_order` takes them
PLACE = ("row_id", "message", "start", "stop")
READ = ("row_id", "source", "quality", "size", "messages")


def run(
    paths: Sequence[str],
    output: str,
    config: Passages,
    *,
    order: dict[str, int],
    each: Each,
    firsts: Sequence[int] = (0,),
) -> dict[str, Any]:
    """Find the passages that rows of the prepared files at `paths` share; `output` is duplicates/.

    Reads removed.parquet and sides.parquet there: rows that are removed, or dropped as bridges, do not
    count. `order`, `firsts` and `each` are as in `dedup_tasks.run`. Returns the report's figures under
    "report" and, under "cuts", a hash of the file of cuts of each prepared file that has any.
    """
    if not paths:
        return {
            "report": {"passages": 0, "rows": 0, "bytes": 0, "largest": []},
            "read": {"rows": 0, "bytes": 0},
            "cuts": {},
        }
    folder, cuts = storage.join(output, "passages"), storage.join(output, "cuts")
    work = storage.join(folder, "work")
    for path in (folder, cuts):
        storage.delete(path)
    next(each(partial(_stand, work=work), [output], name="passages stand"))
    groups = [list(paths[at : at + GROUP]) for at in range(0, len(paths), GROUP)]
    stage = partial(_stage, output=output, work=work, config=config, priority=order, firsts=firsts)
    staged = list(each(stage, list(enumerate(groups)), name="passages stage"))
    parts = max(1, -(-sum(s["lines"] for s in staged) // SHARE))
    count = partial(_count, groups=len(groups), parts=parts, work=work, folder=folder, config=config)
    counted = list(each(count, range(parts), name="passages count"))
    divide = partial(_divide, parts=parts, work=work, cuts=cuts)
    divided = list(each(divide, list(enumerate(groups)), name="passages cut"))
    storage.delete(work)
    largest = sorted((p for c in counted for p in c["largest"]), key=lambda p: (-p["copied"], p["hash"]))
    report = {
        "passages": sum(c["passages"] for c in counted),
        "rows": sum(d["rows"] for d in divided),
        "bytes": sum(d["bytes"] for d in divided),
        "largest": largest[:LISTED],
    }
    read = {name: sum(s[name] for s in staged) for name in ("rows", "bytes")}
    return {"report": report, "read": read, "cuts": {u: h for d in divided for u, h in d["cuts"].items()}}


def _span(column: str, low: int, high: int) -> list[tuple[str, str, Any]]:
    """Filter of the rows whose `column` (uint64) is from `low` up to `high`, that included."""
    return [(column, ">=", pa.scalar(low, pa.uint64())), (column, "<=", pa.scalar(high, pa.uint64()))]


def _stand(output: str, work: str) -> None:
    """Write the rows for which others were removed, once each, so that they can be read by range."""
    removed = storage.read_table(storage.join(output, "removed.parquet"), ["kept", "run"])
    kept = removed.filter(removed["run"].is_null())["kept"].to_numpy()  # not what an earlier run keeps
    table = pa.table({"row_id": np.unique(kept)})
    storage.write_ranges(storage.join(work, "stand.parquet"), table)


def _stage(
    group: tuple[int, list[str]],
    output: str,
    work: str,
    config: Passages,
    priority: dict[str, int],
    firsts: Sequence[int],
) -> dict[str, int]:
    """The chunks of a group's rows by hash, and a line for each hash: how many rows, and the best one."""
    number, paths = group
    rows, chunks = _chunks(paths, output, config, priority)
    rows["plan"] = np.searchsorted(np.array(firsts, np.uint64), schema.ordinal(rows["row_id"]), side="right")
    rank = decide.total_order(*(rows[name] for name in ORDER))[chunks["row"]]
    order = np.lexsort((chunks["start"], chunks["message"], rank, chunks["hash"]))
    chunks = {name: values[order] for name, values in chunks.items()}
    row = chunks["row"]
    first = _changes(chunks["hash"])
    counts = (
        np.add.reduceat(first | _changes(row), np.flatnonzero(first), dtype=np.int64) if len(row) else row
    )
    chunks["row_id"] = rows["row_id"][row]
    held = pa.table({name: chunks[name] for name in ("hash", "file", *PLACE)})
    storage.write_table(storage.join(work, f"chunks-{number}.parquet"), held)
    lines = {name: chunks[name][first] for name in ("hash", *PLACE)}
    lines |= {name: rows[name][row[first]] for name in ORDER} | {"rows": counts}
    storage.write_ranges(storage.join(work, f"lines-{number}.parquet"), pa.table(lines))
    return {"lines": len(counts), "rows": len(rows["row_id"]), "bytes": int(rows["size"].sum(dtype=np.int64))}


def _chunks(
    paths: Sequence[str], output: str, config: Passages, priority: dict[str, int]
) -> tuple[Columns, Columns]:
    """What orders the rows that stay, and their chunks; "row" counts from the first of the group."""
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in ORDER[:-1]}
    chunks: dict[str, list[NDArray[Any]]] = {name: [] for name in ("row", "file", *PLACE[1:], "hash")}
    before = 0
    for file, path in enumerate(paths):
        table = _staying(storage.read_table(path, list(READ)), output)
        found = passages.find(table, config)
        for name, values in found._asdict().items():
            chunks[name].append(values + before if name == "row" else values)
        chunks["file"].append(np.full(len(found.row), file))
        for name, values in zip(ORDER, _standing(table, priority), strict=False):
            rows[name].append(values)
        before += table.num_rows
    return _joined(rows), _joined(chunks)


def _joined(columns: dict[str, list[NDArray[Any]]]) -> Columns:
    return {name: np.concatenate(values) for name, values in columns.items()}


def _staying(table: pa.Table, output: str) -> pa.Table:
    """The rows that are neither removed nor bridges."""
    if not table.num_rows:
        return table
    ids = table["row_id"].combine_chunks()
    least, most = (value.as_py() for value in pc.min_max(ids).values())
    removed = storage.read_table(
        storage.join(output, "removed.parquet"), ["removed"], _span("removed", least, most)
    )
    sides = storage.read_table(
        storage.join(output, "sides.parquet"), ["row_id", "bridge"], _span("row_id", least, most)
    )
    bridges = sides.filter(sides["bridge"])["row_id"]
    gone = pa.chunked_array([*removed["removed"].chunks, *bridges.chunks], ids.type)
    return table.filter(pc.invert(pc.is_in(ids, gone)))


def _standing(table: pa.Table, priority: dict[str, int]) -> tuple[NDArray[Any], ...]:
    """Priority, score, size and row_id of each row."""
    names = table["source"].combine_chunks().cast(pa.string()).dictionary_encode()
    weights = np.array([*(priority.get(n, 0) for n in names.dictionary.to_pylist()), 0], np.int64)
    places = names.indices.to_numpy(zero_copy_only=False)
    return weights[places], scores(table), table["size"].to_numpy(), table["row_id"].to_numpy()


def _changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a value differs from the one before it, the first included."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]


def _count(part: int, groups: int, parts: int, work: str, folder: str, config: Passages) -> dict[str, Any]:
    """Repeated passages among the hashes of one range: list them, and tell each group which it holds."""
    span = _span("hash", HASHES * part // parts, HASHES * (part + 1) // parts - 1)
    tables = []
    for group in range(groups):
        table = storage.read_table(storage.join(work, f"lines-{group}.parquet"), filters=span)
        tables.append(table.append_column("group", pa.array(np.full(table.num_rows, group))))
    whole = pa.concat_tables(tables).combine_chunks()
    lines = {name: whole[name].to_numpy() for name in whole.column_names}
    order = np.lexsort((decide.total_order(*(lines[name] for name in ORDER)), lines["hash"]))
    lines = {name: values[order] for name, values in lines.items()}
    first = _changes(lines["hash"])
    starts, which = np.flatnonzero(first), np.cumsum(first) - 1
    rows = np.add.reduceat(lines["rows"], starts) if len(starts) else lines["rows"]
    repeated = rows >= config.copies
    kept = starts[repeated]
    told = {"hash": lines["hash"][kept], "rows": rows[repeated], **{n: lines[n][kept] for n in PLACE}}
    listed = pa.table(told).rename_columns({"row_id": "kept"})
    storage.write_ranges(storage.join(folder, f"part-{part:05d}.parquet"), listed)
    # A group whose one row that holds a passage is the one that keeps it has nothing to cut.
    some = repeated[which] & ~(first & (lines["rows"] == 1))
    found = {name: lines[name][some] for name in ("group", "hash")}
    found["kept"] = lines["row_id"][starts[which[some]]]
    place = np.lexsort((found["hash"], found["group"]))
    table = pa.table({name: values[place] for name, values in found.items()})
    storage.write_ranges(storage.join(work, f"found-{part}.parquet"), table)
    copied = (told["rows"] - 1) * (told["stop"] - told["start"])
    largest = np.lexsort((told["hash"], -copied))[:LISTED]
    named = listed.append_column("copied", pa.array(copied)).take(pa.array(largest))
    return {"passages": int(repeated.sum()), "largest": named.to_pylist()}


def _divide(group: tuple[int, list[str]], parts: int, work: str, cuts: str) -> dict[str, Any]:
    """Write the cuts of every file of a group."""
    number, paths = group
    mine = [("group", "==", number)]
    tables = [
        storage.read_table(storage.join(work, f"found-{part}.parquet"), ["hash", "kept"], mine)
        for part in range(parts)
    ]
    found = pa.concat_tables(tables).combine_chunks()  # ascending: so are the ranges of hashes
    chunks = storage.read_table(storage.join(work, f"chunks-{number}.parquet")).combine_chunks()
    place = pc.index_in(chunks["hash"], found["hash"])
    repeated = pc.not_equal(pc.take(found["kept"], place), chunks["row_id"])
    stretches = _merged(chunks.filter(pc.fill_null(repeated, False)))
    stretches = stretches.append_column("stands", _stands(stretches, work))
    written = {}
    for file in np.unique(stretches["file"].to_numpy()).tolist():
        table = stretches.filter(pc.equal(stretches["file"], file)).select(passages.CUTS.names)
        name = paths[file].rpartition("/")[2]
        digest = storage.write_table(storage.join(cuts, name), table.cast(passages.CUTS))[1]
        written[name.removeprefix("part-").removesuffix(".parquet")] = digest
    size = pc.sum(pc.subtract(stretches["stop"], stretches["start"])).as_py() or 0
    return {"cuts": written, "rows": len(np.unique(stretches["row_id"].to_numpy())), "bytes": size}


def _merged(chunks: pa.Table) -> pa.Table:
    """Chunks that follow one another as one stretch, sorted by file, row and place."""
    chunks = chunks.sort_by([(name, "ascending") for name in ("file", *PLACE)]).combine_chunks()
    held = {name: chunks[name].to_numpy() for name in chunks.column_names}
    follows = ~_changes(held["row_id"]) & ~_changes(held["message"])
    follows[1:] &= held["start"][1:] == held["stop"][:-1]
    first = np.flatnonzero(~follows)
    last = np.append(first[1:], len(follows))[: len(first)] - 1
    merged = {name: held[name][first] for name in ("file", *PLACE)} | {"stop": held["stop"][last]}
    return pa.table(merged)


def _stands(stretches: pa.Table, work: str) -> pa.Array:
    """Whether another row was removed for the row of each stretch."""
    ids = stretches["row_id"].combine_chunks()
    if not len(ids):
        return pa.array([], pa.bool_())
    least, most = (value.as_py() for value in pc.min_max(ids).values())
    stand = storage.read_table(storage.join(work, "stand.parquet"), filters=_span("row_id", least, most))
    return pc.is_in(ids, stand["row_id"].combine_chunks())
