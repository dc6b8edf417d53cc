"""What is no data: left out by its name and said, and never where a recipe names it."""

import json
from pathlib import Path

import pytest

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.files import leftout
from headrace.pipelines.stages.read.source import Source
from tests.pipelines.stages.read.rows_of import contents, rows_of

LINE = '{"question": "q", "answer": "a"}\n'


def put(folder: Path, *names: str, text: str = LINE) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def listed(path: object) -> tuple[list[str], list[str]]:
    found = inputs.found(Source(name="s", path=str(path)))
    return [f.relative for f in found.files], found.notes


def test_no_stray_file_fails_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", "b/c.jsonl")
    strays = ["README.md", "LICENSE", "b/README", "dataset_info.json", "CITATION.cff", "load.py", "plot.png"]
    strays += [
        ".DS_Store",
        "_SUCCESS",
        "b/.c.jsonl.crc",
        "a.jsonl.tmp",
        "~$a.xlsx",
        "Thumbs.db",
        "a.jsonl~",
        "x.pdf",
    ]
    strays += ["__MACOSX/._a", ".git/config", "a.jsonl.md5", "SHA256SUMS", "report.xlsx", "x_$folder$"]
    put(tmp_path, *strays, text="words")
    files, notes = listed(tmp_path)
    assert files == ["a.jsonl", "b/c.jsonl"]
    assert contents(rows_of(tmp_path)) == [("q", "a")] * 2
    said = "\n".join(notes)
    assert sum(int(n.split(": ")[1].split(" ")[0]) for n in notes) == len(strays)
    for word in (
        "hidden",
        "temporary",
        "checksums",
        "about the data",
        "descriptions",
        "pictures",
        "CSV UTF-8",
    ):
        assert word in said, word


def test_what_a_recipe_names_is_read(tmp_path: Path) -> None:
    put(tmp_path, "_part.jsonl", "_x/a.jsonl", ".h.jsonl", "b.jsonl", "c.jsonl.tmp")
    assert listed(tmp_path)[0] == ["b.jsonl"]
    assert listed(tmp_path / "_part.jsonl")[0] == ["_part.jsonl"]
    assert listed(tmp_path / "_*.jsonl") == (["_part.jsonl"], [])
    assert listed(tmp_path / "_x")[0] == ["a.jsonl"]
    assert listed(tmp_path / "_x/*.jsonl")[0] == ["a.jsonl"]
    assert listed(tmp_path / "**/.h*")[0] == [".h.jsonl"]
    assert listed(tmp_path / "c.*")[0] == ["c.jsonl.tmp"]
    files, notes = listed(tmp_path / "*.jsonl*")
    assert files == ["b.jsonl"]
    assert len(notes) == 2
    (tmp_path / "d").mkdir()
    put(tmp_path / "d", "_SUCCESS")
    with pytest.raises(SourceError, match=r"holds no data files.*1 left out: hidden files and markers"):
        listed(tmp_path / "d")


def test_documents_are_data_where_there_is_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, "README.md", "doc.md", text="# words")
    assert listed(tmp_path)[0] == ["README.md", "doc.md"]
    put(tmp_path / "e", "dataset_info.json", text='{"question": "q", "answer": "a"}')
    assert listed(tmp_path / "e")[0] == ["dataset_info.json"]


@pytest.mark.parametrize(
    "name", ["readme_2024_answers.jsonl", "history.txt", "part-00000.csv", "a.b.c.json", "noticed.md"]
)
def test_data_is_not_taken_for_something_else(name: str) -> None:
    assert leftout.rule(name) is None
    assert leftout.beside(name, ("jsonl",), arrow=True) is None


@pytest.mark.s3
def test_keys_of_a_bucket(s3: str) -> None:
    """Folder markers are no files; keys that no disk could hold are read, or said."""
    line = LINE.encode()
    for key in (
        "a/x.jsonl",
        "a//x.jsonl",
        "a/y z+%20é#?.jsonl",
        "a/[b]*.jsonl",
        "a/_SUCCESS",
        "a/deep/z.jsonl",
    ):
        storage.put(f"{s3}/{key}", line)
    fs, bucket = storage.filesystem(s3)
    bucket, _, prefix = bucket.partition("/")
    for key, body in (("a/", b""), ("a/deep/", b""), ("a/full/", line)):
        fs.call_s3("put_object", Bucket=bucket, Key=f"{prefix}/{key}".lstrip("/"), Body=body)
    files, notes = listed(f"{s3}/a")
    assert files == ["/x.jsonl", "[b]*.jsonl", "deep/z.jsonl", "x.jsonl", "y z+%20é#?.jsonl"]
    assert contents(rows_of(Path(f"{s3}/a").as_posix().replace("s3:/", "s3://"))) == [("q", "a")] * 5  # type: ignore[arg-type]
    assert any("'full/'" in n and "ends with /" in n for n in notes)
    assert json.dumps(notes).count("deep") == 0
