"""Values: found again in any letter case and spacing, at token boundaries and nowhere else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii.masking.values import Folded, folded, identity


@pytest.mark.parametrize(
    ("value", "text", "places"),
    [
        ("Ann Lee", "ann  LEE, Ann-Lee; AnnLee", ["ann  LEE", "Ann-Lee", "AnnLee"]),
        ("(425) 882-8080", "425.882.8080 or +1 4258828080", ["425.882.8080", "4258828080"]),
        ("Ann Lee", "Joann Lee, Ann Leed, Ann and Lee", []),
        ("425882", "4258820", []),
        ("Straße 5", "STRASSE 5", ["STRASSE 5"]),
        ("Élodie", "élodie ÉLODIE elodie", ["élodie", "ÉLODIE", "elodie"]),
        ("425", "４２５", ["４２５"]),
        ("na", "नाna", []),
        ("Ann Lee", "Ann .... Lee", []),
        ("Ann", "ann_ann", ["ann", "ann"]),
        ("--", "a -- b", []),
    ],
)
def test_places(value: str, text: str, places: list[str]) -> None:
    assert [text[a:b] for a, b in Folded(text).find(folded(value))] == places


def test_many_values_are_found_at_once() -> None:
    text = Folded("Ann Lee, 425.882.8080; ann")
    found = list(text.occurrences(["annlee", "ann", "4258828080"]))
    assert sorted(text.text[a:b] for a, b, _ in found) == ["425.882.8080", "Ann", "Ann Lee", "ann"]


def test_what_stands_between_counts_where_it_says_which_value_it_is() -> None:
    assert identity("IP_ADDRESS", "1.23.45.67") != identity("IP_ADDRESS", "12.3.45.67")
    assert identity("PHONE_NUMBER", "+1 (425) 882-8080") == identity("PHONE_NUMBER", "425.882.8080")
    assert identity("PERSON", "Ann  LEE") == identity("PERSON", "ann lee")
    assert identity("X", "--") == "--"


@given(text=st.text(max_size=30), value=st.text(max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_place_always_holds_the_value_and_nothing_touches_it(text: str, value: str) -> None:
    for start, end in Folded(text).find(folded(value)):
        assert folded(text[start:end]) == folded(value) != ""
        assert not text[start - 1 : start].isalnum()
        assert not text[end : end + 1].isalnum()
