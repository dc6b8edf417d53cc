"""What is said of files before they are read."""

import json
from pathlib import Path

import pytest

from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.files import notes
from headrace.pipelines.stages.read.source import Source


def said(path: Path) -> str:
    (source,) = inputs.resolve([Source(name="s", path=str(path))])
    return "\n".join(notes.of(source, inputs.files(source)))


@pytest.mark.parametrize(
    "begin",
    [
        "01/03/24, 10:00 - ",
        "[2024-03-01, 10:00:59 AM] ",
        "\u200e[01.03.24, 10:00:59] ",
        "3/1/24, 9:05\u202fPM - ",
    ],
)
def test_the_export_of_a_chat_is_told_by_its_lines(begin: str, tmp_path: Path) -> None:
    talk = [f"{begin}{who}: message {n}\nand a second line" for n in range(6) for who in ("Ann", "The Shop")]
    path = tmp_path / "chat.txt"
    path.write_text("\n".join([f"{begin}This chat is encrypted.", *talk]), encoding="utf-8")
    text = said(path)
    assert "the export of a chat" in text
    assert "`group_by: chat`" in text
    assert "split: line" in text
    assert "Ann" not in text


def test_a_log_and_a_diary_are_no_chats(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("".join(f"2024-03-01 10:00:0{n} INFO started: {n}\n" for n in range(9)))
    assert "export of a chat" not in said(path)
    path.write_text("".join(f"01/03/24: we went out and saw {n} ships on the river\n" for n in range(9)))
    assert "export of a chat" not in said(path)


def test_pairs_to_compare_are_told_of_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n")
    assert said(path) == ""
    one = Source(path=str(path), shape="prompt_completion", columns={"completion": "chosen"})
    (read,) = inputs.resolve([one])
    told = "\n".join(notes.of(read, inputs.files(read)))
    assert "only 'chosen' is read, as the answer, and what is rejected is left out" in told
    assert "`shape: preference` reads both" in told


def test_an_encoding_that_is_not_sure_is_told_with_those_that_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"one caf\x82 and no more")
    text = said(path)
    assert "is no UTF-8, and of no encoding that is sure" in text
    assert "Say encoding: (" in text
    assert "cp850" in text
    path.write_bytes("Schöne Grüße, bis übermorgen".encode("cp437"))
    assert "is read as cp850; where that is wrong, say encoding:" in said(path)
