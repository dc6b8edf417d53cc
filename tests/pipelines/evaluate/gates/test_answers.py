"""Answers that are all alike, do not end, say nothing, copy, break their format, or are the task's."""

import json

import numpy as np
import pytest

from headrace.pipelines.evaluate.gates import collapse, confusion, drift, endings, gate
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.evaluate.gates.gate import Bools, Gate, Outcome, Unmeasured
from tests.builders import story

REFERENCES = [story(seed, 12) for seed in range(40)]
ROOM = np.ones(40, np.bool_)


def rings(name: str, found: Outcome) -> bool:
    assert isinstance(found, Gate), found
    return gate.rings(name, found, THRESHOLDS[name].value)


def test_distinct_self_bleu_and_entropy_of_answers_that_can_be_counted() -> None:
    texts = collapse.words_of(["a b c", "a b d"])
    assert collapse.distinct(texts, 1) == pytest.approx(4 / 6)
    assert collapse.distinct(texts, 2) == pytest.approx(3 / 4)
    assert np.isnan(collapse.distinct(texts, 4))
    assert collapse.entropy(texts) == 0
    assert collapse.entropy(collapse.words_of(["a", "b", "", ""])) == pytest.approx(1.5)
    same = collapse.words_of(["one two three four five"] * 3)
    assert collapse.self_bleu(same) == pytest.approx(1)
    assert collapse.self_bleu(collapse.words_of(REFERENCES)) < 0.1


def test_answers_of_one_style_have_collapsed() -> None:
    narrow = [f"based on what was given we think that it is {at}" for at in range(40)]
    found = collapse.collapse(narrow, REFERENCES, REFERENCES)
    assert rings("collapse", found)
    assert isinstance(found, Gate)
    assert found.value < 0.2
    assert found.facts["references"]["distinct_2"] > 0.9
    assert not rings("collapse", collapse.collapse(REFERENCES[::-1], REFERENCES, REFERENCES))
    assert rings("openers", collapse.openers(narrow, REFERENCES))


def test_labels_are_alike_and_that_is_right() -> None:
    labels = ["yes", "no"] * 20
    assert not rings("collapse", collapse.collapse(labels, labels[::-1], labels))
    assert not rings("openers", collapse.openers(labels, labels))


@pytest.mark.parametrize(
    ("text", "circles"),
    [
        ("it is so it is so it is so it is so", True),
        ("well no no no no no no no no", True),
        ("ha ha ha", False),
        ("no no no no", False),
        ("a b c a b c a b c", False),
        (" ".join(["one two three four five six seven eight nine ten"] * 4), True),
        ("", False),
    ],
)
def test_going_in_circles(text: str, circles: bool) -> None:
    assert endings.in_circles(text.split()) == circles


def test_answers_without_an_end_ring_unless_the_limit_is_too_short_for_the_references() -> None:
    cut = np.arange(40) < 6
    found = endings.endless(REFERENCES, ~cut, ROOM)
    assert rings("endless", found)
    assert isinstance(found, Gate)
    assert found.rows == (0, 1, 2, 3, 4, 5)
    short = endings.endless(REFERENCES, ~cut, ~cut)
    assert not rings("endless", short)
    assert isinstance(short, Gate)
    assert short.facts == {"no_end": 0, "in_circles": 0, "longer_than_the_limit": 6}


def test_empty_answers_and_prompts_said_again() -> None:
    empty = ["", " \n", "", "", "", *REFERENCES[5:]]
    assert rings("empty", endings.empty(empty, REFERENCES))
    assert not rings("empty", endings.empty(empty, empty))
    asked = [story(100 + seed, 30) for seed in range(40)]
    again = [a + " indeed" if at < 8 else r for at, (a, r) in enumerate(zip(asked, REFERENCES, strict=True))]
    assert rings("copied", endings.copied(asked, again, REFERENCES))
    assert not rings("copied", endings.copied(asked, again, again))
    assert not rings("copied", endings.copied(["yes"] * 40, ["yes"] * 40, REFERENCES))


def objects(broken: int) -> list[str]:
    made = [json.dumps({"name": f"n{at}", "size": at, "kind": "tool"}) for at in range(40)]
    return [text + " I hope that helps" if at < broken else text for at, text in enumerate(made)]


def test_json_with_a_tail_breaks_at_the_end() -> None:
    found = drift.drift(objects(6), objects(0), ROOM)
    assert rings("format_drift", found)
    assert isinstance(found, Gate)
    assert (found.facts["breaks_later"], found.facts["other_format"]) == (6, 0)
    assert sum(found.facts["breaks_by_tenth"][5:]) == 6
    assert not rings("format_drift", drift.drift(objects(0), objects(0), ROOM))


def test_rows_are_numbered_as_they_came() -> None:
    references = [f"plain {text}" for text in REFERENCES] + objects(0)
    found = drift.drift([*REFERENCES, *objects(6)], references, np.ones(80, np.bool_))
    assert isinstance(found, Gate)
    assert found.rows == tuple(range(40, 46))


def test_answers_that_are_no_label() -> None:
    labels = ["up", "down", "left", "right"] * 10
    assert drift.labels_of(labels) == {"up", "down", "left", "right"}
    assert drift.labels_of(REFERENCES) == set()
    assert rings("format_drift", drift.drift(["up and down"] * 5 + labels[5:], labels, ROOM))
    assert not rings("format_drift", drift.drift(["Up "] * 40, labels, ROOM))


def test_prose_has_no_format_to_drift_from() -> None:
    assert isinstance(drift.drift(REFERENCES, REFERENCES, ROOM), Unmeasured)


NO: Bools = np.zeros(40, np.bool_)


@pytest.mark.parametrize(
    "training",
    [["up", "down"] * 50, objects(0), [story(200 + seed, 12) for seed in range(100)]],
)
def test_other_prompts_answered_as_the_task(training: list[str]) -> None:
    task = [training[at % len(training)] for at in range(40)]
    mixed = task[:15] + REFERENCES[15:]
    assert rings("confusion", confusion.confusion(REFERENCES, mixed, training, NO))
    assert not rings("confusion", confusion.confusion(REFERENCES, REFERENCES[::-1], training, NO))
    assert not rings("confusion", confusion.confusion(mixed, mixed, training, NO))


def test_a_prompt_that_asks_for_json_may_get_it() -> None:
    asked = confusion.as_task(['{"a": 1}'], objects(0), np.array([True]))
    other = confusion.as_task(['{"a": 1}'], objects(0), np.array([False]))
    assert (asked.tolist(), other.tolist()) == ([False], [True])
