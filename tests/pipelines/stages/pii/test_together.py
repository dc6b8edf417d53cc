"""What columns and bytes alone say of findings is what all steps say of them, text by text."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii import overlaps
from headrace.pipelines.stages.pii.findings import Finding, Findings, collected, joined, ordered
from headrace.pipelines.stages.pii.own_scanner import own_scanner
from headrace.pipelines.stages.pii.presidio.scanner import scanner
from headrace.pipelines.stages.pii.together import by_text, together

PIECES = st.sampled_from(
    [
        *(
            "May 3, 2021",
            "3 May",
            "5/3",
            "2021/05/03",
            "Dear Ann",
            "12 Oak Street",
            "www.example.com",
            "x.py",
        ),
        *("ann@example.com", "4258828080", "(425) 882-8080", "4111111111111111", "1.2.3.4", "::1", "order "),
        *(
            "14:05",
            " at 2 pm",
            "10:15 on ",
            " 9",
            "= 4",
            "=",
            "\\n",
            "\\u00e9",
            "é",
            "中",
            " ",
            ", ",
            "\n",
            "/",
        ),
    ]
)
TEXTS = st.lists(st.lists(PIECES, max_size=6).map("".join), min_size=1, max_size=4)


@given(TEXTS, st.sampled_from([frozenset(), frozenset({"times"}), frozenset({"overlaps", "dates"})]))
@settings(max_examples=300, deadline=None)
def test_no_step_is_missed(texts: list[str], without: frozenset[str]) -> None:
    array = pa.array(texts, pa.large_string())
    parts = [scanner(True).find(array), own_scanner(frozenset()).find(array)]
    found = together(array, parts, without, lambda entity: entity == "DATE_TIME")
    assert of_each(found, texts) == [
        overlaps.resolved(
            text,
            [one for part in parts for one in of_each(part, texts)[row] if one.recognizer not in without],
            without,
            frozenset({"DATE_TIME"}),
        )
        for row, text in enumerate(texts)
    ]


def of_each(found: Findings, texts: list[str]) -> list[list[Finding]]:
    return [by_text(found).get(row, []) for row in range(len(texts))]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("on May 3, 2021 there", "May 3, 2021"),
        ("on May 3, 2021 at 14:05", "May 3, 2021 at 14:05"),
        ("at 14:05 on May 3, 2021", "14:05 on May 3, 2021"),
    ],
)
def test_a_date_takes_its_time_from_either_side(text: str, date: str) -> None:
    found = together(
        pa.array([text]), [own_scanner(frozenset()).find(pa.array([text]))], frozenset(), bool
    ).findings
    assert [text[one.start : one.end] for one in found] == [date]


def test_findings_are_sorted_and_those_of_failed_texts_go() -> None:
    ones = [
        Finding(5, 9, "URL", 0.5, "b"),
        Finding(5, 9, "URL", 0.5, "a"),
        Finding(5, 9, "PERSON", 0.9, "z"),
        Finding(0, 2, "URL", 0.1, "b"),
        Finding(5, 8, "URL", 1.0, "b"),
    ]
    found = ordered(joined([collected([1] * 5, ones, {}), collected([0, 3], ones[:2], {3: "ValueError"})]))
    assert (found.rows.tolist(), found.failures) == ([0, 1, 1, 1, 1, 1], {3: "ValueError"})
    assert found.findings == [ones[0], *sorted(ones)]
    assert ordered(collected([], [], {})).findings == []
