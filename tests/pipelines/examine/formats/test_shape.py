"""Shapes of answers in JSON: what most have is the habit, and what is odd beside it."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.examine.formats import shape


def record(k: int) -> dict[str, Any]:
    return {
        "order_id": k,
        "urgent": k % 2 == 0,
        "note": None if k % 3 else "by mail",
        "items": [{"name": "pen", "price": 1.5}] * (k % 3),
    }


def odd(answers: list[Any]) -> list[int]:
    """Places of the odd ones."""
    shapes = shape.of([json.dumps(answer) for answer in answers]).to_pylist()
    strange = shape.odd(Counter(shapes))
    return [at for at, own in enumerate(shapes) if own in strange]


def test_what_has_no_shape() -> None:
    assert shape.of(["12", '"a"', "{", None, '{"a": 1, "b": [true, null, "None"]}']).to_pylist() == [
        *[None] * 4,
        '{"a": "n", "b": ["-", "0", "b"]}',
    ]


ODD: dict[str, Any] = {
    "a key is missing": {"order_id": 1, "urgent": True, "note": None},
    "one more": {**record(1), "more": 1},
    "another name": {**{k: v for k, v in record(1).items() if k != "order_id"}, "orderId": 1},
    "within another": {"result": record(1)},
    "a list of it": [record(1)],
    "a number as text": {**record(1), "order_id": "1"},
    "yes for true": {**record(1), "urgent": "yes"},
    "null as text": {**record(1), "note": "null"},
    "an item without a key": {**record(1), "items": [{"name": "pen"}]},
    "a text for a list": {**record(1), "items": "pen"},
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_built_otherwise(name: str) -> None:
    answers = [record(k) for k in range(90)]
    assert odd(answers) == []
    assert odd([*answers, ODD[name]]) == [90]


def test_nothing_is_a_habit_of_few_answers_or_of_many_forms() -> None:
    assert odd([*[record(k) for k in range(40)], {"a": 1}]) == []
    assert odd([{f"f{k % 9}": {"x": k}} for k in range(200)]) == []
    optional = [{key: 1 for at, key in enumerate("abcde") if k >> at & 1} for k in range(1, 32)]
    assert odd(optional * 4) == []


def test_a_name_is_odd_where_keys_are_left_out_by_design() -> None:
    rows: list[Any] = [
        {key: 1 for at, key in enumerate(("from_city", "to_city", "day")) if k >> at & 1} for k in range(1, 8)
    ]
    assert odd(rows * 20) == []
    assert odd([*rows * 20, {"fromCity": 1, "day": 1}]) == [140]


def test_a_text_that_says_none_is_one_where_no_value_is_null() -> None:
    answers = [{"middle_name": "None" if k % 9 == 0 else "Ann"} for k in range(90)]
    assert odd(answers) == []


@settings(max_examples=60, deadline=None)
@given(st.permutations([*[record(k) for k in range(60)], *ODD.values()]), st.integers(1, 5))
def test_order_and_parts_make_no_difference(answers: list[Any], parts: int) -> None:
    shapes = shape.of([json.dumps(answer) for answer in answers]).to_pylist()
    whole = Counter(shapes)
    added = sum((Counter(shapes[at::parts]) for at in range(parts)), Counter[str]())
    assert shape.odd(added) == shape.odd(whole) == shape.odd(dict(sorted(whole.items())))
    assert not {shape.of([json.dumps(record(k))])[0].as_py() for k in range(60)} & shape.odd(whole)
