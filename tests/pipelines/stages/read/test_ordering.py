"""Records of a conversation stand in the order of what their values stand for, however they are written."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.stages.read import ordering

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1))


def ordered(values: list[Any], *more: list[Any]) -> list[Any]:
    """`values`, of one conversation, in their order."""
    return [values[i] for i in of(values, *more)[0]]


def counted(values: list[Any], *more: list[Any]) -> dict[str, int]:
    """What is said of that order, zeros left out."""
    return {kind: int(n.sum()) for kind, n in of(values, *more)[1].items() if n.any()}


def of(*columns: list[Any]) -> tuple[list[int], dict[str, Any]]:
    records = [dict(zip("abc", row, strict=False)) for row in zip(*columns, strict=True)]
    places, counts = ordering.order(records, np.zeros(len(records), np.int64), "abc"[: len(columns)])
    return places.tolist(), counts


@pytest.mark.parametrize(
    "values",
    [
        ["2024-03-01T10:00:00Z", "2024-03-01T10:00:00.500Z", "2024-03-01T10:00:01Z"],
        ["2024-03-01T10:00:00+02:00", "2024-03-01T08:00:30Z", "2024-03-01T10:01:00+02:00"],
        ["2024-03-01 23:59", "2024-03-02", "20240302T000001", "2024-03-02T00:00:01,5"],
        [
            "2024-03-01T00:00:00.000000001Z",
            "2024-03-01T00:00:00.0000000020Z",
            "2024-03-01T00:00:00.00000001Z",
        ],
        ["9", 10, "1e2", " 101 "],
        ["-3", -2.5, "+1", "1.5", 2],
        ["1234567890123456788", 1234567890123456789, "1234567890123456790"],
        [99_999_999_999, 100_000_000_001],
        ["2024-03-01T10:00:00Z", 1709287201, "1709287202.5", 1709287203000, "2024-03-01T10:00:04+00:00"],
        ["turn 9", "turn 10", "turn 100"],
        ["1.9.2", "1.10.0", "2.0.0"],
        ["9:05", "10:00", "10:30"],
        ["01HV0000000000000000000ABC", "01HV000000000000000000ZZZZ"],
        ["first", "second"],
    ],
)
def test_values_are_ordered_by_what_they_stand_for(values: list[Any]) -> None:
    assert ordered(values[::-1]) == values
    assert ordered(values[1:] + values[:1]) == values
    assert not {"tied", "unordered"} & set(counted(values))


@given(st.lists(st.tuples(MOMENTS, ZONES, st.integers(0, 3)), min_size=1, max_size=12))
def test_moments_are_ordered_whatever_they_are_written_as(given_: list[tuple[datetime, Any, int]]) -> None:
    written: dict[Any, datetime] = {}
    for moment, zone, form in given_:
        whole = moment.replace(tzinfo=UTC, microsecond=moment.microsecond if form else 0)
        local = whole.astimezone(zone)
        microseconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        numbers = abs(microseconds) >= 10**14  # less is read as milliseconds
        text = [local.isoformat(), local.isoformat(" "), whole.isoformat().replace("+00:00", "Z")]
        written[microseconds if form == 3 and numbers else text[form % 3]] = whole
    first = datetime(1975, 1, 1, tzinfo=UTC)
    written[first.isoformat()] = first  # with one time as text, numbers are times
    assert [written[v] for v in ordered(list(written))] == sorted(written.values())


@given(st.lists(st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_are_ordered_exactly_also_as_text(numbers: list[float]) -> None:
    assert ordered(numbers) == sorted(numbers)
    assert [float(v) for v in ordered([repr(n) for n in numbers])] == [float(v) for v in sorted(numbers)]


def test_what_says_nothing_stands_last_as_it_lies_and_is_counted() -> None:
    values = ["soon", "2024-03-01T10:00:01Z", None, "an hour ago", "2024-03-01T10:00:00Z", "", "nan", 10**30]
    assert ordered(values)[:2] == ["2024-03-01T10:00:00Z", "2024-03-01T10:00:01Z"]
    assert ordered(values)[2:] == ["soon", "an hour ago", "nan", 10**30, None, ""]
    assert counted(values) == {"unordered": 6}
    assert counted([None, "", None]) == {"unordered": 3}
    assert counted(["b", "a"]) == {"as_text": 2}
    assert counted([1, "1.0", "2"]) == {"tied": 1}
    assert counted([1, 1, 1], [2, None, 2]) == {"tied": 1}
    assert counted(["2024-03-01T10:00:00Z", "2024-03-01T12:00:00+02:00"]) == {"tied": 1}
    assert ordered([1, 1, 1], ["c", "a", "b"]) == [1, 1, 1]
    assert of([1, 1, 1], ["c", "a", "b"])[0] == [1, 2, 0]


def test_conversations_say_nothing_of_each_other() -> None:
    """A time in one does not make times of another's numbers."""
    records = [{"a": v} for v in ("2024-03-01", 99_999_999_999, 5, 100_000_000_001)]
    places, counts = ordering.order(records, np.array([0, 1, 0, 1]), ("a",))
    assert places.tolist() == [2, 0, 1, 3]
    assert not any(n.any() for n in counts.values())
    places, _ = ordering.order(records, np.array([0, 1, 0, 1]), ())
    assert places.tolist() == [0, 2, 1, 3]


@given(
    st.lists(st.text() | st.none() | st.integers() | st.floats() | st.booleans() | st.lists(st.integers()))
)
def test_content_never_raises(values: list[Any]) -> None:
    places, _ = of(values)
    assert sorted(places) == list(range(len(values)))


@pytest.mark.parametrize("text", ["9" * 10_000, "t" + "9" * 10_000, "1e" + "9" * 30, "sNaN", "-inf", "٣"])
def test_odd_numbers_are_ordered_somehow(text: str) -> None:
    assert sorted(map(str, ordered([text, "1", "2024-01-01"]))) == sorted([text, "1", "2024-01-01"])
    assert len(ordered([text, text.replace("9", "8")])) == 2
