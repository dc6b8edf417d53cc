"""Storage: atomic writes, first-writer-wins, listings and errors, on disk and on a real S3 server."""

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import StorageError
from headrace.cluster.stores import passing, temporary


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "place") if request.param == "disk" else request.getfixturevalue("s3") + "/place"


def test_put_replaces_the_whole_object(place: str) -> None:
    path = storage.join(place, "a", "b.bin")
    storage.put(path, b"first, and longer")
    storage.put(path, b"second")
    assert storage.read_bytes(path) == b"second"


def test_only_the_first_writer_puts_new(place: str) -> None:
    path = storage.join(place, "claim.json")
    assert [storage.put_new(path, b"one"), storage.put_new(path, b"two")] == [True, False]
    assert storage.read_bytes(path) == b"one"


def test_listing_is_sorted_and_leaves_temporaries_out(place: str) -> None:
    for name in ("b", "a/c", "a/b", f"a/{storage.TEMPORARY}left-behind"):
        storage.put(storage.join(place, name), name.encode())
    found = storage.listing(place)
    assert [e.path.split("place/")[1] for e in found] == ["a/b", "a/c", "b"]
    assert [e.size for e in found] == [3, 3, 1]


def test_listing_of_an_absent_directory_is_empty(place: str) -> None:
    assert storage.listing(storage.join(place, "nothing")) == []


def test_stamp_changes_with_the_content(place: str) -> None:
    path = storage.join(place, "x")
    storage.put(path, b"one")
    before = storage.entry(path)
    storage.put(path, b"two")
    assert storage.entry(path).stamp != before.stamp
    assert storage.listing(place)[0] == storage.entry(path)


def test_glob_matches_across_directories(place: str) -> None:
    for name in ("x/1.csv", "y/z/2.csv", "y/3.txt"):
        storage.put(storage.join(place, name), b"1")
    found = storage.glob(storage.join(place, "**/*.csv"))
    assert [e.path.split("place/")[1] for e in found] == ["x/1.csv", "y/z/2.csv"]


def test_delete_takes_a_directory_with_all_below_and_forgives_absence(place: str) -> None:
    storage.put(storage.join(place, "d/e/f"), b"1")
    storage.delete(storage.join(place, "d"))
    storage.delete(storage.join(place, "d"))
    assert not storage.exists(storage.join(place, "d/e/f"))


def test_a_table_comes_back_by_columns_and_by_range(place: str) -> None:
    table = pa.table({"id": pa.array(range(100), pa.uint64()), "text": ["x"] * 100})
    path = storage.join(place, "t.parquet")
    size, digest = storage.write_table(path, table, row_group=10)
    assert (size, digest) == storage.write_table(path, table, row_group=10)
    assert storage.entry(path).size == size
    assert storage.read_table(path).equals(table)
    chosen = storage.read_table(path, ["id"], [("id", ">=", 42), ("id", "<", 45)])
    assert chosen.to_pydict() == {"id": [42, 43, 44]}
    assert storage.rows(path) == 100


def test_missing_object_is_file_not_found(place: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(place, "missing"))


def test_disk_writes_leave_no_temporary(tmp_path: Path) -> None:
    storage.put(str(tmp_path / "a"), b"1")
    storage.put_new(str(tmp_path / "b"), b"1")
    storage.put_new(str(tmp_path / "b"), b"2")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_other_schemes_are_refused() -> None:
    with pytest.raises(StorageError, match=r"'gs' is not supported; use a local path or s3://"):
        storage.exists("gs://bucket/key")


@pytest.mark.s3
def test_wrong_credentials_are_named_without_the_secret(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(StorageError, match=r"access denied; check AWS_ACCESS_KEY_ID") as caught:
        storage.probe(s3)
    assert "not-the-secret" not in str(caught.value)


@pytest.mark.s3
def test_missing_bucket_is_named(s3: str) -> None:
    with pytest.raises(StorageError, match="there is no bucket 'headrace-no-such-bucket' at this endpoint"):
        storage.probe("s3://headrace-no-such-bucket/x")


def test_dead_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
        with pytest.raises(StorageError, match=r"the endpoint does not answer \(http://127.0.0.1:\d+\)"):
            storage.probe("s3://bucket/key")


def test_probe_leaves_local_paths_alone(tmp_path: Path) -> None:
    storage.probe(str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()


def test_a_table_reads_the_same_with_and_without_dictionaries_and_by_row_group(tmp_path: Path) -> None:
    table = pa.table({"number": pa.array(range(10), pa.uint64()), "name": pa.array(["a", None] * 5)})
    for dictionary in (True, False, ["name"]):
        path = str(tmp_path / "t.parquet")
        size, digest = storage.write_table(path, table, 4, dictionary=dictionary)
        data = Path(path).read_bytes()
        assert (size, digest) == (len(data), xxhash.xxh3_64_hexdigest(data))
        groups = list(storage.row_groups(path, ["number"]))
        assert [g["number"].to_pylist() for g in groups] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert storage.read_table(path).equals(table)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_a_table_that_is_read_by_range_has_groups_of_so_many_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "t.parquet")
    storage.write_ranges(path, pa.table({"n": range(storage.RANGE_ROWS + 1)}), dictionary=False)
    assert [g.num_rows for g in storage.row_groups(path)] == [storage.RANGE_ROWS, 1]


def test_tables_that_are_passed_on_come_back_in_their_order(place: str) -> None:
    path = storage.join(place, "passing.parquet")
    tables = [pa.table({"n": range(first, first + 5)}) for first in (0, 5)]
    passing.write(path, iter(tables), 3)
    assert [t["n"].to_pylist() for t in storage.row_groups(path)] == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9]]
    assert storage.read_table(path, filters=[("n", ">", 7)])["n"].to_pylist() == [8, 9]


def test_hashes_are_neither_shrunk_nor_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the disk have to have them when they are there: nobody keeps them."""

    def refused(descriptor: int) -> None:
        raise AssertionError

    monkeypatch.setattr(os, "fsync", refused)
    table = pa.table({"part": [0, 0, 1, 1], "hash": [3, 1, 4, 1], "source": ["a", "a", "b", "b"]})
    path = str(tmp_path / "hashes.parquet")
    passing.write_hashes(path, [table.slice(0, 2), table.slice(2)], ["source"], filtered=["part"])
    assert storage.read_table(path).equals(table)
    assert storage.read_table(path, filters=[("part", "==", 1)]).equals(table.slice(2))
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(at) for at in range(3)]
    assert [column.compression for column in columns] == ["UNCOMPRESSED"] * 3
    assert [column.is_stats_set for column in columns] == [True, False, False]
    assert [column.has_dictionary_page for column in columns] == [False, False, True]


def test_columns_of_hashes_have_no_dictionary(tmp_path: Path) -> None:
    lists = pa.array([[1], [], [2, 3]], pa.list_(pa.uint64()))
    table = pa.table({"text": ["a", "a", "b"], "hash": [1, 2, 3], "hashes": lists})
    path = str(tmp_path / "rows.parquet")
    storage.write_table(path, table, hashes=["hash", "hashes"])
    assert storage.read_table(path).equals(table)
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(at) for at in range(3)]
    assert [column.compression for column in columns] == ["ZSTD", "LZ4", "LZ4"]
    assert [column.has_dictionary_page for column in columns] == [True, False, False]


def test_groups_that_come_one_by_one_are_written_as_a_table_of_such_groups_is(place: str) -> None:
    path, other = (storage.join(place, f"{name}.parquet") for name in ("groups", "table"))
    table = pa.table({"n": range(9), "m": ["a"] * 9})
    parts = (table.slice(first, 4) for first in (0, 4, 8))
    written = storage.write_groups(path, table.schema, parts, ["m"])
    assert written == storage.write_table(other, table, 4, ["m"])
    assert [g.num_rows for g in storage.row_groups(path)] == [4, 4, 1]
    storage.write_groups(path, table.schema, [])
    assert storage.read_table(path).equals(table.slice(0, 0))


def test_row_groups_of_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(storage.row_groups(str(tmp_path / "none.parquet")))


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(pa.ArrowNotImplementedError):
        storage.write_table(str(tmp_path / "t.parquet"), pa.table({"a": pa.array([], pa.struct([]))}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(28, "No space left on device")])
def test_a_temporary_that_cannot_be_made_is_told_by_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(temporary, "open", refuse, raising=False)  # root may write everywhere
    said = "access denied; check the owner" if error.errno == 13 else "the disk is full"
    path = str(tmp_path / "x")
    writes = (storage.put, storage.put_new, lambda p, _: storage.write_table(p, pa.table({"n": [1]})))
    for write in writes:
        with pytest.raises(StorageError, match=f"cannot write {path}: .*{said}"):
            write(path, b"1")
    assert list(tmp_path.iterdir()) == []


# The first contact, and credentials that were good once.


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, str]]]:
    """A store that gives these answers (status, code) in their order, then an empty listing."""
    queue: list[tuple[int, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, code = queue.pop(0) if queue else (200, "")
            listing = "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount></ListBucketResult>"
            body = f"<Error><Code>{code}</Code><Message>words</Message></Error>" if code else listing
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in (
            ("ACCESS_KEY_ID", "id"),
            ("SECRET_ACCESS_KEY", "key"),
            ("DEFAULT_REGION", "eu-x-1"),
        ):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setattr(storage, "PROBE_WAITS", (0.01, 0.01))
        yield queue
        server.shutdown()


@pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable", "InternalError"])
def test_a_store_that_is_busy_at_first_is_asked_again(answers: list[tuple[int, str]], code: str) -> None:
    answers += [(503, code), (503, code)]
    storage.probe("s3://b/x")
    assert answers == []
    answers += [(503, code)] * 20
    with pytest.raises(StorageError, match="cannot reach s3://b/x"):
        storage.probe("s3://b/x")


@pytest.mark.parametrize(
    ("status", "code"), [(400, "ExpiredToken"), (403, "ExpiredToken"), (400, "TokenRefreshRequired")]
)
def test_expired_credentials_are_called_that(answers: list[tuple[int, str]], status: int, code: str) -> None:
    answers += [(status, code)] * 4
    with pytest.raises(StorageError, match="credentials have expired; renew them") as error:
        storage.probe("s3://b/x")
    assert "access denied" not in str(error.value)
