"""Prompts that are one template, over the files of a run, so that the split has them on one side.

What: a row's prompt is the first turn of a user. Its template is what stays of it, in order, once the words
that vary are cut out (`measure.templates_of`): those that do not vary are words that many prompts of the
run's first start hold, in a fixed draw of `SAMPLE` of them. Words with few values each (a colour out of ten)
stay, so a template with such a slot is ten.

Why the first start alone: what is added later then changes no template, and no row that stood moves. What is
added joins the templates that were there; one whose words came with it is known as far as they were there.

Cost: prompts are read twice, those of the first start, and all; 32 bytes a row that has a template, in one
task.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import schema, structure
from headrace.pipelines.examine import vectors
from headrace.pipelines.examine.diversity import measure
from headrace.pipelines.stages.dedup.steps.order import by_standing

VERSION = 1
SAMPLE = 10_000  # prompts that tell which words vary
FILE = "templates.parquet"
Each = Callable[..., Iterator[Any]]


def run(
    prepared: Sequence[str], output: str, *, first: int, stop: int, held: Mapping[int, int], each: Each
) -> None:
    """Write `templates.parquet` [row_id, first, own] to `output`: rows whose template another row has too.

    prepared: paths of the run's files; first: rows of its first start, whose ordinals are under `stop`; held:
    the ordinals of sources that are held out, as `by_standing` takes them. `first` is the row that stands
    for all of a template, `own` the row's group, else its content, as the split hashes them.
    """
    work = storage.join(output, "work/templates")
    storage.delete(work)
    share = min(1.0, SAMPLE / max(first, 1))
    counted = list(each(partial(_counted, share=share, stop=stop), prepared, name="template words"))
    fixed = _fixed(counted)
    telling = partial(_told, fixed=fixed, work=work)
    told = list(each(telling, list(enumerate(prepared)), name="templates"))
    next(each(partial(_write, output=output, held=held), [told], name="template rows"))
    storage.delete(work)


def _prompts(path: str, columns: Sequence[str]) -> tuple[pa.Table, NDArray[np.int64], pa.Array]:
    """Columns of the rows of one file; the rows that have a user's turn, and the first of each."""
    table = storage.read_table(path, ["row_id", "messages", *columns]).combine_chunks()
    roles, rows, texts = schema.contents(table)
    users = np.flatnonzero(pc.equal(roles, "user").to_numpy(zero_copy_only=False))
    owners, at = np.unique(rows[users], return_index=True)
    return table.drop_columns(["messages"]), owners, structure.bare(texts.take(pa.array(users[at])))


def _counted(path: str, share: float, stop: int) -> tuple[int, NDArray[np.uint32], NDArray[np.int64]]:
    """How many prompts of one file are drawn, their words, and how many of them hold each."""
    table, owners, prompts = _prompts(path, [])
    ids = table["row_id"].to_numpy()[owners]
    drawn = (vectors.spread_ids(ids) >> np.uint64(11)).astype(np.float64) / 2**53 < share
    drawn &= schema.ordinal(ids) < stop
    return int(drawn.sum()), *measure.held_by(vectors.terms(prompts.filter(pa.array(drawn))))


def _fixed(counted: Sequence[tuple[int, NDArray[np.uint32], NDArray[np.int64]]]) -> NDArray[np.uint32]:
    """The words that do not vary, ascending."""
    every = np.concatenate([np.zeros(0, np.uint32), *(words for _, words, _ in counted)])
    counts = np.concatenate([np.zeros(0, np.int64), *(counts for _, _, counts in counted)])
    words, place = np.unique(every, return_inverse=True)
    summed = np.bincount(place, counts, len(words)).astype(np.int64)
    return measure.unvarying(words, summed, sum(n for n, _, _ in counted))


def _told(item: tuple[int, str], fixed: NDArray[np.uint32], work: str) -> str:
    """Write the templates of one file's rows; returns where."""
    number, path = item
    table, owners, prompts = _prompts(path, ["group", "exact_lo"])
    template, told = measure.templates_of(vectors.terms(prompts), fixed)
    table = table.take(pa.array(owners[told]))
    own = pc.coalesce(table["group"], table["exact_lo"])
    found = pa.table({"row_id": table["row_id"], "own": own, "template": template[told]})
    target = storage.join(work, f"{number}.parquet")
    storage.write_table(target, found, dictionary=False)
    return target


def _write(told: Sequence[str], output: str, held: Mapping[int, int]) -> None:
    none = pa.table({name: pa.array([], pa.uint64()) for name in ("row_id", "own", "template")})
    table = pa.concat_tables([none, *map(storage.read_table, told)]).combine_chunks()
    ids, own, template = (table[name].to_numpy() for name in ("row_id", "own", "template"))
    order = np.lexsort((by_standing(ids, held), template))
    begins = np.append(True, np.diff(template[order]) != 0)[: len(order)]
    group = np.cumsum(begins) - 1
    first = ids[order][begins][group]
    several = np.bincount(group)[group] > 1 if len(group) else begins
    chosen, first = order[several], first[several]
    by_id = np.argsort(ids[chosen])
    written = pa.table({"row_id": ids[chosen][by_id], "first": first[by_id], "own": own[chosen][by_id]})
    storage.write_ranges(storage.join(output, FILE), written, dictionary=False)
