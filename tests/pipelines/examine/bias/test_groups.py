"""Words that name groups: in their own language, whole, and with their counterparts."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from headrace.pipelines.examine.bias import groups
from headrace.pipelines.examine.bias.config import Config

GIVEN = groups.lists(
    Config(groups={"staff": {"own": ["Employee", "permanent staff"], "agency": ["temp", "agency-worker"]}})
)


def named(text: str) -> list[tuple[str, str]]:
    """(list, group) of each word that counts."""
    found = groups.named(pa.array([text], pa.large_string()), np.zeros(1, np.int64), 1, GIVEN)
    meanings = groups.meanings_of(GIVEN)
    return [meanings[int(meaning)] for meaning in found.meanings]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Is she the one? HE's not.", [("gender", "female"), ("gender", "male")]),
        ("the sheep of the manor", []),
        ("Was macht man mit der Frau?", [("gender", "female")]),
        ("mais son père est avec elle", [("gender", "male"), ("gender", "female")]),
        ("el niño es de aquí", [("gender", "male"), ("age", "young")]),
        ("he", [("gender", "male")]),
        ("Polish the silver that is Polish", [("nationality", "polish")] * 2),
        ("polish the silver that is in china", []),
        ("this is an old file of a young man", [("age", "young")]),
        ("the EMPLOYEE and the agency worker", [("staff", "own"), ("staff", "agency")]),
        ("permanent  staff", [("staff", "own")]),
    ],
)
def test_what_a_text_names(text: str, found: list[tuple[str, str]]) -> None:
    assert sorted(named(text)) == sorted(found)


def test_counterparts_are_the_first_ones_and_doubtful_words_have_none() -> None:
    of = GIVEN.counterparts
    assert of["gender", "female", "she"] == {"male": "he"}
    assert of["gender", "male", "him"] == {"female": "her"}
    assert of["gender", "male", "mr"] == {"female": "ms"}
    assert ("gender", "female", "her") not in of
    assert ("gender", "female", "frau") not in of
    assert of["nationality", "german", "germans"]["polish"] == "poles"
    assert "french" not in of["nationality", "german", "germans"]
    assert of["staff", "own", "permanent staff"] == {"agency": "agency worker"}


@pytest.mark.parametrize("kind", ["gender", "nationality", "age"])
def test_the_lists_are_well_formed(kind: str) -> None:
    words = groups.shipped(kind)
    assert {word.language for word in words} <= {"en", "de", "fr", "es", "it", "pt"}
    for word in words:
        assert word.text == word.text.lower().strip()
        others = {w.group for w in words if (w.text, w.language) == (word.text, word.language)}
        assert others == {word.group}, word


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gender": {"a": ["x"], "b": ["y"]}}, "'gender' is the name of a list"),
        ({"g": {"a": ["x"]}}, "at least 2"),
        ({"g": {"a": ["x"], "b": []}}, "at least 1"),
        ({"g": {"a": ["The boss"], "b": ["the  BOSS"]}}, "stands in 'a' and in 'b'"),
        ({"g": {"a": [" "], "b": ["y"]}}, "is no word"),
        ({"g": {"a": ["++"], "b": ["y"]}}, "is no word"),
        ({"g": {"a": ["a-b-c-d-e-f-g-h-i"], "b": ["y"]}}, "no phrase of up to 8"),
        ({"g": {"a": ["Boss."], "b": ["boss"]}}, "stands in 'a' and in 'b'"),
    ],
)
def test_lists_that_cannot_be_are_refused(given: dict[str, dict[str, list[str]]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Config(groups=given)
