"""Packed files and archives.

Every member read once, or said why not; what breaks costs the remainder alone.
"""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import SourceError
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.files import archives, compressed
from headrace.pipelines.stages.read.records import Noted, ReadError
from headrace.pipelines.stages.read.source import Source
from tests.pipelines.stages.read.rows_of import contents, rows_of

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda d: gzip.compress(d, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
    "lzma": lambda d: lzma.compress(d, format=lzma.FORMAT_ALONE),
}


def lines(begin: int, end: int) -> bytes:
    return b"".join(b'{"question": "q%d", "answer": "a%d"}\n' % (i, i) for i in range(begin, end))


def numbered(begin: int, end: int) -> list[Any]:
    return [(f"q{i}", f"a{i}") for i in range(begin, end)]


def a_tar(members: dict[str, bytes], **more: Any) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", **more) as tar:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return sink.getvalue()


def a_zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


def put(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


# ---- compression


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("named", [True, False])
def test_packed_files_are_read_by_what_they_are(tmp_path: Path, kind: str, named: bool) -> None:
    """Whatever their names say: one that was never renamed, one that a download has unpacked."""
    if kind == "lzma" and not named:
        return
    data = PACK[kind](lines(0, 50)) + (PACK[kind](lines(50, 60)) if kind != "lzma" else b"")
    path = put(tmp_path, f"x.jsonl.{kind}" if named else "x.jsonl", data)
    for size in (2**20, 100):
        assert contents(rows_of(path, size)) == numbered(0, 60 if kind != "lzma" else 50)
    unpacked = put(tmp_path, f"y.jsonl.{kind}", lines(0, 9))
    assert contents(rows_of(unpacked)) == numbered(0, 9)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_truncated_and_damaged_data_cost_the_remainder(tmp_path: Path, kind: str) -> None:
    import random

    noise = random.Random(1)
    whole = b"".join(
        b'{"question": "%d", "answer": "%x"}\n' % (i, noise.getrandbits(200)) for i in range(60_000)
    )
    data = PACK[kind](whole)
    found = contents(rows_of(put(tmp_path, f"x.jsonl.{kind}", data[: len(data) * 2 // 3])))
    assert found[-1] == "read.truncated"
    assert len(found) > 10_000
    broken = bytearray(data)
    broken[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    found = contents(rows_of(put(tmp_path, f"x.jsonl.{kind}", bytes(broken))))
    assert found[-1] in ("read.corrupt", "read.truncated", "read.malformed_json")
    assert len(found) > 5000


@pytest.mark.parametrize("kind", ["bz2", "xz", "zst"])
def test_what_grows_without_end_is_stopped(kind: str) -> None:
    bomb = PACK[kind](bytes(200_000_000))
    sizes: list[int] = []

    def unpack() -> None:
        sizes.extend(len(chunk) for chunk in compressed.unpacked(iter([bomb]), kind))  # type: ignore[arg-type]

    with pytest.raises(ReadError) as error:
        unpack()
    assert "unpacks to more than" in error.value.detail
    assert max(sizes) <= 2**25
    assert sum(sizes) <= 2**27


def test_windows_of_zstd_are_bounded_by_the_memory() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packer.compress(lines(0, 10)) + packer.flush()
    assert b"".join(compressed.unpacked(iter([data]), "zst")) == lines(0, 10)
    with pytest.raises(ReadError) as error:
        list(compressed.unpacked(iter([data]), "zst", memory=2**26))
    assert "window of more than 128 MiB: set memory:" in error.value.detail


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=200), max_size=4),
    st.sampled_from(["gz", "bz2", "xz", "zst"]),
    st.integers(1, 99),
)
def test_members_follow_each_other_however_they_come(pieces: list[bytes], kind: str, step: int) -> None:
    data = b"".join(PACK[kind](piece) for piece in pieces)
    stored = iter([data[i : i + step] for i in range(0, len(data), step)])
    assert b"".join(compressed.unpacked(stored, kind)) == b"".join(pieces)  # type: ignore[arg-type]


# ---- archives

MEMBERS = {
    "a/one.jsonl": lines(0, 5),
    "a/two.csv": b"question,answer\nq5,a5\n",
    "three.jsonl.gz": PACK["gz"](lines(6, 9)),
    "README.md": b"# about",
    "__MACOSX/a/._one.jsonl": b"\0\1",
    "a/.DS_Store": b"\0\1",
    "four.json": json.dumps([{"question": "q9", "answer": "a9"}]).encode(),
}


def archive_of(kind: str) -> bytes:
    if kind.startswith("zip"):
        methods = {"zip": 8, "zip.stored": 0, "zip.bz2": 12, "zip.lzma": 14}
        return a_zip(MEMBERS, methods[kind])
    packer = PACK.get(kind.removeprefix("tar").removeprefix("."), lambda d: d)
    return packer(a_tar(MEMBERS))


@pytest.mark.parametrize(
    "name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz", "x.tar.zst", "x.zip", "x.data"]
)
def test_the_files_of_an_archive_are_read_each_by_its_name(tmp_path: Path, name: str) -> None:
    suffix = {"tgz": "gz", "tar": "", "data": "gz"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    data = archive_of("zip") if name == "x.zip" else PACK.get(suffix, lambda d: d)(a_tar(MEMBERS))
    path = put(tmp_path, name, data)
    for size in (2**20, 50):
        found = rows_of(path, size)
        assert sorted(contents(found)) == numbered(0, 10)
    assert {r["file"] for r in found} == {
        f"{name}/{m}" for m in ("a/one.jsonl", "a/two.csv", "three.jsonl.gz", "four.json")
    }


@pytest.mark.parametrize("kind", ["zip.stored", "zip.bz2", "zip.lzma"])
def test_methods_of_zip(tmp_path: Path, kind: str) -> None:
    assert sorted(contents(rows_of(put(tmp_path, "x.zip", archive_of(kind))))) == numbered(0, 10)


def test_parquet_in_an_archive_and_names_that_lead_out_of_it(tmp_path: Path) -> None:
    table = pa.table({"question": ["q0"], "answer": ["a0"]})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    members = {
        "../../up.parquet": sink.getvalue(),
        "/abs/x.jsonl": lines(1, 2),
        "C:\\x\\y.jsonl": lines(2, 3),
    }
    for name, data in (("x.zip", a_zip(members)), ("x.tar", a_tar(members))):
        found = rows_of(put(tmp_path, name, data))
        assert contents(found) == numbered(0, 3)
        assert found[0]["file"] == f"{name}/../../up.parquet"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.tar", "x.zip"]


def test_links_and_folders_in_a_tar_are_no_files(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("l.jsonl", tarfile.SYMTYPE), ("p", tarfile.FIFOTYPE)):
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, "/etc/passwd"
            tar.addfile(about)
        about = tarfile.TarInfo("d/" + "long" * 60 + ".jsonl")
        about.size = len(lines(0, 3))
        tar.addfile(about, io.BytesIO(lines(0, 3)))
    assert contents(rows_of(put(tmp_path, "x.tar", sink.getvalue()))) == numbered(0, 3)


def test_tars_put_together_are_read_to_their_end(tmp_path: Path) -> None:
    data = a_tar({"a.jsonl": lines(0, 3)}) + a_tar({"b.jsonl": lines(3, 5)}) + bytes(4096)
    assert contents(rows_of(put(tmp_path, "x.tar", data))) == numbered(0, 5)


def test_where_a_tar_breaks_off_the_remainder_is_one_record(tmp_path: Path) -> None:
    data = a_tar({"a.jsonl": lines(0, 3), "b.jsonl": lines(3, 200), "c.jsonl": lines(200, 203)})
    found = rows_of(put(tmp_path, "x.tar", data[:3000]))
    assert contents(found) == [*numbered(0, 3), "read.truncated"]
    broken = bytearray(data)
    broken[1024 : 1024 + 200] = bytes(b ^ 0xFF for b in broken[1024 : 1024 + 200])
    found = contents(rows_of(put(tmp_path, "x.tar", bytes(broken))))
    assert found == [*numbered(0, 3), "read.corrupt"]
    whole = a_tar({"a.jsonl": lines(0, 3)})
    assert contents(rows_of(put(tmp_path, "x.tar", whole[:1024]))) == [*numbered(0, 3), "read.truncated"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9000), st.binary(min_size=1, max_size=40), st.sampled_from(["x.tar", "x.zip", "x.tar.gz"])
)
def test_damage_never_raises_and_never_repeats_a_row(
    tmp_path_factory: Any, at: int, noise: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    members = {"a.jsonl": lines(0, 30), "b.jsonl": lines(30, 60)}
    data = bytearray(a_zip(members) if name == "x.zip" else a_tar(members))
    if name.endswith("gz"):
        data = bytearray(gzip.compress(bytes(data), mtime=0))
    at %= len(data)
    data[at : at + len(noise)] = noise
    found = contents(rows_of(put(folder, name, bytes(data)), shape="question_answer"))
    good = [f for f in found if isinstance(f, tuple)]
    assert len(good) == len(set(good)) or name != "x.tar.gz"
    assert good == numbered(0, 60) or any(isinstance(f, str) for f in found) or len(found) == 60 or not good


def test_a_bomb_of_members_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SPARE", 10_000)
    monkeypatch.setattr(archives, "EXPANSION", 3)
    data = a_zip({"a.jsonl": lines(0, 100), "big.txt": bytes(100_000), "b.jsonl": lines(100, 103)})
    found = rows_of(put(tmp_path, "x.zip", data), shape="question_answer")
    assert contents(found) == [*numbered(0, 100), "read.corrupt", *numbered(100, 103)]
    assert found[100]["file"] == "x.zip/big.txt"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "x.zip",
            a_zip({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}),
            "save each sheet as CSV",
        ),
        ("x.xlsx", b"PK\x03\x04" + bytes(500), "save each sheet as CSV"),
        ("x.docx", a_zip({"[Content_Types].xml": b"", "word/document.xml": b""}), "save its text as .txt"),
        ("x.zip", a_zip({"in.zip": a_zip({"a.jsonl": lines(0, 1)})}), "an archive within an archive"),
        ("x.zip", b"PK\x03\x04" + bytes(500), "table of contents cannot be read"),
        ("x.7z", b"7z\xbc\xaf\x27\x1c" + bytes(100), "a 7-Zip archive: unpack it"),
        ("x.pdf", b"%PDF-1.4\n" + bytes(100), "extract its text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        rows_of(put(tmp_path, name, data))


def test_an_encrypted_member_costs_itself(tmp_path: Path) -> None:
    data = bytearray(a_zip({"a.jsonl": lines(0, 2), "b.jsonl": lines(2, 4)}))
    central = data.rfind(b"PK\x01\x02")
    data[central + 8] |= 1
    found = rows_of(put(tmp_path, "x.zip", bytes(data)))
    assert contents(found) == [*numbered(0, 2), "read.binary"]
    assert "encrypted" in found[-1]["detail"]


@pytest.mark.parametrize("memory", [2**26, 2**31 + 1, 2**40])
def test_any_memory_that_a_recipe_may_give_reads_zstd(memory: int) -> None:
    packed = zstandard.ZstdCompressor().compress(b"some text")
    assert b"".join(compressed.unpacked(iter([packed]), "zst", memory)) == b"some text"


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_what_is_no_data_in_an_archive_is_counted_by_reason(name: str, tmp_path: Path) -> None:
    members = {"a/_SUCCESS": b"", "a/1.jsonl": lines(0, 3), "README.md": b"ours", "a/2.jsonl": lines(3, 5)}
    members |= {"z/one.png": b"x", "z/two.png": b"x"}
    path = tmp_path / name
    path.write_bytes(a_zip(members) if name.endswith("zip") else a_tar(members))
    (source,) = inputs.resolve([Source(path=str(path))])
    (fragment,) = inputs.plan(source, 2**25)
    noted = Noted()
    tables = [*read_rows.read(fragment, source, fragment_size=2**25, seed=0, noted=noted)]
    assert sum(t.num_rows for t in tables) == 5
    assert dict(noted.left_out) == {
        "hidden files and markers": 1,
        "what says something about the data": 1,
        "pictures, sounds and films": 2,
    }
