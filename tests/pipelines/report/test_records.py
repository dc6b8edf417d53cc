"""What the report's tables are made of."""

from headrace.pipelines.report import records


def test_how_often_rows_are_drawn_stands_beside_how_many_there_are() -> None:
    run = {"traits": {"task": {"code": 3, "opinion": 2}, "flags": {}}}
    (task,) = records.traits(run)
    assert (task["values"], task["drawn"]) == ([("code", 3), ("opinion", 2)], [("code", 0), ("opinion", 0)])
    weighed = {**run, "weights": {"rows": 4, "never": 1, "traits": {"task": {"code": 4.5}}}}
    assert records.traits(weighed)[0]["drawn"] == [("code", 4.5), ("opinion", 0)]
