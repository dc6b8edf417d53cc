"""Fingerprints: what makes rows equal or different, which columns marked rows get, band and sketch recall."""

import re
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import kernels
from headrace.kernels.arrow import frozen
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from headrace.pipelines.stages.fingerprint.config import Config
from tests.builders import Turn, table

LONG = "The quick brown fox jumps over the lazy dog while forty-two engineers look on in silence. " * 2


def rows(*conversations: list[Turn] | None) -> pa.Table:
    """Fingerprinted rows; None is one that could not be read."""
    errors = ["read.malformed_json" if turns is None else None for turns in conversations]
    return fingerprint.apply(table(*conversations, error=errors), Config())


def column(rows: pa.Table, name: str) -> list[int]:
    values: list[int] = rows[name].to_pylist()
    return values


def test_marked_rows_are_all_zero_and_keep_their_place() -> None:
    given = rows([("text", LONG)], None, [("text", LONG)])
    assert given.num_rows == 3
    for name, kind in fingerprint.COLUMNS:
        assert given.schema.field(name).type == kind
        assert column(given, name)[1] == 0
        assert column(given, name)[0] == column(given, name)[2]


def test_an_empty_table_keeps_its_schema() -> None:
    given = rows()
    assert given.num_rows == 0
    assert [given.schema.field(n).type for n, _ in fingerprint.COLUMNS] == [t for _, t in fingerprint.COLUMNS]


def test_exact_hash_is_of_roles_contents_and_cuts() -> None:
    given = rows(
        [("user", "a"), ("assistant", "b")],
        [("user", "a"), ("assistant", "b")],
        [("user", "ab"), ("assistant", "")],
        [("system", "a"), ("assistant", "b")],
        [("user", "A"), ("assistant", "b")],
    )
    hashes = list(zip(column(given, "exact_hi"), column(given, "exact_lo"), strict=True))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_openings_are_all_that_stands_before_each_answer() -> None:
    ask, other = ("user", "What is  3.5?"), ("assistant", "No.")
    given = rows(
        [ask, ("assistant", "yes")],
        [("user", "what is 3.5? "), ("assistant", "no"), ("user", "sure?"), ("assistant", "yes")],
        [("user", "what is 35?"), ("assistant", "yes")],
        [("system", "Be brief."), ask, ("assistant", "yes")],
        [("system", "Be brief."), ("assistant", "yes")],
        [("text", "what is 3.5?")],
        None,
        [ask],
        [ask, other, ("tool", "3.5"), other],
        [ask, ("assistant", "no."), ("tool", "3.5"), ("assistant", "")],
        [("assistant", "hello"), ask, other],
    )
    found = given["openings"].to_pylist()
    assert given.schema.field("openings") == fingerprint.OPENINGS
    assert [len(openings) for openings in found] == [1, 2, 1, 1, 0, 0, 0, 0, 2, 2, 1]
    assert found[0][0] == found[1][0] == found[8][0]
    assert found[8] == found[9]
    assert len({h for openings in found for h in openings}) == 6
    assert rows().schema.field("openings") == fingerprint.OPENINGS


def opening(*prompt: Turn) -> int:
    return int(rows([*prompt, ("assistant", "yes")])["openings"].to_pylist()[0][0])


def test_an_opening_is_its_words_in_whatever_order() -> None:
    one = opening(("user", "Which is safe?\nA. the bridge\nB. ice\nAnswer:"))
    assert one == opening(("user", "which is safe? A) ice B) the bridge. answer"))
    assert one != opening(("user", "Which is safe?\nA. the bridge\nB. the ice\nAnswer:"))
    assert one != opening(("user", "Which is safe?\nA. the bridge\nB. the bridge\nAnswer:"))
    assert opening(("user", "请问 北京")) == opening(("user", "北京 请问"))
    assert opening(("user", "?!")) == opening(("user", "?! "))
    assert len({opening(("user", text)) for text in ("?!", "!?", "+", "-", "😀", "")}) == 6


@given(st.lists(st.text(alphabet="ab1é北 .\n", max_size=6), max_size=5), st.randoms())
def test_an_opening_is_the_same_for_words_that_were_exchanged(words: list[str], draw: Random) -> None:
    kept = [word for word in " ".join(words).split() if any(c.isalnum() for c in word)]
    other = draw.sample(kept, len(kept))
    assert opening(("user", f"so {' '.join(kept)}")) == opening(("user", f"{' '.join(other)} so"))


def words_one_by_one(text: bytes) -> int:
    """What `_words` says of a folded text, byte by byte."""
    mask, offset, prime = 2**64 - 1, 0xCBF29CE484222325, 0x100000001B3
    found = re.findall(rb"[0-9A-Za-z\x80-\xff]+", text)
    total = 0 if found else offset
    for word in found:
        key = offset
        for at in range(0, len(word) // 8 * 8, 8):
            key = (key ^ int.from_bytes(word[at : at + 8])) * 0x9E3779B97F4A7C15 & mask
            key ^= key >> 32
        key = (key ^ int.from_bytes(word[len(word) // 8 * 8 :])) * 0x9E3779B97F4A7C15 & mask
        total += (key ^ key >> 29) * prime
    for byte in b"" if found else text:
        total = (total ^ byte) * prime & mask
    return total & mask


@given(st.lists(st.text("aZ9 .\x00\x7fé北", max_size=30), max_size=6), st.integers(0, 8))
def test_words_are_hashed_as_one_by_one(texts: list[str], behind: int) -> None:
    encoded = [text.encode() for text in texts]
    data = np.frombuffer(b"".join(encoded) + b"a" * behind, np.uint8)
    ends = np.cumsum([0, *(len(text) for text in encoded)]).astype(np.int64)
    found = fingerprint._words(frozen(data), frozen(ends[:-1]), frozen(ends[1:]))
    assert found.tolist() == [words_one_by_one(text) for text in encoded]


def test_openings_are_the_same_in_any_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    talks: list[list[Turn] | None] = [
        [(("user", "assistant")[k % 2], f"{n} {k} {LONG}") for k in range(n % 5)] or None for n in range(40)
    ]
    whole = rows(*talks)
    monkeypatch.setattr(fingerprint, "STEP", 500)
    assert rows(*talks).equals(whole)
    assert [len(o) for o in whole["openings"].to_pylist()] == [n % 5 // 2 for n in range(40)]


def test_short_keys_fold_case_and_spaces_but_keep_punctuation() -> None:
    given = rows(
        [("user", "What is  it?"), ("assistant", "It is 3.5")],
        [("user", "what is it?"), ("assistant", "it is 3.5 ")],
        [("user", "what is it?"), ("assistant", "it is 35")],
    )
    prompts, answers = column(given, "prompt_key"), column(given, "answer_key")
    assert len(set(prompts)) == 1
    assert answers[0] == answers[1] != answers[2]


def test_long_parts_have_no_key() -> None:
    given = rows([("user", LONG * 4), ("assistant", "yes")])
    assert column(given, "prompt_key") == [0]
    assert column(given, "answer_key") != [0]
    assert column(given, "prompt_features")[0] >= fingerprint.KEYED


def test_parts_are_told_apart_by_role_in_any_order() -> None:
    """Turns that alternate give the same parts as the same texts in two turns."""
    first, second = LONG, LONG[::-1]
    mixed = rows([("user", first), ("assistant", "yes"), ("user", second), ("assistant", "no")])
    sorted_ = rows([("user", first), ("user", second), ("assistant", "yes"), ("assistant", "no")])
    for part in fingerprint.PARTS:
        for kind in ("key", "features", *(f"band_{k}" for k in range(fingerprint.BANDS))):
            assert column(mixed, f"{part}_{kind}") == column(sorted_, f"{part}_{kind}")
    assert column(mixed, "exact_lo") != column(sorted_, "exact_lo")


def test_simhash_is_of_the_whole_row() -> None:
    one, two = LONG, LONG[::-1].lower()
    given = rows([("text", one)], [("user", one)], [("user", one), ("assistant", two)])
    alone = kernels.simhash([kernels.fold([one])[0].as_py() + " "])[0, 0]
    whole = " ".join(text.as_py() for text in kernels.fold([one, two])) + " "
    assert column(given, "simhash") == [alone, alone, kernels.simhash([whole])[0, 0]]


def test_size_counts_bytes() -> None:
    assert column(rows([("user", "é"), ("assistant", "abc")], []), "size") == [5, 0]


@pytest.mark.parametrize(("change", "least", "most"), [(0.01, 0.9, 1.0), (0.5, 0.0, 0.2)])
def test_bands_and_sketches_agree_as_often_as_the_texts_do(change: float, least: float, most: float) -> None:
    rng = np.random.default_rng(5)
    texts = []
    for _ in range(100):
        words = [f"{w:x}" for w in rng.integers(0, 2**40, 150)]
        other = [
            f"{v:x}" if rng.random() < change else w
            for v, w in zip(rng.integers(0, 2**40, 150), words, strict=True)
        ]
        texts += [[("text", " ".join(words))], [("text", " ".join(other))]]
    given = rows(*texts)
    bands = np.stack([given[f"answer_band_{k}"].to_numpy() for k in range(fingerprint.BANDS)], axis=1)
    shared = (bands[0::2] == bands[1::2]).any(axis=1).mean()
    assert least <= shared <= most
    held = np.stack([given[f"answer_sketch_{k}"].to_numpy() for k in range(fingerprint.WORDS)], axis=1)
    nibbles = np.stack([(held >> np.uint64(4 * b)) & np.uint64(15) for b in range(16)], axis=-1)
    agree = (nibbles[0::2] == nibbles[1::2]).mean()
    folded = kernels.fold([turns[0][1] for turns in texts])
    truth = kernels.jaccard(folded, np.arange(len(texts)).reshape(-1, 2)).mean()
    assert agree == pytest.approx(truth + (1 - truth) / 16, abs=0.03)


def test_two_answers_count_by_their_exact_key_and_their_order() -> None:
    good, bad = LONG + "It is so.", LONG[::-1]
    ask = ("user", LONG)
    given = rows(
        [ask, ("assistant", good), ("rejected", bad)],
        [ask, ("assistant", good.upper()), ("rejected", bad)],
        [ask, ("assistant", bad), ("rejected", good)],
        [ask, ("assistant", good), ("rejected", bad + " and more")],
        [ask, ("assistant", good)],
    )
    assert column(given, "answer_features")[:4] == [0] * 4
    assert column(given, "answer_features")[4] > 0
    assert [column(given, f"answer_band_{k}")[:4] for k in range(fingerprint.BANDS)] == [[0] * 4] * 8
    first, same, *others = column(given, "answer_key")
    assert first == same != 0
    assert first not in others
    assert len({*column(given, "prompt_band_0")}) == 1
    openings = given["openings"].to_pylist()
    assert len(openings[0]) == 1
    assert openings == [openings[0]] * 5
