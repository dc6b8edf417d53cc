"""Text statistics: the fast form equals the plain one, and both equal hand counts."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kernels.textstats import character_classes, contains, measure

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=60), st.text("ab ", max_size=200)), max_size=12)


@given(texts=TEXTS, cut=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_fast_equals_plain(texts: list[str | None], cut: int) -> None:
    array = pa.array(texts, pa.large_string())[cut:]
    for fast, plain in zip(measure(array), measure(array, implementation="reference"), strict=True):
        np.testing.assert_array_equal(fast, plain)


@given(
    texts=TEXTS, classes=st.dictionaries(st.characters(codec="utf-8"), st.integers(1, 2**16 - 1), max_size=9)
)
@settings(max_examples=100, deadline=None)
def test_character_classes_equal_plain(texts: list[str | None], classes: dict[str, int]) -> None:
    table = np.zeros(0x110000, np.uint16)
    for character in {*classes, "a", "\x7f", "\n", "é"}:
        table[ord(character)] = classes.get(character, 4)
    array = pa.array([t and t + "".join(classes) for t in texts], pa.string())
    for fast, plain in zip(
        character_classes(array, table),
        character_classes(array, table, implementation="reference"),
        strict=True,
    ):
        np.testing.assert_array_equal(fast, plain)


def test_character_classes_by_hand() -> None:
    table = np.zeros(0x110000, np.uint16)
    table[[ord("&"), ord("漢"), ord("\t")]] = 1, 2, 4
    array = pa.array(
        ["plain text of many words", "a & b & c, and more", "\tx漢", None, "", "漢 or not to be"]
    )
    inside, edges = character_classes(array, table)
    assert inside.tolist() == [0, 1, 6, 0, 0, 2]
    assert edges.tolist() == [0, 0, 6, 0, 0, 2]


@given(texts=TEXTS, wanted=st.sampled_from(["a", "ab", "b a", "\ufdd0", "aaaaaaaaaa"]))
@settings(max_examples=100, deadline=None)
def test_contains_equals_plain(texts: list[str | None], wanted: str) -> None:
    array = pa.array([t and t + wanted[:n] + t for n, t in enumerate(texts)], pa.large_string())
    fast = contains(array, wanted.encode())
    np.testing.assert_array_equal(fast, contains(array, wanted.encode(), implementation="reference"))
    assert fast.tolist() == [wanted in (text or "") for text in array.to_pylist()]


@pytest.mark.parametrize("implementation", ["cpu", "reference"])
def test_counts_by_hand(implementation: str) -> None:
    counts = measure(pa.array(["Añ 7½\n!\ufffd", "हिन्दी", None, "", "x" * 20]), implementation=implementation)  # type: ignore[arg-type]
    assert counts.characters.tolist() == [8, 6, 0, 0, 20]
    assert counts.letters.tolist() == [2, 6, 0, 0, 20]
    assert counts.digits.tolist() == [2, 0, 0, 0, 0]
    assert counts.spaces.tolist() == [2, 0, 0, 0, 0]
    assert counts.replacements.tolist() == [1, 0, 0, 0, 0]
    assert counts.windows.tolist() == [0, 3, 0, 0, 5]
    assert counts.repeated.tolist() == [0, 0, 0, 0, 4]


def test_every_code_point_has_the_kind_of_the_database() -> None:
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    blocks = ["".join(characters[at : at + 4096]) for at in range(0, len(characters), 4096)]
    fast, plain = measure(pa.array(blocks)), measure(pa.array(blocks), implementation="reference")
    for name in ("characters", "letters", "digits", "spaces", "replacements"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name))


def test_windows_of_one_text_do_not_count_for_the_next() -> None:
    counts = measure(pa.array(["the same sixteen bytes"] * 3))
    assert counts.repeated.tolist() == [0, 0, 0]
    assert counts.windows.tolist() == [7, 7, 7]


def test_chunks_and_slices_are_read_in_order() -> None:
    chunked = pa.chunked_array([["abc"], [], ["de", None]], pa.string())
    assert measure(chunked).characters.tolist() == [3, 2, 0]
