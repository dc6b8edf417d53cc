"""Ranks by Ray Train: what the user has to mend ends a training at once, what has died is told in words."""

from pathlib import Path

import pytest
import torch
from ray.exceptions import ActorDiedError
from ray.train import TrainingFailedError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from headrace.cluster.errors import Fault, GateError
from headrace.pipelines import trainings
from headrace.pipelines.train import checkpoints, driver, worker
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running import ranks
from headrace.pipelines.train.steps import Rank
from tests.pipelines import toys

SHORT = Config(rank=4, max_steps=4, rows_per_step=4, batch_size=4, checkpoint_every=2, workers=2)
GONE = WorkerHealthCheckFailedError("worker 1", ActorDiedError())


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_training_that_is_stopped_starts_its_workers_once(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 48, "validation": 12})
    wild = SHORT.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    with pytest.raises(GateError, match=r"rows is nan, and was \d.*: lower train.learning_rate \(1e\+30\)\."):
        driver.run(run, toy_model, wild, seed=7)
    (key,) = trainings.keys(run)
    assert [start["ranks"] for start in checkpoints.starts(trainings.home(run, key))] == [2]


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        ({0: RuntimeError("collective"), 1: GONE}, "was killed; where nobody did that, memory ran out"),
        ({0: torch.OutOfMemoryError("CUDA")}, "ran out of the GPU's memory"),
        ({0: ValueError("a row: secret"), 1: KeyError()}, r"failed \(KeyError, ValueError; Ray's logs"),
    ],
)
def test_what_ended_a_training_is_told(
    toy_model: str, tmp_path: Path, failures: dict[int, Exception], words: str
) -> None:
    run = toys.run(tmp_path, {"train": 48, "validation": 12})
    job = driver.plan(run, toy_model, SHORT, 7, {})
    error: TrainingFailedError = WorkerGroupError("Rank 0: a row: secret", failures)
    found = ranks._died(job, error)
    assert isinstance(found, Fault)
    assert "secret" not in str(found)
    assert str(found).endswith("train.max_failures allows (3). The same command goes on from the first step")
    with pytest.raises(Fault, match=words):
        raise found
    worker.train(job, Rank(0, 1, torch.device("cpu")), lambda step: None)
    assert str(ranks._died(job, error)).endswith("goes on from step 4 of 4")
