"""Costs: the formulas of the module's docstring, and which assumption moves what."""

import pytest

from headrace.pipelines.examine.advice import cost
from headrace.pipelines.examine.advice.config import Costs
from headrace.pipelines.examine.advice.facts import Facts
from headrace.pipelines.examine.advice.fit import Gpu

FACTS = Facts(rows=10, records=10, core_seconds=7_200, tokens=1_000_000)
NEEDS = cost.Needs(parameters=1e9, tokens=1_000_000, epochs=2, prompt=100, answer=50)
FAST = Gpu(80, 100, 1)
PLAIN = Costs(utilisation=0.5, bandwidth=0.5, concurrency=10, core_hour=0.5, experiments=5, queries=2_000)


def test_the_formulas() -> None:
    assert cost.training(NEEDS, FAST, PLAIN) == pytest.approx(4e9 * 2e6 / 50e12 / 3600)
    again = NEEDS._replace(checkpointing=True)
    assert cost.training(again, FAST, PLAIN) == pytest.approx(1.5 * cost.training(NEEDS, FAST, PLAIN))
    seconds = 2e9 * 100 / 50e12 + 50 * (2e9 / (0.5e12 * 10) + 2e9 / 50e12)
    assert cost.query(1e9, 100, 50, FAST, PLAIN) == pytest.approx(seconds)


def test_the_sums() -> None:
    sums = cost.whole(FACTS, NEEDS, FAST, 3.6, PLAIN)
    assert sums["prepare"] == pytest.approx(1.0)  # two hours of a core
    assert sums["prepare_known"] == "measured in this run"
    assert sums["once"] == pytest.approx(1.0 + 5 * sums["training_hours"] * 3.6)
    per = sums["per_1000"]
    assert per["base"] == per["merged"] == pytest.approx(cost.query(1e9, 100, 50, FAST, PLAIN))
    assert per["unmerged"] == pytest.approx(1.25 * per["merged"])
    assert per["larger"] > per["retrieval"] > per["base"]
    months = sums["month"]
    assert months["tuned"] == pytest.approx(2 * per["merged"] + sums["training"] + sums["prepare"])
    assert months["retrieval"] == pytest.approx(2 * per["retrieval"] + 50)
    assert sums["year"]["tuned"] == pytest.approx(12 * months["tuned"] + sums["once"])
    assert sums["year"]["larger"] == pytest.approx(12 * months["larger"])


def test_a_reserved_gpu_is_paid_for_however_few_ask() -> None:
    sums = cost.whole(FACTS, NEEDS, FAST, 2.0, PLAIN.model_copy(update={"reserved": True, "queries": 0}))
    assert sums["month"]["larger"] == 1_460
    assert sums["month"]["tuned"] == pytest.approx(1_460 + sums["training"] + sums["prepare"])


def test_before_a_run_preparation_is_estimated() -> None:
    facts = Facts(rows=10, records=10, megabytes=3_600)
    assert cost.preparation(facts, Costs(prepare_speed=2)) == (0.5, "at 2 MB/s a core")


def test_prices() -> None:
    assert cost.price(Costs(), "h100-80g") == 2.95
    assert cost.price(Costs(), "t4-16g") is None
    assert cost.price(Costs(gpu_hour=0.4), "t4-16g") == 0.4
