"""Preambles: lines that many prompts share beside what they ask, and nothing else."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import kernels
from headrace.kernels import grams
from headrace.pipelines import preambles
from tests import builders

SYSTEM = "You answer for the bank of the north, and you are polite, short and always right about fees."


def questions(count: int) -> list[str]:
    return [builders.story(700 + k, 6) for k in range(count)]


def told(texts: list[str]) -> list[list[str]]:
    """The lines of a preamble of each text."""
    lines, ends = preambles.split(pa.array(texts, pa.large_string()))
    words = grams.words(kernels.fold(lines))
    mask, _ = preambles.told(words, ends)
    named = [line if held else None for line, held in zip(lines.to_pylist(), mask, strict=True)]
    return [[x for x in named[a:b] if x is not None] for a, b in pairwise(ends)]


@pytest.mark.parametrize(("holders", "expected"), [(preambles.HELD - 1, []), (preambles.HELD, [SYSTEM])])
def test_a_line_is_of_a_preamble_where_enough_prompts_hold_it(holders: int, expected: list[str]) -> None:
    assert told([f"{SYSTEM}\n{q}" for q in questions(holders)]) == [expected] * holders


def test_a_line_that_names_its_customer_is_shared_all_the_same() -> None:
    named = [
        f"{SYSTEM} {SYSTEM.upper()} The customer is {name}."
        for name in ("Ann", "Bo", "Cy", "Di", "Ed", "Flo")
    ]
    found = told([f"{line}\n{q}" for line, q in zip(named, questions(6), strict=True)])
    assert found == [[line] for line in named]
    keys = keys_of([f"{line}\n{q}" for line, q in zip(named, questions(6), strict=True)])
    assert len({first for first, _ in keys}) == 1
    assert len({second for _, second in keys}) == 6


def keys_of(texts: list[str]) -> list[list[int]]:
    lines, ends = preambles.split(pa.array(texts, pa.large_string()))
    words = grams.words(kernels.fold(lines))
    _, keys = preambles.told(words, ends)
    return [keys[a:b].tolist() for a, b in pairwise(ends)]


def test_a_prompt_that_says_nothing_of_its_own_has_none() -> None:
    assert told([SYSTEM] * 9) == [[]] * 9
    assert told([f"{SYSTEM}\nfees?" for _ in range(9)]) == [[]] * 9


def test_what_is_asked_may_be_one_word_and_asked_again() -> None:
    assert told([f"{SYSTEM}\n{q.split()[0]}" for q in questions(9)]) == [[SYSTEM]] * 9
    often, times = 6 * ["fees?"], preambles.TIMES
    others = questions(times * len(often) - len(often))
    assert told([f"{SYSTEM}\n{q}" for q in often + others]) == [[SYSTEM]] * (times * len(often))
    assert told([f"{SYSTEM}\n{q}" for q in often + others[1:]])[0] == []


def test_short_lines_are_lines_too() -> None:
    assert told([f"Answer in short.\n\n{q}" for q in questions(9)]) == [["Answer in short."]] * 9


@given(st.lists(st.text(alphabet="ab \n", max_size=12), min_size=1, max_size=6), st.data())
def test_texts_of_some_lines(texts: list[str], data: st.DataObject) -> None:
    lines, ends = preambles.split(pa.array(texts, pa.large_string()))
    assert lines.to_pylist() == [line for text in texts for line in text.split("\n")]
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(lines), max_size=len(lines))), np.bool_)
    flags = iter(kept.tolist())
    expected = ["\n".join(line for line in text.split("\n") if next(flags)) for text in texts]
    assert preambles.joined(lines, ends, kept).to_pylist() == expected


def test_nothing_is_told_of_nothing() -> None:
    assert told([]) == []
    assert told(["", "\n\n"]) == [[], []]
