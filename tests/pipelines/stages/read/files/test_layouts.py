"""Folders as tools leave them: tables of lakes, caches, sets with a test, what only looks like data."""

import json
import os
from pathlib import Path

import pytest
import yaml

from headrace.cluster.errors import SourceError
from headrace.pipelines.commands import init
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.files import leftout, notes
from headrace.pipelines.stages.read.source import Source
from tests.pipelines.stages.read.rows_of import contents, rows_of

PAIR = '{"question": "a", "answer": "b"}\n'


def lay(folder: Path, *names: str, text: str = PAIR) -> Path:
    """Files of this text."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def found(path: Path) -> list[str]:
    return [f.relative for f in inputs.files(Source(name="s", path=str(path)))]


def told(path: Path) -> list[str]:
    (source,) = inputs.resolve([Source(name="s", path=str(path))])
    return notes.of(source, inputs.files(source))


@pytest.mark.parametrize(
    ("log", "what"),
    [
        ("_delta_log/00000000000000000000.json", "a Delta table"),
        ("metadata/v2.metadata.json", "an Iceberg table"),
        (".hoodie/hoodie.properties", "a Hudi table"),
    ],
)
def test_tables_of_lakes_are_refused_by_name_and_a_pattern_reads_their_files(
    tmp_path: Path, log: str, what: str
) -> None:
    lay(tmp_path, "part-0.jsonl", "part-1.jsonl", log)
    with pytest.raises(SourceError, match=f"is {what}, whose own log says which files count"):
        found(tmp_path)
    assert found(tmp_path / "*.jsonl") == ["part-0.jsonl", "part-1.jsonl"]


def test_a_folder_named_metadata_is_no_lake(tmp_path: Path) -> None:
    assert (
        leftout.lake(
            ["metadata/a.json", "metadata/x.metadata.json", "data/v1.metadata.json", "a_delta_log.json"]
        )
        is None
    )
    assert found(lay(tmp_path, "metadata/a.jsonl")) == ["metadata/a.jsonl"]


def test_caches_of_datasets_are_left_out_and_rows_chosen_by_an_index_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "data-00000-of-00001.arrow", "cache-1b2c3d4e5f.arrow", "cache-ab12_00000_of_00004.arrow")
    listing = inputs.found(Source(name="s", path=str(tmp_path)))
    assert [f.relative for f in listing.files] == ["data-00000-of-00001.arrow"]
    assert "2 left out: what `datasets` keeps of its own steps" in listing.notes[0]
    lay(tmp_path, "indices.arrow")
    with pytest.raises(SourceError, match=r"'indices\.arrow' says which rows of its folder are meant"):
        found(tmp_path)


def test_the_hubs_cache_is_read_by_its_names(tmp_path: Path) -> None:
    lay(tmp_path, "blobs/9f8e", "refs/main")
    (tmp_path / "snapshots/1a2b").mkdir(parents=True)
    os.symlink("../../blobs/9f8e", tmp_path / "snapshots/1a2b/train.jsonl")
    assert found(tmp_path) == ["snapshots/1a2b/train.jsonl"]
    assert contents(rows_of(tmp_path)) == [("a", "b")]
    plain = lay(tmp_path / "plain", "blobs/a.jsonl", "b.jsonl")
    assert found(plain) == ["b.jsonl", "blobs/a.jsonl"]


def test_a_sets_own_test_is_held_out(tmp_path: Path) -> None:
    lay(tmp_path, "data/train-0.jsonl", "data/train-1.jsonl", "data/test-0.jsonl", "data/validation-0.jsonl")
    sources = yaml.safe_load(init.starter(str(tmp_path)))["sources"]
    sides = {source.get("side"): found(Path(source["path"])) for source in sources}
    assert sides == {
        None: ["data/train-0.jsonl", "data/train-1.jsonl"],
        "test": ["data/test-0.jsonl"],
        "validation": ["data/validation-0.jsonl"],
    }
    assert len({source["name"] for source in sources}) == 3


@pytest.mark.parametrize(
    "names",
    [("a.jsonl", "dev-blog.jsonl"), ("train.jsonl", "testimonials.jsonl"), ("test-0.jsonl", "test-1.jsonl")],
)
def test_no_side_is_made_of_other_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    (source,) = yaml.safe_load(init.starter(str(lay(tmp_path, *names))))["sources"]
    assert "side" not in source


def test_what_folders_say_is_told(tmp_path: Path) -> None:
    (said,) = told(lay(tmp_path / "a", "lang=en/0.jsonl", "lang=de/1.jsonl"))
    assert said == "source 's': folders name values of 'lang', which no file holds: nobody reads these"
    (said,) = told(
        lay(tmp_path / "b", *(f"{k}/{n}.txt" for k in ("neg", "pos") for n in range(2)), text="words")
    )
    assert "its texts lie in the folders 'neg', 'pos'" in said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", PAIR * 9, "format: jsonl reads them"),
        ("a.xml", "<?xml version='1.0'?><a>b</a>", "is XML, learned with its tags"),
        ("a.vtt", "WEBVTT\n\n00:00:01.000 --> 00:00:04.000\nwords\n", "looks like subtitles"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:04,000\nwords\n", "looks like subtitles"),
        ("a.yaml", "- question: a\n", "looks like YAML or TOML"),
    ],
)
def test_texts_with_a_form_of_their_own_are_told(tmp_path: Path, name: str, text: str, said: str) -> None:
    (line,) = told(lay(tmp_path, name, text=text))
    assert said in line


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of git LFS"),
        ("a.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of git LFS"),
        ("a.jsonl", "<!doctype html><html><body>404</body></html>\n", "it looks like html"),
        ("a.json", "question,answer\n" + "a,b\n" * 9, "it looks like csv: format: csv reads it so"),
        ("a.csv", PAIR * 9, "it looks like jsonl: format: jsonl reads it so"),
    ],
)
def test_what_a_file_looks_like_is_said(tmp_path: Path, name: str, text: str, why: str) -> None:
    path = lay(tmp_path, name, text=text) / name
    with pytest.raises(SourceError) as caught:
        inputs.resolve([Source(name="s", path=str(path))])
    assert why in str(caught.value)


def test_blanks_behind_delimiters_are_no_part_of_fields(tmp_path: Path) -> None:
    text = "question, answer\n" + '"a, b", "c ""d"""\n' * 9
    assert contents(rows_of(lay(tmp_path, "a.csv", text=text) / "a.csv")) == [("a, b", 'c "d"')] * 9
    plain = "question,answer\n" + "a, b\n" * 9
    assert contents(rows_of(lay(tmp_path, "b.csv", text=plain) / "b.csv")) == [("a", " b")] * 9


def test_what_stands_above_the_line_of_names_is_told(tmp_path: Path) -> None:
    path = lay(tmp_path, "a.csv", text="Report\nof today\n\nquestion,answer\n" + "a,b\n" * 9) / "a.csv"
    with pytest.raises(SourceError, match="take away what stands above the line of names"):
        inputs.resolve([Source(name="s", path=str(path))])


def test_a_json_sequence_is_lines_of_json(tmp_path: Path) -> None:
    text = "".join(f"\x1e{PAIR}" for _ in range(3))
    for name in ("a.json-seq", "b.jsonl"):
        assert contents(rows_of(lay(tmp_path, name, text=text) / name)) == [("a", "b")] * 3


def test_the_names_of_a_table_again_are_no_row(tmp_path: Path) -> None:
    text = "question,answer\n" + "a,b\n" * 3 + "question,answer\n" + "c,d\n"
    rows = rows_of(lay(tmp_path, "a.csv", text=text) / "a.csv")
    assert contents(rows) == [("a", "b")] * 3 + ["read.wrong_columns", ("c", "d")]
    assert rows[3]["detail"] == "the line of names again, as of tables put together"


def test_a_text_in_an_encoding_that_nobody_told_is_set_aside_and_a_few_bytes_are_mended(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    thai = "ร้านที่อยู่ข้างสถานีรถไฟ".encode("cp874")
    good = json.dumps({"question": "a question of some length", "answer": "b"}).encode()
    path.write_bytes(
        good + b"\n" + good.replace(b"length", b"l\xffngth") + b"\n" + good.replace(b"length", thai) + b"\n"
    )
    rows = rows_of(path, encoding="utf-8")
    assert contents(rows) == [
        ("a question of some length", "b"),
        ("a question of some l\ufffdngth", "b"),
        "read.bad_utf8",
    ]
