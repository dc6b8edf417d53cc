"""The rows that the examiner looks at: what pass 1 kept, less what pass 2 removed.

Small files are read together (`together`): opening one, and finding its duplicates, takes as long as reading
half a megabyte. Checks look at files side by side (`look`), for reading them and cutting their exchanges took
a third of each.

Cost: one file of `prepared/` at a time, or small ones of `TOGETHER` bytes.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import arrays, schema, structure

TOGETHER = 4 * 2**20  # bytes of files that one task reads
COLUMNS = ("source", "messages", "traits.task", "traits.flags")
Each = Callable[..., Iterator[Any]]


class Messages(NamedTuple):
    """Messages of rows, end to end: roles string[M], row of each int64[M], contents large_string[M]."""

    roles: pa.Array
    rows: NDArray[np.int64]
    texts: pa.Array


class Files:
    """Files that one task reads: their number among all, and their rows, which are read and cut once."""

    def __init__(self, number: int, paths: Sequence[str], run: str) -> None:
        """Nothing is read yet. run: the run directory."""
        self.number, self.paths, self.run = number, paths, run

    @cached_property
    def table(self) -> pa.Table:
        """``row_id`` and `COLUMNS` of the rows that are no duplicates."""
        return left(self.paths, self.run, COLUMNS)

    @cached_property
    def messages(self) -> Messages:
        """All messages of the rows, without what they hold beside their text."""
        return _messages(self.table)

    @cached_property
    def exchanges(self) -> pa.Table:
        """The last exchange of each row, as `exchanges` says."""
        return _exchanges(self.messages, self.table.num_rows)


Look: TypeAlias = Callable[[Files], Any]


def look(
    looks: Sequence[Look], prepared: Sequence[str], run: str, each: Each, *, name: str
) -> Iterator[list[tuple[Any, float]]]:
    """What each of `looks` says of files that one task reads, and its CPU seconds; files after files."""
    return each(partial(_seen, run=run, looks=looks), enumerate(together(prepared)), name=name)


def alone(one: Look, prepared: Sequence[str], run: str, each: Each, *, name: str) -> list[Any]:
    """What a single look says of the files."""
    return [said for ((said, _),) in look([one], prepared, run, each, name=name)]


def emptied(run: str, work: str) -> str:
    """The folder `work` of a run, to which a check writes as it looks, empty."""
    path = storage.join(run, work)
    storage.delete(path)
    return path


def planned(
    drawn: Callable[[Sequence[Any]], Any],
    looked: Sequence[Any],
    prepared: Sequence[str],
    each: Each,
    *,
    name: str,
) -> tuple[Any, list[tuple[int, list[str]]]]:
    """What a task makes of what was said of all files, and those that are read again by it, each with its
    number: the `files` of what it made.
    """
    plan = next(each(drawn, [looked], name=name))
    return plan, [(n, paths) for n, paths in enumerate(together(prepared)) if n in plan["files"]]


def _seen(item: tuple[int, Sequence[str]], run: str, looks: Sequence[Look]) -> list[tuple[Any, float]]:
    started = time.process_time()
    files = Files(*item, run)
    _ = files.exchanges
    shared, found = (time.process_time() - started) / max(1, len(looks)), []
    for one in looks:
        started = time.process_time()
        said = one(files)
        found.append((said, time.process_time() - started + shared))
    return found


def together(prepared: Sequence[str]) -> list[list[str]]:
    """Files of `prepared/`, all of one folder, in runs that one task reads, in their order.

    A run ends with the file at which it reaches `TOGETHER` bytes.
    """
    groups: list[list[str]] = []
    # By name: a listing names files by absolute paths, whatever it was asked for.
    stored = storage.listing(prepared[0].rpartition("/")[0]) if prepared else []
    sizes = {entry.path.rpartition("/")[2]: entry.size for entry in stored}
    size = TOGETHER
    for path in prepared:
        if size >= TOGETHER:
            groups.append([])
            size = 0
        groups[-1].append(path)
        size += sizes.get(path.rpartition("/")[2], TOGETHER)
    return groups


def left(paths: str | Sequence[str], run: str, columns: Sequence[str], most: int | None = None) -> pa.Table:
    """`columns` (and ``row_id``) of the rows of files of `prepared/` that are no duplicates.

    paths: a file, or several; run: the run directory, whose `duplicates/removed.parquet` is there. A column
    may be a field of a structure ("traits.flags"); one that a file lacks is left out. most: rows that are
    looked at, the first ones, duplicates among them.
    """
    files = [paths] if isinstance(paths, str) else paths
    groups = _groups(files, ["row_id", *columns], most)
    if not groups:
        return storage.read_table(files[0], ["row_id", *columns])
    table = pa.concat_tables(groups, promote_options="permissive").slice(0, most).combine_chunks()
    ids = table["row_id"].to_numpy()
    if not len(ids):
        return table
    span = [("removed", ">=", int(ids.min())), ("removed", "<=", int(ids.max()))]
    path = storage.join(run, "duplicates/removed.parquet")
    gone = storage.read_table(path, ["removed"], filters=span)["removed"].to_numpy()
    return table.filter(pa.array(~np.isin(ids, gone))).combine_chunks()


def _groups(files: Sequence[str], columns: list[str], most: int | None) -> list[pa.Table]:
    """Row groups of files, until they hold `most` rows."""
    groups: list[pa.Table] = []
    for group in (group for path in files for group in storage.row_groups(path, columns)):
        groups.append(group)
        if most is not None and sum(one.num_rows for one in groups) >= most:
            break
    return groups


def exchanges(table: pa.Table) -> pa.Table:
    """The last exchange of each row: ``prompt``, ``answer`` and ``rejected``, large_string without nulls.

    The answer is the last turn of the assistant, the prompt all turns before it, joined by line breaks,
    without the tools that they offer. A plain text is all answer; a row without an answer is all prompt.
    rejected: the other one of two answers, empty where there is none.
    """
    return _exchanges(_messages(table), table.num_rows)


def _messages(table: pa.Table) -> Messages:
    roles, rows, texts = schema.contents(table)
    return Messages(roles, rows, structure.bare(texts))


def _exchanges(messages: Messages, n: int) -> pa.Table:
    roles, rows, texts = messages
    last = answered(roles, rows, n)
    before = np.flatnonzero(np.arange(len(rows)) < last[rows])
    ends = arrays.offsets(np.bincount(rows[before], minlength=n))
    held = pa.LargeListArray.from_arrays(pa.array(ends), texts.take(pa.array(before)))
    index = pa.array(last, mask=last == len(rows))
    worse = np.flatnonzero(pc.equal(roles, schema.REJECTED).to_numpy(zero_copy_only=False))
    behind = np.full(n, len(rows), np.int64)
    behind[rows[worse]] = worse
    return pa.table(
        {
            "prompt": pc.binary_join(held, pa.scalar("\n", pa.large_string())),
            "answer": texts.take(index).fill_null(""),
            "rejected": texts.take(pa.array(behind, mask=behind == len(rows))).fill_null(""),
        }
    )


def losses(recipe: Mapping[str, Any]) -> dict[str, str]:
    """What a run directory's recipe says of the loss of each source: assistant, last or all."""
    return {one["name"]: one.get("loss", "assistant") for one in recipe.get("sources") or ()}


def last_alone(table: pa.Table, loss: Mapping[str, str]) -> NDArray[np.bool_]:
    """Which rows are of a source of which the last answer alone is learned, ``bool[N]``; loss: of each."""
    names = [name for name, said in loss.items() if said == "last"]
    mask: NDArray[np.bool_] = pc.is_in(table["source"], pa.array(names, pa.string())).to_numpy()
    return mask


def answered(roles: pa.Array, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Which message answers each of `n` rows, the last one that does, ``int64[n]``; where none does: how many
    messages there are, which is behind them all.
    """
    spoken = pc.is_in(roles, pa.array(["assistant", "text"])).to_numpy(zero_copy_only=False)
    last = arrays.last(rows, np.flatnonzero(spoken), n)
    return np.where(last < 0, len(rows), last)
