"""Values to start with: a section that a recipe takes, and steps of about so many samples."""

from typing import get_args

import pytest
import yaml

from headrace.pipelines import recipe
from headrace.pipelines.examine.advice import start
from headrace.pipelines.examine.advice.config import Kind
from headrace.pipelines.examine.advice.facts import Facts


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("parameters", [0, 1e9, 70e9])
def test_the_section_can_be_pasted(kind: Kind, parameters: float) -> None:
    facts = Facts(rows=5_000, records=5_000, samples=4_500, packed=300, tokens=600_000)
    plan = start.plan(facts, kind, parameters, batch=4)
    whole = {"output": "out", "sources": [{"path": "in"}], **yaml.safe_load(start.section(plan.values))}
    read = recipe.validate(whole, "pasted").train
    assert {key: getattr(read, key) for key in plan.values} == plan.values
    assert all("https://" in why for why in plan.why[:2])


def test_a_large_model_learns_at_half_the_rate() -> None:
    facts = Facts(rows=5_000, records=5_000)
    rates = [start.plan(facts, "narrow", n, 4).values["learning_rate"] for n in (7e9, 65e9)]
    assert rates == [2e-4, 1e-4]


@pytest.mark.parametrize(
    ("samples", "packed", "rows", "steps"),
    [
        (1_600, 1_600, 16, 300),  # a sample a packed row
        (1_600, 400, 4, 300),
        (1_600, 20, 1, 60),  # eighty a packed row: as few as there can be
    ],
)
def test_a_step_has_about_sixteen_samples(samples: int, packed: int, rows: int, steps: int) -> None:
    facts = Facts(rows=samples, records=samples, samples=samples, packed=packed, tokens=packed * 2_000)
    plan = start.plan(facts, "narrow", 8e9, batch=4)
    values = plan.values
    assert values["rows_per_step"] == rows
    assert values["batch_size"] == min(4, rows)
    assert plan.steps == steps
    short = [why for why in plan.why if why.startswith("samples are short")]
    assert bool(short) == (packed == 20)
    assert any("steps are few" in why for why in plan.why) == (steps < start.STEPS)


def test_short_samples_ask_for_short_rows() -> None:
    """Ten thousand samples of 20 tokens in rows of 2,048: a hundred each, two hundred a step."""
    facts = Facts(rows=10_000, records=10_000, samples=10_000, packed=100, tokens=200_000)
    why = start.plan(facts, "narrow", 8e9, 4).why
    assert "with `tokenise.max_length: 512` (longer rows are split) a step holds about 26 of them" in why[2]
