"""When a gate rings, and what it says."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe
from headrace.pipelines.evaluate.gates import gate
from headrace.pipelines.evaluate.gates.config import THRESHOLDS, Config
from headrace.pipelines.evaluate.gates.gate import Gate, Unmeasured


def some(count: int, n: int) -> np.ndarray:
    return np.arange(n) < count


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(0, 20, 0.0, 0.16843), (20, 20, 0.83157, 1.0), (3, 40, 0.01574, 0.20386), (0, 0, 0.0, 1.0)],
)
def test_the_exact_interval_is_that_of_the_tables(count: int, n: int, low: float, high: float) -> None:
    assert gate.exact(count, n) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


@settings(max_examples=30)
@given(st.integers(1, 60), st.floats(0.02, 0.98))
def test_the_exact_interval_holds_the_truth(n: int, truth: float) -> None:
    """Summed over all counts, so nothing is left to chance."""
    covers = 0.0
    for count in range(n + 1):
        low, high = gate.exact(count, n)
        if low <= truth <= high:
            covers += math.comb(n, count) * truth**count * (1 - truth) ** (n - count)
    assert covers >= 0.95 - 1e-9


def test_a_share_rings_where_its_whole_interval_is_beyond() -> None:
    three, four = (gate.of_share(some(k, 50), "end never", "Mend it") for k in (3, 4))
    assert isinstance(three, Gate)
    assert isinstance(four, Gate)
    assert [gate.rings("endless", found, 0.02) for found in (three, four)] == [False, True]
    assert three.words == "3 of 50 end never (6.0%, 95% interval 1.3% to 16.5%)"
    told = [gate.said("endless", found, 0.02, "warn") for found in (three, four)]
    assert [found["state"] for found in told] == ["pass", "warn"]
    assert told[0]["words"] == three.words
    assert told[1]["words"] == f"{four.words}. Mend it"
    assert four.rows == (0, 1, 2, 3)


def test_of_few_answers_nothing_is_said() -> None:
    found = gate.of_share(some(19, 19), "", "")
    assert found == Unmeasured("19 answers to look at, and fewer than 20 show nothing")


def test_pairs_that_change_both_ways_do_not_ring() -> None:
    base, tuned = some(20, 100), np.roll(some(20, 100), 20)
    found = gate.of_pairs(base, tuned, "wrong", "of the base", "Mend it", {})
    assert isinstance(found, Gate)
    assert (found.value, gate.rings("confusion", found, 0.05)) == (0, False)
    worse = gate.of_pairs(base, some(50, 100), "wrong", "of the base", "Mend it", {})
    assert isinstance(worse, Gate)
    assert worse.value == pytest.approx(0.3)
    assert gate.rings("confusion", worse, 0.05)
    assert worse.rows == tuple(range(20, 40))


def at(low: float, high: float, *, certain: bool = True) -> Gate:
    return Gate(0.5, (low, high), "words", "fix", certain=certain)


def test_lower_is_worse_where_the_threshold_says_so() -> None:
    assert gate.rings("collapse", at(0.1, 0.4), 0.5)
    assert not gate.rings("collapse", at(0.6, 0.9), 0.5)
    assert not gate.rings("endless", at(math.nan, 0.9), 0.5)
    assert gate.rings("endless", at(0.6, 0.9), 0.5)
    assert not gate.rings("endless", at(0.6, 0.9, certain=False), 0.5)


def test_what_a_gate_says_in_run_json() -> None:
    found = Gate(0.25, (0.1, math.inf), "words", "Mend it", (3,), {"n": 4})
    assert gate.said("endless", found, 0.02, "fail") == {
        "value": 0.25,
        "interval": [0.1, None],
        "threshold": 0.02,
        "state": "fail",
        "words": "words. Mend it",
        "rows": [3],
        "facts": {"n": 4},
    }
    assert gate.said("endless", found, 0.2, "fail")["state"] == "pass"


@pytest.mark.parametrize("interval", [(0.1, math.inf), (math.nan, math.nan), (0.0, 0.25)])
def test_what_is_kept_of_a_gate_rings_as_it_did(interval: tuple[float, float]) -> None:
    found = Gate(0.2, interval, "words", "Mend it", (3, "sums-001"), {"n": 4}, certain=True)
    again = gate.taken_up(json.loads(json.dumps(gate.kept(found), allow_nan=False)))
    for threshold in (0.0, 0.05, 0.3):
        wanted = gate.said("endless", found, threshold, "warn")
        assert gate.said("endless", again, threshold, "warn")["state"] == wanted["state"]
    assert again.rows == found.rows


def test_every_threshold_says_where_it_comes_from() -> None:
    for name, threshold in THRESHOLDS.items():
        assert threshold.what, name
        assert threshold.source, name


def test_a_threshold_of_ones_own() -> None:
    config = Config(thresholds={"endless": 0.5})
    assert config.threshold("endless") == 0.5
    assert config.threshold("empty") == THRESHOLDS["empty"].value


def test_an_unknown_gate_is_refused_with_the_nearest_one() -> None:
    made = {"output": "o", "sources": [{"name": "s", "path": "p"}], "gates": {"off": ["endles"]}}
    with pytest.raises(RecipeError, match=r"there is no gate 'endles'; did you mean 'endless'"):
        recipe.validate(made, "recipe.yaml")
