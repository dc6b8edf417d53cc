"""Tables in text files, in whatever dialect they are written."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError, SourceError
from headrace.pipelines import recipe
from tests.pipelines.stages.read.rows_of import contents, rows_of

FIELDS = [("Was kostet es, genau?", "12,50 € – oder; mehr"), ("Zwei\nZeilen", 'mit "Zitat"'), ("a|b", "c\td")]


def written(rows: list[tuple[str, ...]], header: bool = True, **how: Any) -> bytes:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, **how)
    writer.writerows([*([("question", "answer")] if header else []), *rows])
    return sink.getvalue().encode()


def put(folder: Path, data: bytes, name: str = "x.csv") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_delimiters_are_told(tmp_path: Path, delimiter: str, name: str) -> None:
    rows = FIELDS * 7
    assert contents(rows_of(put(tmp_path, written(rows, delimiter=delimiter), name))) == rows
    one = put(tmp_path, written(rows[:1], delimiter=delimiter), name)
    assert contents(rows_of(one)) == rows[:1]


def test_quotes_and_escapes_are_told(tmp_path: Path) -> None:
    rows = [("It is, so", "yes; 'it' is"), ("two", 'a "b"')] * 9
    single = written(rows, quotechar="'", quoting=csv.QUOTE_ALL)
    assert contents(rows_of(put(tmp_path, single))) == rows
    escaped = written(rows, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL)
    assert contents(rows_of(put(tmp_path, escaped))) == rows
    bare = b"question\tanswer\n" + b'"Quoted" he said\tyes\nsays "who"\t"no" again\n' * 5
    found = contents(rows_of(put(tmp_path, bare, "x.tsv")))
    assert found == [('"Quoted" he said', "yes"), ('says "who"', '"no" again')] * 5


def test_keys_of_the_recipe_come_first(tmp_path: Path) -> None:
    data = b"question;x~answer\n'a;b~c'~d\ne~f\n"
    keys: dict[str, Any] = {"delimiter": "~", "quote": "'", "columns": {"question": "question;x"}}
    assert contents(rows_of(put(tmp_path, data), **keys)) == [("a;b~c", "d"), ("e", "f")]
    unquoted = put(tmp_path, b'question,answer\n"a",b"\n')
    assert contents(rows_of(unquoted, quote="")) == [('"a"', 'b"')]


@pytest.mark.parametrize("line", [b"sep=;\r\n", b'"sep=;"\n', b"SEP=;\n", b"\xef\xbb\xbfsep=;\r\n"])
def test_excels_own_first_line_is_no_record(tmp_path: Path, line: bytes) -> None:
    found = rows_of(put(tmp_path, line + written(FIELDS, delimiter=";")))
    assert contents(found) == FIELDS
    assert found[0]["place"] == "line 3"


def test_a_file_without_a_line_of_names(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        written([(f"Where is order {i}0001, please?", f"It is at x{i}@y.com") for i in range(5)], False),
    )
    with pytest.raises(SourceError, match="header: false") as error:
        rows_of(path)
    assert "order" not in str(error.value).replace("order_by", "")
    keys = {"header": False, "shape": "question_answer"}
    named = {"columns": {"question": "column 1", "answer": "column 2"}}
    found = rows_of(path, **keys, **named)
    assert contents(found)[0] == ("Where is order 00001, please?", "It is at x0@y.com")
    assert (len(found), found[0]["place"]) == (5, "line 1")


def test_names_that_are_there_twice_or_not_at_all(tmp_path: Path) -> None:
    data = b"question,answer,answer,,\n1,2,3,4,5\n"
    (row,) = rows_of(put(tmp_path, data), meta=["answer (column 3)", "column 4", "column 5"])
    assert contents([row]) == [("1", "2")]
    assert row["meta"] == [("answer (column 3)", "3"), ("column 4", "4"), ("column 5", "5")]


@pytest.mark.parametrize(
    ("key", "value"),
    [("delimiter", ""), ("delimiter", ";;"), ("quote", "ab"), ("escape", "\n"), ("split", "page")],
)
def test_keys_that_say_nothing_are_refused(key: str, value: str) -> None:
    with pytest.raises(RecipeError, match=key):
        recipe.validate({"output": "o", "sources": [{"path": "x", key: value}]}, "r.yaml")


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(words, words), min_size=1, max_size=25),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["x.csv", "x.tsv"]),
)
def test_any_fields_come_back_from_any_dialect(
    tmp_path_factory: Any, rows: list[tuple[str, str]], delimiter: str, end: str, name: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    data = written(rows, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    assert contents(rows_of(put(folder, data, name), shape="question_answer")) == rows
