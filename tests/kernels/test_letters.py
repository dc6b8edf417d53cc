"""Values said elsewhere: the fast search finds what the plain one finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kernels.letters import cpu, said
from headrace.kernels.letters.reference import letters
from headrace.pipelines.stages.pii.masking.values import folded

PIECES = [
    "ann",
    "Ann",
    "LÉE",
    "lee",
    " ",
    "-",
    "１２",
    "12",
    "ﷺ",
    "漢字",
    "ß",
    "ss",
    "न",
    "ा",
    "\x1e",
    "😀",
    "_",
]


def told(
    texts: list[list[str]], values: list[list[str]], parts: list[list[str]], how: str = "cpu"
) -> tuple[list[bool], list[bool]]:
    """`said` of lists by owner."""
    given = []
    for lists in (texts, values, parts):
        given += [[one for ones in lists for one in ones]]
        given += [np.repeat(np.arange(len(lists)), [len(ones) for ones in lists]).astype(np.int64)]
    found = said(*given, implementation=how)  # type: ignore[arg-type]
    return found.values.tolist(), found.texts.tolist()


def test_a_value_is_said_elsewhere_or_not() -> None:
    texts = [["Ann Lee is ann-LEE", "Lee"], ["Ann Lee"], ["nothing"]]
    values, parts = [["annlee", "lee", "ann"], ["annlee", "lee"], ["annlee"]], [["Ann Lee"], ["Ann Lee"], []]
    assert told(texts, values, parts) == ([True, True, True, False, False, False], [True, True, False, False])


def test_a_value_over_itself_is_said_again() -> None:
    assert told([["Ann Ann Ann"]], [["annann"]], [["Ann Ann"]]) == ([True], [True])


ROWS = st.lists(st.lists(st.sampled_from(PIECES), max_size=6).map("".join), max_size=4)


@given(st.lists(st.tuples(ROWS, ROWS, ROWS), max_size=4))
@settings(max_examples=200, deadline=None)
def test_fast_equals_plain(rows: list[tuple[list[str], list[str], list[str]]]) -> None:
    texts, names, parts = ([row[n] for row in rows] for n in range(3))
    values = [[one for one in map(folded, row) if one] for row in names]
    assert told(texts, values, parts) == told(texts, values, parts, "reference")


@given(st.lists(st.text(max_size=20), max_size=3), st.text(min_size=1, max_size=2))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_searched(texts: list[str], value: str) -> None:
    values = [[folded(value)] if folded(value) else []]
    assert told([texts], values, [[]]) == told([texts], values, [[]], "reference")
    assert ["".join(map(letters, text)) for text in texts] == list(map(folded, texts))


def test_room_and_letters_are_made_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "ROOM", 4)
    monkeypatch.setattr(cpu, "MET", 2)
    cpu.table.cache_clear()
    text = "".join(map(chr, range(0x4E00, 0x4E40))) + "ﷺ" * 9
    assert told([[text, "ann"]], [[folded("ﷺ"), "ann", "x"]], [["ann"]]) == (
        [True, False, False],
        [True, False],
    )


def test_wrong_columns_are_refused() -> None:
    one = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="2 items and 1 owners"):
        said(["a", "b"], one, ["a"], one, [], one[:0])
    with pytest.raises(ValueError, match="owners descend"):
        said(["a", "b"], np.array([1, 0]), ["a"], one, [], one[:0])
    with pytest.raises(ValueError, match="a value is empty"):
        said(["a"], one, [""], one, [], one[:0])


def test_letters_that_were_met_before_room_ran_out_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "ROOM", 8)
    cpu.table.cache_clear()
    assert told([["漢", "abcdefgh"]], [["漢"]], [[]]) == ([True], [True, False])
