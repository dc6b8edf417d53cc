"""Cutting repeated passages: the exact bytes that are left, and what becomes of rows with nothing left."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import passages
from headrace.pipelines.stages.dedup.config import Passages
from headrace.pipelines.stages.dedup.passages import CUTS
from tests.builders import story


def rows(contents: list[Any], role: str = "text") -> pa.Table:
    """Rows of ids 10, 11, ...; a list stands for several messages (role, content)."""
    made = [
        {
            "row_id": 10 + at,
            "n_records": 1,
            "source": "s",
            "file": "f",
            "place": f"row {at}",
            "messages": [
                {"role": r, "content": t}
                for r, t in (content if isinstance(content, list) else [(role, content)])
            ],
        }
        for at, content in enumerate(contents)
    ]
    return schema.from_rows(made)


def cuts(*given_cuts: tuple[int, int, int, int], stands: bool = False) -> pa.Table:
    """(row_id, message, start, stop) of each."""
    return pa.Table.from_pylist(
        [dict(zip(CUTS.names, (*cut, stands), strict=True)) for cut in given_cuts], schema=CUTS
    )


def marked(text: str) -> str:
    """`text` less the stretches in its square brackets."""
    data, plain, spans = text.encode(), b"", []
    for byte in data:
        if byte in b"[]":
            spans.append(len(plain))
        else:
            plain += bytes([byte])
    starts, stops = np.array(spans[::2], np.int64), np.array(spans[1::2], np.int64)
    texts = pa.array([plain.decode()], pa.large_string())
    return str(passages.without(texts, np.array([0, len(starts)]), starts, stops)[0])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("all of it stays", "all of it stays"),
        ("[all of it]", ""),
        # White space at the seam is kept once, the one with more line breaks.
        ("A. [a b] B", "A. B"),
        ("A.[ a b] B", "A. B"),
        ("A. [a b ]B", "A. B"),
        ("A.\n\n[a b]\n\nB", "A.\n\nB"),
        ("A.\n[a b]\n\nB", "A.\n\nB"),
        ("A.\n\n[a b] B", "A.\n\nB"),
        # Where there is none, words are not glued.
        ("A.[ a b ]B", "A. B"),
        ("A.[ a\nb ]B", "A.\nB"),
        ("A [a b] [c d] B", "A B"),
        # Half words at the ends stay.
        ("one tw[o three fo]ur five", "one two four five"),
        ("one tw[othreefo]ur five", "one twothreefour five"),
        ("naï[ve one tw]ó", "naïve twó"),
        # Scripts without spaces are cut between characters.
        ("天地[玄黃宇宙]洪荒", "天地 洪荒"),
        ("天地\n[玄黃宇宙\n]洪荒", "天地\n洪荒"),
        # At the ends of the text, no white space is left; indentation is.
        ("[a b] B", "B"),
        ("[a b\n\n]  B", "  B"),
        ("[a b]\n\n  B", "  B"),
        ("  [a b] B", "B"),
        ("A\n[a b]", "A"),
        ("A [a b]\n", "A"),
        ("A:\n[a b\n]    B", "A:\n    B"),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    assert marked(text) == left


WORDS = st.lists(st.text("abé世 \n", max_size=12), min_size=1, max_size=9)


@given(WORDS)
def test_nothing_is_made_up_and_nothing_but_the_stretches_goes(words: list[str]) -> None:
    """Every second word is cut: the others' characters are left, in order, with white space between."""
    left = marked("".join(f"[{word}]" if n % 2 else word for n, word in enumerate(words)))
    assert _within(_letters("".join(words[::2])), _letters(left))
    assert _within(_letters(left), _letters("".join(words)))


def _letters(text: str) -> str:
    return "".join(text.split())


def _within(short: str, long: str) -> bool:
    """Whether `short` is `long` less some characters."""
    rest = iter(long)
    return all(character in rest for character in short)


def test_rows_are_cut_and_the_others_are_as_they_were() -> None:
    table = rows(["one two three", "four five six", "seven"])
    done = passages.cut(table, cuts((11, 0, 5, 9)))
    assert schema.contents(done.table)[2].to_pylist() == ["one two three", "four six", "seven"]
    assert done.table["drop"].null_count == 3
    assert (done.rows, done.bytes) == (1, 5)
    assert done.table.schema.equals(table.schema)


def test_a_row_with_nothing_left_is_dropped_and_keeps_its_text_for_rejected() -> None:
    done = passages.cut(rows(["one two", "two"]), cuts((10, 0, 0, 7)))
    assert done.table["drop"].to_pylist() == ["dedup.passages", None]
    assert schema.contents(done.table)[2].to_pylist() == ["one two", "two"]
    assert (done.rows, done.bytes) == (1, 7)


def test_a_row_that_another_was_removed_for_is_cut_but_never_dropped() -> None:
    done = passages.cut(rows(["one two"]), cuts((10, 0, 0, 7), stands=True))
    assert done.table["drop"].to_pylist() == [None]
    assert schema.contents(done.table)[2].to_pylist() == ["one two"]
    assert (done.rows, done.bytes) == (0, 0)
    done = passages.cut(rows(["one two three"]), cuts((10, 0, 4, 8), stands=True))
    assert schema.contents(done.table)[2].to_pylist() == ["one three"]


def test_marked_rows_are_left_alone() -> None:
    table = schema.mark(rows(["one two", "one two"]), "drop", ["dedup.near", None])
    done = passages.cut(table, cuts((10, 0, 0, 7), (11, 0, 0, 7)))
    assert done.table["drop"].to_pylist() == ["dedup.near", "dedup.passages"]
    assert (done.rows, done.bytes) == (1, 7)


def test_rows_in_any_order_and_several_messages() -> None:
    table = rows([[("text", "one two"), ("text", "three four five")], "six seven eight"])
    table = table.take(pa.array([1, 0]))
    done = passages.cut(table, cuts((10, 0, 0, 7), (10, 1, 6, 11), (11, 0, 4, 10)))
    assert schema.contents(done.table)[2].to_pylist() == ["six eight", "", "three five"]
    assert done.table["drop"].to_pylist() == [None, None]


def test_chunks_are_those_of_plain_texts_and_say_where_they_stand() -> None:
    shared = story(1)
    table = rows([[("user", shared), ("assistant", "yes")], [("text", "brief"), ("text", shared)], shared])
    found = passages.find(table, Passages())
    assert set(zip(found.row.tolist(), found.message.tolist(), strict=True)) == {(1, 1), (2, 0)}
    of_two = [found.hash[found.row == row] for row in (1, 2)]
    np.testing.assert_array_equal(*of_two)
    assert (found.stop - found.start).min() >= 64
    at = found.row == 2
    assert (found.start[at][0], found.stop[at][-1]) == (0, len(shared))
    np.testing.assert_array_equal(found.start[at][1:], found.stop[at][:-1])


def test_a_text_of_fewer_bytes_than_a_chunk_is_no_passage() -> None:
    assert len(passages.find(rows(["x" * 63, "x" * 64, ""]), Passages()).hash) == 1
    assert len(passages.find(rows([]), Passages()).hash) == 0


@pytest.mark.parametrize("wrong", [{"copies": 1}, {"average": 8}, {"action": "drop"}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Passages(**wrong)
