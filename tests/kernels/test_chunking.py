"""Chunking: the fast form equals the plain one; sizes, characters and resynchronisation are kept."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kernels.chunking import Chunks, chunks
from headrace.kernels.chunking.reference import WINDOW, gear, masks
from headrace.kernels.content import content_hash

SIZES = {"smallest": 16, "average": 64, "largest": 256}
TEXTS = st.lists(st.none() | st.text(max_size=60) | st.text("ab é世", max_size=600), max_size=8)


def noise(seed: int, size: int, letters: str = "abcdefghijklmnopqrstuvwxyz      ") -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), size))


def pieces(found: Chunks, texts: list[str | None]) -> list[list[bytes]]:
    """The chunks of every text."""
    return [
        [(text or "").encode()[a:b] for a, b in zip(found.starts[i:j], found.stops[i:j], strict=True)]
        for text, (i, j) in zip(texts, pairwise(found.offsets), strict=True)
    ]


@settings(max_examples=40)
@given(TEXTS, st.integers(0, 3), st.sampled_from([(1, 16, 16), (5, 16, 20), (16, 64, 256), (40, 64, 64)]))
def test_equals_reference(texts: list[str | None], cut: int, sizes: tuple[int, int, int]) -> None:
    array = pa.array(texts, pa.string())[cut:]
    given_sizes = dict(zip(("smallest", "average", "largest"), sizes, strict=True))
    fast = chunks(array, **given_sizes)
    plain = chunks(array, **given_sizes, implementation="reference")
    for ours, theirs in zip(fast, plain, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=40)
@given(TEXTS)
def test_chunks_cover_their_text_keep_to_their_sizes_and_cut_no_character(texts: list[str | None]) -> None:
    found = pieces(chunks(pa.array(texts, pa.large_string()), **SIZES), texts)
    for text, parts in zip(texts, found, strict=True):
        assert b"".join(parts) == (text or "").encode()
        assert all(part.decode() for part in parts)
        assert all(len(part) >= 16 for part in parts) or len(parts) == 1
        assert all(len(part) <= 256 for part in parts[:-1])
        assert all(len(part) < 256 + 16 for part in parts[-1:])


def test_every_layout_gives_the_same(layout: Callable[[list[str]], object], hard: list[str]) -> None:
    texts = [text * 9 for text in hard]
    plain = chunks(texts, **SIZES, implementation="reference")
    for ours, theirs in zip(chunks(layout(texts), **SIZES), plain, strict=True):  # type: ignore[arg-type]
        np.testing.assert_array_equal(ours, theirs)


def test_the_hash_of_a_chunk_is_that_of_its_bytes() -> None:
    text = noise(1, 3000)
    found = chunks([text], **SIZES)
    np.testing.assert_array_equal(found.hashes, content_hash(pieces(found, [text])[0])[1])


def test_cuts_do_not_change_from_one_version_to_the_next() -> None:
    """What is stored of one run is compared with the next: the table and the cuts are fixed."""
    assert [f"{word:016x}" for word in gear()[:2]] == ["f13ac81a97bab3d6", "956cb7d165d9c2fe"]
    assert chunks([noise(7, 700)], **SIZES).stops.tolist() == [
        36,
        118,
        190,
        212,
        276,
        342,
        436,
        500,
        544,
        652,
        700,
    ]


def test_half_as_many_cuts_need_one_zero_more() -> None:
    assert [bin(mask).count("1") for mask in masks(256)] == [10, 6]
    assert all(mask < 2**WINDOW for mask in masks(1 << 24))


@pytest.mark.parametrize(
    "letters", ["abcdefghijklmnopqrstuvwxyz      ", "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏"]
)
def test_a_passage_is_cut_alike_wherever_it_stands(letters: str) -> None:
    passage = noise(3, 4000, letters)
    texts = [
        passage,
        noise(4, 517, letters) + passage,
        noise(5, 1003, letters) + passage + noise(6, 800, letters),
    ]
    shared = set.intersection(*(set(parts) for parts in pieces(chunks(texts, **SIZES), list(texts))))
    assert sum(map(len, shared)) > 0.7 * len(passage.encode())


def test_the_average_is_about_what_was_asked_for() -> None:
    texts = [noise(seed, 20_000) for seed in range(10)]
    for average in (64, 256):
        found = chunks(texts, smallest=average // 4, average=average, largest=average * 4)
        mean = np.mean(found.stops - found.starts)
        assert 0.8 * average < mean < 1.4 * average


def test_a_run_of_one_letter_is_cut_at_the_largest_size() -> None:
    letter = next(c for c in "abcdefgh" if len(chunks([c * 600], **SIZES).starts) == 3)
    assert chunks([letter * 600], **SIZES).stops.tolist() == [256, 512, 600]
    assert chunks([letter * 520], **SIZES).stops.tolist() == [256, 520]  # 8 bytes are no chunk of their own


@pytest.mark.parametrize(
    "sizes", [(0, 64, 256), (65, 64, 256), (16, 300, 256), (62, 64, 64), (4, 8, 32), (4, 1 << 25, 1 << 26)]
)
def test_sizes_that_make_no_sense_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        chunks(["text"], smallest=sizes[0], average=sizes[1], largest=sizes[2])


def test_no_texts_have_no_chunks() -> None:
    for texts in ([], [""], [None]):
        found = chunks(texts, **SIZES)
        assert (found.offsets.tolist(), len(found.starts)) == ([0] * (len(texts) + 1), 0)
