"""A base model that is spread over ranks trains as one that is not."""

from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from headrace.cluster.errors import RecipeError
from headrace.pipelines.train import checkpoints, driver, models, sharding, worker
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.steps import Job, Rank
from tests.pipelines import toys

CPU = torch.device("cpu")


def rank_main(job: Job, number: int, meeting: str, told: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meeting}", rank=number, world_size=2)
    losses: list[tuple[float, float | None]] = []
    worker.train(job, Rank(number, 2, CPU), lambda step: losses.append((step.loss, step.validation)))
    if number == 0:
        told.put(losses)
    dist.destroy_process_group()


def trained(run: str, model: str, config: Config, scratch: Path) -> tuple[list[Any], dict[str, Any]]:
    """Losses of each step, and the weights of the last checkpoint, by two ranks."""
    job = driver.plan(run, model, config, 7, {})
    fork = get_context("fork")
    told = fork.Queue()
    ranks = [fork.Process(target=rank_main, args=(job, n, str(scratch / "meeting"), told)) for n in (0, 1)]
    for process in ranks:
        process.start()
    losses = told.get(timeout=120)
    for process in ranks:
        process.join()
    record = checkpoints.newest(job.home, job.key)
    assert record is not None
    return losses, record["files"]


def test_losses_and_checkpoints_are_those_without(toy_model: str, tmp_path: Path) -> None:
    found = []
    for shard in ("none", "fsdp"):
        run = toys.run(tmp_path / shard, {"train": 30, "validation": 9})
        config = Config(
            rank=4,
            learning_rate=1e-3,
            max_steps=4,
            rows_per_step=3,
            batch_size=1,
            validate_every=2,
            shard=shard,
        )
        found.append(trained(run, toy_model, config, tmp_path / shard))
    (plain, files), (spread, spread_files) = found
    assert len(plain) == 4
    for (loss, validation), (ours, our_validation) in zip(plain, spread, strict=True):
        assert ours == pytest.approx(loss, rel=1e-5)
        assert our_validation == (None if validation is None else pytest.approx(validation, rel=1e-5))
    assert {n: f["size"] for n, f in files.items()} == {n: f["size"] for n, f in spread_files.items()}


def test_each_rank_reads_its_own_rows(toy_model: str, tmp_path: Path) -> None:
    job = driver.plan(toys.run(tmp_path, {"train": 8}), toy_model, Config(shard="fsdp"), 0, {})
    fork = get_context("fork")
    told = fork.Queue()

    def look(number: int) -> None:
        dist.init_process_group("gloo", f"file://{tmp_path / 'meeting'}", rank=number, world_size=2)
        models.load = None  # type: ignore[assignment]  # nobody reads all of it, in this process
        model, _ = worker.build(job, Rank(number, 2, CPU))
        held = {n: tuple(p.to_local().shape) for n, p in model.named_parameters() if hasattr(p, "to_local")}
        told.put((number, held, sharding.is_spread(model)))
        dist.destroy_process_group()

    ranks = [fork.Process(target=look, args=(n,)) for n in (0, 1)]
    for process in ranks:
        process.start()
    held = [told.get(timeout=120) for _ in ranks]
    for process in ranks:
        process.join()
    shapes = [next(v for n, v in parts.items() if "q_proj" in n) for _, parts, _ in held]
    assert shapes == [(32, 64), (32, 64)]
    assert all(spread for *_, spread in held)
    assert not any("embed_tokens" in name or "lora" in name for _, parts, _ in held for name in parts)


@pytest.mark.parametrize("more", [{"method": "dora"}, {"method": "full"}, {"modules_to_save": ("lm_head",)}])
def test_what_cannot_be_spread_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"train\.shard: fsdp and train\.offload"):
        sharding.wanted(Config(shard="fsdp", **more), Rank(0, 2, CPU), 1)
    assert not sharding.wanted(Config(**more), Rank(0, 2, CPU), 1)


def test_on_cpus_nothing_is_spread_unless_asked() -> None:
    assert not sharding.wanted(Config(), Rank(0, 2, CPU), 10**15)
    assert sharding.wanted(Config(shard="fsdp"), Rank(0, 2, CPU), 1)
    assert sharding.wanted(Config(offload=True), Rank(0, 1, CPU), 1)
    assert not sharding.wanted(Config(shard="none"), Rank(0, 2, CPU), 1)
