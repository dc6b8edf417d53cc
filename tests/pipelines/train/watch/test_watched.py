"""A training under watch: what is measured, left out, stopped and gone on from."""

from pathlib import Path
from typing import Any

import pytest
import torch

from headrace.cluster import storage
from headrace.cluster.errors import GateError, RecipeError
from headrace.pipelines import trainings
from headrace.pipelines.train import adapter, driver, steps, worker
from headrace.pipelines.train.config import Config, Watch
from headrace.pipelines.train.steps import Job, Rank
from headrace.pipelines.train.watch import scorer
from headrace.pipelines.train.watch.watched import Step
from tests.pipelines import toys

ALONE = Rank(0, 1, torch.device("cpu"))
SMALL = Config(
    learning_rate=3e-3, max_steps=24, rows_per_step=4, batch_size=4, rank=2, validate_every=4, smoke=0
)
SIDES = {"train": 48, "validation": 12}


def trained(run: str, model: str, config: Config) -> tuple[Job, list[Step]]:
    job, told = driver.plan(run, model, config, 7, {}), []
    worker.train(job, ALONE, told.append)
    return job, told


def poisoned(run: str, monkeypatch: pytest.MonkeyPatch, value: float = float("nan")) -> list[int]:
    """Let one packed row give no loss that is a number; returns the rows that are in it."""
    rows = storage.read_table(storage.join(run, "packed", "train", "part-00000000.parquet"))
    bad, honest = torch.tensor(rows["input_ids"][2].as_py()), steps.loss_sum

    def poison(model: Any, batch: Any) -> Any:
        hit = bool((batch["input_ids"] == bad).all(1).any()) and model.training
        return honest(model, batch) * (value if hit else 1.0)

    monkeypatch.setattr(steps, "loss_sum", poison)
    return [int(i) for i in rows["row_ids"][2].as_py()]


def test_patience_ends_a_training_and_less_of_it_lets_it_go_on(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, SIDES)
    eager = SMALL.model_copy(update={"patience": 1, "min_delta": 100.0})
    job, told = trained(run, toy_model, eager)
    assert told[-1].step == 8, "the second validation is not better by so much"
    history = driver._publish(job, {})
    assert (history["steps"], history["planned"], history["best_step"]) == (8, 24, 4)
    assert history["stopped"]["reason"] == "patience"
    assert sum(history["rows_used"].values()) == 8 * 4
    assert driver._finished(job, {}) == history
    assert trained(run, toy_model, eager)[1] == [], "it has ended"
    patient = driver.plan(run, toy_model, SMALL.model_copy(update={"patience": None}), 7, {})
    assert patient.key == job.key
    assert driver._finished(patient, {}) is None
    _, more = trained(run, toy_model, patient.config)
    assert (more[0].step, more[-1].step) == (9, 24)
    assert driver._publish(patient, {})["stopped"] is None


def test_a_bad_step_is_left_out_where_the_recipe_says_so(
    toy_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toys.run(tmp_path, SIDES)
    named = poisoned(run, monkeypatch)
    watch = Watch(on_bad_step="skip")
    config = SMALL.model_copy(update={"watch": watch, "max_steps": None, "epochs": 1, "batch_size": 1})
    job, told = trained(run, toy_model, config)
    history = driver._publish(job, {})
    (skipped,) = history["skipped"]
    assert history["loss"][skipped - 1] is None
    assert all(loss is not None for n, loss in enumerate(history["loss"], 1) if n != skipped)
    (alarm,) = [a for a in told[skipped - 1].alarms if a.code == "skipped"]
    assert alarm.words.startswith(f"step {skipped} was left out: the loss is nan. 1 of its ")
    assert ", ".join(map(str, named[:8])) in alarm.words
    assert {"code": "skipped", "words": alarm.words, "step": skipped} in history["warnings"]
    assert sum(history["rows_used"].values()) == job.plan.shelf.rows


def test_what_stops_a_training_is_told_and_can_be_gone_on_from(
    toy_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toys.run(tmp_path, SIDES)
    poisoned(run, monkeypatch)
    config = SMALL.model_copy(update={"checkpoint_every": 24, "validate_every": 24})
    job = driver.plan(run, toy_model, config, 7, {})
    trainings.ask(run, job.key)
    with pytest.raises(GateError, match="the loss is nan") as told:
        trained(run, toy_model, config)
    assert (told.value.exit_code, told.value.gate) == (3, "train.loss")
    so_far = driver.stopped(run)
    assert so_far is not None
    assert so_far["stopped"] == {
        "reason": "bad_step",
        "words": str(told.value),
        "step": so_far["steps"] + 1,
    }
    monkeypatch.undo()
    _, more = trained(run, toy_model, config)
    assert more[0].step == so_far["stopped"]["step"], "the steps before stand"
    assert driver.stopped(run) is None
    assert driver._publish(job, {})["steps"] == 24


def test_a_training_that_learns_nothing_stops_after_its_first_steps(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, SIDES)
    config = SMALL.model_copy(update={"learning_rate": 1e-12, "smoke": 0.5})
    with pytest.raises(
        GateError, match=r"stopped at step 12 of 24: nothing was learnt in 12 steps: on valid"
    ):
        trained(run, toy_model, config)
    blind = config.model_copy(update={"watch": Watch(stop=False), "patience": None})
    _, told = trained(run, toy_model, blind)
    assert told[-1].step == 24, "it goes on where the recipe says so"


def test_a_training_whose_first_steps_make_it_worse_is_told_its_rate(
    toy_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = steps.loss_sum

    def uphill(model: Any, batch: Any) -> Any:
        total = honest(model, batch)
        return 2 * total.detach() - total

    monkeypatch.setattr(steps, "loss_sum", uphill)
    run = toys.run(tmp_path, SIDES)
    config = SMALL.model_copy(update={"learning_rate": 0.02, "smoke": 0.5})
    words = r"the model got worse in 12 steps: on validation rows .* 0\.02 is too high for it: try 0\.002\. "
    with pytest.raises(GateError, match=words):
        trained(run, toy_model, config)


def test_the_first_steps_tell_of_the_whole(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, SIDES)
    config = SMALL.model_copy(update={"smoke": 0.1, "warmup": 0.0})
    _, told = trained(run, toy_model, config)
    assert [step.step for step in told if step.smoke] == [10]
    smoke = told[9].smoke
    assert smoke is not None
    assert smoke["steps"] == 10
    assert smoke["cost"] is None
    assert smoke["seconds"] > sum(step.seconds for step in told[:10])


def test_what_is_wrong_before_the_first_step_is_told_with_it(toy_model: str, tmp_path: Path) -> None:
    run = toys.run(tmp_path, {"train": 36})
    _, told = trained(run, toy_model, SMALL.model_copy(update={"max_steps": 2}))
    assert [alarm.code for alarm in told[0].alarms] == ["no_validation", "few_rows"]
    assert told[0].alarms[1].words.startswith("36 rows to train on (12 packed, 2 steps) are few")
    assert told[1].alarms == ()


SCORE = """def first_word(answers, references):
    return [a.split()[:1] == r.split()[:1] for a, r in zip(answers, references)]
"""


@pytest.mark.parametrize("best", ["f1", "python"])
def test_the_best_is_chosen_by_answers(toy_model: str, tmp_path: Path, best: str) -> None:
    run = toys.run(tmp_path / "run", SIDES)
    (tmp_path / "score.py").write_text(SCORE)
    by = best if best != "python" else f"python:{tmp_path}/score.py:first_word"
    config = SMALL.model_copy(update={"best": by, "best_tokens": 6})
    job, _ = trained(run, toy_model, config)
    history = driver._publish(job, {})
    assert len(history["metric"]) == len(history["validation"])
    assert history["base"]["metric"] is not None
    assert history["best"]["metric"] == by
    assert history["best"]["value"] == max(history["metric"])
    place = history["metric"].index(history["best"]["value"])
    assert history["best_step"] == history["validation_steps"][place]
    assert history["best_validation"] == history["validation"][place]
    card = adapter.card(run)
    assert card is not None
    assert card["step"] == history["best_step"]
    if best == "python":
        (tmp_path / "score.py").write_text(SCORE + "# changed\n")
        assert driver.plan(run, toy_model, config, 7, {}).key != job.key


def test_a_function_that_cannot_score_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "score.py"
    with pytest.raises(RecipeError, match="is no file of Python"):
        scorer.code(f"python:{path}:f")
    path.write_text("raise ValueError('answer')")
    with pytest.raises(RecipeError, match=r"cannot be run \(ValueError\)"):
        scorer.code(f"python:{path}:f")
    path.write_text("def f(a, b): return [1.0]\n\ndef g(a, b): raise KeyError(a[0])\n")
    with pytest.raises(RecipeError, match="has no function 'h'"):
        scorer.code(f"python:{path}:h")
    text = scorer.code(f"python:{path}:f")
    assert scorer.score(f"python:{path}:f", text, ["a"], ["b"]) == 1.0
    with pytest.raises(RecipeError, match="must return a number for each answer"):
        scorer.score(f"python:{path}:f", text, ["a", "b"], ["b", "b"])
    with pytest.raises(RecipeError, match=r"failed with KeyError on an answer$"):
        scorer.score(f"python:{path}:g", text, ["secret"], ["b"])
    assert scorer.code("f1") is None
