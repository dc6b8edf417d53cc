"""What is said again, told apart, exposed, found in training, and how sure labels are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.pipelines.evaluate.gates import gate, held_out, labels, memory, speed
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.evaluate.gates.gate import Bools, Floats, Gate, Outcome, Unmeasured
from tests.builders import story

TRAINING = [story(seed, 60) for seed in range(100)]
OWN = [story(1000 + seed, 60) for seed in range(40)]


def rings(name: str, found: Outcome) -> bool:
    assert isinstance(found, Gate), found
    return gate.rings(name, found, THRESHOLDS[name].value)


def part(text: str, first: int, last: int) -> str:
    return " ".join(text.split()[first:last])


def looked(texts: list[str], training: list[str], prompts: list[str] | None = None) -> memory.Repeats:
    found = memory.Repeats(texts, prompts)
    found.look(training)
    return found


def test_the_longest_run_that_stands_in_training() -> None:
    texts = [
        f"{OWN[0]} {part(TRAINING[3], 5, 40)} {OWN[1]}",
        part(TRAINING[4], 0, 9),
        f"{part(TRAINING[5], 0, 12)} and {part(TRAINING[5], 20, 34)}",
        OWN[2],
        "",
    ]
    assert looked(texts, TRAINING).runs().tolist() == [35, 0, 14, 0, 0]
    assert looked(texts, TRAINING, texts).runs().tolist() == [0] * 5
    assert looked([], TRAINING).runs().tolist() == []
    assert looked(texts, []).runs().tolist() == [0] * 5


def test_what_many_training_answers_hold_is_a_template() -> None:
    template = part(OWN[0], 0, 40)
    held = [f"{template} {text}" for text in TRAINING]
    assert looked([template], held).runs().tolist() == [0]
    assert looked([template], held[:10]).runs().tolist() == [40]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(TRAINING)), max_size=5).map(sorted), st.integers(0, 5))
def test_parts_of_the_training_rows_show_what_all_of_them_show(cuts: list[int], moved: int) -> None:
    texts = [*OWN[:5], *TRAINING[40:45], f"{OWN[6]} {part(TRAINING[8], 0, 33)}"]
    whole = looked(texts, TRAINING)
    pieces = [TRAINING[a:b] for a, b in zip([0, *cuts], [*cuts, len(TRAINING)], strict=True)]
    total = looked(texts, [])
    for piece in pieces[:moved]:
        total.look(piece)
    for piece in pieces[moved:]:
        total.add(looked(texts, piece))
    assert total.answers == whole.answers == len(TRAINING)
    assert total.runs().tolist() == whole.runs().tolist()
    assert total.whole().tolist() == whole.whole().tolist() == [5 <= at < 10 for at in range(11)]


def repeats(answers: list[str], references: list[str]) -> Outcome:
    return memory.memorised(looked([*answers, *references], TRAINING), len(answers))


def test_answers_that_repeat_training_answers_ring_unless_references_do() -> None:
    again = [TRAINING[at] if at < 8 else text for at, text in enumerate(OWN)]
    assert rings("memorised", repeats(again, OWN))
    assert not rings("memorised", repeats(again, again))
    assert not rings("memorised", repeats(OWN[::-1], OWN))


def some(count: int, n: int) -> Bools:
    return np.arange(n) < count


def test_training_answers_that_are_said_again_and_held_out_ones_not() -> None:
    found = memory.recited(some(30, 40), some(4, 80))
    assert rings("recited", found)
    assert isinstance(found, Gate)
    assert found.value == pytest.approx(0.7)
    # Newcombe's interval of the exact ones: .5880 to .8731 and .0138 to .1231
    assert found.interval == (pytest.approx(0.5221, abs=1e-3), pytest.approx(0.8283, abs=1e-3))
    assert not rings("recited", memory.recited(some(30, 40), some(60, 80)))
    assert not rings("recited", memory.recited(some(2, 40), some(0, 80)))
    assert isinstance(memory.recited(some(9, 19), some(0, 80)), Unmeasured)


@pytest.mark.parametrize(("fall", "told"), [(0.0, False), (0.3, False), (2.0, True)])
def test_membership(fall: float, told: bool) -> None:
    draw = np.random.default_rng(3)
    base = draw.normal(3, 0.5, (2, 100))
    after = base - draw.normal(0.5, 0.7, (2, 100)) - [[fall], [0]]
    found = memory.membership(*(np.stack(side, 1) for side in zip(base, after, strict=True)))
    assert rings("membership", found) == told
    assert isinstance(found, Gate)
    assert found.facts["gap"] == pytest.approx(fall, abs=0.3)


def test_the_area_is_the_share_of_pairs() -> None:
    positive, negative = np.array([3.0, 1.0, 2.0] * 10), np.array([2.0, 0.0] * 10)
    area, _ = memory._area(positive, negative)
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert area == pytest.approx(np.mean(pairs))


def test_exposure_of_the_first_and_of_the_last() -> None:
    others = np.tile(np.arange(1.0, 1024.0), (10, 1))
    assert memory.exposure(np.array([0.0, 2000.0]), others[:2]).tolist() == [10, 0]
    learned = memory.canaries(np.zeros(10), others)
    assert rings("canaries", learned)
    assert isinstance(learned, Gate)
    assert learned.value == learned.interval[1] == learned.facts["most"], "no more than can be seen"
    unlearned = np.random.default_rng(4).uniform(0, 1024, 10)
    assert not rings("canaries", memory.canaries(unlearned, others))
    assert isinstance(memory.canaries(np.zeros(4), others[:4]), Unmeasured)


def test_evaluation_rows_in_training() -> None:
    held = [TRAINING[7], *OWN]
    shares = held_out.shares(held, TRAINING)
    assert shares.tolist() == [1.0, *[0.0] * 40]
    found = held_out.contamination(shares, 100)
    assert rings("contamination", found)
    assert isinstance(found, Gate)
    assert found.rows == (0,)
    assert not rings("contamination", held_out.contamination(held_out.shares(OWN, TRAINING), 100))
    assert held_out.shares([], TRAINING).tolist() == []


def test_rows_of_one_template_are_alike_and_have_not_leaked() -> None:
    form = "please send the parcel number {} to the depot in {} before noon and call the driver named {}"
    words = " ".join(TRAINING).split()
    made = [form.format(*words[3 * at : 3 * at + 3]) for at in range(300)]
    for first, leaked in ((40, False), (39, True)):
        found = held_out.contamination(held_out.shares(made[:40], made[first:]), 300 - first)
        assert rings("contamination", found) == leaked


def test_rows_looked_at_in_parts_leak_as_they_do_together() -> None:
    held = [TRAINING[7], TRAINING[93], part(TRAINING[50], 0, 50), *OWN[:5]]
    total = held_out.Leaks(held)
    total.look(TRAINING[:30])
    total.look(TRAINING[30:60])
    other = held_out.Leaks(held)
    other.look(TRAINING[60:])
    total.add(other)
    assert total.rows == 100
    assert total.shares().tolist() == held_out.shares(held, TRAINING).tolist()


def test_calibration_error_of_bins_that_can_be_counted() -> None:
    confidence, right = np.full(100, 0.9), (np.arange(100) % 2).astype(np.float64)
    assert labels.error(confidence, right) == pytest.approx(0.4)


def costs(confidence: Floats, right: Bools) -> tuple[Floats, NDArray[np.int64]]:
    """Nats of two labels of which the first has this probability, and the right one."""
    return -np.log(np.stack([confidence, 1 - confidence], 1)), np.where(right, 0, 1)


def test_who_is_as_sure_as_right_does_not_ring() -> None:
    draw = np.random.default_rng(5)
    sure = draw.uniform(0.5, 1, 300)
    fair, wanted = costs(sure, draw.random(300) < sure)
    found = labels.calibration(fair, fair, wanted, seed=1)
    assert not rings("calibration", found)
    assert isinstance(found, Gate)
    assert found.facts["ece_of_base"] == found.facts["ece"]
    nats, wanted = costs(np.full(300, 0.99), draw.random(300) < 0.7)
    assert rings("calibration", labels.calibration(fair, nats, wanted, seed=1))
    assert isinstance(labels.calibration(fair[:99], fair[:99], wanted[:99], seed=1), Unmeasured)


def test_the_likeliest_label() -> None:
    chosen, confidence = labels.label_confidence(np.array([[0.0, np.log(3.0)], [2.0, 1.0]]))
    assert chosen.tolist() == [0, 1]
    assert confidence.tolist() == pytest.approx([0.75, 1 / (1 + np.exp(-1))])


def test_labels_that_do_not_hang_on_what_is_asked() -> None:
    """Kappa of a table that can be counted: 30 of 40 right, 20 by chance."""
    wanted = ["yes", "no"] * 20
    said = ["Yes" if at < 10 else text for at, text in enumerate([*wanted[:20], *wanted[20:]])]
    found = labels.signal(said, wanted)
    assert isinstance(found, Gate)
    assert found.value == pytest.approx((35 / 40 - 0.5) / 0.5)
    assert found.rows == (1, 3, 5, 7, 9)
    assert not rings("signal", found)
    draw = np.random.default_rng(6)
    names = ["red", "blue", "green", "grey"]
    drawn = [names[at] for at in draw.integers(0, 4, 200)]
    assert rings("signal", labels.signal([names[at] for at in draw.integers(0, 4, 200)], drawn))
    assert not rings("signal", labels.signal(drawn, drawn))
    assert isinstance(labels.signal(OWN, OWN), Unmeasured)


def test_groups_that_are_answered_unlike() -> None:
    other = OWN[::-1]
    assert labels.alike(["He is a good cook"], ["She is a good cook"]).tolist() == [True]
    assert rings("swaps", labels.swaps((OWN, OWN), (OWN, other)))
    assert not rings("swaps", labels.swaps((OWN, other), (OWN, other)))


def test_the_faster_of_two_ways_to_serve_is_held() -> None:
    base, slow, fast = [100.0, 104, 98, 101], [30.0, 31, 29, 30], [90.0, 94, 88, 91]
    gib = {"base": 1.0, "tuned": 1.25}
    assert rings("speed", speed.speed({"base": base, "tuned": slow}, gib))
    found = speed.speed({"base": base, "tuned": slow, "merged": fast}, gib)
    assert not rings("speed", found)
    assert isinstance(found, Gate)
    assert found.value == pytest.approx(0.9, abs=0.01)
    assert found.facts["tokens_per_second"] == {"base": 100.5, "tuned": 30.0, "merged": 90.5}
    assert found.facts["memory_gib"] == gib
    assert isinstance(speed.speed({"base": [1.0], "tuned": [1.0]}, gib), Unmeasured)
