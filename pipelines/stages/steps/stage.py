"""Steps: functions of the recipe's own author, run inside the books.

What: ``steps: [{python: my_steps.py:fix_ticket}]`` takes every row through a function at a named place of
pass 1 (`after`). A function of a row is given a dict (`rows`) and returns it, changed or not; None drops the
row as ``steps.fix_ticket``. With `table: true` it is given an Arrow table of the columns row_id, source,
file, place, messages and meta, and returns one of the same rows in the same order; a column `drop` (bool)
says which of them go.

A row on which a function raises, or for which it returns what cannot be a row, is quarantined as
``steps.error``: the detail names the step, the error's class and the line of its file, never the
error's message. A row that was changed is counted as ``steps.fix_ticket`` in `changed`. A table's function is
given smaller and smaller pieces until the row that makes it raise stands alone.

Why before masking, and nowhere later: what a function adds is masked like all the rest. What it prints goes
nowhere: that would put rows into logs.

A function should do the same to the same row: what it reads besides (a clock, a file) is in no pass key.

Cost: the function's own time; as rows, about 40,000 a second to hand them over. Memory of `SLICE` rows.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster.errors import RecipeError
from headrace.pipelines import schema, structure
from headrace.pipelines.stages.steps import code, rows
from headrace.pipelines.stages.steps.config import Config as Config
from headrace.pipelines.stages.steps.config import Step

NAME = "steps"
VERSION = 1
SLICE = 2048  # rows that are Python objects at once
DROP = "drop"  # column of a table that a function may add


@dataclass
class Outcome:
    """What a step made of some rows: of each its messages and meta, whether it goes, why it failed."""

    messages: pa.Array
    meta: pa.Array
    drop: list[bool]
    failed: list[str | None]


def apply(table: pa.Table, config: Config) -> pa.Table:
    """`table` (``schema.ROW``) after all steps of `config`, one after the other; same length.

    Raises: RecipeError where a step cannot be run at all, or a table's function returns other rows.
    """
    for step in config.root:
        table = _stepped(table, step)
    return table


def _stepped(table: pa.Table, step: Step) -> pa.Table:
    function = code.function(step)
    at = np.flatnonzero(schema.live(table).to_numpy(zero_copy_only=False))
    if not len(at):
        return table
    came = table.select(list(rows.COLUMNS)).take(pa.array(at)).combine_chunks()
    work = _by_table if step.table else _by_row
    with silent():
        done = [work(came.slice(first, SLICE), function, step) for first in range(0, came.num_rows, SLICE)]
    failed: list[str | None] = [None] * table.num_rows
    drop = np.zeros(table.num_rows, np.bool_)
    for row, cause in zip(at.tolist(), (cause for one in done for cause in one.failed), strict=True):
        failed[row] = cause
    drop[at] = [gone for one in done for gone in one.drop]
    fine = ~drop[at] & np.array([failed[row] is None for row in at], np.bool_)
    changed = np.zeros(table.num_rows, np.int64)
    for column in ("messages", "meta"):
        before = came[column].combine_chunks()
        after = pa.concat_arrays([getattr(one, column) for one in done])
        other = fine & _differ(before, after)
        changed[at[other]] = 1
        table = _put(table, column, at[other], after.filter(pa.array(other)))
    table = schema.quarantine(table, failed, f"{NAME}.error")
    table = schema.mark_where(table, drop, f"{NAME}.{step.name}")
    return schema.changed(table, NAME, {step.name: changed, **schema.changes_of(table, NAME)})


def _by_row(came: pa.Table, function: code.Function, step: Step) -> Outcome:
    messages: list[Any] = came["messages"].to_pylist()
    meta: list[Any] = came["meta"].to_pylist()
    drop, failed = [False] * came.num_rows, _nothing(came.num_rows)
    for at, row in enumerate(came.to_pylist()):
        try:
            made = function(rows.given(row))
            if made is None:
                drop[at] = True
            else:
                messages[at], meta[at] = rows.taken(made, row)
        except MemoryError:
            raise
        except rows.RefusedError as error:
            failed[at] = f"{step.name}: {error}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it costs this row only
            failed[at] = _cause(step, error)
    return Outcome(pa.array(messages, schema.MESSAGES), pa.array(meta, schema.META), drop, failed)


def _by_table(came: pa.Table, function: code.Function, step: Step) -> Outcome:
    try:
        made = function(came)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        if came.num_rows == 1:
            messages, meta = (came[c].combine_chunks() for c in ("messages", "meta"))
            return Outcome(messages, meta, [False], [_cause(step, error)])
        half = came.num_rows // 2
        both = [_by_table(piece, function, step) for piece in (came.slice(0, half), came.slice(half))]
        return Outcome(
            pa.concat_arrays([one.messages for one in both]),
            pa.concat_arrays([one.meta for one in both]),
            [gone for one in both for gone in one.drop],
            [cause for one in both for cause in one.failed],
        )
    return _taken(made, came, step)


def _taken(made: Any, came: pa.Table, step: Step) -> Outcome:
    """What a table's function returned, looked at. Raises: RecipeError where it is not of the same rows."""

    def refused(words: str) -> RecipeError:
        return RecipeError(f"steps: {step.name!r} of {step.file!r} {words}")

    if not isinstance(made, pa.Table):
        raise refused("did not return an Arrow table (it has `table: true`)")
    if made.num_rows != came.num_rows:
        raise refused(
            f"returned {made.num_rows:,} rows for {came.num_rows:,}: a column `drop` says which of them go"
        )
    named = sorted(made.column_names)
    if named not in (sorted(came.column_names), sorted([*came.column_names, DROP])):
        raise refused(f"must return the columns {', '.join(came.column_names)}, and may add `{DROP}`")
    for key in rows.FIXED:
        if not made[key].combine_chunks().equals(came[key].combine_chunks()):
            raise refused(f"changed {key}, or the order of the rows")
    try:
        made = made.set_column(
            made.schema.get_field_index("messages"), "messages", made["messages"].cast(schema.MESSAGES)
        )
        messages, meta = (
            made[c].cast(t).combine_chunks()
            for c, t in (("messages", schema.MESSAGES), ("meta", schema.META))
        )
        drop = made[DROP].cast(pa.bool_()).fill_null(False).to_pylist() if DROP in made.column_names else None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise refused("returned messages, meta or drop of another type") from error
    failed = [f"{step.name}: {cause}" if cause else None for cause in _causes(messages, came)]
    return Outcome(messages, meta, drop or [False] * came.num_rows, failed)


def _causes(messages: pa.Array, came: pa.Table) -> list[str | None]:
    """Of each row why its messages cannot be one's; None where they can."""
    table = came.set_column(came.schema.get_field_index("messages"), "messages", messages)
    roles, owners, contents = schema.contents(table)
    causes = _nothing(len(messages))
    odd = pc.invert(pc.is_in(roles, pa.array(schema.ROLES))).to_numpy(zero_copy_only=False)
    empty = contents.is_null().to_numpy(zero_copy_only=False)
    sealed = pc.fill_null(pc.match_substring_regex(contents, f"[{structure.OPEN}{structure.CLOSE}]"), False)
    none = np.bincount(owners, minlength=len(messages)) == 0
    for row in np.flatnonzero(none):
        causes[row] = "returned no messages; `drop` drops a row"
    for row in owners[odd]:
        causes[row] = f"returned a role that is none of {', '.join(schema.ROLES)}"
    for row in owners[empty]:
        causes[row] = "returned a content that is null, where text is asked for"
    for row in np.unique(owners[sealed.to_numpy(zero_copy_only=False)]):
        if causes[row] is None and _structures(messages[row]) != _structures(came["messages"][int(row)]):
            causes[row] = "changed what stands between U+FDD0 and U+FDD1: tools, calls, names of results"
    return causes


def _structures(messages: pa.Scalar) -> list[str]:
    """What stands behind the texts of a row, in order."""
    contents = [message["content"] or "" for message in messages.as_py() or ()]
    return [content[len(structure.text(content)) :] for content in contents if structure.OPEN in content]


def _cause(step: Step, error: BaseException) -> str:
    """The step, and the class of an error: its message may quote the row."""
    name = type(error).__name__
    return f"{step.name}: {name if name.isidentifier() else 'an error'}{code.line(error, step.file)}"


def _nothing(count: int) -> list[str | None]:
    return list(repeat(None, count))


def _differ(before: pa.Array, after: pa.Array) -> np.ndarray:
    """Which rows have another value: ``bool[N]``. Most have the same: whole runs are compared at once."""
    other = np.zeros(len(before), np.bool_)

    def look(first: int, last: int) -> None:
        if before.slice(first, last - first).equals(after.slice(first, last - first)):
            return
        if last - first == 1:
            other[first] = True
            return
        middle = (first + last) // 2
        look(first, middle)
        look(middle, last)

    if len(before):
        look(0, len(before))
    return other


def _put(table: pa.Table, column: str, at: Sequence[int] | np.ndarray, values: pa.Array) -> pa.Table:
    """`table` with other `values` in the rows `at` of a column of lists."""
    if not len(at):
        return table
    order = np.arange(table.num_rows)
    order[at] = table.num_rows + np.arange(len(at))
    whole = pa.concat_arrays([table[column].combine_chunks(), values])
    return table.set_column(
        table.schema.get_field_index(column), table.schema.field(column), whole.take(pa.array(order))
    )


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """What is printed meanwhile goes nowhere."""

    class Nowhere(io.TextIOBase):
        def write(self, text: str) -> int:
            return len(text)

    nowhere = Nowhere()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
