"""Sides that are too small, or unlike train, are told with their numbers; others are not."""

import numpy as np
import pytest

from headrace.pipelines.examine import sides


def test_an_interval_too_wide_is_told() -> None:
    found = sides.report({"train": 900, "validation": 400, "test": 50}, {})
    assert found["intervals"] == {"validation": 0.049, "test": 0.1386}
    assert found["words"] == [
        "test has 50 samples: a share is told to 14 points up or down, so a smaller gain cannot be told from "
        "none; hold out more rows"
    ]
    assert sides.report({"train": 900, "validation": 0, "test": 0}, {})["words"] == []


def test_a_side_of_another_mix_is_told() -> None:
    train = {"task": {"maths": 500, "code": 500}, "language": {"en": 1000}}
    test = {"task": {"maths": 190, "code": 10}, "language": {"en": 200}}
    found = sides.report({"test": 200}, {"train": train, "test": test})
    assert found["unlike"] == [
        {"side": "test", "trait": "task", "value": "code", "share": 0.05, "train": 0.5}
    ]
    assert found["words"] == ["test is unlike train: task code is 5% of it, and 50% of train"]


@pytest.mark.parametrize("n", [20, 200, 2000])
def test_a_fair_draw_is_not_unlike(n: int) -> None:
    draw = np.random.default_rng(n)
    told = 0
    for _ in range(500):
        counts = draw.multinomial(n, [0.4, 0.3, 0.2, 0.1])
        mix = {"task": {str(at): int(count) for at, count in enumerate(counts)}}
        whole = {"task": {"0": 40_000, "1": 30_000, "2": 20_000, "3": 10_000}}
        told += bool(sides.differences(whole, mix))
    assert told <= 2
