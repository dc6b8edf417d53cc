"""Passages stand before what is asked, and only as many as have room."""

import json
from pathlib import Path

import pytest

from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate.arms import documents
from headrace.pipelines.evaluate.arms.prompts import Room
from tests.pipelines.evaluate.arms import chats

TOKENS = chats.tokenizer()
TEXTS = ["The oak is a tree.", "Carps are fish.", "An oak grows for long."]
PLENTY = Room(10_000, 20)


def test_documents_are_cut_into_passages_in_the_order_of_files(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "one two three\nfour five"}), "", json.dumps({"text": "six\u2028seven"})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "b.md").write_text("# eight\n\nnine")
    (tmp_path / "c.csv").write_text("not read")
    assert documents.passages(str(tmp_path), 3) == [
        "one two three",
        "four five",
        "six\u2028seven",
        "# eight\n\nnine",
    ]
    assert documents.passages(str(tmp_path / "b.md"), 10) == ["# eight\n\nnine"]
    before = documents.digest(str(tmp_path))
    (tmp_path / "b.md").write_text("# eight\n\nNine")
    assert documents.digest(str(tmp_path)) != before


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", '{"text": 1}', "line 1 of .* has no `text`"),
        ("a.jsonl", "\nno", "line 2 of .* is no JSON"),
        ("a.txt", "  ", "holds no text"),
        ("a.pdf", "x", r"is none of \.jsonl"),
    ],
)
def test_what_is_no_document_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match=rf"evaluate\.documents\.path: .*{words}"):
        documents.passages(str(tmp_path / name), 10)


def test_a_path_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no"):
        documents.digest(str(tmp_path / "nothing"))
    with pytest.raises(RecipeError, match="no file below"):
        documents.digest(str(tmp_path))


def test_passages_stand_before_the_last_question() -> None:
    sample = chats.chat(TOKENS, "hello", "hi", "what is the oak?", "a tree", system="be brief")
    found = documents.helped([sample], ["what is the oak?"], TEXTS, TOKENS, PLENTY, 2)
    assert found.fewer == 0
    before = "Use these passages where they help:\n\n[1] The oak is a tree.\n\n[2] An oak grows for long.\n\n"
    assert chats.text(TOKENS, found.samples[0]) == chats.text(TOKENS, sample).replace(
        "what is the oak?", before + "what is the oak?"
    )
    start, end = found.samples[0].span()
    assert TOKENS.decode(found.samples[0].ids[start:end]) == "a tree<end>"
    assert (found.samples[0].labels != -100).sum() == (sample.labels != -100).sum()


def test_what_is_asked_nowhere_stands_behind_the_start_token() -> None:
    sample = chats.plain(TOKENS, "oak: ", "tree")
    found = documents.helped([sample], ["oak: "], TEXTS[:1], TOKENS, PLENTY, 3)
    assert chats.text(TOKENS, found.samples[0]).startswith("<s>Use these passages")
    elsewhere = documents.helped([sample], ["the oak"], TEXTS[:1], TOKENS, PLENTY, 3)
    assert list(elsewhere.samples[0].ids) == list(found.samples[0].ids)


def test_passages_without_room_are_left_out_and_counted() -> None:
    sample = chats.chat(TOKENS, "what is the oak?", "a tree")
    one = documents.helped([sample], ["what is the oak?"], TEXTS, TOKENS, PLENTY, 1).samples[0]
    room = Room(one.span()[0] + 20, 20)
    found = documents.helped([sample], ["what is the oak?"], TEXTS, TOKENS, room, 3)
    assert list(found.samples[0].ids) == list(one.ids)
    assert found.fewer == 1
    none = documents.helped([sample], ["what is the oak?"], TEXTS, TOKENS, Room(room.context - 1, 20), 3)
    assert none.samples == [sample]


def test_without_a_prompt_nothing_is_looked_up() -> None:
    sample = chats.chat(TOKENS, "what is the oak?", "a tree")
    assert documents.helped([sample], [""], TEXTS, TOKENS, PLENTY, 3) == ([sample], 0, "")
