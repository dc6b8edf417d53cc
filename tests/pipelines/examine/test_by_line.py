"""Terms by line: the terms of the whole text, but one word for each line of a preamble."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine import by_line, vectors
from tests import builders

SYSTEM = "You answer for the bank of the north, and you are polite, short and always right about fees."


def large(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@given(st.lists(st.text(alphabet="ab4 \n北京", max_size=20), max_size=4))
def test_lines_end_to_end_are_the_text(texts: list[str]) -> None:
    whole, found = vectors.terms(large(texts)), by_line.of(large(texts)).whole
    assert found.offsets.tolist() == whole.offsets.tolist()
    assert found.hashes.tolist() == whole.hashes.tolist()


def test_a_line_of_a_preamble_is_one_word() -> None:
    asked = [builders.story(k, 7) for k in range(6)]
    framed = [f"{SYSTEM}\n{text}" for text in asked]
    plain, found = vectors.terms(large(asked)), by_line.terms(large(framed))
    for a, b, c in zip(plain.offsets, plain.offsets[1:], found.offsets, strict=False):
        first, *rest = found.hashes[c : c + 1 + b - a].tolist()
        assert rest == plain.hashes[a:b].tolist()
        assert first & 1 == 0
        assert first == found.hashes[0]


def test_lines_that_always_stand_together_are_one_word() -> None:
    schema = "\n".join(f"column_{k} text of the table of songs" for k in range(8))
    asked = [builders.story(k, 7) for k in range(6)]
    plain = vectors.terms(large(asked))
    found = by_line.terms(large([f"{schema}\n{text}" for text in asked]))
    assert (found.offsets == plain.offsets + range(7)).all()


def test_lines_of_a_record_are_a_word_each() -> None:
    colours, sizes = ("red", "blue", "green"), ("large", "small")
    texts = [f"colour: {colours[k % 3]}\nsize: {sizes[k % 2]}\n{builders.story(k, 7)}" for k in range(60)]
    found, plain = by_line.terms(large(texts)), by_line.terms(large([t.split("\n")[2] for t in texts]))
    assert (found.offsets == plain.offsets + 2 * np.arange(61)).all()
    words = {tuple(found.hashes[at : at + 2].tolist()) for at in found.offsets[:-1]}
    assert len(words) == 6


def test_pairs_of_words_stay_where_there_is_no_preamble() -> None:
    texts = large(["a line of words\nand another line", "something else"])
    assert (
        by_line.terms(texts, pairs=True).hashes.tolist() == vectors.terms(texts, pairs=True).hashes.tolist()
    )


def test_texts_without_their_preambles() -> None:
    asked = [builders.story(k, 7) for k in range(6)]
    texts = large([f"{SYSTEM}\n{text}" for text in asked])
    assert by_line.without(texts, by_line.of(texts)).to_pylist() == asked


def test_some_texts_in_another_order() -> None:
    texts = ["one line\nand two", "", "three\nfour\nfive"]
    some = by_line.taken(by_line.of(large(texts)), pa.array([2, 0]).to_numpy())
    expected = vectors.terms(large([texts[2], texts[0]]))
    assert some.whole.hashes.tolist() == expected.hashes.tolist()
    assert some.whole.offsets.tolist() == expected.offsets.tolist()
    assert some.ends.tolist() == [0, 3, 5]
