"""Names of streets that name something else: papers, banks, shows, offices; addresses beside them stay."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.recognizers.lists import words


def addresses(text: str) -> list[str]:
    rows = pii.find([text], Config()).to_pylist()
    return [text[r["start"] : r["end"]] for r in rows if r["entity"] == "STREET_ADDRESS"]


@pytest.mark.parametrize(
    "text",
    [
        "The 1929 Wall Street crash hit them.",
        "I read 2 Wall Street Journal articles.",
        "I read 2 Wall Street Journal.",
        "since 1882 Wall Street Journal readers",
        "top 10 Wall Street banks",
        "500 Wall Street bankers",
        "In 1969 Sesame Street began.",
        "in November 1969 Sesame Street began",
        "Season 12 Sesame Street episodes",
        "the 3 Main Street Bank branches",
        "7 Main Street Bank's customers",
        "the 12 Baker Street Irregulars",
        "10 Downing Street said the talks went well.",
        "11 Downing Street's spokesman",
        "the film 21 Jump Street",
        "22 Jump Street is a sequel",
        "the 1969 album Abbey Road",
        "The 2011 Occupy Wall Street protests",
        "3 Quality Street chocolates",
    ],
)
def test_what_names_something_else_is_no_address(text: str) -> None:
    assert addresses(text) == []


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("He lives at 10 Downing Street, London SW1A 2AA.", "10 Downing Street, London SW1A 2AA"),
        ("Send it to 55 Wall Street, New York, NY 10005", "55 Wall Street, New York, NY 10005"),
        ("We live in 1920 Oak Street", "1920 Oak Street"),
        ("the house at 1920 Oak Street is mine", "1920 Oak Street"),
        ("Meet me at 221B Baker Street.", "221B Baker Street"),
        ("the 1920 Oak Street property", "1920 Oak Street"),
        ("1750 vasantham colony new film street washington", "1750 vasantham colony new film street"),
        ("12 Main Street Bank, Springfield, IL 62701", "12 Main Street Bank, Springfield, IL 62701"),
    ],
)
def test_addresses_in_the_same_streets_stay(text: str, due: str) -> None:
    assert addresses(text) == [due]


@given(
    number=st.integers(1, 1799),
    street=st.sampled_from(["Wall Street", "Sesame Street", "Elm Street", "Oak Avenue", "Abbey Road"]),
    behind=st.sampled_from(["", ".", ", please", ", Springfield, IL 62701", " is where I live", " and ring"]),
    ahead=st.sampled_from(["", "I live at ", "to ", "my address is ", "near "]),
)
@settings(max_examples=100, deadline=None)
def test_a_number_and_a_street_alone_are_an_address(
    number: int, street: str, behind: str, ahead: str
) -> None:
    assert [one[: len(f"{number} {street}")] for one in addresses(f"{ahead}{number} {street}{behind}")] == [
        f"{number} {street}"
    ]


@pytest.mark.parametrize("name", ["no_street_bodies", "no_street_works", "streets_known"])
def test_lists_are_in_small_letters(name: str) -> None:
    assert all(word == word.lower() for word in words(name))
