"""What is said again, told apart, exposed, found in training, and how sure labels are."""

import numpy as np
import pytest

from headrace.pipelines.evaluate.gates import held_out, labels, memory, speed
from headrace.pipelines.evaluate.gates.gate import Gate, Outcome, Unmeasured
from tests.builders import story

TRAINING = [story(seed, 60) for seed in range(100)]
OWN = [story(1000 + seed, 60) for seed in range(40)]
NONE = [""] * 40


def rings(found: Outcome) -> bool:
    assert isinstance(found, Gate), found
    return found.rings


def part(text: str, first: int, last: int) -> str:
    return " ".join(text.split()[first:last])


def test_the_longest_run_that_stands_in_training() -> None:
    texts = [
        f"{OWN[0]} {part(TRAINING[3], 5, 40)} {OWN[1]}",
        part(TRAINING[4], 0, 9),
        f"{part(TRAINING[5], 0, 12)} and {part(TRAINING[5], 20, 34)}",
        OWN[2],
        "",
    ]
    assert memory.longest(texts, TRAINING).tolist() == [35, 0, 14, 0, 0]
    assert memory.longest(texts, TRAINING, texts).tolist() == [0] * 5
    assert memory.longest([], TRAINING).tolist() == []
    assert memory.longest(texts, []).tolist() == [0] * 5


def test_what_many_training_answers_hold_is_a_template() -> None:
    template = part(OWN[0], 0, 40)
    held = [f"{template} {text}" for text in TRAINING]
    assert memory.longest([template], held).tolist() == [0]
    assert memory.longest([template], held[:10]).tolist() == [40]


def test_answers_that_repeat_training_answers_ring_unless_references_do() -> None:
    again = [TRAINING[at] if at < 8 else text for at, text in enumerate(OWN)]
    assert rings(memory.memorised(again, OWN, NONE, TRAINING, 0.02))
    assert not rings(memory.memorised(again, again, NONE, TRAINING, 0.02))
    assert not rings(memory.memorised(OWN[::-1], OWN, NONE, TRAINING, 0.02))


@pytest.mark.parametrize(("fall", "told"), [(0.0, False), (0.3, False), (2.0, True)])
def test_membership(fall: float, told: bool) -> None:
    draw = np.random.default_rng(3)
    base = draw.normal(3, 0.5, (2, 100))
    after = base - draw.normal(0.5, 0.7, (2, 100)) - [[fall], [0]]
    found = memory.membership(*(np.stack(side, 1) for side in zip(base, after, strict=True)), 0.65)
    assert rings(found) == told
    assert isinstance(found, Gate)
    assert found.facts["gap"] == pytest.approx(fall, abs=0.3)


def test_the_area_is_the_share_of_pairs() -> None:
    positive, negative = np.array([3.0, 1.0, 2.0] * 10), np.array([2.0, 0.0] * 10)
    area, _ = memory._area(positive, negative)
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert area == pytest.approx(np.mean(pairs))


def test_exposure_of_the_first_and_of_the_last() -> None:
    others = np.arange(1.0, 1024.0)
    assert memory.exposure(np.array([0.0, 2000.0]), others).tolist() == [10, 0]
    assert rings(memory.canaries(np.zeros(10), others, 3.0))
    unlearned = np.random.default_rng(4).uniform(0, 1024, 10)
    assert not rings(memory.canaries(unlearned, others, 3.0))
    assert isinstance(memory.canaries(np.zeros(4), others, 3.0), Unmeasured)


def test_evaluation_rows_in_training() -> None:
    held = [TRAINING[7], *OWN]
    clean = held_out.clean(held, TRAINING)
    assert clean.tolist() == [False, *[True] * 40]
    found = held_out.contamination(clean, 0.0)
    assert rings(found)
    assert isinstance(found, Gate)
    assert found.rows == (0,)
    assert not rings(held_out.contamination(held_out.clean(OWN, TRAINING), 0.0))
    assert held_out.clean([], TRAINING).tolist() == []


def test_calibration_error_of_bins_that_can_be_counted() -> None:
    confidence, right = np.full(100, 0.9), (np.arange(100) % 2).astype(np.float64)
    assert labels.error(confidence, right) == pytest.approx(0.4)


def test_who_is_as_sure_as_right_does_not_ring() -> None:
    draw = np.random.default_rng(5)
    confidence = draw.uniform(0.5, 1, 300)
    assert not rings(labels.calibration(confidence, draw.random(300) < confidence, 0.1, seed=1))
    assert rings(labels.calibration(np.full(300, 0.99), draw.random(300) < 0.7, 0.1, seed=1))
    assert isinstance(labels.calibration(confidence[:99], confidence[:99] > 0, 0.1, seed=1), Unmeasured)


def test_the_likeliest_label() -> None:
    chosen, confidence = labels.label_confidence(np.array([[0.0, np.log(3.0)], [2.0, 1.0]]))
    assert chosen.tolist() == [0, 1]
    assert confidence.tolist() == pytest.approx([0.75, 1 / (1 + np.exp(-1))])


def test_groups_that_are_answered_unlike() -> None:
    other = OWN[::-1]
    assert labels.alike(["He is a good cook"], ["She is a good cook"]).tolist() == [True]
    assert rings(labels.swaps((OWN, OWN), (OWN, other), 0.05))
    assert not rings(labels.swaps((OWN, other), (OWN, other), 0.05))


def test_speed_is_of_rounds_in_turn() -> None:
    assert rings(speed.speed([100, 104, 98, 101], [30, 31, 29, 30], 0.5))
    found = speed.speed([100, 104, 98, 101], [90, 94, 88, 91], 0.5)
    assert not rings(found)
    assert isinstance(found, Gate)
    assert found.value == pytest.approx(0.9, abs=0.01)
    assert isinstance(speed.speed([1.0], [1.0], 0.5), Unmeasured)
