"""Text statistics: the fast form equals the plain one, and both equal hand counts."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kernels.textstats import byte_classes, measure

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=60), st.text("ab ", max_size=200)), max_size=12)


@given(texts=TEXTS, cut=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_fast_equals_plain(texts: list[str | None], cut: int) -> None:
    array = pa.array(texts, pa.large_string())[cut:]
    for fast, plain in zip(measure(array), measure(array, implementation="reference"), strict=True):
        np.testing.assert_array_equal(fast, plain)


@given(texts=TEXTS)
@settings(max_examples=30, deadline=None)
def test_byte_classes_equal_plain(texts: list[str | None]) -> None:
    table = np.uint64(1) << (np.arange(256, dtype=np.uint64) % np.uint64(64))
    array = pa.array(texts, pa.string())
    np.testing.assert_array_equal(
        byte_classes(array, table), byte_classes(array, table, implementation="reference")
    )


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
