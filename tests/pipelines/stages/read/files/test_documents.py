"""Texts, pages, messages and Arrow files as records."""

import mailbox
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc

from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.files import markup, notes
from headrace.pipelines.stages.read.source import Source
from tests.pipelines.stages.read.rows_of import contents, rows_of

# ---- text


def test_a_text_file_by_lines_and_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("one\r\nmore é\r\n\r\n \t\r\ntwo\r\n".encode())
    assert contents(rows_of(path)) == [("one\r\nmore é\r\n\r\n \t\r\ntwo\r\n",)]
    by_line = rows_of(path, split="line")
    assert contents(by_line) == [("one",), ("more é",), ("two",)]
    assert [r["place"] for r in by_line] == ["line 1", "line 2", "line 5"]
    paragraphs = rows_of(path, split="paragraph")
    assert contents(paragraphs) == [("one\nmore é",), ("two",)]
    assert [r["place"] for r in paragraphs] == ["line 1", "line 5"]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=200), st.integers(1, 60))
def test_lines_are_the_same_however_a_file_is_cut(tmp_path_factory: Any, text: str, size: int) -> None:
    path = tmp_path_factory.mktemp("any") / "x.txt"
    path.write_bytes(b"begin\n" + text.encode())
    lines = [(line,) for line in f"begin\n{text}".encode().split(b"\n") if line.strip()]
    for cut in (2**20, size):
        found = contents(rows_of(path, cut, split="line", shape="text", format="text", encoding="utf-8"))
        assert [(one.encode(),) for (one,) in found] == lines


def advised(path: Path, **keys: Any) -> list[str]:
    (source,) = inputs.resolve([Source(name="s", path=str(path), **keys)])
    return notes.of(source, inputs.files(source))


def test_what_else_a_text_file_may_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(
        "".join(f"Document {i} says {'a thing or two ' * 12}.\n" for i in range(30))
    )
    assert advised(tmp_path / "corpus.txt") == [
        "source 's': 'corpus.txt' is one record a file; where each line is a document, say split: line"
    ]
    assert advised(tmp_path / "corpus.txt", split="line") == []
    (tmp_path / "table.txt").write_text("a\tb\n" + "one thing\tanother\n" * 20, encoding="utf-16")
    assert advised(tmp_path / "table.txt") == [
        "source 's': 'table.txt' is read as utf-16; where that is wrong, say encoding:",
        "source 's': 'table.txt' is one record a file, and looks like a table: format: tsv reads its rows",
    ]
    (tmp_path / "book.txt").write_text("It was a dark night.\nThe rain fell.\n\nThen it stopped.\n" * 20)
    assert advised(tmp_path / "book.txt") == []
    (tmp_path / "x.csv").write_bytes("question;answer\ntrès;déçu\n".encode("latin-1") * 9)
    assert advised(tmp_path / "x.csv") == [
        "source 's': 'x.csv' is read as windows-1252; where that is wrong, say encoding:",
        "source 's': 'x.csv' is read with delimiter: ';'; where that is wrong, say so",
    ]


# ---- pages


def test_a_page_is_its_text_without_scripts(tmp_path: Path) -> None:
    page = (
        "<!doctype html><html><head><meta charset=latin-1><title>T&amp;C</title>"
        "<script>var x='<p>no</p>';</script><style>p{}</style></head><body><!-- no --><h1>Größe</h1>\n"
        "<p>One <b>bold</b>\n word<br>next &lt;line&gt;</p><noscript>no</noscript><ul><li>a<li>b</ul>"
        "<pre>  x = 1\n  y</pre><table><tr><td>1<td>2</table></body></html>"
    )
    (tmp_path / "x.html").write_bytes(page.encode("latin-1"))
    ((text,),) = contents(rows_of(tmp_path / "x.html"))
    assert "no" not in text.split()
    assert "var" not in text
    assert [line for line in text.split("\n") if line] == [
        *("T&C", "Größe", "One bold word", "next <line>", "a", "b", "x = 1", "y", "1\t2")
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["<p>", "</p>", "<script>", "</", "<!--", "x", "&#", "<![a"])).map("".join)
)
def test_any_page_has_a_text(page: str) -> None:
    assert isinstance(markup.text(page), str)


# ---- messages


def a_message(subject: str, body: str, **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "ana@example.com", "help@example.org"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    return message


def test_messages_of_a_mailbox(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "x.mbox")
    box.add(
        a_message(
            "Größe ✓", "Hello\n\nFrom here on.\n", Message_ID="<1@x>", Date="Fri, 01 Mar 2024 10:00:00 +0100"
        )
    )
    reply = a_message("Re: x", "Answer é\n", Message_ID="<2@x>", References="<1@x>", In_Reply_To="<1@x>")
    reply.add_alternative("<p>Answer</p>", subtype="html")
    reply.add_attachment(b"\0\1", maintype="image", subtype="png", filename="x.png")
    box.add(reply)
    html = EmailMessage()
    html["Subject"] = "H"
    html.set_content("<html><style>x</style><p>Only&nbsp;this</p></html>", subtype="html")
    box.add(html)
    box.close()
    found = rows_of(tmp_path / "x.mbox", meta=["subject", "from", "thread", "date"])
    assert contents(found) == [("Hello\n\nFrom here on.\n",), ("Answer é\n",), ("Only\u00a0this",)]
    metas = [dict(r["meta"]) for r in found]
    assert [m.get("thread") for m in metas] == ["<1@x>", "<1@x>", None]
    assert (metas[0]["subject"], metas[0]["date"]) == ("Größe ✓", "2024-03-01T10:00:00+01:00")
    (tmp_path / "one.eml").write_bytes(bytes(a_message("s", "Body\n")))
    assert contents(rows_of(tmp_path / "one.eml")) == [("Body\n",)]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_messages_do_not_raise(tmp_path_factory: Any, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("x.eml", "x.mbox", "x.html", "x.arrow"):
        (folder / name).write_bytes(
            b"From a@b Fri Mar 01 10:00:00 2024\nSubject: x\n\n" + data if name == "x.mbox" else data + b"x"
        )
        rows_of(folder / name, shape="text")


# ---- Arrow

ROWS = [{"question": f"q{i}", "answer": f"a{i}"} for i in range(3000)]
EXPECTED = [(r["question"], r["answer"]) for r in ROWS]


def test_arrow_files_of_every_kind(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with ipc.new_stream(tmp_path / "s.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=700)
    with ipc.new_file(tmp_path / "f.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=700)
    feather.write_feather(table, tmp_path / "x.feather", compression="zstd")
    for name in ("s.arrow", "f.arrow", "x.feather"):
        for size in (2**25, 1000):
            assert contents(rows_of(tmp_path / name, size)) == EXPECTED
    (tmp_path / "f.bin").write_bytes((tmp_path / "f.arrow").read_bytes())
    assert contents(rows_of(tmp_path / "f.bin")) == EXPECTED


def test_a_directory_of_save_to_disk(tmp_path: Path) -> None:
    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": data, "test": data.select(range(5))}).save_to_disk(str(tmp_path / "d"))
    found = rows_of(tmp_path / "d")
    assert sorted(contents(found)) == sorted([*EXPECTED, *EXPECTED[:5]])
    notes = inputs.found(Source(name="s", path=str(tmp_path / "d"))).notes
    assert [n for n in notes if "descriptions of a data set" in n]


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_damaged_arrow_files_cost_the_remainder(tmp_path: Path, kind: str) -> None:
    table = pa.Table.from_pylist(ROWS)
    path = tmp_path / "x.arrow"
    with (ipc.new_stream if kind == "stream" else ipc.new_file)(path, table.schema) as sink:
        sink.write_table(table, max_chunksize=100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found = contents(rows_of(path, shape="question_answer"))
    assert found[-1] == "read.corrupt"
    assert found[:-1] == EXPECTED[: len(found) - 1]
    assert (len(found) > 1000) == (kind == "stream")
