"""Columns inside columns, and records under a key."""

from typing import Any

import pytest

from headrace.pipelines.stages.read.records import Batch, ReadError
from headrace.pipelines.stages.read.turns import envelopes, paths
from headrace.pipelines.stages.read.turns.paths import MISSING, at


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", {"b": [{"c": 1}]}),
        ("a.b.0.c", 1),
        ("m.k", "v"),  # an Arrow map
        ("x.y", 3),  # the column's own name
        ("a.c", MISSING),
        ("a.b.1", MISSING),
        ("a.b.c", MISSING),
        ("a.b.0.c.d", MISSING),
    ],
)
def test_a_path_leads_into_a_column(path: str, value: Any) -> None:
    assert at({"a": {"b": [{"c": 1}]}, "m": [("k", "v")], "x.y": 3, "x": {"y": 4}}, path) == value


def test_lifted_values_stand_under_their_path() -> None:
    records: list[dict[str, Any]] = [{"a": {"b": 1}}, {"a": None}]
    paths.lift(records, ["a.b", "a"])
    assert records == [{"a": {"b": 1}, "a.b": 1}, {"a": None}]


def unfolded(record: dict[str, Any], path: str, unit: str = "record") -> Batch:
    batch = Batch(unit)
    batch.add(record, 100)
    return next(envelopes.unfold([batch], path))


def test_records_under_a_key() -> None:
    inner = [{"n": 1}, {"n": 2}]
    for record, path in (
        ({"data": {"items": inner}}, "data.items"),
        ({"rows": inner}, "rows"),
        ({"x": inner[0], "y": inner[1]}, "*"),
        ({"data": {"x": inner[0], "y": inner[1]}}, "data.*"),
    ):
        found = unfolded(record, path)
        assert (found.records, found.places, found.errors) == (inner, [1, 2], {})
    assert unfolded({"rows": inner}, "rows", "byte").places == [100, 101]


def test_what_is_no_record_there_costs_itself() -> None:
    found = unfolded({"rows": [{"n": 1}, "words"]}, "rows")
    assert found.records == [{"n": 1}, {}]
    assert found.errors[1].cause == "read.wrong_type"
    assert unfolded({"rows": 3}, "rows").errors[0].cause == "read.wrong_type"
    assert unfolded({}, "rows").errors[0].cause == "read.missing_field"
    batch = Batch("line")
    batch.add(ReadError("read.malformed_json", "x"), 1)
    assert next(envelopes.unfold([batch], "rows")).errors[0].cause == "read.malformed_json"
