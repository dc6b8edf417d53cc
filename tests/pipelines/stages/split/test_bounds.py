"""Bounds of sides: as many rows as were asked for, each stratum its share, times in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.stages.split import bounds
from headrace.pipelines.stages.split.config import Config

DAY = 86_400_000_000


def test_config_says_what_is_wrong() -> None:
    assert Config(test=500, validation=0.1).counted
    assert not Config(test=0.2).bounded
    with pytest.raises(ValueError, match="a whole number of rows"):
        Config(test=1.5)
    with pytest.raises(ValueError, match="train is the rest"):
        Config(train=0.5, test=500)
    with pytest.raises(ValueError, match="gap is for"):
        Config(gap=3)
    with pytest.raises(ValueError, match="stratify is for"):
        Config(by="time", stratify="label")


@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 60))
def test_a_number_of_rows_is_met(seed: int, test: int, validation: int) -> None:
    shares = np.random.default_rng(seed).random(200)
    ones = np.ones(200, np.int64)
    config = Config(test=float(test), validation=float(validation))
    if not config.counted:
        return
    found = bounds.of_units(shares, np.zeros(200, np.uint64), ones, config)
    sides = bounds.side_by_share(shares, np.zeros(200, np.uint64), found)
    assert np.bincount(sides, minlength=3).tolist() == [200 - test - validation, validation, test]


def test_every_stratum_has_its_share_and_small_ones_are_one() -> None:
    draw = np.random.default_rng(5)
    shares, strata = draw.random(1000), np.repeat(np.array([7, 8, 9], np.uint64), [900, 95, 5])
    found = bounds.of_units(shares, strata, np.ones(1000, np.int64), Config(test=0.2, stratify="label"))
    assert found["strata"] == [0, 7, 8]
    sides = bounds.side_by_share(shares, strata, found)
    assert [int((sides[strata == s] == 2).sum()) for s in (7, 8, 9)] == [180, 19, 1]
    # A stratum that comes later goes with the rest.
    assert set(bounds.side_by_share(np.array([0.0, 0.999]), np.array([5, 5], np.uint64), found)) == {2, 0}


def test_a_cluster_counts_with_all_its_rows_and_one_too_large_does_not() -> None:
    shares = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    sizes = np.array([1, 30, 5, 5, 60])
    found = bounds.of_units(shares, np.zeros(5, np.uint64), sizes, Config(test=11, validation=0))
    sides = bounds.side_by_share(shares, np.zeros(5, np.uint64), found)
    assert sides[[0, 2, 3]].tolist() == [2, 2, 2]
    assert found["test"] == [1.0]


def test_times_are_cut_from_the_end() -> None:
    times = np.arange(100, dtype=np.int64) * DAY
    found = bounds.of_times(np.append(times, bounds.NO_TIME), Config(by="time", test=0.1, validation=0.2))
    assert found == {"validation": 70 * DAY, "test": 90 * DAY}
    sides = bounds.side_by_time(np.array([0, 69, 70, 89, 90, 500]) * DAY, found)
    assert sides.tolist() == [0, 0, 1, 1, 2, 2]
    assert bounds.side_by_time(np.array([bounds.NO_TIME]), found).tolist() == [0]
    gap = bounds.in_gap(np.array([66, 67, 69, 70, 86, 87, 90]) * DAY, found, 3)
    assert gap.tolist() == [False, True, True, False, False, True, False]


def test_equal_times_stay_together() -> None:
    times = np.repeat(np.array([1, 2, 3], np.int64), 10)
    found = bounds.of_times(times, Config(by="time", test=0.1, validation=0.1))
    assert bounds.side_by_time(np.array([1, 2, 3], np.int64), found).tolist() == [0, 0, 2]


def test_a_side_that_there_is_not_never_begins() -> None:
    times = np.arange(10, dtype=np.int64)
    found = bounds.of_times(times, Config(by="time", test=0, validation=0.2))
    assert bounds.side_by_time(np.array([7, 8, 99]), found).tolist() == [0, 1, 1]
    assert bounds.of_times(np.zeros(0, np.int64), Config(by="time")) == {"validation": 0, "test": 0}
