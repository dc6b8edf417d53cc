"""What so many samples can tell, held against simulated tests."""

import math

import numpy as np
import pytest

from headrace.pipelines.evaluate import power, statistics


@pytest.mark.parametrize("n", [100, 400])
def test_four_of_five_tests_find_the_smallest_gain(n: int) -> None:
    gain = power.smallest_gain(n)
    generator = np.random.default_rng(n)
    won = (power.DISAGREE + gain) / 2
    found = 0
    for _ in range(300):
        drawn = generator.random(n)
        tuned = (drawn < won).astype(np.float64)
        base = ((drawn >= won) & (drawn < power.DISAGREE)).astype(np.float64)
        found += statistics._binomial(base, tuned) <= statistics.ALPHA
    assert 0.68 <= found / 300 <= 0.87  # the exact test is a little stricter than the formula


def test_more_samples_tell_smaller_gains() -> None:
    gains = [power.smallest_gain(n) for n in (0, 1, 20, 50, 200, 2000)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == 1.0
    assert gains[-1] < 0.03
    assert power.smallest_change(100, 2.0) == pytest.approx(0.56, abs=0.01)
    assert power.smallest_change(0, 2.0) == math.inf


def test_it_is_said_in_points() -> None:
    assert power.words(200).startswith("with 200 held-out samples a gain of less than 8.")
    assert "hold out more" in power.words(10)


def test_one_sample_is_one() -> None:
    words = "no usual gain of right answers can be told from chance: hold out more"
    assert power.words(1) == f"with 1 held-out sample {words}"
    assert power.words(27) == f"with 27 held-out samples {words}"
    assert power.words(1200).startswith("with 1,200 held-out samples a gain of less than ")
