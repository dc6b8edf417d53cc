"""Alarms over histories: each rings where its fault is planted, and good histories ring none."""

import math
from typing import Any

import numpy as np
import pytest

from headrace.pipelines.train import checkpoints
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.watch import alarms

CONFIG = Config(learning_rate=2e-4)


def shown(loss: Any, validation: list[float] | None = None, **more: Any) -> dict[str, Any]:
    """A history of these losses; validations lie evenly, the first of them before training."""
    history = checkpoints.history()
    history["loss"] = [float(value) for value in loss]
    history["grad_norm"] = [1.0] * len(history["loss"])
    if validation:
        every = len(history["loss"]) // (len(validation) - 1)
        history["base"] = {"validation": validation[0], "general": None, "metric": None}
        history["validation"] = validation[1:]
        history["validation_steps"] = [every * (n + 1) for n in range(len(validation) - 1)]
    return {**history, **more}


def falling(start: float, end: float, steps: int = 60, noise: float = 0.05) -> Any:
    drawn = np.random.default_rng(0).normal(0, noise, steps)
    return end + (start - end) * np.exp(-np.arange(steps) / (steps / 4)) + drawn


def codes(history: dict[str, Any], config: Config = CONFIG) -> list[str]:
    return [a.code for a in alarms.look(history, config, 2, len(history["loss"]))]


GOOD = [2.5, 2.0, 1.7, 1.6]


@pytest.mark.parametrize(
    "history",
    [
        shown(falling(2.5, 1.5), GOOD),
        shown(falling(2.5, 1.5, noise=0.3), GOOD),
        shown(falling(0.4, 0.02, noise=0.005), [0.4, 0.1, 0.05, 0.05]),
        shown(falling(2.5, 2.3), [2.5, 2.4, 2.41, 2.405]),
        shown(falling(2.5, 1.5, steps=9), [2.5, 2.6]),
    ],
)
def test_a_good_training_rings_nothing(history: dict[str, Any]) -> None:
    assert codes(history) == []
    assert alarms.flat(history, CONFIG, 2) is None
    last = history["loss"][-1]
    assert alarms.bad_step(last * 1.5, 3.0, history, CONFIG) is None


def test_a_training_that_reads_no_prompt_is_told_by_what_guessing_has() -> None:
    history = shown(falling(3.0, 2.75, steps=120), [3.0, 2.8, 2.76, 2.75])
    assert codes(history) == []
    history["base"]["guessed"] = 2.8
    assert codes(history) == ["guessing"]
    assert codes({**history, "loss": list(np.linspace(3.2, 2.75, 120))}) == []  # it has not come to its end
    assert "the loss is 2.75 at best" in alarms.look(history, CONFIG, 2, 120)[0].words
    history["base"]["guessed"] = 2.9
    assert codes(history) == []
    assert alarms.look({**history, "base": {**history["base"], "guessed": 2.8}}, CONFIG, 2, 180) == []


def test_a_rising_loss_diverges_and_stops() -> None:
    history = shown(2.0 + 0.1 * np.arange(40))
    (found,) = alarms.look(history, CONFIG, 2, 40)
    assert (found.code, found.step, found.stops) == ("diverging", 40, True)
    assert "from 2.2 (the first 5 steps) to 5.45 (the last 10)" in found.words
    assert found.words.endswith("train.learning_rate 0.0002 is too high for it: try 2e-05")


def test_what_stops_a_training_is_said_again_and_all_else_once() -> None:
    history = shown(
        2.0 + 0.1 * np.arange(40), general=[5.0], base={"validation": 2.0, "general": 3.0, "metric": None}
    )
    history["validation"], history["validation_steps"] = [2.0], [40]
    assert codes(history) == ["diverging", "forgetting"]
    history["warnings"] = [{"code": code} for code in codes(history)]
    assert codes(history) == ["diverging"]
    goes_on = CONFIG.model_copy(update={"watch": CONFIG.watch.model_copy(update={"stop": False})})
    assert codes(history, goes_on) == []


def test_trends_are_looked_at_every_ten_steps() -> None:
    history = shown(2.0 + 0.1 * np.arange(41))
    assert alarms.look(history, CONFIG, 2, 100) == []


def test_gradients_that_are_gone_are_frozen() -> None:
    history = shown([11.5] * 40)
    history["grad_norm"] = [5.0] * 20 + [0.0] * 20
    assert codes(history) == ["frozen"]
    history["loss"] = [11.5] * 20 + [0.0] * 20
    assert codes(history) == [], "it has learnt all there is"


def test_validation_that_gains_nothing_has_no_signal() -> None:
    history = shown(falling(2.5, 0.5), [2.5, 2.5, 2.7, 3.1])
    (found,) = alarms.look(history, CONFIG, 2, 60)
    assert found.code == "no_signal"
    assert "was 2.5 before training and 2.5 at best" in found.words
    assert not found.stops


def test_validation_that_rises_while_training_falls_is_overfitting() -> None:
    history = shown(falling(2.5, 0.2), [2.5, 1.9, 2.0, 2.2])
    (found,) = alarms.look(history, CONFIG, 2, 60)
    assert found.code == "overfitting"
    assert "was 1.9 at step 20 and is 2.2 now" in found.words
    assert found.words.index("rows") < found.words.index("learning_rate") < found.words.index("epochs")


def test_a_training_that_stands_still_is_told_at_its_end() -> None:
    still = shown([3.4, 3.0, 2.8, *[2.7, 2.71, 2.69] * 19], [3.2, 2.8, 2.71, 2.7, 2.7, 2.705, 2.7])
    (found,) = alarms.look(still, CONFIG, 2, 60)
    assert found.code == "plateau"
    assert "since step 20: on validation rows the loss was 2.71 there and 2.7 at best since" in found.words
    assert alarms.look(still, CONFIG.model_copy(update={"patience": None}), 2, 100) == [], "it goes on"
    assert codes(shown([3.4, 1.0, *[0.02] * 58], [3.2, 0.1, 0.02, 0.02, 0.02, 0.02, 0.02])) == [], "learnt"


def test_a_gradient_far_beyond_that_of_the_first_steps_is_told() -> None:
    history = shown(falling(2.5, 1.5), GOOD)
    history["grad_norm"][7] = 174.0
    (found,) = alarms.look(history, CONFIG, 2, 60)
    assert found.code == "exploding"
    assert "was 1 in the first steps and rose to 174" in found.words
    history["grad_norm"][7] = 60.0
    assert codes(history) == []


def test_answers_that_stay_as_they_are_while_the_loss_falls() -> None:
    history = shown(falling(2.5, 1.5), GOOD, metric=[0.2, 0.205, 0.2])
    history["base"]["metric"] = 0.2
    assert codes(history) == ["metric_flat"]
    history["metric"][-1] = 0.3
    assert codes(history) == []


def test_general_text_that_gets_worse_is_forgotten() -> None:
    base = {"validation": 2.5, "general": 3.0, "metric": None}
    history = shown(falling(2.5, 1.5), GOOD, general=[3.0, 3.1, 3.3])
    history["base"] = base
    assert codes(history) == ["forgetting"]
    history["general"] = [3.0, 3.05, 3.1]
    assert codes(history) == []


def test_a_loss_that_does_not_move_is_flat() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 30)
    why = alarms.flat(shown(2.0 + noise), CONFIG, 2)
    assert why is not None
    assert why.startswith("the loss was 2.0")
    assert alarms.flat(shown(2.0 + noise, [2.0, 1.999]), CONFIG, 2) is not None
    assert alarms.flat(shown(2.0 + noise, [2.0, 1.98]), CONFIG, 2) is None, "validation tells it"
    assert alarms.flat(shown(2.0 + noise[:11]), CONFIG, 2) is None, "too few steps to tell"


@pytest.mark.parametrize(
    ("loss", "norm", "words"),
    [
        (float("nan"), 1.0, "the loss is nan"),
        (1.0, float("inf"), "the gradient is inf"),
        (7.0, 1.0, "the loss is 7, and was 2 in the 50 steps before"),
        (2.0, 500.0, "norm is 500, and was 1 (median of 50"),
    ],
)
def test_a_step_far_beyond_those_before_is_bad(loss: float, norm: float, words: str) -> None:
    history = shown([2.0, 2.1, 1.9] * 20)
    why = alarms.bad_step(loss, norm, history, CONFIG)
    planted = alarms.bad_step(loss, norm, history, Config(canaries={"count": 5}))
    assert planted == (None if math.isfinite(loss) and math.isfinite(norm) else why)
    assert why is not None
    assert words in why


def test_steps_that_are_all_left_out_stop_the_training() -> None:
    history = shown([2.0] * 30, skipped=list(range(21, 31)))
    history["loss"][20:] = [None] * 10
    history["grad_norm"][20:] = [None] * 10
    assert codes(history) == ["bad_steps"]


def test_patience_is_counted_in_validations_since_the_best() -> None:
    history = shown(falling(2.5, 1.5), [2.5, 2.0, 2.1, 2.2, 2.3])
    history["best"] = {"metric": "validation_loss", "value": 2.0, "step": 15}
    assert alarms.out_of_patience(history, CONFIG)
    assert not alarms.out_of_patience(history, CONFIG.model_copy(update={"patience": 4}))
    assert not alarms.out_of_patience(history, CONFIG.model_copy(update={"patience": None}))
    least = CONFIG.model_copy(update={"min_delta": 0.1})
    assert not alarms.is_better(1.95, history["best"], least)
    assert alarms.is_better(1.85, history["best"], least)
    assert alarms.is_better(0.4, {"value": 0.3}, CONFIG.model_copy(update={"best": "f1"}))
