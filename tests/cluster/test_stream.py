"""Running work on Ray: nothing lost, nothing joined, errors of ours come back as they are."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.cluster import process, running, session, storage, stream
from headrace.cluster.errors import DamagedError, Fault, StorageError
from headrace.cluster.fragments import Fragment, Range

pytestmark = pytest.mark.ray


def fragment(ordinal: int, kind: str = "ranges", **more: int) -> Fragment:
    return Fragment("s", kind, (Range(f"/{ordinal}", str(ordinal), 1, "x"),), ordinal, **more)


def read(one: Fragment) -> Iterator[pa.Table]:
    """As many parts as the ordinal says, at least one."""
    for part in range(max(1, one.ordinal)):
        yield pa.table({"n": [one.ordinal * 100 + part] * 3})


def work(one: Fragment, part: int, last: bool, table: pa.Table, output: str) -> dict:
    assert table["n"].to_pylist() == [one.ordinal * 100 + part] * 3
    storage.put(f"{output}/{one.ordinal}-{part}", json.dumps(table["n"].to_pylist()).encode())
    return {"ordinal": one.ordinal, "part": part, "last": last}


@pytest.fixture(autouse=True)
def _session(ray_local: object) -> None:
    session.start(2)


@pytest.mark.parametrize("kind", ["ranges", "stream"])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_part_is_worked_on_once(tmp_path: Path, kind: str, workers: int) -> None:
    todo = [(fragment(n, kind), ()) for n in range(5)]
    records = list(stream.fragments(todo, read, partial(work, output=str(tmp_path)), workers=workers))
    parts = sorted((r["ordinal"], r["part"], r["last"]) for r in records)
    assert parts == [(n, p, p == max(1, n) - 1) for n in range(5) for p in range(max(1, n))]
    assert len(storage.listing(str(tmp_path))) == len(parts)


@pytest.mark.parametrize("kind", ["ranges", "stream"])
def test_parts_that_are_done_are_left_out(tmp_path: Path, kind: str) -> None:
    todo = [(fragment(4, kind), (0, 2))]
    records = list(stream.fragments(todo, read, partial(work, output=str(tmp_path)), workers=2))
    assert sorted(r["part"] for r in records) == [1, 3]
    assert [r["part"] for r in records if r["last"]] == [3]


def read_grouped(one: Fragment) -> Iterator[pa.Table]:
    buckets = pa.array([n % 3 for n in range(30)], pa.int32())
    yield pa.table({"bucket": buckets, "n": [one.ordinal * 100 + n for n in range(30)]})


def work_grouped(one: Fragment, part: int, last: bool, table: pa.Table) -> dict:
    return {"ordinal": one.ordinal, "part": part, "last": last, "n": sorted(table["n"].to_pylist())}


def test_buckets_are_gathered_from_all_inputs() -> None:
    buckets = [fragment(10 + k, "grouped", bucket=k, buckets=4) for k in range(4)]
    inputs = [fragment(n) for n in range(3)]
    records = {
        r["ordinal"]: r for r in stream.grouped(inputs, buckets, read_grouped, work_grouped, workers=2)
    }
    for k in range(3):
        assert records[10 + k]["n"] == [i * 100 + n for i in range(3) for n in range(30) if n % 3 == k]
    assert records[13]["n"] == []  # an empty bucket is worked on too, so that it can be committed


def square(n: int) -> int:
    return n * n


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(stream.each(square, range(20), workers=3, name="square")) == [n * n for n in range(20)]


def fail_ours(n: int) -> int:
    raise StorageError("cannot read s3://bucket/x: access denied")


def fail_otherwise(n: object) -> int:
    raise ValueError("a row that must not be shown")


def test_our_own_errors_come_back_as_they_are() -> None:
    with pytest.raises(StorageError, match=r"^cannot read s3://bucket/x: access denied$"):
        list(stream.each(fail_ours, [1], workers=1, name="fail"))


def test_other_errors_become_faults_without_their_message() -> None:
    with pytest.raises(Fault, match=r"^a task failed: ValueError in fail_otherwise ") as caught:
        list(stream.each(fail_otherwise, [1], workers=1, name="fail"))
    assert "must not be shown" not in str(caught.value)


def fail_to_read(one: Fragment) -> Iterator[pa.Table]:
    raise ValueError("a row that must not be shown")
    yield


@pytest.mark.parametrize("kind", ["ranges", "stream"])
def test_what_fails_names_the_file_that_it_works_on(kind: str) -> None:
    with pytest.raises(Fault, match=r"^source 's', '0': a task failed: ValueError in fail_to_read ") as told:
        list(stream.fragments([(fragment(0, kind), ())], fail_to_read, failing_work, workers=1))
    assert "must not be shown" not in str(told.value)
    assert "UDF" not in str(told.value)
    with pytest.raises(Fault, match=r"^/run/part-0.parquet: a task failed: ValueError in fail_otherwise "):
        list(stream.each(fail_otherwise, ["/run/part-0.parquet"], workers=1, name="fail"))


def damaged(one: Fragment) -> Iterator[pa.Table]:
    raise DamagedError("/run/prepared/part-0.parquet")
    yield


def test_what_ray_glues_to_an_error_of_ours_is_taken_off() -> None:
    with pytest.raises(DamagedError) as told:
        list(stream.fragments([(fragment(0), ())], damaged, failing_work, workers=1))
    assert told.value.path == "/run/prepared/part-0.parquet"
    assert "Failed to" not in str(told.value)
    grouped = [fragment(n, "grouped", bucket=n) for n in range(2)]
    with pytest.raises(StorageError, match=r"^cannot write s3://bucket/y: the endpoint does not answer$"):
        list(stream.grouped([fragment(0)], grouped, read_bucket, failing_work, workers=1))


def read_bucket(one: Fragment) -> Iterator[pa.Table]:
    yield pa.table({"n": [1, 2], "bucket": pa.array([0, 1], pa.int32())})


def look_around(path: str) -> list[str]:
    return [one.what for one in running.tasks()]


def test_a_task_notes_what_it_works_on_while_it_does() -> None:
    (seen,) = stream.each(look_around, ["/run/part-7.parquet"], workers=1, name="look")
    assert "/run/part-7.parquet" in seen
    assert "/run/part-7.parquet" not in [one.what for one in running.tasks()]
    (seen,) = stream.each(look_around, ["no path"], workers=1, name="look")
    assert "look" in seen


def failing_work(one: Fragment, part: int, last: bool, table: pa.Table) -> dict:
    raise StorageError("cannot write s3://bucket/y: the endpoint does not answer")


def test_our_own_errors_come_back_from_the_stream() -> None:
    with pytest.raises(StorageError, match=r"^cannot write s3://bucket/y"):
        list(stream.fragments([(fragment(0), ())], read, failing_work, workers=1))


@pytest.mark.ray
def test_a_function_runs_once_on_each_node(ray_local: None) -> None:
    nodes = session.nodes()
    assert len(nodes) == 1
    assert list(stream.on_nodes(str.upper, nodes, name="upper")) == [nodes[0].upper()]


def die_of_2(one: Fragment, deaths: int) -> Iterator[pa.Table]:
    """As `read`; fragment 2 ends the process that reads it, until it has ended `deaths` of them."""
    if one.ordinal == 2 and process.deaths() < deaths:
        os._exit(3)
    yield from read(one)


@pytest.mark.parametrize("kind", ["ranges", "stream"])
def test_a_task_knows_how_often_its_process_has_ended(tmp_path: Path, kind: str) -> None:
    todo = [(fragment(n, kind), ()) for n in range(4)]
    records = stream.fragments(
        todo, partial(die_of_2, deaths=2), partial(work, output=str(tmp_path)), workers=2
    )
    assert sorted((r["ordinal"], r["part"]) for r in records) == [
        (0, 0),
        (1, 0),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
        (3, 2),
    ]


def test_a_task_whose_process_ends_each_time_is_not_started_for_ever(tmp_path: Path) -> None:
    todo = [(fragment(2), ())]
    records = stream.fragments(
        todo, partial(die_of_2, deaths=10**9), partial(work, output=str(tmp_path)), workers=1
    )
    with pytest.raises(Fault, match=r"source 's', '2': the process that works on it has ended \d+ times"):
        list(records)


def test_ray_data_is_not_loaded_where_no_stream_of_it_is_asked_for() -> None:
    code = "import headrace.cluster.stream, headrace.cluster.session, sys; print('ray.data' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
