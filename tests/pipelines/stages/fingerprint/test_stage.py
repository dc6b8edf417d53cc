"""Fingerprints: what makes rows equal or different, which columns marked rows get, band and sketch recall."""

import numpy as np
import pyarrow as pa
import pytest

from headrace import kernels
from headrace.pipelines import schema
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from headrace.pipelines.stages.fingerprint.config import Config

LONG = "The quick brown fox jumps over the lazy dog while forty-two engineers look on in silence. " * 2
Message = tuple[str, str]


def rows(*conversations: list[Message] | None) -> pa.Table:
    made = [
        {
            "row_id": at,
            "n_records": 1,
            "source": "s",
            "file": "f",
            "place": f"row {at}",
            "messages": None if turns is None else [{"role": r, "content": c} for r, c in turns],
            "error": "read.malformed_json" if turns is None else None,
        }
        for at, turns in enumerate(conversations)
    ]
    return fingerprint.apply(schema.from_rows(made), Config())


def column(table: pa.Table, name: str) -> list[int]:
    values: list[int] = table[name].to_pylist()
    return values


def test_marked_rows_are_all_zero_and_keep_their_place() -> None:
    table = rows([("text", LONG)], None, [("text", LONG)])
    assert table.num_rows == 3
    for name, kind in fingerprint.COLUMNS:
        assert table.schema.field(name).type == kind
        assert column(table, name)[1] == 0
        assert column(table, name)[0] == column(table, name)[2]


def test_an_empty_table_keeps_its_schema() -> None:
    table = rows()
    assert table.num_rows == 0
    assert [table.schema.field(n).type for n, _ in fingerprint.COLUMNS] == [t for _, t in fingerprint.COLUMNS]


def test_exact_hash_is_of_roles_contents_and_cuts() -> None:
    table = rows(
        [("user", "a"), ("assistant", "b")],
        [("user", "a"), ("assistant", "b")],
        [("user", "ab"), ("assistant", "")],
        [("system", "a"), ("assistant", "b")],
        [("user", "A"), ("assistant", "b")],
    )
    hashes = list(zip(column(table, "exact_hi"), column(table, "exact_lo"), strict=True))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_short_keys_fold_case_and_spaces_but_keep_punctuation() -> None:
    table = rows(
        [("user", "What is  it?"), ("assistant", "It is 3.5")],
        [("user", "what is it?"), ("assistant", "it is 3.5 ")],
        [("user", "what is it?"), ("assistant", "it is 35")],
    )
    prompts, answers = column(table, "prompt_key"), column(table, "answer_key")
    assert len(set(prompts)) == 1
    assert answers[0] == answers[1] != answers[2]


def test_long_parts_have_no_key() -> None:
    table = rows([("user", LONG * 4), ("assistant", "yes")])
    assert column(table, "prompt_key") == [0]
    assert column(table, "answer_key") != [0]
    assert column(table, "prompt_features")[0] >= fingerprint.KEYED


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
    table = rows([("text", one)], [("user", one)], [("user", one), ("assistant", two)])
    alone = kernels.simhash([kernels.fold([one])[0].as_py() + " "])[0, 0]
    whole = " ".join(text.as_py() for text in kernels.fold([one, two])) + " "
    assert column(table, "simhash") == [alone, alone, kernels.simhash([whole])[0, 0]]


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
    table = rows(*texts)
    bands = np.stack([table[f"answer_band_{k}"].to_numpy() for k in range(fingerprint.BANDS)], axis=1)
    shared = (bands[0::2] == bands[1::2]).any(axis=1).mean()
    assert least <= shared <= most
    held = np.stack([table[f"answer_sketch_{k}"].to_numpy() for k in range(fingerprint.WORDS)], axis=1)
    nibbles = np.stack([(held >> np.uint64(4 * b)) & np.uint64(15) for b in range(16)], axis=-1)
    agree = (nibbles[0::2] == nibbles[1::2]).mean()
    folded = kernels.fold([turns[0][1] for turns in texts])
    truth = kernels.jaccard(folded, np.arange(len(texts)).reshape(-1, 2)).mean()
    assert agree == pytest.approx(truth + (1 - truth) / 16, abs=0.03)
