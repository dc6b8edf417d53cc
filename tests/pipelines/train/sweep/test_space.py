"""Proposals of a sweep, and when a trial is ended early."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.pipelines.train.sweep import space
from headrace.pipelines.train.sweep.config import Config, Range
from headrace.pipelines.train.sweep.space import Known

SPACE = {
    "learning_rate": Range(low=1e-6, high=1e-3, log=True),
    "rank": (4, 8, 16, 32),
    "epochs": Range(low=1, high=4),
    "target_modules": ("all-linear", ["q_proj"]),
}
losses = st.floats(0.5, 5)


def settings(rate: float = 1e-4, rank: int = 8, epochs: int = 2) -> dict[str, Any]:
    return {"learning_rate": rate, "rank": rank, "epochs": epochs, "target_modules": "all-linear"}


def results(count: int) -> list[Known]:
    """Trials whose loss is least at a rate of 1e-4, every third ended early or without any number."""
    found = []
    for number in range(count):
        asked = space.propose(SPACE, 3, number, found)
        loss = 1 + abs(math.log10(asked["learning_rate"]) + 4)
        early = number % 3 == 2
        found.append(Known(asked, () if number % 6 == 5 else (loss + 1, loss), None if early else loss))
    return found


def test_proposals_are_of_the_space_and_written_as_one_would() -> None:
    for number in range(12):
        asked = space.propose(SPACE, 1, number, ())
        assert list(asked) == list(SPACE)
        assert 1e-6 <= asked["learning_rate"] <= 1e-3
        assert asked["learning_rate"] == float(f"{asked['learning_rate']:.3g}")
        assert asked["rank"] in SPACE["rank"]
        assert asked["epochs"] in (1, 2, 3, 4)
        assert isinstance(asked["epochs"], int)
        assert asked["target_modules"] in SPACE["target_modules"]


def test_the_same_seed_and_results_propose_the_same() -> None:
    known = results(9)
    assert results(9) == known
    assert space.propose(SPACE, 3, 9, known) == space.propose(SPACE, 3, 9, known)
    assert space.propose(SPACE, 4, 9, known) != space.propose(SPACE, 3, 9, known)
    assert space.propose(SPACE, 3, 10, known) != space.propose(SPACE, 3, 9, known)


def test_results_lead_the_proposals() -> None:
    known = results(24)

    def apart(of: list[Known]) -> float:
        """Mean distance of thirty proposals from the best rate, in decades."""
        asked = [space.propose(SPACE, seed, 24, of)["learning_rate"] for seed in range(30)]
        return sum(abs(math.log10(rate) + 4) for rate in asked) / 30

    assert apart(known) < 0.75 * apart([])


def test_the_fine_round_lies_around_the_best() -> None:
    near = space.narrowed(SPACE, settings(rate=1e-4, rank=4, epochs=2))
    rate = near["learning_rate"]
    assert isinstance(rate, Range)
    assert math.log10(rate.high / rate.low) == pytest.approx(0.75)  # of three decades a quarter
    assert rate.low < 1e-4 < rate.high
    assert near["rank"] == (4, 8)
    assert near["epochs"] == Range(low=1, high=3)
    edge = space.narrowed(SPACE, settings(rate=5e-3))["learning_rate"]
    assert isinstance(edge, Range)
    assert edge.high == 1e-3, "the recipe's own may lie beyond the space"
    known = [Known(settings(rate=1e-4), (), 1.0), Known(settings(rate=1e-6), (), 2.0)]
    asked = space.propose(near, 1, 30, known)
    assert rate.low <= asked["learning_rate"] <= rate.high


@given(st.integers(1, 5000), st.integers(1, 5))
def test_rungs_are_steps_that_end_with_a_validation(steps: int, factor: int) -> None:
    every, at = space.rungs(steps, factor)
    assert 1 <= every <= steps
    assert all(0 < step < steps and step % every == 0 for step in at)
    assert len(at) == len(set(at)) <= 2


def test_rungs_are_a_ninth_and_a_third() -> None:
    assert space.rungs(900, 3) == (100, (100, 300))
    assert space.rungs(900, 1) == (90, ())
    assert space.rungs(1, 3) == (1, ())


def test_a_trial_passes_a_rung_with_the_best_third() -> None:
    known = [Known(settings(), (float(n), 10.0 + n)[: 1 + (n < 2)], None) for n in range(6)]
    assert space.cutoffs(known, 3) == (1.0, None), "two of six are the best third; two results are too few"
    assert space.cutoffs(known[:2], 3) == (None, None)
    assert space.cutoffs(known, 1) == ()


@given(st.lists(losses, min_size=3, max_size=30), st.integers(2, 4))
def test_a_cutoff_lets_at_least_one_in_so_many_pass(reached: list[float], factor: int) -> None:
    limit = space.cutoffs([Known(settings(), (loss,), None) for loss in reached], factor)[0]
    if len(reached) < factor:
        assert limit is None
        return
    assert limit is not None
    passing = sum(loss <= limit for loss in reached)
    assert passing >= len(reached) / factor


def test_importance_is_of_what_differs() -> None:
    shares = space.importances(SPACE, results(24))
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"] > 0.5
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert space.importances(SPACE, results(3)) == {}


def test_a_space_is_of_keys_of_train_and_values_that_they_can_have() -> None:
    assert list(Config().space) == [
        *("learning_rate", "rank", "alpha", "epochs", "weight_decay", "dropout", "rows_per_step")
    ]
    for wrong, words in (
        ({"rnak": [4]}, "did you mean 'rank'"),
        ({"rank": [0]}, "train.rank cannot be 0"),
        ({"rank": []}, "rank has no values"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "log needs a low above 0"),
        ({"learning_rate": {"low": 2, "high": 1}}, "low must be less"),
    ):
        with pytest.raises(ValidationError, match=words):
            Config.model_validate({"space": wrong})
