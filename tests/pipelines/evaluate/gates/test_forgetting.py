"""Items that the base has right and the tuned model wrong."""

import numpy as np
import pytest

from headrace.pipelines.evaluate.gates import forgetting, gate
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.evaluate.gates.gate import Bools, Gate, Outcome, Unmeasured

N = 200
SKILLS = ["sums" if at % 2 else "facts" for at in range(N)]
ITEMS = [f"i{at}" for at in range(N)]
BASE = np.arange(N) < 150


def judged(tuned: Bools) -> Outcome:
    return forgetting.forgotten("forgetting", BASE, tuned, SKILLS, ITEMS)


def test_lost_items_ring_and_are_named() -> None:
    tuned = BASE.copy()
    tuned[1:60:2] = False
    found = judged(tuned)
    assert isinstance(found, Gate)
    assert gate.rings("forgetting", found, 0.05)
    assert found.value == pytest.approx(30 / 150)
    assert found.rows[:3] == ("i1", "i3", "i5")
    assert found.facts["by_skill"]["sums"] == {"items": 100, "base_right": 75, "lost": 30, "gained": 0}
    assert found.facts["p"] == pytest.approx(2**-30)
    assert found.fix.startswith("Mix general conversations")
    assert found.words.startswith("30 of 150 items that the base has right are wrong after tuning (20.0%, ")
    assert found.words.endswith("most in sums: 30 of 75")


def test_items_that_flip_both_ways_are_not_forgotten() -> None:
    tuned = BASE.copy()
    tuned[:40] = False
    tuned[150:185] = True
    found = judged(tuned)
    assert isinstance(found, Gate)
    assert not gate.rings("forgetting", found, 0.05)
    assert (found.facts["lost"], found.facts["gained"]) == (40, 35)


def test_a_base_that_knows_nothing_has_nothing_to_lose() -> None:
    few = np.arange(N) < 9
    found = forgetting.forgotten("safety", few, ~few, SKILLS, ITEMS)
    assert found == Unmeasured("the base has 9 of 200 items right: there is nothing to lose")


@pytest.mark.parametrize(("rise", "rings"), [(0.0, False), (0.05, False), (0.5, True)])
def test_the_loss_on_general_text(rise: float, rings: bool) -> None:
    draw = np.random.default_rng(1)
    tokens = draw.integers(40, 90, 24).astype(np.float64)
    nats = draw.normal(3, 0.3, 24)
    base = np.stack([nats * tokens, tokens], 1)
    tuned = np.stack([(nats + rise + draw.normal(0, 0.02, 24)) * tokens, tokens], 1)
    found = forgetting.general_loss(base, tuned, seed=1)
    assert isinstance(found, Gate)
    assert found.value == pytest.approx(rise, abs=0.02)
    assert gate.rings("general_loss", found, THRESHOLDS["general_loss"].value) == rings
