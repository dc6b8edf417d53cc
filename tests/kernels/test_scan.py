"""Scan: the fast form equals walking from every character, and learns what it does not know."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kernels.scan import CODE_POINTS, UNKNOWN, Automaton, scan, scan_from

LETTERS = "ab-é日😀"


def automaton(steps: list[list[int]], accepts: list[int], starts: list[int]) -> Automaton:
    """Over the classes of `LETTERS` (one each, others 0) and the edge."""
    classes = np.zeros(CODE_POINTS, np.uint8)
    for at, letter in enumerate(LETTERS):
        classes[ord(letter)] = at
    return Automaton(
        classes,
        np.array(steps, np.uint16),
        np.array(accepts, np.uint64),
        np.array(starts, np.uint16),
        len(LETTERS),
    )


@st.composite
def automata(draw: st.DrawFn) -> Automaton:
    states = draw(st.integers(1, 6))
    number = st.integers(0, states - 1)
    rows = st.lists(number, min_size=7, max_size=7)
    steps = [[0] * 7, *(draw(rows) for _ in range(states - 1))]
    accepts = [0, *(draw(st.integers(0, (1 << 64) - 1)) for _ in range(states - 1))]
    return automaton(steps, accepts, draw(rows))


LONG = st.lists(st.text("ab-", max_size=90), max_size=3)
TEXTS = st.lists(st.one_of(st.none(), st.text(LETTERS + "z", max_size=12)), max_size=6)


@given(texts=st.one_of(TEXTS, LONG), machine=automata())
@settings(max_examples=250, deadline=None)
def test_fast_equals_plain(texts: list[str | None], machine: Automaton) -> None:
    array = pa.array(texts, pa.string())
    fast, slow = scan(array, machine), scan(array, machine, implementation="reference")
    for one, other in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(one, other)
    places = (fast.row, fast.start)
    np.testing.assert_array_equal(scan_from(array, *places, machine), fast.accepted)
    np.testing.assert_array_equal(
        scan_from(array, *places, machine, implementation="reference"), fast.accepted
    )


def word() -> Automaton:
    """Accepts 1 for "ab" at the begin of a word of a and b, and 2 where it ends there."""
    dead, begin, a, ab, end = range(5)
    steps = [[dead] * 7, [a, *[dead] * 6], [dead, ab, *[dead] * 5], [dead, dead, *[end] * 5], [dead] * 7]
    return automaton(steps, [0, 0, 0, 1, 2], [dead, dead, begin, begin, begin, begin, begin])


def test_places_are_characters_with_what_is_before_and_behind() -> None:
    found = scan(["ab", "é-ab日", "bab abb", "", None, "😀ab"], word())
    rows = list(zip(*(column.tolist() for column in found), strict=True))
    assert rows == [(0, 0, 2, 3), (1, 2, 5, 3), (5, 1, 3, 3)]
    assert scan(["abb-"], word()).accepted.tolist() == [1]


def test_every_layout_is_read(hard: list[str], layout: Callable[[list[str]], object]) -> None:
    due = scan(hard, word(), implementation="reference")
    for one, other in zip(scan(layout(hard), word()), due, strict=True):  # type: ignore[arg-type]
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("implementation", ["cpu", "reference"])
def test_unknown_steps_are_learned_once(implementation: str) -> None:
    whole = word()
    blank = whole._replace(steps=np.full_like(whole.steps, UNKNOWN))
    blank.steps[0] = 0
    asked: list[int] = []

    def learn(state: int) -> None:
        asked.append(state)
        blank.steps[state] = whole.steps[state]

    texts = ["ab ab", "-ab"] * 3
    found = scan(texts, blank, learn, implementation=implementation)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.accepted, scan(texts, whole).accepted)
    assert sorted(asked) == sorted(set(asked))
    with pytest.raises(ValueError, match="unknown"):
        scan(["ab"], whole._replace(steps=np.full_like(whole.steps, UNKNOWN)))


def test_more_places_than_fit_at_once() -> None:
    found = scan(["-ab" * 40_000], word())
    assert len(found.row) == 40_000
    assert found.start.tolist() == list(range(1, 120_000, 3))


def test_tables_and_places_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        scan(["ab"], word()._replace(edge=3))
    for row, start in ((0, 2), (1, 0), (0, -1)):
        with pytest.raises(ValueError, match="not in its text"):
            scan_from(["ab"], np.array([row]), np.array([start]), word())
