"""What short trainings, and trainings on shares of the rows, tell of them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines import trainings
from headrace.pipelines.train import adapter, driver, worker
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.watch import trials
from tests.pipelines import toys

CONFIG = Config(learning_rate=3e-2, epochs=2, rows_per_step=4, batch_size=4, rank=2)


def here(job: Job, tell: Any) -> None:
    """Train in this process."""
    worker.train(job, Rank(0, 1, torch.device("cpu")), lambda step: None)


def quiet(text: str, fields: dict[str, Any]) -> None:
    """Say nothing."""


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run with the adapter of an earlier training."""
    path = toys.run(tmp_path, {"train": 96, "validation": 24})
    adapter.write_card(path, {"key": "earlier"})
    return path


def test_a_probe_tells_whether_rows_teach_and_leaves_nothing(toy_model: str, run: str) -> None:
    job = driver.plan(run, toy_model, CONFIG, 7, {})
    found = trials.probe(job, here, quiet)
    assert (found["verdict"], found["steps"]) == ("signal", job.steps)
    assert found["rate"] == pytest.approx(3e-3)
    assert found["after"] < found["base"]
    still = driver.plan(run, toy_model, CONFIG.model_copy(update={"learning_rate": 1e-9}), 7, {})
    found = trials.probe(still, here, quiet)
    assert found["verdict"] == "none"
    assert "no gain at all" in found["words"]
    assert trainings.keys(run) == []
    assert adapter.card(run) == {"key": "earlier"}


def test_a_curve_trains_on_shares_within_each_other(toy_model: str, run: str) -> None:
    def plan(share: float) -> Job:
        return driver.plan(run, toy_model, CONFIG, 7, {}, share)

    found = trials.curve(plan, here, quiet, shares=(0.02, 0.5, 1.0))
    places = [set(plan(share).plan.order(0).places.tolist()) for share in (0.5, 1.0)]
    assert places[0] < places[1]
    assert [point["rows"] for point in found["points"]] == [len(places[0]), len(places[1])], "2% are too few"
    assert all(point["validation"] < found["base"] for point in found["points"])
    assert trainings.keys(run) == [plan(1.0).key], "that of all rows is the recipe's own"
    assert adapter.card(run) == {"key": "earlier"}
    assert driver._publish(plan(1.0), {})["planned"] == plan(1.0).steps


def points(*losses: float) -> list[dict[str, Any]]:
    return [{"rows": 100 * (n + 1), "validation": loss} for n, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "verdict", "words"),
    [
        ((2.0, 1.5, 1.3), "more", "was 1.5 with 200 packed rows and is 1.3 with 300: more rows would help"),
        ((2.0, 1.31, 1.3), "enough", "more rows of the same kind would hardly help"),
        ((2.5, 2.5, 2.5), "enough", "no better than before training (2.5)"),
        ((2.0,), "unclear", "too few packed rows"),
    ],
)
def test_what_a_curve_says(losses: tuple[float, ...], verdict: str, words: str) -> None:
    found = trials.judged(points(*losses), 2.5)
    assert found["verdict"] == verdict
    assert words in found["words"]


def test_without_validation_rows_nothing_can_be_told(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 24})
    with pytest.raises(SourceError, match=r"give split\.validation a share"):
        trials.probe(driver.plan(run, toy_model, CONFIG, 7, {}), here, quiet)
    assert not storage.listing(storage.join(run, "trainings"))
