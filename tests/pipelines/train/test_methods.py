"""Trainings of each method through to what they leave: killed, gone on with, published, loaded again."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.cluster import storage
from headrace.pipelines import trainings
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.train import adapter, driver, models, worker
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.steps import Job, Rank
from tests.builders import table
from tests.pipelines import toys

ALONE = Rank(0, 1, torch.device("cpu"))
SHORT = {"learning_rate": 1e-2, "max_steps": 4, "rows_per_step": 4, "batch_size": 2, "rank": 4}


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def job_of(folder: Path, model: str, **more: Any) -> Job:
    run = toys.run(folder, {"train": 48, "validation": 12})
    return driver.plan(run, model, Config(**{**SHORT, "validate_every": 2, **more}), 3, {})


def trained(job: Job, killed_at: int | None = None) -> dict[str, Any]:
    """Train to the end and publish, killed once on the way."""

    def report(step: worker.Step) -> None:
        if step.step == killed_at:
            raise Killed

    if killed_at is not None:
        with pytest.raises(Killed):
            worker.train(job, ALONE, report)
        job_again = dataclasses.replace(job)
        worker.train(job_again, ALONE, lambda step: None)
    else:
        worker.train(job, ALONE, report)
    return driver._publish(job, {})


@pytest.mark.parametrize("method", ["full", "dora"])
def test_a_killed_training_goes_on_and_leaves_the_same(tmp_path: Path, toy_model: str, method: str) -> None:
    histories, weights = [], []
    for name, killed_at in (("whole", None), ("killed", 3)):
        job = job_of(tmp_path / name, toy_model, method=method)
        histories.append(trained(job, killed_at)["loss"])
        base = models.load(toy_model, torch.float32, "sdpa")
        loaded = adapter.load(job.run, base)
        weights.append(dict(sorted(loaded.state_dict().items())))
        card = adapter.card(job.run)
        assert card is not None
        assert card["method"] == method
    assert histories[0] == histories[1]
    assert histories[0][-1] < histories[0][0]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])
    if method == "full":
        start = models.load(toy_model, torch.float32, "sdpa").state_dict()
        assert not any(torch.equal(weights[0][n], start[n]) for n in start), "every weight has moved"


def test_samples_apart_are_trained_as_packed_rows_are(tmp_path: Path, toy_model: str) -> None:
    found = {}
    for packed in (True, False):
        job = job_of(tmp_path / str(packed), toy_model, packed=packed)
        found[packed] = trained(job)
        assert found[packed]["packed"] is packed
    assert found[True]["key"] == found[False]["key"], "it is the same training"
    assert found[False]["loss"] == pytest.approx(found[True]["loss"], rel=1e-5)
    assert found[False]["validation"] == pytest.approx(found[True]["validation"], rel=1e-5)
    assert found[False]["rows_used"] == found[True]["rows_used"]


def test_a_training_goes_on_from_another_run(tmp_path: Path, toy_model: str) -> None:
    first = job_of(tmp_path / "first", toy_model)
    before = trained(first)
    second = job_of(tmp_path / "second", toy_model, **{"from": first.run})
    after = trained(second)
    assert after["loss"][0] < before["loss"][0] * 0.9
    card = adapter.card(second.run)
    assert card is not None
    held = adapter.parent(card)
    assert held is not None
    assert (held["path"], held["key"]) == (first.run, first.key)
    assert adapter.parent(adapter.card(first.run) or {}) is None
    assert trainings.keys(second.run) == [second.key]
    told = driver.settings(second.config, 0)
    assert told["train.from"] == second.config.from_, "by the recipe's own names: export looks for them"


def test_a_base_model_without_a_template_is_trained(tmp_path: Path, toy_model: str) -> None:
    """Prompt and answer as they are; what is written beside the adapter asks as it was trained."""
    config = tokenise.Config(template="none", max_length=toys.LENGTH)
    chat = tokenise.tokenizer(toy_model, config)
    things = sorted(toys.KINDS)
    rows = [[("user", f"what is a {t} ? "), ("assistant", f"it is a {toys.KINDS[t]}")] for t in things * 8]
    marked, samples = tokenise.apply(table(*rows), config, chat, {})
    assert marked["error"].null_count == len(rows)
    given = list(zip(samples["input_ids"].to_pylist(), samples["labels"].to_pylist(), strict=True))
    assert given[0] == toys.sample(things[0])
    run = str(tmp_path / "run")
    packed = toys.pack(given, list(range(len(given))))
    storage.write_table(storage.join(run, "packed", "train", "part-00000000.parquet"), packed, 4)
    job = driver.plan(run, toy_model, Config(**{**SHORT, "max_steps": 12}), 3, {})
    worker.train(job, ALONE, lambda step: None)
    history = driver._publish(job, {}, str(chat.hf.chat_template))
    assert history["loss"][-1] < history["loss"][0] / 2
    beside = models.load_tokenizer(adapter.path(run))
    ask = [{"role": "user", "content": "what is a oak ? "}]
    prompt = beside.apply_chat_template(ask, add_generation_prompt=True, return_dict=False)
    assert prompt == toys.sample("oak")[0][:5]
