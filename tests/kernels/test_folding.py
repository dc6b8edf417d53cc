"""Folding: what makes no difference goes, every script stays."""

import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import content_hash, fold
from headrace.kernels.folding.cpu import GONE, MUTABLE, table
from headrace.kernels.folding.reference import fold_character

TEXTS = st.lists(st.none() | st.text(max_size=40) | st.text("aA .,é世\u00ad\u0e49", max_size=40), max_size=12)


@pytest.mark.parametrize(
    ("text", "folded", "kept"),
    [
        ("  Hello,\t WORLD!! ", "hello world", "hello, world!!"),
        ("3.5", "3 5", "3.5"),
        ("35", "35", "35"),
        ("naïve Über-Straße", "naïve über straße", "naïve über-straße"),
        ("ΣΊΣΥΦΟΣ σίσυφος", "σίσυφοσ σίσυφοσ", "σίσυφοσ σίσυφοσ"),
        ("ที่นี่", "ที่นี่", "ที่นี่"),
        ("हिन्दी।", "हिन्दी", "हिन्दी।"),
        ("你好，世界。", "你好 世界", "你好，世界。"),
        ("שָׁלוֹם", "שָׁלוֹם", "שָׁלוֹם"),
        ("co\u00adoperate", "cooperate", "co\u00adoperate"),
        ("⠓⠑ 👍", "⠓⠑", "⠓⠑ 👍"),
        ("ȺȾ\u212a", "ⱥⱦk", "ⱥⱦk"),
        ("\u3000a\u00a0\u2028b\x00", "a b", "a b"),
        ("!?", "", "!?"),
        ("", "", ""),
    ],
)
def test_by_hand(text: str, folded: str, kept: str) -> None:
    for implementation in ("cpu", "reference"):
        assert fold([text], implementation=implementation).to_pylist() == [folded]
        with_marks = fold([text], keep_punctuation=True, implementation=implementation)
        assert with_marks.to_pylist() == [kept]


def test_layouts_agree(hard: list[str], layout: Callable[[list[str]], object]) -> None:
    plain = fold(hard, implementation="reference")
    ours = fold(layout(hard))
    ours.validate(full=True)
    assert ours.type == pa.large_string()
    assert ours.to_pylist() == plain.to_pylist()


@given(TEXTS, st.booleans(), st.integers(0, 3))
def test_equals_reference_and_is_stable(texts: list[str | None], keep: bool, cut: int) -> None:
    array = pa.array(texts, pa.string())[cut:]
    ours = fold(array, keep_punctuation=keep)
    ours.validate(full=True)
    assert ours.equals(fold(array, keep_punctuation=keep, implementation="reference"))
    assert ours.equals(fold(ours, keep_punctuation=keep))
    assert [text is None for text in ours.to_pylist()] == [text is None for text in texts[cut:]]


@pytest.mark.parametrize("keep", [False, True])
def test_table_holds_every_code_point(keep: bool) -> None:
    """What the table leaves out as immutable is so, and nothing grows by more than half."""
    codes = table(keep)
    for code in range(sys.maxunicode + 1):
        if 0xD800 <= code < 0xE000:
            continue
        folded = fold_character(chr(code), keep)
        assert codes[code] == (ord(folded) if folded else GONE), hex(code)
        assert 2 * len(folded.encode()) <= 3 * len(chr(code).encode()), hex(code)
        inside = any(first <= code < last for first, last in MUTABLE)
        assert inside or folded == chr(code), hex(code)


def test_bytes_that_are_no_utf8_pass_through() -> None:
    odd = [b"\xff\xfeAB", b"\xe4\xb8", b"ok\xf5\xbf\xbf\xbf", b"\x80 \x80"]
    array = pa.array(odd, pa.binary())
    assert [bytes(text) for text in fold(array).cast(pa.large_binary()).to_pylist()] == [
        b"\xff\xfeab",
        b"\xe4\xb8",
        b"ok\xf5\xbf\xbf\xbf",
        b"\x80 \x80",
    ]


def test_nothing() -> None:
    assert fold([]).to_pylist() == []
    assert fold(pa.chunked_array([], pa.string())).to_pylist() == []
    assert fold(pa.array([None, None], pa.string())).to_pylist() == [None, None]


def test_no_language_vanishes_or_collides(udhr: list[str], tatoeba: list[str]) -> None:
    declarations = fold(udhr)
    for page, folded in zip(udhr, declarations.to_pylist(), strict=True):
        assert len(folded) > 0.8 * len(" ".join(page.split()))
    sentences = fold(tatoeba)
    assert "" not in sentences.to_pylist()
    for texts in (declarations, sentences):
        distinct = texts.unique()
        hashes = np.stack(content_hash(distinct), axis=1)
        assert len(np.unique(hashes, axis=0)) == len(distinct)
