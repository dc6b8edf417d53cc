"""Terms of texts: words, pieces, letters of scripts without spaces; and their weights."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine import vectors


def terms_of(*texts: str, pairs: bool = False) -> list[list[int]]:
    found = vectors.terms(pa.array(texts, pa.large_string()), pairs=pairs)
    return [found.hashes[a:b].tolist() for a, b in zip(found.offsets, found.offsets[1:], strict=False)]


def test_words_are_even_and_pieces_odd() -> None:
    (found,) = terms_of("cat garden")
    assert [h & 1 for h in found] == [0, 1, 1, 1, 0]  # cat; gard, arde, rden; garden
    (found,) = terms_of("cat dog cow", pairs=True)
    assert len(found) == 5


def test_case_punctuation_and_numbers_make_no_difference() -> None:
    a, b, c = terms_of("Row 12, seat 7!", "row 9 SEAT 4711", "row seat")
    assert a == b
    assert a != c


def test_scripts_without_spaces_give_pairs_and_runs_of_three() -> None:
    (found,) = terms_of("北京酒店")
    assert sorted(h & 1 for h in found) == [0, 0, 0, 1, 1]
    thai, mixed = terms_of("ราคา", "go 北京 now")
    assert thai
    assert len([h for h in mixed if not h & 1]) == 3


@given(st.lists(st.text(), max_size=8))
def test_texts_do_not_see_each_other(texts: list[str]) -> None:
    assert terms_of(*texts) == [terms_of(text)[0] for text in texts]


def test_rows_have_unit_length_and_a_common_term_keeps_some_weight() -> None:
    texts = pa.array(["same words here", "same words here", "nothing else"], pa.large_string())
    matrix = vectors.weighted(vectors.terms(texts))
    lengths = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    assert np.allclose(lengths, [1, 1, 0], atol=1e-6)
    present = vectors.present(vectors.terms(texts))
    assert set(present.data.tolist()) == {1.0}


def test_taken_gives_the_terms_of_some_texts() -> None:
    found = vectors.terms(pa.array(["one two", "", "three", "four five six"], pa.large_string()))
    some = vectors.taken(found, np.array([3, 0, 1]))
    assert np.diff(some.offsets).tolist() == np.diff(found.offsets)[[3, 0, 1]].tolist()
    assert some.hashes.tolist()[: some.offsets[1]] == found.hashes[found.offsets[3] :].tolist()
