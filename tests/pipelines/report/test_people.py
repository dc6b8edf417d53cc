"""The report's part on people: ratings, groups, and nothing where there are none."""

from typing import Any

from headrace.pipelines.report import people

ONE = {"ratio": 0.5, "interval": [0.4, 0.6], "only": 10, "other": 20}
LENGTH = {"value": 1.5, "interval": [1.2, 1.8], "unlike": True}


def group(rows: int, **more: Any) -> dict[str, Any]:
    return {"rows": rows, "prompts": rows, "answers": 0, "asked": rows, **more}


def test_nothing_is_said_where_nobody_looked() -> None:
    assert people.rated({}) is None
    assert people.named({"examine": {"bias": None}}) is None


def test_questions_that_nobody_answered_are_left_out() -> None:
    said = {"agreement": {"verdict": None, "safety": None, "fluency": None}, "scores": {"fluency": 4.0}}
    found = people.rated({"examine": {"spot_check": said}})
    assert found is not None
    assert [q["name"] for q in found["asked"]] == ["verdict", "fluency"]


def test_the_most_frequent_groups_come_first_and_empty_lists_are_left_out() -> None:
    many = {f"g{n:02}": group(n + 1, named=ONE, length=None) for n in range(15)}
    many["g03"]["length"] = LENGTH
    lists = {
        "nation": {"rows": 99, "beside": "g14", "groups": many, "swaps": {"rows": 7, "of": 9}},
        "age": {"rows": 0, "beside": None, "groups": {}, "swaps": {"rows": 0, "of": 0}},
    }
    found = people.named({"examine": {"bias": {"rows": 200, "lists": lists, "unseen": ["x"]}}})
    assert found is not None
    (nation,) = found["lists"]
    assert [g["name"] for g in nation["groups"]] == [f"g{n:02}" for n in range(14, 2, -1)]
    assert (nation["more"], nation["told"], found["swaps"]) == (3, ["length"], 7)
