"""What files of prepared/ say of groups, in numbers that add up over files.

A row names a group where a word of it stands in the row's last exchange. Answers are compared between rows
whose prompt names one group of a list alone: what is said of two at once tells nothing of either.

Cost: a walk of `kernels.terms` over the text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import arrays
from headrace.pipelines.examine import rows as examined
from headrace.pipelines.examine.bias import groups
from headrace.pipelines.examine.bias.groups import Lists
from headrace.pipelines.stages.dedup import candidates

LABEL = 64  # bytes of an answer that may be a label
LABELS = 200  # different answers up to which they are labels
BEFORE, ANSWER, AFTER = range(3)
Cells: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows and groups, by row and group


@dataclass
class Counts:
    """Numbers of one list with G groups."""

    prompts: NDArray[np.int64]  # rows whose prompt names a group, [G]
    answers: NDArray[np.int64]  # whose answer does
    both: NDArray[np.int64]  # rows that name two groups, [G, G]; rows that name one on the diagonal
    any: int  # rows that name any group
    alone: NDArray[np.float64]  # of prompts that name one alone: rows, logs of lengths, their squares, [G, 3]
    refused: NDArray[np.int64]  # of these, refusals, [G]
    labels: dict[tuple[str, int], int] = field(default_factory=dict)  # (answer, group) -> rows
    swappable: int = 0
    # Rows to exchange: (order, row_id, number of the files that hold it).
    chosen: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass
class File:
    """What one group of files, or several, say.

    rows; flagged: of how many it is known whether they refuse; short: how many have an answer that may be a
    label; answers: these, each once, no more than it takes to tell that they are none.
    """

    rows: int
    flagged: int
    short: int
    answers: set[str]
    lists: list[Counts]

    @property
    def free(self) -> bool:
        """Whether there are too many different short answers to be labels."""
        return len(self.answers) > LABELS


def held(work: str, number: int) -> str:
    """Where the rows to exchange of some files are written, below `work`."""
    return storage.join(work, f"rows-{number}.parquet")


def look(files: examined.Files, given: Lists, swaps: int, work: str) -> File:
    """The counts of some files, and which of its rows are best exchanged; these are written below `work`."""
    table = files.table
    roles, rows, texts = files.messages
    n = table.num_rows
    last = examined.answered(roles, rows, n)
    at = np.arange(len(rows))
    parts = np.where(at == last[rows], ANSWER, np.where(at < last[rows], BEFORE, AFTER))
    found = groups.named(texts, rows, n, given)
    answer = files.exchanges["answer"].combine_chunks()
    flags, flagged = _refusals(table)
    sizes = pc.binary_length(answer).to_numpy(zero_copy_only=False)
    short = (sizes > 0) & (sizes <= LABEL)
    file = File(n, flagged, int(short.sum()), _different(answer, short), [])
    lengths = np.log1p(pc.utf8_length(answer).to_numpy(zero_copy_only=False).astype(np.float64))
    owner, meaning_kind = rows[found.messages], given.kind[found.meanings]
    for number, kind in enumerate(given.kinds):
        size = len(given.groups[kind])
        own = meaning_kind == number
        group, row, part = given.group[found.meanings[own]], owner[own], parts[found.messages[own]]
        cells = [_cells(row[of], group[of], size) for of in (part == BEFORE, part == ANSWER, part != AFTER)]
        alone = _single(*cells[BEFORE])
        counts = _counted(cells, size, alone, lengths, sizes > 0, flags)
        if not file.free:
            asked, named = (values[short[alone[0]]] for values in alone)
            counts.labels = _labels(answer.take(pa.array(asked)), named)
        single, _ = _single(*_cells(row, group, size))
        counts.swappable = len(single)
        first = _first(table["row_id"].to_numpy()[single], 2 * swaps)
        counts.chosen = [(order, row_id, files.number) for order, row_id in first]
        file.lists.append(counts)
    chosen = pa.array({row_id for one in file.lists for _, row_id, _ in one.chosen}, pa.uint64())
    if len(chosen):
        kept = table.select(["row_id", "messages"]).filter(pc.is_in(table["row_id"], chosen))
        storage.write_table(held(work, files.number), kept)
    return file


def _refusals(table: pa.Table) -> tuple[NDArray[np.bool_], int]:
    """Whether each row of `table` refuses, by its traits, and for how many rows that is known."""
    refused = np.zeros(table.num_rows, np.bool_)
    if "traits" not in table.column_names:
        return refused, 0
    flags = pc.struct_field(table["traits"].combine_chunks(), "flags")
    owners = pc.list_parent_indices(flags).filter(pc.equal(pc.list_flatten(flags), "refusal"))
    refused[owners.to_numpy()] = True
    return refused, len(flags) - flags.null_count


def _cells(rows: NDArray[np.int64], groups: NDArray[np.int64], size: int) -> Cells:
    """Each row and group of `size` once, in this order."""
    row, group = np.divmod(candidates.distinct(rows * size + groups), size)
    return row, group


def _single(rows: NDArray[np.int64], groups: NDArray[np.int64]) -> Cells:
    """Rows that name one group alone, and which, of what `_cells` gives."""
    new = np.append(True, np.diff(rows) != 0)
    alone = (new & np.append(new[1:], True))[: len(rows)]
    return rows[alone], groups[alone]


def _counted(
    cells: Sequence[Cells],
    size: int,
    alone: Cells,
    lengths: NDArray[np.float64],
    answered: NDArray[np.bool_],
    flags: NDArray[np.bool_],
) -> Counts:
    """Counts of `size` groups.

    cells: rows and groups that prompts name, that answers name, that either does; alone: rows whose prompt
    names one; of all rows: logs of lengths of answers, whether there is one, and whether it refuses.
    """
    rows, groups = cells[AFTER]
    used = candidates.distinct(rows.copy())
    single, named = _single(rows, groups)
    both = np.diag(np.bincount(named, minlength=size))
    several = ~arrays.among(rows, single)
    at = np.cumsum(np.diff(rows[several], prepend=-1) != 0) - 1
    grid = np.zeros((int(at[-1]) + 1 if len(at) else 0, size))
    grid[at, groups[several]] = 1
    row, group = (values[answered[alone[0]]] for values in alone)
    values = [np.bincount(group, lengths[row] ** power, minlength=size) for power in range(3)]
    return Counts(
        prompts=np.bincount(cells[BEFORE][1], minlength=size),
        answers=np.bincount(cells[ANSWER][1], minlength=size),
        both=both + (grid.T @ grid).astype(np.int64),
        any=len(used),
        alone=np.stack(values, axis=1),
        refused=np.bincount(group[flags[row]], minlength=size),
    )


def _different(answer: pa.Array, short: NDArray[np.bool_]) -> set[str]:
    """Short answers, each once: `LABELS` and one more at most."""
    return set(pc.unique(answer.filter(pa.array(short)))[: LABELS + 1].to_pylist())


def _labels(answers: pa.Array, groups: NDArray[np.int64]) -> dict[tuple[str, int], int]:
    """Rows by answer and group, of rows that name one group."""
    counted = pa.table({"answer": answers, "group": groups})
    counted = counted.group_by(["answer", "group"]).aggregate([([], "count_all")])
    columns = (counted[name].to_pylist() for name in ("answer", "group", "count_all"))
    return {(text, number): n for text, number, n in zip(*columns, strict=True)}


def _first(ids: NDArray[np.uint64], most: int) -> list[tuple[int, int]]:
    """Those rows that come first in an order of chance: (order, row_id) each."""
    order = arrays.finalised(ids ^ np.uint64(0x5DEECE66D1CE4E5B))
    first = np.argsort(order, kind="stable")[:most]
    return list(zip(order[first].tolist(), ids[first].tolist(), strict=True))


def added(files: Iterable[File], given: Lists, swaps: int) -> File:
    """The counts of all files."""
    total: File | None = None
    for file in files:
        if total is None:
            total = file
            continue
        for name in ("rows", "flagged", "short"):
            setattr(total, name, getattr(total, name) + getattr(file, name))
        if not total.free:  # all files together decide it, however rows lie in them
            total.answers |= file.answers
        for one, other in zip(total.lists, file.lists, strict=True):
            for name in ("prompts", "answers", "both", "any", "alone", "refused", "swappable"):
                setattr(one, name, getattr(one, name) + getattr(other, name))
            for key, rows in other.labels.items() if not total.free else ():
                one.labels[key] = one.labels.get(key, 0) + rows
            one.chosen = sorted([*one.chosen, *other.chosen])[: 2 * swaps]
    return total or File(0, 0, 0, set(), [_none(len(given.groups[kind])) for kind in given.kinds])


def _none(size: int) -> Counts:
    zeros: Any = np.zeros(size, np.int64)
    return Counts(zeros, zeros, np.zeros((size, size), np.int64), 0, np.zeros((size, 3)), zeros)
