"""One toy run that was trained until it knows the answers; a test that changes more of it than its evaluation
copies it."""

import pytest


@pytest.fixture(scope="session")
def tuned_run(toy_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Directory of the run."""
    import torch  # takes seconds to import

    from headrace.pipelines.train import driver as train
    from headrace.pipelines.train import worker
    from headrace.pipelines.train.steps import Rank
    from tests.pipelines import toys

    run = toys.run(tmp_path_factory.mktemp("run"), {"train": 96, "validation": 12, "test": 40})
    config = train.Config(learning_rate=1e-2, max_steps=80, batch_size=4, rank=8)
    job = train.plan(run, toy_model, config, 0, {})
    worker.train(job, Rank(0, 1, torch.device("cpu")), lambda step: None)
    train._publish(job, {})
    return run
