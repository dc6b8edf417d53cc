"""Evaluation items read from files: known layouts by their columns, others by shape, or refused by name."""

import csv
import gzip
import json
import os
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.cluster.errors import RecipeError, SourceError
from headrace.pipelines.examine.leaks import items
from headrace.pipelines.examine.leaks.config import Against
from tests import builders

DATA = Path(os.environ.get("HEADRACE_TEST_DATA", Path(__file__).parents[5] / "shared" / "data")) / "eval"

LAYOUTS = [
    ({"question": "how many?", "answer": "#### 3"}, ("how many?", "", "#### 3")),
    ({"input": "not True is", "target": "False"}, ("not True is", "", "False")),
    (
        {"task_id": "T/0", "prompt": "def f():", "canonical_solution": "return 1", "test": "assert f()"},
        ("def f():", "", "return 1"),
    ),
    ({"text": "add", "code": "a + b", "test_list": ["assert x"]}, ("add", "", "a + b")),
    ({"Question": "is it?", "Best Answer": "no", "Source": "s"}, ("is it?", "", "no")),
    ({"key": 1, "prompt": "write", "instruction_id_list": ["a"], "kwargs": [{}]}, ("write", "", "")),
    ({"question_id": 1, "category": "c", "turns": ["first", "then"]}, ("first\nthen", "", "")),
    ({"question_id": 1, "choices": [{"index": 0, "turns": ["yes", "no"]}]}, ("", "", "yes\nno")),
    ({"question": "which?", "choices": ["a", "b"], "answer": 1}, ("which?", "a\nb", "1")),
    (
        {"question": "which?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
        ("which?", "a\nb", "B"),
    ),
    ({"instruction": "do", "input": "", "output": "done"}, ("do", "", "done")),
]


def told(table: pa.Table) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in ("prompt", "options", "answer")) for row in table.to_pylist()]


@pytest.mark.parametrize(("record", "item"), LAYOUTS)
def test_a_layout_is_told_by_its_columns(
    tmp_path: Path, record: dict[str, Any], item: tuple[str, ...]
) -> None:
    path = builders.write_jsonl(tmp_path / "set.jsonl", [record])
    table = items.load([Against(path=str(path))])
    assert told(table) == [item]
    assert table.schema == items.SCHEMA
    assert (table["set"].to_pylist(), table["place"].to_pylist()) == (["set"], ["set.jsonl, line 1"])


def test_a_table_of_mmlu_has_no_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mmlu.zip", "w") as archive:
        archive.writestr("data/test/sums_test.csv", "one and one?,0,1,2,3,C\ntwo and two?,4,5,6,7,A\n")
    table = items.load([Against(path=str(tmp_path / "mmlu.zip"))])
    assert told(table) == [("one and one?", "0\n1\n2\n3", "C"), ("two and two?", "4\n5\n6\n7", "A")]
    assert table["place"][1].as_py() == "mmlu.zip/data/test/sums_test.csv, line 2"


def test_a_file_of_bbh_holds_its_items_in_one_record(tmp_path: Path) -> None:
    content = {"canary": "c", "examples": [{"input": "a", "target": "b"}, {"input": "c", "target": "d"}]}
    (tmp_path / "task.json").write_text(json.dumps(content))
    with tarfile.open(tmp_path / "bbh.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "task.json", "task.json")
    table = items.load([Against(path=str(tmp_path / "bbh.tar.gz"))])
    assert told(table) == [("a", "", "b"), ("c", "", "d")]
    assert table["place"][1].as_py().endswith("task.json, line 1, example 2")


def test_a_folder_of_folders_is_a_set_each_and_text_beside_them_is_none(tmp_path: Path) -> None:
    builders.write_jsonl(tmp_path / "sums/a.jsonl", [{"question": "q", "answer": "a"}])
    (tmp_path / "sums/SOURCE.txt").write_text("where they are from")
    (tmp_path / "code").mkdir()
    with gzip.open(tmp_path / "code/b.jsonl.gz", "wt") as file:
        file.write('{"prompt": "def f():", "canonical_solution": "return 1"}\n')
    pq.write_table(pa.table({"input": ["x"], "target": ["y"]}), tmp_path / "last.parquet")
    table = items.load([Against(path=str(tmp_path))])
    assert table["set"].to_pylist() == ["code", tmp_path.name, "sums"]
    assert table["item"].to_pylist() == [0, 1, 2]


def test_columns_that_are_named_are_taken(tmp_path: Path) -> None:
    with (tmp_path / "own.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["Frage", "Wahl", "Antwort"], ["welche?", "a", "b"]])
    path = str(tmp_path / "own.csv")
    table = items.load([Against(path=path, prompt="Frage", options="Wahl", answer="Antwort", name="mine")])
    assert told(table) == [("welche?", "a", "b")]
    assert table["set"].to_pylist() == ["mine"]
    with pytest.raises(RecipeError, match=r"no column 'Fragen' in 'own\.csv'.*'Frage', 'Wahl', 'Antwort'"):
        items.load([Against(path=path, prompt="Fragen")])


def test_what_is_not_understood_is_refused_by_name(tmp_path: Path) -> None:
    path = builders.write_jsonl(tmp_path / "odd.jsonl", [{"x1": 1, "x2": 2}])
    with pytest.raises(
        SourceError, match=r"'odd': the columns of 'odd\.jsonl' are not understood: 'x1', 'x2'"
    ):
        items.load([Against(path=str(path))])
    broken = builders.write_jsonl(tmp_path / "broken.jsonl", [{"question": "secret", "answer": "a"}, "{"])
    with pytest.raises(SourceError, match=r"a record of 'broken\.jsonl' cannot be read") as refused:
        items.load([Against(path=str(broken))])
    assert "secret" not in str(refused.value)
    with pytest.raises(SourceError, match="matched no files"):
        items.load([Against(path=str(tmp_path / "nothing"))])


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not there")
def test_real_sets_are_read_whole() -> None:
    table = items.load([Against(path=str(DATA))])
    assert Counter(table["set"].to_pylist()) == {
        "bbh": 6511,
        "humaneval": 164,
        "ifeval": 540,
        "mbpp": 974,
        "mmlu": 15858,
        "mt-bench": 610,
        "truthfulqa": 817,
    }


def test_a_record_without_its_column_is_refused_and_named(tmp_path: Path) -> None:
    records = [{"question": "q", "answer": "a"}, {"frage": "secret", "answer": "a"}]
    path = builders.write_jsonl(tmp_path / "sums.jsonl", records)
    with pytest.raises(
        SourceError, match=r"'sums\.jsonl', line 2 is not like the records before it"
    ) as refused:
        items.load([Against(path=str(path))])
    assert "secret" not in str(refused.value)
