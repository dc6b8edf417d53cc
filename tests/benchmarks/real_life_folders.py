"""Inputs of `real_life.py`: folders as tools, tables of lakes and people leave them."""

import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.real_life_chats import LABELS, each, pair
from tests.benchmarks.real_life_inputs import (
    REFUSED,
    TALKS,
    Expected,
    Input,
    Write,
    beside,
    right,
    rows,
    texts,
)

HALF = len(TALKS) // 2
MADE = each(pair)()


def parquet(folder: Path, name: str, records: list[dict[str, Any]]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records), folder / name)


def arrow(folder: Path, name: str, records: list[dict[str, Any]]) -> None:
    made = pa.Table.from_pylist(records)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, made.schema) as writer:
        writer.write_table(made)


def jsonl(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(r) + "\n" for r in records).encode()


def with_cache(folder: Path) -> None:
    """What `datasets` writes to disk, with what it keeps of a map and a filter beside."""
    arrow(folder, "data-00000-of-00002.arrow", MADE[:HALF])
    arrow(folder, "data-00001-of-00002.arrow", MADE[HALF:])
    arrow(folder, "cache-1b2c3d4e5f.arrow", [{**r, "answer": r["answer"].upper()} for r in MADE])
    files = [{"filename": f"data-0000{n}-of-00002.arrow"} for n in range(2)]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_fingerprint": "x"}))
    (folder / "dataset_info.json").write_text('{"features": {}}')


def filtered(folder: Path) -> None:
    """Rows of which only some are meant: a file of their numbers lies beside."""
    arrow(folder, "data-00000-of-00001.arrow", MADE)
    arrow(folder, "indices.arrow", [{"indices": n} for n in range(0, len(MADE), 2)])
    state = {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_indices_data_files": [{"filename": "indices.arrow"}],
    }
    (folder / "state.json").write_text(json.dumps(state))


def splits(folder: Path) -> None:
    """A data set of the hub, with its own test."""
    parquet(folder, "data/train-00000-of-00001.parquet", MADE[:HALF])
    parquet(folder, "data/test-00000-of-00001.parquet", MADE[HALF:])
    (folder / "README.md").write_text("# Ours\n")


def spark(folder: Path) -> None:
    for n, part in enumerate((MADE[:HALF], MADE[HALF:])):
        name = f"part-0000{n}-2f1c-c000.snappy.parquet"
        parquet(folder, name, part)
        (folder / f".{name}.crc").write_bytes(b"crc\0")
    for name in ("_SUCCESS", "_committed_7", "_started_7"):
        (folder / name).write_text("{}")


def bare_parts(folder: Path) -> None:
    """Lines of JSON in files without a suffix."""
    (folder / "part-00000").write_bytes(jsonl(MADE[:HALF]))
    (folder / "part-00001").write_bytes(jsonl(MADE[HALF:]))
    (folder / "_SUCCESS").write_text("")


def partitions(folder: Path) -> None:
    """A column that is only in the names of directories."""
    parquet(folder, "lang=en/year=2024/part-0.parquet", MADE[:HALF])
    parquet(folder, "lang=de/year=2024/part-0.parquet", MADE[HALF:])


def by_directory(folder: Path) -> None:
    """A directory a label, a file a text."""
    for n, (asked, _) in enumerate(TALKS):
        place = folder / ("pos" if n % 2 else "neg")
        place.mkdir(exist_ok=True)
        (place / f"{n}.txt").write_text(asked)


def delta(folder: Path) -> None:
    """A table of which one file was replaced by another."""
    parquet(folder, "part-00000-a.snappy.parquet", [{**r, "answer": "Go away."} for r in MADE])
    parquet(folder, "part-00001-b.snappy.parquet", MADE)
    (folder / "_delta_log").mkdir()
    log = [
        [{"metaData": {"id": "x"}}, {"add": {"path": "part-00000-a.snappy.parquet", "size": 1}}],
        [
            {"remove": {"path": "part-00000-a.snappy.parquet", "dataChange": True}},
            {"add": {"path": "part-00001-b.snappy.parquet", "size": 1}},
        ],
    ]
    for n, entries in enumerate(log):
        (folder / f"_delta_log/{n:020d}.json").write_text("".join(json.dumps(e) + "\n" for e in entries))


def iceberg(folder: Path) -> None:
    parquet(folder, "data/00000-0-a.parquet", [{**r, "answer": "Go away."} for r in MADE])
    parquet(folder, "data/00000-1-b.parquet", MADE)
    (folder / "metadata").mkdir()
    (folder / "metadata/v2.metadata.json").write_text('{"format-version": 2, "snapshots": []}')
    (folder / "metadata/snap-1-x.avro").write_bytes(b"Obj\1")
    (folder / "metadata/version-hint.text").write_text("2")


def hudi(folder: Path) -> None:
    parquet(folder, "f1_0-1-0_001.parquet", [{**r, "answer": "Go away."} for r in MADE])
    parquet(folder, "f1_0-1-0_002.parquet", MADE)
    (folder / ".hoodie").mkdir()
    (folder / ".hoodie/hoodie.properties").write_text("hoodie.table.name=t\n")
    (folder / ".hoodie_partition_metadata").write_text("x")


def kaggle(folder: Path) -> None:
    """Rows to learn from, rows to answer, and how an answer is to look."""
    with zipfile.ZipFile(folder / "archive.zip", "w") as made:
        made.writestr(
            "train.csv", "id,text,label\n" + "".join(f'{n},"{a}",angry\n' for n, (a, _) in enumerate(TALKS))
        )
        made.writestr(
            "test.csv", "id,text\n" + "".join(f'{n},"Other {a}"\n' for n, (a, _) in enumerate(TALKS))
        )
        made.writestr("sample_submission.csv", "id,label\n" + "".join(f"{n},calm\n" for n in range(30)))


def macintosh(folder: Path) -> None:
    with zipfile.ZipFile(folder / "talks.zip", "w") as made:
        made.writestr("talks/rows.jsonl", jsonl(MADE))
        made.writestr("talks/.DS_Store", b"\0\0\0\1Bud1")
        made.writestr("__MACOSX/talks/._rows.jsonl", b"\0\5\x16\7")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "._talks.zip").write_bytes(b"\0\5\x16\7")


def hub_cache(folder: Path) -> None:
    """Files by their hashes, and links to them by their names."""
    for name in ("blobs", "refs", "snapshots/1a2b/data"):
        (folder / name).mkdir(parents=True)
    (folder / "blobs/9f8e7d").write_bytes(jsonl(MADE))
    (folder / "blobs/11aa22").write_text("# Ours\n")
    (folder / "refs/main").write_text("1a2b")
    os.symlink("../../../blobs/9f8e7d", folder / "snapshots/1a2b/data/train.jsonl")
    os.symlink("../../blobs/11aa22", folder / "snapshots/1a2b/README.md")


def loop(folder: Path) -> None:
    (folder / "rows.jsonl").write_bytes(jsonl(MADE))
    os.symlink(".", folder / "again", target_is_directory=True)
    os.symlink("rows.jsonl", folder / "same.jsonl")


def pointers(folder: Path) -> None:
    """What git leaves where its large files were not fetched."""
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a1" * 32 + "\nsize 123456\n"
    for name in ("train.parquet", "rows.jsonl"):
        (folder / name).write_text(text)


def copies(folder: Path) -> None:
    """What editors and people leave beside the data."""
    data = jsonl(MADE)
    (folder / "rows.jsonl").write_bytes(data)
    for name in ("rows.jsonl.bak", "rows.jsonl~", "rows.jsonl.old", "rows.jsonl.orig"):
        (folder / name).write_bytes(data)


def copied(folder: Path) -> None:
    """The same file twice, as people copy it."""
    (folder / "rows.jsonl").write_bytes(jsonl(MADE))
    (folder / "rows (1).jsonl").write_bytes(jsonl(MADE))


def odd_names(folder: Path) -> None:
    for n, name in enumerate(("ro ws [1].jsonl", "rö#%20ws?.jsonl", "rows{a,b}*.jsonl")):
        (folder / name).write_bytes(jsonl(MADE[10 * n : 10 * n + 10]))


def tar_of_pairs(folder: Path) -> None:
    """A sample in two files of one name."""
    with tarfile.open(folder / "000.tar", "w") as made:
        for n, (asked, answer) in enumerate(TALKS):
            for suffix, text in (
                ("json", json.dumps({"question": asked, "answer": answer})),
                ("cls", str(n % 2)),
            ):
                about = tarfile.TarInfo(f"{n:05d}.{suffix}")
                about.size = len(text)
                made.addfile(about, io.BytesIO(text.encode()))


def tgz(name: str, mode: str) -> Write:
    def write(folder: Path) -> None:
        with tarfile.open(folder / name, mode) as made:  # type: ignore[call-overload]
            about = tarfile.TarInfo("./data/rows.jsonl")
            data = jsonl(MADE)
            about.size = len(data)
            about.pax_headers = {"path": "./data/rows.jsonl", "mtime": "1.5"}
            made.addfile(about, io.BytesIO(data))

    return write


def nothing_in_it(folder: Path) -> None:
    """Empty tables beside one that is not."""
    empty = pa.schema([("id", pa.int64()), ("question", pa.string()), ("answer", pa.string())]).empty_table()
    pq.write_table(empty, folder / "0.parquet")
    parquet(folder, "1.parquet", MADE)
    (folder / "2.parquet").write_bytes(b"")


def more_columns(folder: Path) -> None:
    """A column that came later, and one that changed its kind."""
    parquet(folder, "2023.parquet", MADE[:HALF])
    parquet(folder, "2024.parquet", [{**r, "id": str(r["id"]), "channel": "web"} for r in MADE[HALF:]])


def renamed(folder: Path) -> None:
    """Columns that were renamed between two exports."""
    parquet(folder, "2023.parquet", MADE[:HALF])
    parquet(folder, "2024.parquet", [{"prompt": r["question"], "response": r["answer"]} for r in MADE[HALF:]])


def subtitles(folder: Path) -> None:
    """A talk that was written down."""
    for n, (asked, answer) in enumerate(TALKS):
        first, second = "00:00:01.000 --> 00:00:04.000", "00:00:05.000 --> 00:00:09.000"
        text = f"WEBVTT\n\n{first}\n<v Ann>{asked}\n\n{second}\n<v Bo>{answer}\n"
        (folder / f"{n}.vtt").write_text(text)


def members(folder: Path) -> None:
    """Several members of gzip in one file, and zeros behind them."""
    (folder / "rows.jsonl.gz").write_bytes(
        gzip.compress(jsonl(MADE[:HALF])) + gzip.compress(jsonl(MADE[HALF:])) + b"\0" * 512
    )


XML = (
    '<?xml version="1.0"?>\n<posts>'
    + "".join(f'<row Id="{n}" Body="{a}" />' for n, (a, _) in enumerate(TALKS))
    + "</posts>"
)

FOLDERS = [
    Input("a cache of datasets beside data", with_cache, right(rows()), told=["cache-"]),
    Input("rows chosen by an index", filtered, right(rows()[::2]), named=["indices"]),
    Input("a set with its own test", splits, right(rows()), told=["side: test"]),
    Input("Spark's parts", spark, right(rows())),
    Input("parts without a suffix", bare_parts, right(rows())),
    Input("partitions by directories", partitions, right(rows()), told=["lang"]),
    Input("a directory a label", by_directory, right(texts([a for a, _ in TALKS])), told=["'neg'"]),
    Input("a Delta table", delta, right(rows()), named=["Delta"]),
    Input("an Iceberg table", iceberg, right(rows()), named=["Iceberg"]),
    Input("a Hudi table", hudi, right(rows()), named=["Hudi"]),
    Input("Kaggle's archive", kaggle, right(LABELS), named=["missing_field", "test.csv"]),
    Input("a Macintosh's archive", macintosh, right(rows())),
    Input("the hub's cache", hub_cache, right(rows()), named=["refs/main"]),
    Input("links in a circle", loop, right(rows())),
    Input("pointers of git", pointers, REFUSED, named=["LFS"]),
    Input("editors' copies", copies, right(rows())),
    Input("a copy of a file", copied, right([*rows(), *rows()])),
    Input("odd names of files", odd_names, right(rows())),
    Input("an archive of samples in two files", tar_of_pairs, right(rows()), told=["cls"]),
    Input("tgz", tgz("rows.tgz", "w:gz"), right(rows())),
    Input("tbz2", tgz("rows.tbz2", "w:bz2"), right(rows())),
    Input("txz", tgz("rows.txz", "w:xz"), right(rows())),
    Input("empty tables beside another", nothing_in_it, right(rows())),
    Input("a column that came later", more_columns, right(rows())),
    Input("columns that were renamed", renamed, right(rows())),
    Input(
        "subtitles", subtitles, Expected(len(TALKS), None, {"text": "WEBVTT"}), told=["looks like subtitles"]
    ),
    Input("several members of gzip", members, right(rows())),
    Input(
        "an XML of posts",
        beside("Posts.xml", XML.encode()),
        Expected(1, None, {"text": "<row"}),
        told=["is XML"],
    ),
    Input(
        "YAML of talks",
        beside("talks.yaml", "".join(f"- question: {a}\n  answer: {b}\n" for a, b in TALKS).encode()),
        Expected(1, None, {"text": "- question"}),
        told=["looks like YAML"],
    ),
    Input(
        "a database", beside("talks.sqlite", b"SQLite format 3\0" + bytes(512)), REFUSED, named=["database"]
    ),
    Input(
        "a database under .db.jsonl",
        beside("talks.jsonl", b"SQLite format 3\0" + bytes(4096)),
        REFUSED,
        named=["SQLite", "binary", "database"],
    ),
    Input(
        "a page of an error for data",
        beside("rows.jsonl", b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"),
        REFUSED,
        named=["HTML", "html"],
    ),
    Input(
        "an error in JSON for data",
        beside("rows.json", b'{"error": "Not Found", "status": 404}'),
        REFUSED,
        named=["'error'"],
    ),
    Input("blanks alone", beside("rows.jsonl", b"\n\n  \n"), REFUSED, named=["record"]),
    Input(
        "lines of JSON under .txt",
        beside("rows.txt", jsonl(MADE)),
        right(rows()),
        line={"format": "jsonl"},
        told=["format: jsonl"],
        whole=True,
    ),
    Input(
        "lines of JSON under .csv",
        beside("rows.csv", jsonl(MADE)),
        right(rows()),
        line={"format": "jsonl"},
        told=["format: jsonl"],
    ),
    Input(
        "a sheet under .json",
        beside("rows.json", ("question,answer\n" + "".join(f'"{a}","{b}"\n' for a, b in TALKS)).encode()),
        right(rows()),
        line={"format": "csv"},
        told=["format: csv"],
    ),
    Input(
        "Parquet under .csv",
        lambda folder: parquet(folder, "rows.csv", MADE),
        right(rows()),
        line={"format": "parquet"},
        told=["format: parquet"],
    ),
]
