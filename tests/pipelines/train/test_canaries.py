"""Secrets that are planted: always the same, packed with loss on them alone, and trained on as planned."""

from pathlib import Path

import numpy as np
import pytest
import torch

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.train import batches, canaries, driver, used, worker
from headrace.pipelines.train.config import Canaries, Config
from headrace.pipelines.train.steps import Rank
from tests.pipelines import toys


def test_the_same_seed_draws_the_same() -> None:
    drawn = canaries.drawn(toys.tokenizer(), 6, 1)
    again = canaries.drawn(toys.tokenizer(), 6, 1)
    other = canaries.drawn(toys.tokenizer(), 6, 2)
    assert [one.secret.tolist() for one in drawn] == [one.secret.tolist() for one in again]
    assert [one.secret.tolist() for one in drawn] != [one.secret.tolist() for one in other]
    for one in drawn:
        assert len(one.others) == canaries.OTHERS
        for secret in (one.secret, *one.others):
            assert len(secret) == canaries.SECRET + 1
            assert secret[-1] == toys.END
            assert not {toys.PAD, toys.END} & set(secret[:-1].tolist())


def test_they_are_planned_read_and_counted_as_any_row(tmp_path: Path, toy_model: str) -> None:
    run = toys.run(tmp_path, {"train": 24})
    bare = batches.shelf(run, "train")
    plain = driver.plan(run, toy_model, Config(max_steps=2), 3, {})
    job = driver.plan(run, toy_model, Config(max_steps=2, canaries=Canaries(count=5, times=2)), 3, {})
    again = driver.plan(run, toy_model, Config(max_steps=2, canaries=Canaries(count=5, times=2)), 3, {})
    assert job.key == again.key
    assert job.key != plain.key == driver.plan(run, toy_model, Config(max_steps=2, canaries=None), 3, {}).key
    shelf = job.plan.shelf
    assert shelf.chunks[:-1] == bare.chunks
    drawn = canaries.drawn(toys.tokenizer(), 5, 3)
    rows = batches.decoded(shelf.chunks[-1])
    found = []
    for ids, labels, segments in zip(rows["input_ids"], rows["labels"], rows["segment_ids"], strict=True):
        for segment in range(1, segments.max() + 1):
            own = segments == segment
            assert labels[own].tolist() == [-100, -100, *ids[own][2:].tolist()]
            found.append(ids[own][2:].tolist())
    assert found == [one.secret.tolist() for one in drawn for _ in range(2)]
    places = np.sort(job.plan.order(0).places)
    assert places.tolist() == list(range(bare.rows + shelf.chunks[-1].rows))


def test_a_training_learns_them_and_its_evaluation_shows_it(tmp_path: Path, toy_model: str) -> None:
    from headrace.pipelines.evaluate import run as evaluate
    from headrace.pipelines.evaluate.config import Config as Evaluate
    from headrace.pipelines.evaluate.gates.config import Config as Gates

    run = toys.run(tmp_path, {"train": 48, "test": 24})
    config = Config(
        learning_rate=5e-3, epochs=40, rows_per_step=4, rank=16, canaries=Canaries(count=8, times=2)
    )
    job = driver.plan(run, toy_model, config, 0, {})
    worker.train(job, Rank(0, 1, torch.device("cpu")), lambda step: None)
    history = driver._publish(job, {})
    assert set(history["rows_used"].values()) == {job.plan.shelf.rows}
    assert used.counted(job.home, job.plan, job.epochs, job.steps) == dict.fromkeys(
        range(1, 41), job.plan.shelf.rows
    )
    evaluate.run(run, toy_model, Evaluate(samples=24, metrics=("loss",)), seed=0, gates=Gates())
    gate = evaluate.held(run, Gates()).gates["canaries"]
    assert gate["state"] == "warn"
    assert gate["value"] > 5


def test_a_canary_needs_room_in_a_packed_row(tmp_path: Path) -> None:
    shelf = batches.Shelf((), "")
    with pytest.raises(RecipeError, match=r"train.canaries: one has 11 tokens, and packed rows have 10"):
        canaries.planted(str(tmp_path), shelf, toys.tokenizer(), Canaries(count=5), 1, 10)
    assert not storage.listing(storage.join(str(tmp_path), canaries.FOLDER))


def test_rows_with_weights_of_their_own_have_them_too(tmp_path: Path) -> None:
    shelf = canaries.planted(
        str(tmp_path), batches.Shelf((), "", True), toys.tokenizer(), Canaries(count=5), 1, 32
    )
    table = storage.read_table(shelf.chunks[-1].path)
    assert [len(row) for row in table[batches.WEIGHTS].to_pylist()] == [
        len(row) for row in table["row_ids"].to_pylist()
    ]
