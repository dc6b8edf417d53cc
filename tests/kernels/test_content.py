"""Content hash: the published function, over any layout, and lists that cannot be mistaken."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import content_hash, content_hash_lists
from headrace.kernels.content.reference import murmur3


def test_reference_is_murmur3() -> None:
    """SMHasher's own verification: hash keys of 0 to 255 bytes under 256 seeds, then hash the hashes."""
    hashes = b""
    for length in range(256):
        h1, h2 = murmur3(bytes(range(length)), 256 - length)
        hashes += h1.to_bytes(8, "little") + h2.to_bytes(8, "little")
    assert murmur3(hashes, 0)[0] & 0xFFFFFFFF == 0x6384BA69


def test_layouts_agree_with_reference(hard: list[str], layout: Callable[[list[str]], object]) -> None:
    expected = [murmur3(text.encode(), 0) for text in hard]
    for implementation in ("cpu", "reference"):
        hi, lo = content_hash(layout(hard), implementation=implementation)
        assert list(zip(hi.tolist(), lo.tolist(), strict=True)) == expected


@given(st.lists(st.none() | st.binary(max_size=70), max_size=20), st.integers(0, 3))
def test_equals_reference(texts: list[bytes | None], cut: int) -> None:
    array = pa.array(texts, pa.binary())[cut:]
    for ours, plain in zip(content_hash(array), content_hash(array, implementation="reference"), strict=True):
        np.testing.assert_array_equal(ours, plain)


def test_nulls_and_their_leftovers_hash_to_zero() -> None:
    """The bytes under a null are not defined, and must not be read."""
    buffers = [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 3, 6], np.int32)), pa.py_buffer(b"abcdef")]
    array = pa.Array.from_buffers(pa.string(), 2, buffers)
    assert array.to_pylist() == [None, "def"]
    hi, lo = content_hash(array)
    assert (hi[0], lo[0]) == (0, 0)
    assert (hi[1], lo[1]) == murmur3(b"def", 0)


def test_lists_hash_as_their_words() -> None:
    texts, offsets, labels = ["q", "a", "q", "a", ""], [0, 2, 2, 4, 5], [1, 2, 2, 1, 0]
    hi, lo = content_hash_lists(offsets, labels, texts)
    words = b"".join(
        word.to_bytes(8, "little")
        for label, text in ((1, b"q"), (2, b"a"))
        for word in (label, *murmur3(text, 0))
    )
    assert (hi[0], lo[0]) == murmur3(words, 0)
    assert (hi[1], lo[1]) == (0, 0)
    assert (hi[0], lo[0]) != (hi[2], lo[2])
    assert lo[3] != 0
    plain = content_hash_lists(offsets, labels, texts, implementation="reference")
    np.testing.assert_array_equal(np.stack(plain), np.stack([hi, lo]))


def test_lists_tell_order_borders_and_labels_apart() -> None:
    rows = [
        (["ab", "c"], [1, 2]),
        (["a", "bc"], [1, 2]),
        (["c", "ab"], [1, 2]),
        (["ab", "c"], [2, 1]),
        (["abc"], [1]),
    ]
    offsets = np.concatenate([[0], np.cumsum([len(texts) for texts, _ in rows])])
    hi, lo = content_hash_lists(
        offsets, [c for _, codes in rows for c in codes], [t for ts, _ in rows for t in ts]
    )
    assert len(set(zip(hi.tolist(), lo.tolist(), strict=True))) == len(rows)


def test_lists_of_a_slice_read_their_own_part() -> None:
    texts, labels = ["x", "q", "a", "z"], [0, 1, 2, 3]
    part = content_hash_lists([1, 3], labels, texts)
    whole = content_hash_lists([0, 2], labels[1:3], texts[1:3])
    np.testing.assert_array_equal(np.stack(part), np.stack(whole))


@pytest.mark.parametrize(
    ("offsets", "labels", "said"),
    [([0, 3], [1, 1], "0..2"), ([1, 0], [1, 1], "ascend"), ([0, 2], [1], "labels")],
)
def test_lists_refuse_what_does_not_fit(offsets: list[int], labels: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        content_hash_lists(offsets, labels, ["a", "b"])


def test_numbers_are_no_texts() -> None:
    with pytest.raises(TypeError, match="int64"):
        content_hash(pa.array([1, 2]))
