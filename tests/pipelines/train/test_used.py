"""The books of a training: what each step has used, counted against what was planned for it."""

from pathlib import Path

import numpy as np
import pytest

from headrace.cluster.errors import GateError
from headrace.pipelines.train import batches, used
from headrace.pipelines.train.batches import Chunk, Order, Plan, Shelf

PLAN = Plan(Shelf((Chunk("a", 0, 7), Chunk("b", 0, 4)), "digest"), 5, 4, {})  # 11 rows: steps of 4, 4, 3
EPOCHS = (3, 3)


def trained(home: str, steps: range, ranks: int, every: int = 2) -> None:
    """Write the books of `steps` (from 0) as so many ranks leave them, a file every two steps."""
    tables = []
    for step in steps:
        epoch, own = divmod(step, 3)
        rows = PLAN.rows(PLAN.order(epoch), own)
        for rank in range(ranks):
            dealt = batches.share(rows, 4, rank, ranks, 2)
            tables += [used.table(step + 1, micro.order, rank) for micro in dealt]
        if (step + 1) % every == 0 or step + 1 == steps.stop:
            used.write(home, step + 1, tables)
            tables = []


def test_every_row_is_counted_once_an_epoch_whatever_the_ranks(tmp_path: Path) -> None:
    home = str(tmp_path)
    trained(home, range(4), ranks=1)
    used.cut(home, 2)  # killed: it goes on from step 2 with three ranks
    trained(home, range(2, 6), ranks=3)
    assert used.counted(home, PLAN, EPOCHS, 6) == {1: 11, 2: 11}
    assert used.counted(home, PLAN, EPOCHS, 4) == {1: 11, 2: 4}
    used.cut(home, 0)
    assert not [*tmp_path.rglob("*.parquet")]


@pytest.mark.parametrize("harm", ["missing", "twice", "another"])
def test_books_that_do_not_add_up_are_refused(tmp_path: Path, harm: str) -> None:
    home = str(tmp_path)
    trained(home, range(6), ranks=2)
    rows = PLAN.rows(PLAN.order(1), 1)
    changed = {
        "missing": Order(rows.places[1:], rows.visits[1:]),
        "twice": Order(np.append(rows.places, rows.places[:1]), np.append(rows.visits, 0)),
        "another": Order(np.append(rows.places[1:], PLAN.rows(PLAN.order(1), 2).places[:1]), rows.visits),
    }[harm]
    last = used.table(6, PLAN.rows(PLAN.order(1), 2), 0)
    used.write(home, 6, [used.table(5, changed, 0), last])
    with pytest.raises(GateError, match=r"step 5 has used \d packed rows, and they are not the 4") as told:
        used.counted(home, PLAN, EPOCHS, 6)
    assert (told.value.exit_code, told.value.gate) == (3, "train.rows")


def test_a_step_that_left_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="step 1 has used 0 packed rows, and they are not the 4"):
        used.counted(str(tmp_path), PLAN, EPOCHS, 1)
