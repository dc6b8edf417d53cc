"""JSON and SQL answers, right, wrong and hostile."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from headrace.pipelines.evaluate import structured


def test_json_is_read_from_a_fence_and_is_an_object_or_a_list() -> None:
    said = ['{"a": 1}', "```json\n[1]\n```", "see: {}", "7", '{"a": 1', ""]
    assert structured.is_json(said).tolist() == [1, 1, 0, 0, 0, 0]


def test_json_that_fits_its_schema() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    assert structured.fits(['{"a": 1}', '{"a": "1"}', "{}", "no"], schema).tolist() == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="no JSON Schema"):
        structured.fits([], {"type": "nothing"})


@pytest.mark.parametrize(
    ("said", "wanted", "score"),
    [
        ('["x", "y"]', '["y", "x"]', 1.0),
        ('["x", "x"]', '["x"]', 2 / 3),
        ('{"p": "Ada", "q": 2}', '{"p": "Ada", "q": 3}', 0.5),
        ('[{"n": "a", "t": 1}]', '[{"t": 1, "n": "a"}]', 1.0),
        ('[{"n": "a", "t": 1}]', '[{"n": "a", "t": 2}]', 0.0),  # an entity of another type
        ("nothing", '["x"]', 0.0),
    ],
)
def test_values_are_counted_with_their_paths(said: str, wanted: str, score: float) -> None:
    ((shared, total),) = structured.entities([said], [wanted]).tolist()
    assert shared / total == pytest.approx(score)


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "it's.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t (a integer, b text)")
        connection.executemany("insert into t values (?, ?)", [(1, "x"), (2, "y"), (3, "y")])
        connection.commit()
    return str(path)


@pytest.mark.parametrize(
    ("said", "wanted", "score"),
    [
        ("select a from t where b = 'y'", "SELECT a FROM t WHERE a > 1", 1.0),
        ("select a from t order by a desc", "select a from t", 1.0),
        ("select a from t order by a desc", "select a from t order by a", 0.0),
        ("```sql\nselect count(*) from t;\n```", "select 3", 1.0),
        ("select nothing", "select 1", 0.0),
        ("", "select 1", 0.0),
        ("drop table t", "select 1", 0.0),
        ("attach database 'other.sqlite' as o", "select 1", 0.0),
        ("select load_extension('x')", "select 1", 0.0),
        ("pragma writable_schema = 1", "select 1", 0.0),
        ("select 1; select 1", "select 1", 0.0),
        ("with recursive n(i) as (select 1 union all select i + 1 from n) select i from n", "select 1", 0.0),
        (
            "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n",
            "select 1",
            0.0,
        ),
        ("select 1", "select of nothing", np.nan),
    ],
)
def test_queries_are_run_and_their_rows_compared(database: str, said: str, wanted: str, score: float) -> None:
    before = Path(database).read_bytes()
    np.testing.assert_equal(structured.same_rows([said], [wanted], database).tolist(), [score])
    assert Path(database).read_bytes() == before
    assert [p.name for p in Path(database).parent.iterdir()] == ["it's.sqlite"]


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        structured.same_rows([], [], str(tmp_path / "none"))
