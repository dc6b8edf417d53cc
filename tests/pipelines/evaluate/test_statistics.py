"""What is claimed of two models: what the samples show, and no more."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.evaluate import metrics, statistics
from headrace.pipelines.evaluate.config import LEAST, VERDICTS, Config, Gate
from headrace.pipelines.evaluate.statistics import Comparison
from tests.benchmarks import verdicts as trials


def of(base: list[float], tuned: list[float]) -> statistics.Paired:
    """A mean over samples of values between 0 and 1."""
    sides = (metrics.mean_of(np.array(v, np.float64)) for v in (base, tuned))
    return statistics.share(metrics.ratio, *sides)


def test_right_answers_are_tested_exactly() -> None:
    """Of 9 samples on which one model alone is right it is tuned on 8: 2 (1 + 9) / 2^9."""
    base, tuned = [0.0] * 8 + [1.0] + [1.0] * 50, [1.0] * 8 + [0.0] + [1.0] * 50
    assert statistics.compare(of(base, tuned), seed=0).p == pytest.approx(20 / 512)
    assert statistics.compare(of(base, base), seed=0).p == 1.0
    assert statistics.compare(of([0.0] * 2000, [1.0] * 2000), seed=0).p < 1e-300


@settings(max_examples=15)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_random_swaps_come_near_all_swaps(values: list[tuple[float, float]]) -> None:
    base, tuned = (np.array(v) for v in zip(*values, strict=True))
    paired = of(list(base), list(tuned))
    if paired.right:
        return
    moved = tuned - base
    every = [abs(np.dot(signs, moved)) for signs in product((-1, 1), repeat=len(moved))]
    exact = np.mean([e >= abs(moved.sum()) * (1 - 1e-9) for e in every])
    assert statistics.compare(paired, seed=0).p == pytest.approx(exact, abs=0.06)


def test_a_loss_is_weighted_by_tokens_and_no_change_is_none() -> None:
    held = np.array([[1.0, 1.0], [30.0, 10.0]] * 20)
    found = statistics.compare(statistics.unbounded(metrics.ratio, held, held), seed=0)
    assert found.base == pytest.approx(31 / 11)
    assert found.low == pytest.approx(0)
    assert found.high == pytest.approx(0)
    assert found.p == 1.0
    assert statistics.verdict(found, found.p, lower_is_better=True) == "no clear difference"


def test_a_clear_gain_is_told_and_the_same_seed_tells_the_same() -> None:
    drawn = np.random.default_rng(0)
    base = drawn.random(200)
    tuned = base + 0.1 + 0.05 * drawn.standard_normal(200)
    paired = statistics.unbounded(metrics.ratio, metrics.mean_of(base), metrics.mean_of(tuned))
    found = statistics.compare(paired, seed=1)
    assert found == statistics.compare(paired, seed=1)
    gain, error = float((tuned - base).mean()), float((tuned - base).std() / np.sqrt(200))
    assert found.tuned - found.base == pytest.approx(gain)
    ends = [gain - 1.96 * error, gain + 1.96 * error]
    assert [found.low, found.high] == pytest.approx(ends, abs=0.5 * error)
    assert statistics.verdict(found, found.p, lower_is_better=False) == "better"
    assert statistics.verdict(found, found.p, lower_is_better=True) == "worse"


def test_an_interval_of_few_samples_is_wide() -> None:
    """Five samples that are all alike do not show that others are."""
    found = statistics.compare(of([0.0] * 5, [0.0] * 5), seed=0)
    assert found.low < -0.4
    assert found.high > 0.4
    bleu = np.array([[8.0, 7, 6, 5, 8, 7, 6, 5, 8, 8]] * 5)
    paired = statistics.bounded(metrics.bleu, bleu, bleu, *metrics.bleu_bounds(bleu, bleu))
    low, high = statistics.compare(paired, seed=0)[2:4]
    assert low < -20 < 20 < high


@pytest.mark.parametrize("n", [1, LEAST - 1])
def test_too_few_samples_are_never_better(n: int) -> None:
    found = statistics.compare(of([0.0] * n, [1.0] * n), seed=0)
    assert statistics.verdict(found, found.p, lower_is_better=False) == "too few samples"
    enough = statistics.compare(of([0.0] * LEAST, [1.0] * LEAST), seed=0)
    assert statistics.verdict(enough, enough.p, lower_is_better=False) == "better"


@pytest.mark.parametrize(
    ("low", "high", "p", "word"),
    [
        (0.1, 0.3, 0.01, "better"),
        (-0.3, -0.1, 0.01, "worse"),
        (0.1, 0.3, 0.06, "no clear difference"),
        (-0.1, 0.3, 0.01, "no clear difference"),
        (math.nan, math.nan, 0.01, "no clear difference"),
        (0.1, 0.3, math.nan, "no clear difference"),
    ],
)
def test_test_and_interval_must_agree(low: float, high: float, p: float, word: str) -> None:
    found = Comparison(0.0, 0.1, low, high, p, LEAST)
    assert statistics.verdict(found, p, lower_is_better=False) == word
    assert word in VERDICTS


def test_several_metrics_are_corrected_for_their_number() -> None:
    found = statistics.corrected({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert found == pytest.approx({"a": 0.04, "c": 0.09, "b": 0.09, "d": 0.5})
    assert statistics.corrected({}) == {}
    assert statistics.corrected({"a": 0.7, "b": 0.6}) == {"b": 1.0, "a": 1.0}


def test_one_metric_decides_whatever_is_found() -> None:
    every = Config().metrics
    assert Config().deciding(every) == "loss"
    assert Config(metrics=("bleu", "rouge1")).deciding(("bleu", "rouge1")) == "rouge1"
    assert Config(gate=Gate(metric="exact_match")).deciding(every) == "exact_match"
    assert Config(primary="bleu", gate=Gate()).deciding(every) == "bleu"
    assert Config(primary="bleu").deciding(("loss",)) is None
    for wrong in ({"primary": "bleu"}, {"gate": {"metric": "bleu"}}):
        with pytest.raises(ValueError, match=r"is bleu, which evaluate\.metrics does not measure"):
            Config.model_validate({"metrics": ["loss"], **wrong})


@pytest.mark.parametrize("n", [1, 5, 20, 60])
def test_equal_models_are_seldom_called_better(n: int) -> None:
    rates = trials.claims(n, 0.0, 60, bleu=False)
    assert rates["now"] <= (0.05 if n >= LEAST else 0)
    assert rates["any metric"] <= 0.1


def test_a_gain_is_seen() -> None:
    assert trials.claims(150, 0.25, 30, bleu=False)["now"] >= 0.8


@pytest.mark.parametrize("n", [5, 50])
def test_intervals_hold_what_they_promise(n: int) -> None:
    for metric, (now, _) in trials.coverage(n, 60, bleu=False).items():
        assert now >= 0.88, metric
