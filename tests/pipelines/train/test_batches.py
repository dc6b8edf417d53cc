"""The plan of which rank reads which packed rows: nothing lost, nothing twice, the same everywhere."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches
from headrace.pipelines.train.batches import Chunk, Micro, Order, Plan, Reader, Shelf
from tests.pipelines import toys

shapes = st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any)


def shelf_of(sizes: list[int]) -> Shelf:
    return Shelf(tuple(Chunk(f"part-{i}", 0, rows) for i, rows in enumerate(sizes)), "digest")


def dealt(plan: Plan, epoch: int, ranks: int, batch: int) -> list[list[list[Micro]]]:
    """What each rank computes in each step of an epoch."""
    order = plan.order(epoch)
    return [
        [
            batches.share(plan.rows(order, step), plan.rows_per_step, rank, ranks, batch)
            for rank in range(ranks)
        ]
        for step in range(plan.steps(order))
    ]


@settings(max_examples=60)
@given(shapes, st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(0, 5), st.integers(0, 3))
def test_every_row_is_read_exactly_once_an_epoch(
    sizes: list[int], rows: int, ranks: int, batch: int, seed: int, epoch: int
) -> None:
    plan = Plan(shelf_of(sizes), seed, rows, {})
    steps = dealt(plan, epoch, ranks, batch)
    assert len(steps) == -(-sum(sizes) // rows)
    by_step = [[int(p) for rank in step for one in rank for p in one.order.places] for step in steps]
    assert sorted(place for step in by_step for place in step) == list(range(sum(sizes)))
    assert {len(step) for step in by_step[:-1]} <= {rows}, "only the last step is short"
    assert all(len(one.order.places) <= batch for step in steps for rank in step for one in rank)
    for step in steps:
        counts = [len(rank) for rank in step]
        assert max(counts) - min(counts) <= 1, "no rank has two micro-batches more than another"
        if step is not steps[-1] and rows % ranks == 0:
            assert min(counts) >= 1, "no rank is idle"


@settings(max_examples=30)
@given(shapes, st.integers(1, 8), st.integers(1, 3), st.integers(1, 8))
def test_any_number_of_ranks_computes_the_same_micro_batches(
    sizes: list[int], micro: int, batch: int, ranks: int
) -> None:
    """Up to one rank a micro-batch: the same rows together, by the same number."""
    plan = Plan(shelf_of(sizes), 1, micro * batch, {})

    def by_step(count: int) -> list[list[tuple[int, list[int]]]]:
        return [
            sorted((one.number, one.order.places.tolist()) for rank in step for one in rank)
            for step in dealt(plan, 0, count, batch)
        ]

    assert by_step(min(ranks, micro)) == by_step(1)


def test_the_order_is_shuffled_by_seed_and_epoch_alone() -> None:
    plan = Plan(shelf_of([50] * 12), 1, 4, {})
    first = plan.order(0).places
    assert list(first) == list(Plan(shelf_of([50] * 12), 1, 8, {}).order(0).places)
    assert list(first) != sorted(first)
    assert list(first) != list(plan.order(1).places)
    assert list(first) != list(Plan(shelf_of([50] * 12), 2, 4, {}).order(0).places)


def test_few_chunks_are_open_at_a_time() -> None:
    places = Plan(shelf_of([10] * 40), 3, 4, {}).order(0).places
    for first in range(0, 400, batches.MIXED * 10):
        assert len(set(places[first : first + batches.MIXED * 10] // 10)) == batches.MIXED


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0, 1.5, 3.0])
def test_a_weight_is_the_mean_number_of_draws(weight: float) -> None:
    ids = np.arange(4000, dtype=np.uint64) | np.uint64(7 << 32)
    drawn = batches.draws(ids, {7: weight}, 5, 0)
    assert set(drawn) <= {int(weight), int(np.ceil(weight))}
    assert drawn.mean() == pytest.approx(weight, abs=0.03)
    assert list(drawn) == list(batches.draws(ids, {7: weight}, 5, 0))
    assert (list(drawn) == list(batches.draws(ids, {7: weight}, 5, 1))) == float(weight).is_integer()
    assert set(batches.draws(ids, {8: weight}, 5, 0)) == {1}, "a source without a weight is drawn once"


def test_weights_decide_how_often_each_sample_carries_loss(tmp_path: Path) -> None:
    """Fragment 0 at weight 0.5, fragment 1 at 2: counted over what the ranks really read."""
    run = toys.run(tmp_path, {"train": 400})
    plan = Plan(batches.shelf(run, "train"), 9, 6, {0: 0.5, 1: 2.0})
    reader = Reader(plan)
    order = plan.order(0)
    trained = np.zeros(2)
    answers = 0
    for step in range(plan.steps(order)):
        chosen = plan.rows(order, step)
        labels = reader.read(chosen, 0)["labels"]
        half = plan.shelf.rows // 2  # the parts are as long as each other
        for row, place in zip(labels, chosen.places, strict=True):
            ends = np.count_nonzero(row == toys.END)  # one a sample that carries loss
            trained[int(place >= half)] += ends
            answers += int(ends)
    assert trained[0] / 200 == pytest.approx(0.5, abs=0.1)
    assert trained[1] == 400
    assert answers == trained.sum()


def test_weights_by_trait_are_multiplied_with_those_of_sources(tmp_path: Path) -> None:
    """Every third sample at 0, every third at 2, all of fragment 1 at 2 beside."""
    run = toys.run(tmp_path, {"train": 60, "validation": 6})
    assert not batches.shelf(run, "train").weighted
    for path in sorted((tmp_path / "packed/train").iterdir()):
        table = pq.read_table(path)
        own = [[float(i % 3) for i in row] for row in table["row_ids"].to_pylist()]
        storage.write_table(str(path), table.append_column(batches.WEIGHTS, pa.array(own)), 4)
    shelf = batches.shelf(run, "train")
    plan = Plan(shelf, 9, 6, {1: 2.0}, by_trait=shelf.weighted)
    assert (plan.drawn, batches.shelf(run, "validation").weighted) == (True, False)
    order, reader = plan.order(0), Reader(plan)
    trained: Counter[int] = Counter()
    for step in range(plan.steps(order)):
        chosen = plan.rows(order, step)
        read = reader.read(chosen, 0)
        for place, labels, segments in zip(chosen.places, read["labels"], read["segment_ids"], strict=True):
            ids = ids_at(shelf, int(place))
            trained.update(ids[int(s) - 1] for s in set(segments[labels != IGNORE]))
    both = {part << 32 | n: part + 1 for part in (0, 1) for n in range(30)}
    assert trained == {row: times * (row % 3) for row, times in both.items() if row % 3}
    assert Plan(shelf, 9, 6, {}).order(0).places.size == shelf.rows, "not heeded where nobody asks"


def ids_at(shelf: Shelf, place: int) -> list[int]:
    """Ids of the rows in a packed row."""
    lists = [pq.ParquetFile(c.path).read_row_group(c.group)["row_ids"].to_pylist() for c in shelf.chunks]
    found: list[int] = [row for rows in lists for row in rows][place]
    return found


def test_rows_are_read_as_they_are_packed(tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 60})
    shelf = batches.shelf(run, "train")
    reader = Reader(Plan(shelf, 0, 4, {}))
    tables = [toys.pack(toys.samples(30, seed=part), list(range(30))) for part in range(2)]
    wanted = [row for table in tables for row in table["input_ids"].to_pylist()]
    assert shelf.rows == len(wanted)
    places = np.array([5, 0, len(wanted) - 1])
    batch = reader.read(Order(places, np.zeros(3, np.int64)), 0)
    assert batch["input_ids"].tolist() == [wanted[5], wanted[0], wanted[-1]]


def test_the_mark_is_that_of_the_content(tmp_path: Path) -> None:
    one = batches.shelf(toys.run(tmp_path / "one", {"train": 20}), "train")
    same = batches.shelf(toys.run(tmp_path / "two", {"train": 20}), "train")
    other = batches.shelf(toys.run(tmp_path / "three", {"train": 22}), "train")
    assert one.digest == same.digest
    assert one.digest != other.digest


def test_epochs_make_up_the_steps_that_are_asked_for() -> None:
    plan = Plan(shelf_of([10]), 0, 4, {})
    assert plan.epochs(3, None) == [3, 3, 3]
    assert plan.epochs(1, 7) == [3, 3, 1]
    assert plan.epochs(9, 2) == [2]


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 20})
    plan = Plan(batches.shelf(run, "train"), 0, 4, {0: 0.0, 1: 0.0})
    with pytest.raises(SourceError, match=r"sources\[\]\.weight"):
        plan.epochs(1, None)
