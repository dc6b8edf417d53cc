"""Trainings with other seeds: as many as the recipe asks for, and told beside the run's own gain."""

from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.cluster import storage
from headrace.cluster.errors import GateError
from headrace.pipelines import recipe, trainings
from headrace.pipelines.evaluate import run as evaluate
from headrace.pipelines.evaluate.config import Config as Evaluate
from headrace.pipelines.train import adapter, driver, worker
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.steps import Rank
from headrace.pipelines.tuning import seeds
from tests.pipelines import toys

SMALL = Config(learning_rate=1e-2, max_steps=5, batch_size=4, rank=4, seeds=2)
ASKED = Evaluate(samples=24, max_new_tokens=8, metrics=("loss", "exact_match"), shots=())


def asked(run: str, count: int, seed: int = 5) -> recipe.Recipe:
    data = {"output": run, "sources": [{"path": "unread.jsonl"}], "seed": seed, "train": {"seeds": count}}
    return recipe.validate(data, "recipe")


@pytest.mark.parametrize(("count", "wanted"), [(1, []), (2, [6]), (4, [6, 7, 8])])
def test_so_many_others_are_trained_beside(count: int, wanted: list[int]) -> None:
    calls = []

    def train(seed: int, **more: Any) -> dict[str, Any]:
        calls.append((seed, more["current"]))
        return {"key": f"of {seed}", "best_validation": 0.5, "loss": [1.0]}

    found = list(seeds.trained(asked("run", count), train, "quiet"))
    assert calls == [(seed, False) for seed in wanted]
    assert found == [{"seed": s, "key": f"of {s}", "best_validation": 0.5} for s in wanted]


def test_one_that_diverges_names_its_seed() -> None:
    def train(seed: int, **_: Any) -> dict[str, Any]:
        raise GateError("the loss diverges").at("train.watch")

    with pytest.raises(GateError, match=r"train\.seeds: with seed 6: the loss diverges") as raised:
        list(seeds.trained(asked("run", 2), train, "quiet"))
    assert raised.value.gate == "train.watch"


def trained(run: str, model: str, seed: int, *, current: bool) -> str:
    """Train in this process; returns the training's key."""
    job = driver.plan(run, model, SMALL, seed, {})
    worker.train(job, Rank(0, 1, torch.device("cpu")), lambda step: None)
    return str(driver._publish(job, {}, current=current)["key"])


def test_both_are_evaluated_on_the_same_samples(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path / "run", {"train": 48, "validation": 12, "test": 40})
    own, other = (trained(run, toy_model, seed, current=seed == 5) for seed in (5, 6))
    assert own != other
    card = adapter.card(run)
    assert card is not None
    assert card["key"] == own, "the other does not take its place"
    scores = evaluate.run(run, toy_model, ASKED, seed=5)
    before = storage.read_bytes(f"{run}/evaluation/scores.json")
    home = trainings.home(run, other)
    found = evaluate.seeds(run, toy_model, ASKED, [home], seed=5)
    assert found is not None
    assert found["metric"] == "loss"
    assert found["values"][0] == pytest.approx(scores["loss"]["tuned"])
    assert found["values"][1] != found["values"][0]
    assert found["spread"] == max(found["values"]) - min(found["values"])
    assert storage.read_bytes(f"{run}/evaluation/scores.json") == before
    alone = toys.run(tmp_path / "alone", {"train": 48, "validation": 12, "test": 40})
    trained(alone, toy_model, 6, current=True)
    assert evaluate.run(alone, toy_model, ASKED, seed=5)["loss"]["tuned"] == pytest.approx(found["values"][1])


def test_what_was_measured_of_them_is_kept(
    toy_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toys.run(tmp_path / "run", {"train": 48, "validation": 12, "test": 40})
    _, other = (trained(run, toy_model, seed, current=seed == 5) for seed in (5, 6))
    evaluate.run(run, toy_model, ASKED, seed=5)
    homes = [trainings.home(run, other)]
    found = evaluate.seeds(run, toy_model, ASKED, homes, seed=5)

    def never(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(evaluate, "_compute", never)
    assert evaluate.seeds(run, toy_model, ASKED, homes, seed=5) == found


def test_they_are_needed_while_run_json_names_them(tmp_path: Path) -> None:
    run = str(tmp_path)
    for key in ("own", "beside", "old"):
        storage.put(storage.join(trainings.home(run, key), "adapter", "headrace.json"), b"{}")
    trainings.ask(run, "own")
    storage.put(f"{run}/run.json", b'{"train": {"key": "own", "seeds": [{"key": "beside", "seed": 6}]}}')
    assert {home.key: home.superseded for home in trainings.homes(run)} == {
        "own": False,
        "beside": False,
        "old": True,
    }
