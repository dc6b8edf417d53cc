"""Calls of tools beside the tools that their row offers."""

from typing import Any

import pytest

from headrace.pipelines import structure
from headrace.pipelines.examine.formats import called
from tests import builders

BOOK = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "nights": {"type": "integer"},
                "price": {"type": ["number", "null"]},
                "extras": {"type": "array"},
                "pets": {"type": "boolean"},
                "other": {"description": "anything"},
            },
            "required": ["city"],
        },
    },
}
FREE = {"name": "note", "parameters": {"type": "object"}}
OPEN = {
    "name": "tag",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "additionalProperties": True,
    },
}


def row(*calls: tuple[str, Any], tools: list[Any] | None = None) -> list[builders.Turn]:
    offered = [BOOK, FREE, OPEN] if tools is None else tools
    made = [{"function": {"name": name, "arguments": given}} for name, given in calls]
    system = structure.sealed("Be kind.", {"tools": offered}) if offered else "Be kind."
    return [
        ("system", system),
        ("user", "Rome, please"),
        ("assistant", structure.sealed("", {"tool_calls": made})),
    ]


def look(*rows: list[builders.Turn]) -> tuple[int, list[int], list[str]]:
    return tuple(called.look(builders.table(*rows)))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("book", {"city": "Rome"}, ""),
        ("book", {"city": "Rome", "nights": 2, "price": None, "extras": [], "pets": True, "other": {}}, ""),
        ("book", {"city": "Rome", "nights": 2.0, "price": 3}, ""),
        ("book", '{"city": "Rome"}', ""),
        ("book", {"city": "Rome", "nights": "<PHONE_NUMBER_1>"}, ""),
        ("note", {"whatever": 1}, ""),
        ("note", "", ""),
        ("note", None, ""),
        ("tag", {"b": 1}, ""),
        ("<PERSON_1>", {}, ""),
        ("Book", {"city": "Rome"}, "unknown"),
        ("book", '{"city": ', "broken"),
        ("book", ["Rome"], "broken"),
        ("book", {"nights": 2}, "missing"),
        ("book", None, "missing"),
        ("book", {"city": "Rome", "guests": 2}, "extra"),
        ("book", {"city": "Rome", "nights": "two"}, "type"),
        ("book", {"city": "Rome", "nights": True}, "type"),
        ("book", {"city": 3}, "type"),
        ("tag", {"a": "x"}, "type"),
    ],
)
def test_a_call_beside_its_tool(name: str, given: Any, kind: str) -> None:
    assert look(row((name, given))) == (1, [0] if kind else [], [kind] if kind else [])


def test_rows_are_judged_by_their_own_tools_and_named_by_the_first_kind() -> None:
    right, wrong = ("book", {"city": "Rome"}), ("book", {"city": "Rome", "guests": 2})
    rows = [
        row(right, right),
        row(right, wrong, ("cook", {})),
        row(right, tools=[]),
        [("user", "a"), ("assistant", "b")],
        row(wrong, right),
        row(right, tools=[FREE]),
    ]
    assert look(*rows) == (4, [1, 4, 5], ["unknown", "extra", "unknown"])


def test_tables_without_calls() -> None:
    assert look([("user", "a"), ("assistant", "b")]) == (0, [], [])


@pytest.mark.parametrize(
    "parameters", [None, [], {"properties": []}, {"properties": {"a": 3}, "required": 5}]
)
def test_tools_that_say_little(parameters: Any) -> None:
    assert look(row(("odd", {"a": 1}), tools=[{"name": "odd", "parameters": parameters}])) == (1, [], [])
