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


@pytest.mark.parametrize("word", ["€uro", "हिन्दी", "naïf", "l'or", "Mr.", "agency-worker", "前田"])
def test_a_word_of_the_recipe_s_is_found_as_it_is_written(word: str) -> None:
    given = groups.lists(Config(lists=(), groups={"own": {"a": [word], "b": ["other"]}}))
    texts = pa.array([word, f"of {word}, too", f"x{word}"], pa.large_string())
    assert groups.named(texts, np.arange(3), 3, given).messages.tolist() == [0, 1]


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
        ({"g": {"a": ["nº"], "b": ["y"]}}, "'nº' would be found as 'n', without 'º'"),
        ({"g": {"a": ["#boss"], "b": ["y"]}}, "would be found as 'boss', without '#'"),
        ({"g": {"a": ["C++"], "b": ["y"]}}, "would be found as 'c', without"),
        ({"g": {"a": ["xªy"], "b": ["y"]}}, "would be found as 'x y', without 'ª'"),
    ],
)
def test_lists_that_cannot_be_are_refused(given: dict[str, dict[str, list[str]]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Config(groups=given)
