"""Values: found again in any letter case and spacing, at token boundaries and nowhere else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.pii_values import Folded, folded


@pytest.mark.parametrize(
    ("value", "text", "places"),
    [
        ("Ann Lee", "ann  LEE, Ann-Lee; AnnLee", ["ann  LEE", "Ann-Lee", "AnnLee"]),
        ("(425) 882-8080", "425.882.8080 or +1 4258828080", ["425.882.8080", "4258828080"]),
        ("Ann Lee", "Joann Lee, Ann Leed, Ann and Lee", []),
        ("425882", "4258820", []),
        ("Straße 5", "STRASSE 5", ["STRASSE 5"]),
        ("Élodie", "élodie ÉLODIE elodie", ["élodie", "ÉLODIE"]),
        ("Ann Lee", "Ann .... Lee", []),
        ("Ann", "ann_ann", ["ann", "ann"]),
        ("--", "a -- b", []),
    ],
)
def test_places(value: str, text: str, places: list[str]) -> None:
    assert [text[a:b] for a, b in Folded(text).places(folded(value))] == places


def test_exact_asks_for_the_letter_case() -> None:
    text = "Will will go, said WILL"
    assert [text[a:b] for a, b in Folded(text).places("will", exact="Will")] == ["Will"]


@given(text=st.text(max_size=30), value=st.text(max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_place_always_holds_the_value_and_nothing_touches_it(text: str, value: str) -> None:
    for start, end in Folded(text).places(folded(value)):
        assert folded(text[start:end]) == folded(value) != ""
        assert not text[start - 1 : start].isalnum()
        assert not text[end : end + 1].isalnum()
