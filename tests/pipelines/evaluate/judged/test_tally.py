"""Wins and losses: a test that may be looked at after every answer, and an interval of the same kind."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.evaluate.judged import tally
from headrace.pipelines.evaluate.statistics import ALPHA


def test_nothing_is_told_of_nothing() -> None:
    told = tally.tally([])
    assert (told["win_rate"], told["interval"], told["p"], told["verdict"]) == (
        None,
        [0, 1],
        1,
        "no clear difference",
    )
    assert tally.sentence(told) == "0 won, 0 lost, 0 ties: nothing was decided"


def test_the_mixture_is_that_of_an_even_prior() -> None:
    """30 of 40: the mean of C r^30 (1-r)^10 over r from 0 to 1, beside the same at 1/2."""
    rates = (np.arange(200_000) + 0.5) / 200_000
    mean = float(np.mean(rates**30 * (1 - rates) ** 10))
    assert tally.evidence(30, 10, 0.5) == pytest.approx(math.log(mean / 0.5**40), abs=1e-6)
    assert tally.p_value(30, 10) == pytest.approx(0.5**40 / mean, rel=1e-5)


def test_ties_are_told_and_decide_nothing() -> None:
    with_ties = tally.tally(["win"] * 30 + ["loss"] * 10 + ["tie"] * 50)
    without = tally.tally(["win"] * 30 + ["loss"] * 10)
    assert with_ties | {"judged": 40, "ties": 0} == without
    assert (without["win_rate"], without["verdict"]) == (0.75, "better")
    assert tally.tally(["loss"] * 30 + ["win"] * 10)["verdict"] == "worse"


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_interval_holds_the_rate_and_refuses_what_the_test_does(wins: int, losses: int) -> None:
    low, high = tally.interval(wins, losses)
    assert 0 <= low <= high <= 1
    if wins + losses:
        assert low <= wins / (wins + losses) <= high
    refused = tally.p_value(wins, losses) < ALPHA
    assert refused == (not low - 1e-9 <= 0.5 <= high + 1e-9)
    mirrored = tally.interval(losses, wins)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_looking_after_every_answer_raises_few_false_alarms() -> None:
    """Two equal models, 400 times, looked at after each of 300 answers."""
    draw = np.random.default_rng(1)
    wins = np.cumsum(draw.random((400, 300)) < 0.5, axis=1)
    rang = sum(any(tally.p_value(int(w), n - int(w)) <= ALPHA for n, w in enumerate(row, 1)) for row in wins)
    assert rang / 400 <= 0.05


def test_agreement_is_cohens_kappa() -> None:
    first = ["win"] * 20 + ["loss"] * 15 + ["tie"] * 15
    second = ["win"] * 15 + ["loss"] * 5 + ["loss"] * 10 + ["tie"] * 5 + ["tie"] * 10 + ["win"] * 5
    told = tally.agreement(first, second)
    # alike: 15 + 10 + 10 of 50; by chance .4 * .4 + .3 * .3 + .3 * .3
    assert told["kappa"] == pytest.approx((0.7 - 0.34) / 0.66, abs=1e-4)
    assert (told["decided_by_both"], told["alike"], told["share"]) == (30, 25, round(25 / 30, 4))
    assert tally.agreement(["win"] * 3, ["win"] * 3)["kappa"] is None
    assert tally.agreement([], [])["share"] is None
