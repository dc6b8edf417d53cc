"""Inputs of `real_life.py`: what stores and tools write, damaged files, files of other programs."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pyarrow.parquet as pq
import zstandard

from tests.benchmarks.real_life_inputs import (
    REFUSED,
    TALKS,
    Expected,
    Input,
    Row,
    Write,
    lines,
    right,
    rows,
    turns,
)

ASKED, ANSWERED = [a for a, _ in TALKS], [b for _, b in TALKS]
PAIRS = {"question": ASKED, "answer": ANSWERED}


def jsonl(talks: list[tuple[str, str]] = TALKS) -> bytes:
    """Questions and answers a line."""
    return "".join(json.dumps({"question": a, "answer": b}) + "\n" for a, b in talks).encode()


def sheet(delimiter: str = ",", quote: str = '"', end: str = "\r\n") -> bytes:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter=delimiter, quotechar=quote, lineterminator=end)
    writer.writerows([["question", "answer"], *TALKS])
    return sink.getvalue().encode()


def files(made: Callable[[], dict[str, bytes]]) -> Write:
    """Files by their names."""

    def write(folder: Path) -> None:
        for name, data in made().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    return write


def one(name: str, made: Callable[[], bytes]) -> Write:
    return files(lambda: {name: made()})


def parquet(table: pa.Table, **more: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **more)
    return sink.getvalue()


def of_turns(fields: tuple[str, ...], large: bool) -> pa.Table:
    """Turns as lists of structures, with their fields in this order."""
    text = pa.large_string() if large else pa.string()
    kind = pa.struct([(name, text) for name in fields])
    made = [[{**t, **{f: None for f in fields if f not in t}} for t in turns(*talk)] for talk in TALKS[:15]]
    return pa.table({"messages": pa.array(made, pa.large_list(kind) if large else pa.list_(kind))})


def other_types(folder: Path) -> None:
    """Three files of one set: columns in another order, of other types of text, in row groups."""
    tables = (
        pa.table({"question": pa.array(ASKED[:10]).dictionary_encode(), "answer": ANSWERED[:10]}),
        pa.table({"answer": pa.array(ANSWERED[10:20], pa.large_string()), "question": ASKED[10:20]}),
        pa.table({"question": ASKED[20:], "id": [*range(10)], "answer": pa.array(ANSWERED[20:])}),
    )
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=3, compression="brotli")


def beside_metadata(folder: Path) -> None:
    """What Dask and Spark write beside their parts: files that hold a schema and no rows."""
    table = pa.table(PAIRS)
    pq.write_table(table, folder / "part.0.parquet")
    pq.write_metadata(table.schema, folder / "_common_metadata")
    pq.write_metadata(table.schema, folder / "_metadata")


def zipped(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


def locked() -> bytes:
    """A zip whose member is flagged as encrypted."""
    data = bytearray(zipped({"a.jsonl": jsonl()}))
    data[6] |= 1
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def linked_archive() -> bytes:
    """A tar with links out of it beside its file."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, kind in (("b.jsonl", tarfile.SYMTYPE), ("c.jsonl", tarfile.LNKTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "../../etc/passwd"
            archive.addfile(link)
        info = tarfile.TarInfo("./deep/a.jsonl")
        info.size = len(jsonl())
        archive.addfile(info, io.BytesIO(jsonl()))
    return sink.getvalue()


def pipe(folder: Path) -> None:
    """A pipe beside a file: whoever opens it waits."""
    (folder / "a.jsonl").write_bytes(jsonl())
    os.mkfifo(folder / "b.jsonl")


def arrow(name: str) -> Write:
    def write(folder: Path) -> None:
        feather.write_feather(pa.table(PAIRS), str(folder / name))

    return write


def in_orc(folder: Path) -> None:
    orc.write_table(pa.table(PAIRS), str(folder / "a.orc"))


def records_of_tensors() -> bytes:
    """TFRecord: a length, its checksum, the bytes and theirs."""
    return b"".join(struct.pack("<QI", len(b), 1) + b + struct.pack("<I", 2) for b in [b"x" * 40] * 9)


def avro() -> bytes:
    return (
        b"Obj\x01\x02\x16avro.schema\x80\x01" + b'{"type":"record","name":"r","fields":[]}' + bytes(range(40))
    )


def arrays() -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.array(ASKED))
    return sink.getvalue()


def document(kind: str) -> bytes:
    """The archive that an office's document is."""
    first = {"mimetype": f"application/{kind}".encode(), "[Content_Types].xml": b"<Types/>"}
    return zipped({**first, "word/document.xml": b"<w:t>text</w:t>", "content.xml": b"<text/>"})


def escapes(n: int, asked: str, answer: str) -> dict[str, str]:
    """Line separators of Unicode, a vertical tab and a character beyond the first plane."""
    return {"question": f"{asked}\u2028more\x85", "answer": f"{answer}\x0b \U0001f600"}


ESCAPED: list[Row] = [(("user", f"{a}\nmore…"), ("assistant", f"{b}\n \U0001f600")) for a, b in TALKS]
DAMAGED = Expected(1, rows())  # how many records were lost is not known
UNKNOWN = (
    ("Avro", "a.avro", avro),
    ("TFRecord", "a.tfrecord", records_of_tensors),
    ("arrays of NumPy", "a.npy", arrays),
    ("a pickle", "a.pkl", lambda: pickle.dumps(PAIRS)),
    ("a pickle of pandas", "a.pickle", lambda: pickle.dumps([PAIRS])),
    ("HDF5", "a.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(200)),
    ("DuckDB", "a.duckdb", lambda: bytes(8) + b"DUCK" + bytes(300)),
    ("MessagePack", "a.msgpack", lambda: b"\x82\xa8question\xa3abc\xa6answer\xa3def" * 20),
    ("protocol buffers", "a.pb", lambda: b"\x0a\x05hello\x12\x05world" * 20),
    ("LMDB", "data.mdb", lambda: bytes(16) + b"\xde\xc0\xef\xbe" + bytes(300)),
    ("a document of an office", "a.docx", lambda: document("msword")),
    ("an open document", "a.odt", lambda: document("vnd.oasis.opendocument.text")),
    ("an open sheet", "a.ods", lambda: document("vnd.oasis.opendocument.spreadsheet")),
    ("a book", "a.epub", lambda: document("epub+zip")),
    ("rich text", "a.rtf", lambda: b"{\\rtf1\\ansi hello \\par}" * 20),
    ("an old sheet", "a.xls", lambda: bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500)),
    ("7z", "a.7z", lambda: b"7z\xbc\xaf\x27\x1c" + bytes(200)),
    ("RAR", "a.rar", lambda: b"Rar!\x1a\x07\x01\x00" + bytes(200)),
    ("LZ4", "a.jsonl.lz4", lambda: pa.compress(jsonl(), "lz4", asbytes=True)),
    ("Snappy", "a.jsonl.sz", lambda: b"\xff\x06\x00\x00sNaPpY" + bytes(range(200))),
    ("Brotli", "a.jsonl.br", lambda: pa.compress(jsonl(), "brotli", asbytes=True)),
    ("what GPG locked", "a.jsonl.gpg", lambda: b"\x85\x02\x0c\x03" + bytes(range(256))),
    ("a pointer of DVC", "a.jsonl.dvc", lambda: b"outs:\n- md5: 1d\n  path: a.jsonl\n"),
    ("a sheet in HTML under .xls", "b.xls", lambda: b"<html><table><tr><td>a</td></tr></table></html>"),
    (
        "objects of JavaScript",
        "a.jsonl",
        lambda: b"".join(b"{question: 'a%d?', answer: 'b'}\n" % n for n in range(30)),
    ),
)
STORES = [
    Input(
        "lists of large structures",
        one("a.parquet", lambda: parquet(of_turns(("content", "name", "role"), True))),
        right(rows()[:15]),
    ),
    Input(
        "structures in other orders, a file each",
        files(
            lambda: {
                "a.parquet": parquet(of_turns(("role", "content"), False)),
                "b.parquet": parquet(of_turns(("tool_calls", "content", "role"), True)),
            }
        ),
        right(rows()[:15] * 2),
    ),
    Input("types of text by file, in row groups", other_types, right(rows())),
    Input("schemas beside Parquet", beside_metadata, right(rows())),
    Input(
        "mappings and times beside text",
        one(
            "a.parquet",
            lambda: parquet(
                pa.table(
                    {
                        **PAIRS,
                        "more": pa.array([[("a", "b")]] * 30, pa.map_(pa.string(), pa.string())),
                        "at": pa.array([1] * 30, pa.timestamp("ns", "Asia/Tokyo")),
                    }
                )
            ),
        ),
        right(rows()),
    ),
    Input(
        "names with dots",
        one("a.parquet", lambda: parquet(pa.table({"chat.question": ASKED, "chat.answer": ANSWERED}))),
        right(rows()),
        line={"shape": "question_answer", "columns": {"question": "chat.question", "answer": "chat.answer"}},
        whole=True,
    ),
    Input(
        "Parquet under gzip's name",
        one("part-00000.gz.parquet", lambda: parquet(pa.table(PAIRS), compression="gzip")),
        right(rows()),
    ),
    Input(
        "half a Parquet file",
        one("a.parquet", lambda: parquet(pa.table(PAIRS))[:900]),
        REFUSED,
        named=("a.parquet",),
    ),
    Input("Parquet without rows", one("a.parquet", lambda: parquet(pa.table(PAIRS)[:0])), REFUSED),
    Input(
        "Parquet in a zip",
        one("a.zip", lambda: zipped({"a.parquet": parquet(pa.table(PAIRS))})),
        right(rows()),
    ),
    Input("Feather", arrow("a.feather"), right(rows())),
    Input("Arrow", arrow("a.arrow"), right(rows())),
    Input("Arrow under .ipc", arrow("a.ipc"), right(rows())),
    Input("ORC", in_orc, REFUSED, named=(".orc", "ORC")),
    Input("LZMA", one("a.jsonl.lzma", lambda: lzma.compress(jsonl(), lzma.FORMAT_ALONE)), right(rows())),
    Input("no gzip under .gz", one("a.jsonl.gz", jsonl), right(rows())),
    Input("gzip under .zst", one("a.jsonl.zst", lambda: gzip.compress(jsonl())), right(rows())),
    Input("bzip2 without a suffix", one("dump", lambda: bz2.compress(jsonl())), right(rows())),
    Input("half of gzip", one("a.jsonl.gz", lambda: gzip.compress(jsonl())[:-200]), DAMAGED),
    Input("half of zstd", one("a.jsonl.zst", lambda: zstandard.compress(jsonl())[:-100]), DAMAGED),
    Input("half of xz", one("a.jsonl.xz", lambda: lzma.compress(jsonl())[:-100]), DAMAGED),
    Input("half of a zip", one("a.zip", lambda: zipped({"a.jsonl": jsonl()})[:-60]), DAMAGED),
    Input(
        "rubbish behind gzip", one("a.jsonl.gz", lambda: gzip.compress(jsonl()) + bytes(512)), right(rows())
    ),
    Input("a zip that is locked", one("a.zip", locked), REFUSED, named=("encrypted", "password")),
    Input("a zip in a zip", one("a.zip", lambda: zipped({"b.zip": zipped({"a.jsonl": jsonl()})})), DAMAGED),
    Input(
        "a zip of two sheets",
        one("a.csv.zip", lambda: zipped({"a.csv": sheet(), "__MACOSX/._a.csv": b"x", "b.csv": sheet()})),
        right(rows() * 2),
    ),
    Input("a tar with links out of it", one("a.tar", linked_archive), right(rows())),
    Input("a pipe beside lines", pipe, right(rows())),
    Input("folders with odd names", one("a b#c/d?e/%20[f]/ünï{g}/x.jsonl", jsonl), right(rows())),
    Input("lines under .jl", one("a.jl", jsonl), right(rows())),
    Input("lines under .ndjson.gz", one("A.NDJSON.GZ", lambda: gzip.compress(jsonl())), right(rows())),
    Input(
        "keys twice",
        one(
            "a.jsonl",
            lambda: b"".join(
                json.dumps({"question": "old", "answer": b})[:-1].encode()
                + b', "question": '
                + json.dumps(a).encode()
                + b"}\n"
                for a, b in TALKS
            ),
        ),
        right(rows()),
    ),
    Input(
        "keys that are numbers",
        lines("a.jsonl", lambda n, a, b: {"0": a, "1": b}),
        right(rows()),
        line={"shape": "question_answer", "columns": {"question": "0", "answer": "1"}},
        whole=True,
    ),
    Input("separators of Unicode in lines", lines("a.jsonl", escapes), right(ESCAPED)),
    Input(
        "numbers and nulls among records",
        one(
            "a.json",
            lambda: json.dumps([*({"question": a, "answer": b} for a, b in TALKS), None, 7]).encode(),
        ),
        DAMAGED,
    ),
    Input(
        "a comment behind each object",
        one("a.jsonl", lambda: jsonl().replace(b"}\n", b"} // done\n")),
        DAMAGED,
    ),
    Input(
        "quotes of another kind", one("a.csv", lambda: sheet(quote="'")), right(rows()), line={"quote": "'"}
    ),
    Input("fields between ^", one("a.csv", lambda: sheet("^")), right(rows()), line={"delimiter": "^"}),
    Input(
        "fields between \\x01",
        one("000000_0", lambda: sheet("\x01", end="\n")),
        right(rows()),
        line={"format": "csv"},
        told=("format: csv",),
        whole=True,
    ),
    Input(
        "fields between semicolons and blanks",
        one("a.csv", lambda: sheet(";").replace(b";", b" ; ")),
        right(rows()),
    ),
    Input("rows with more fields", one("a.csv", lambda: sheet() + b'"x","y","z"\r\n'), DAMAGED),
    Input("rows with fewer fields", one("a.csv", lambda: sheet() + b'"only this"\r\n'), DAMAGED),
    Input(
        "tabs between quotes",
        one(
            "a.tsv", lambda: b"question\tanswer\n" + b"".join(f'"{a}\t?"\t"{b}"\n'.encode() for a, b in TALKS)
        ),
        right([(("user", f"{a}\t?"), ("assistant", b)) for a, b in TALKS]),
    ),
    Input("a last record without its end", one("a.csv", lambda: sheet()[:-2]), right(rows())),
    Input(
        "a column alone",
        one("a.csv", lambda: ("text\r\n" + "".join(f'"{a}"\r\n' for a in ASKED)).encode()),
        right([(("text", a),) for a in ASKED]),
    ),
    Input(
        "a sheet beside an office's",
        files(lambda: {"a.csv": sheet(), "a.xlsx": document("sheet")}),
        right(rows()),
        told=("a.xlsx",),
    ),
    Input("an empty file beside lines", files(lambda: {"a.jsonl": b"", "b.jsonl": jsonl()}), right(rows())),
    *(
        Input(
            f"{name} alone",
            one(file, made),
            REFUSED,
            named=(file, "*" + Path(file).suffix, Path(file).suffix),
        )
        for name, file, made in UNKNOWN
    ),
]
