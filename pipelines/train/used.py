"""Which packed rows each step of a training has used: the books of a training.

What: ``trainings/<key>/used/step-000120.parquet`` holds the rows of the steps since the file before, up to
that step: ``step int32, place int64, visit int64, rank int16``, as the ranks have read them and not as it was
planned. It is written before the checkpoint of that step, and what lies beyond the step that a training goes
on from is removed: so what is there is of the steps whose work stands.

Why: a training is killed, restarted and resized, and says at its end that every row was used as often as
planned because it was counted. `counted` fails where the books do not add up.

Cost: 22 bytes a row and epoch before compression; one gathering of places over the ranks a checkpoint.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.errors import GateError
from headrace.pipelines.train.batches import Order, Plan

FOLDER = "used"
GATE = "train.rows"  # what a training that has used other rows than planned did not keep
SCHEMA = pa.schema([("step", pa.int32()), ("place", pa.int64()), ("visit", pa.int64()), ("rank", pa.int16())])


def table(step: int, order: Order, rank: int) -> pa.Table:
    """What a rank has read in a step (counted from 1), as rows of the books."""
    rows = len(order.places)
    columns = [np.full(rows, step), order.places, order.visits, np.full(rows, rank)]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


def write(home: str, step: int, tables: Sequence[pa.Table]) -> list[int]:
    """Leave what all ranks have read since the file before, up to `step`; returns the rows of each step.

    Raises: StorageError.
    """
    held = pa.concat_tables([SCHEMA.empty_table(), *tables]).sort_by(
        [("step", "ascending"), ("place", "ascending"), ("visit", "ascending")]
    )
    storage.write_table(_path(home, step), held)
    return [int(rows) for rows in np.unique(held["step"].to_numpy(), return_counts=True)[1]]


def cut(home: str, step: int) -> None:
    """Remove what was noted of steps after `step`, which a training goes on from. Raises: StorageError."""
    for last, path in _files(home):
        if last > step:
            storage.delete(path)


def counted(home: str, plan: Plan, epochs: Sequence[int], steps: int) -> dict[int, int]:
    """Rows that the first `steps` steps have used, by epoch (counted from 1).

    epochs: steps of each epoch. A row that weights repeat counts as often as it was used.

    Raises: GateError where a step has used other rows than those planned for it, StorageError.
    """
    tables = [storage.read_table(path) for last, path in _files(home) if last <= steps]
    held = pa.concat_tables([SCHEMA.empty_table(), *tables])
    used = np.stack([held[name].to_numpy().astype(np.int64) for name in ("step", "place", "visit")])
    rows: dict[int, int] = {}
    first = 0
    for epoch, count in enumerate(epochs):
        taken = min(count, steps - first)
        if taken <= 0:
            break
        order = plan.order(epoch)
        n = min(taken * plan.rows_per_step, len(order.places))
        due = np.stack(
            [first + 1 + np.arange(n) // plan.rows_per_step, order.places[:n], order.visits[:n]],
        )
        _compare(due, used[:, (used[0] > first) & (used[0] <= first + taken)])
        rows[epoch + 1] = n
        first += count
    return rows


def _compare(due: NDArray[np.int64], used: NDArray[np.int64]) -> None:
    """Step, place and visit of each row that was planned, and of each that was used: ``int64[3, N]``.

    Raises: GateError where they are not the same, for the first step of which they are not.
    """
    due, used = (rows[:, np.lexsort(rows[::-1])] for rows in (due, used))
    if np.array_equal(due, used):
        return
    for step in np.union1d(due[0], used[0]).tolist():
        wanted, found = (rows[:, rows[0] == step] for rows in (due, used))
        if not np.array_equal(wanted, found):
            raise GateError(
                f"step {step} has used {found.shape[1]} packed rows, and they are not the {wanted.shape[1]} "
                "that were planned for it: the adapter is not published. Remove the checkpoints of this "
                "training to start it again, and please report this"
            ).at(GATE)


def _files(home: str) -> list[tuple[int, str]]:
    """Last step and path of each file of the books, in their order."""
    found = [entry.path for entry in storage.listing(storage.join(home, FOLDER))]
    steps = [path.rpartition("/")[2].removeprefix("step-").removesuffix(".parquet") for path in found]
    return sorted((int(step), path) for step, path in zip(steps, found, strict=True) if step.isdecimal())


def _path(home: str, step: int) -> str:
    return storage.join(home, FOLDER, f"step-{step:06d}.parquet")
