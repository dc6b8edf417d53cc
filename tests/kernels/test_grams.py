"""Words, their n-grams and how far an item stands in a text: the fast kernel equals the plain one."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import fold, grams

WORD = st.sampled_from(
    [
        "a",
        "bb",
        "ccc",
        "é",
        "ж",
        "中",
        "文字",
        "ไทย",
        "کتاب",
        "한국",
        "𠀀",
        "x1",
        "eightlet",
        "…twelve-bytes",
        "अनुच्छेद",
    ]
)
TEXT = st.lists(WORD, max_size=12).map(" ".join)
TEXTS = st.lists(st.none() | TEXT, max_size=6)


def of(texts: list[str | None]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@given(texts=TEXTS)
def test_words_and_grams_equal_the_reference(texts: list[str | None]) -> None:
    fast, plain = (grams.words(of(texts), implementation=i) for i in ("cpu", "reference"))
    np.testing.assert_array_equal(fast.offsets, plain.offsets)
    np.testing.assert_array_equal(fast.hashes, plain.hashes)
    for size in (1, 3):
        one, other = (grams.grams(fast, size, implementation=i) for i in ("cpu", "reference"))
        np.testing.assert_array_equal(one, other)


@given(held=TEXTS, texts=TEXTS)
def test_lookup_finds_what_the_reference_finds(held: list[str | None], texts: list[str | None]) -> None:
    known, asked = grams.words(of(held)), grams.words(of(texts))
    short, long = (grams.grams(known, n) for n in (2, 3))
    keys = np.unique(np.concatenate([short[::2], long]))
    keys, begun = keys[keys > 0], short[long > 0]
    tables = [grams.table(keys, [2, 3], begun, implementation=i) for i in ("cpu", "reference")]
    for name in ("slots", "bits"):
        np.testing.assert_array_equal(getattr(tables[0], name), getattr(tables[1], name))
    fast, plain = (grams.lookup(asked, tables[0], implementation=i) for i in ("cpu", "reference"))
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@given(texts=st.lists(st.none() | TEXT, max_size=30), least=st.integers(1, 4), data=st.data())
def test_shared_equals_the_reference(texts: list[str | None], least: int, data: st.DataObject) -> None:
    owners = np.sort(data.draw(st.lists(st.integers(0, 9), min_size=len(texts), max_size=len(texts))))
    args = grams.words(of(texts)), owners.astype(np.int64), 2, least
    fast, plain = (grams.shared(*args, implementation=i) for i in ("cpu", "reference"))
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_many_different_n_grams_are_counted_each_by_itself() -> None:
    texts = [" ".join(f"w{row}x{k}" for k in range(400)) for row in range(40)]
    owners = np.arange(80)
    found = grams.shared(grams.words(of([t for t in texts for _ in range(2)])), owners, 8, 2)
    assert found.covered.tolist() == [400] * 80
    assert found.owners.tolist() == [2] * 80
    assert len(set(found.gram.tolist())) == 40


def test_what_one_owner_says_often_is_not_shared() -> None:
    words = grams.words(of(["a b c d a b c d", "a b c", "a b"]))
    found = grams.shared(words, np.array([0, 1, 1]), 2, 2)
    assert found.covered.tolist() == [6, 3, 2]
    assert found.owners.tolist() == [2, 2, 2]
    alone = grams.shared(words, np.array([0, 0, 0]), 2, 2)
    assert [column.tolist() for column in alone] == [[0, 0, 0]] * 3


@given(places=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40))
def test_how_many_hold_a_key_equals_the_reference(places: list[tuple[int, int]]) -> None:
    keys = np.array([key for key, _ in places], np.uint64) << np.uint64(40)
    owners = np.cumsum([step for _, step in places], dtype=np.int64)
    fast, plain = (grams.held(keys, owners, implementation=i) for i in ("cpu", "reference"))
    np.testing.assert_array_equal(fast, plain)


@given(items=st.lists(TEXT, min_size=1, max_size=3), text=TEXT, seed=st.integers(0, 99))
def test_alignment_equals_the_reference(items: list[str], text: str, seed: int) -> None:
    own, theirs = grams.words(of([*items])), grams.words(of([text]))
    draw = np.random.default_rng(seed)
    weights = draw.integers(1, 9, len(own.hashes)).astype(np.float32)
    item = draw.integers(0, len(items), 4)
    begin = draw.integers(0, len(theirs.hashes) + 1, 4)
    end = np.maximum(begin, draw.integers(0, len(theirs.hashes) + 1, 4))
    args = own, weights, theirs, item, begin, end
    fast, plain = (grams.alignment(*args, implementation=i) for i in ("cpu", "reference"))
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_word_stands_between_spaces_or_is_a_character_of_a_script_without_them() -> None:
    counts = np.diff(grams.words(of(["two words", "中文字", "ab中 c", "", None])).offsets)
    assert counts.tolist() == [2, 3, 3, 0, 0]


def test_alignment_counts_what_stands_in_order_and_in_one_piece() -> None:
    own = grams.words(of(["one two three four five six"]))
    theirs = grams.words(fold(of(["zero one two three, and five six seven"])))
    zero = np.zeros(1, np.int64)
    found = grams.alignment(own, np.ones(6, np.float32), theirs, zero, zero, zero + 8)
    assert found.alike.tolist() == [5 / 6]
    assert found.run.tolist() == [3]
    assert found.reach.tolist() == [3, 2, 1, 0, 2, 1]


def test_a_region_outside_of_the_words_is_refused() -> None:
    own = grams.words(of(["one two"]))
    zero = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="region"):
        grams.alignment(own, np.ones(2, np.float32), own, zero, zero, zero + 3)
