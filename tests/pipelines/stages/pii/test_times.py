"""A date and its time of day are one value."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config
from tests.builders import contents_of, text_table

DATES = [
    "2024-05-03",
    "03.05.2024",
    "03/05/2024",
    "3 May 2024",
    "May 3, 2024",
    "2024/05/03",
    "2024.05.03",
    "03-05-2024",
]
CLOCKS = [
    "14:05",
    "14:05:22",
    "14:05:22.123",
    "2:05 PM",
    "2 pm",
    "14:05 UTC",
    "14:05:22+02:00",
    "14:05 Uhr",
    "2:05 p.m.",
]


def found(text: str, config: Config | None = None) -> list[tuple[str, str]]:
    rows = pii.find([text], config).to_pylist()
    return [(r["entity"], text[r["start"] : r["end"]]) for r in rows if r["score"] >= 0.4]


@given(
    date=st.sampled_from(DATES),
    clock=st.sampled_from(CLOCKS),
    gap=st.sampled_from([" ", ", ", " at "]),
    ahead=st.sampled_from(["", "it came ", "call me on "]),
    behind=st.sampled_from(["", " or not", ", then", "."]),
)
@settings(max_examples=150, deadline=None)
def test_they_are_one_finding(date: str, clock: str, gap: str, ahead: str, behind: str) -> None:
    assert found(f"{ahead}{date}{gap}{clock}{behind}") in (
        [("DATE_TIME", f"{date}{gap}{clock}")],
        [("DATE_TIME", f"{date}{gap}{clock}.")],  # "p.m." at the end of a sentence
    )


@pytest.mark.parametrize("text", ["14:05 03.05.2024", "14:05, 3 May 2024", "2 pm on May 3, 2024"])
def test_the_time_may_stand_first(text: str) -> None:
    assert found(f"at {text} we") == [("DATE_TIME", text)]


def test_a_time_goes_to_the_date_before_it() -> None:
    text = "2024-05-03 14:05 2024-05-04 15:05"
    assert found(text) == [("DATE_TIME", "2024-05-03 14:05"), ("DATE_TIME", "2024-05-04 15:05")]


@pytest.mark.parametrize("text", ["on 3 May 2024 5 people", "on 2024-05-03: 14 came", "on May 3, 2024: 12"])
def test_other_numbers_are_no_times(text: str) -> None:
    assert all(not said.endswith(("5", "14", "12")) for _, said in found(text))


def test_both_are_replaced_by_one_tag() -> None:
    config = Config(kinds={"DATE_TIME": "tag"})
    rows = pii.apply(text_table(["it came 03.05.2024 14:05 here"]), config)
    assert contents_of(rows) == [["it came <DATE_TIME_1> here"]]


def test_a_telephone_number_behind_a_date_stays() -> None:
    assert ("PHONE_NUMBER", "202-555-0123") in found("2024-05-03 202-555-0123")
