"""Duplicates of texts in memory: what goes and for whom, in every script, in any order; marks."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import kernels
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import in_memory
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from tests.pipelines.stages.dedup.builders import MIXED as STORY

WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "inlet",
    "jetty",
    "knoll",
    "lagoon",
    "meadow",
    "nook",
    "oasis",
    "prairie",
]


def removed(texts: list[str | None], config: Config | None = None) -> dict[int, tuple[int, str]]:
    table = in_memory.duplicates(pa.array(texts, pa.string()), config)
    assert table.schema.equals(dedup.REMOVED)
    return {r["removed"]: (r["kept"], r["rule"]) for r in table.to_pylist()}


def test_exact_and_near_copies_name_the_row_that_stays() -> None:
    near = STORY.replace("amber0", "amber99")
    assert removed([STORY, "Something else.", STORY, near + "."]) == {0: (3, "near"), 2: (3, "near")}
    assert removed([STORY, "Something else.", STORY]) == {2: (0, "exact")}


def test_the_longer_text_stays() -> None:
    assert removed([STORY, STORY + " and then some"]) == {0: (1, "near")}


@pytest.mark.parametrize(
    "text",
    [
        "春天来了,花园里的花都开了。孩子们在草地上奔跑,老人们坐在长椅上晒太阳,远处传来钟声和鸟鸣。",
        "وصل القطار إلى المحطة في الصباح الباكر وكان المسافرون ينتظرون على الرصيف تحت المطر الخفيف",
        "गाँव के पास एक नदी बहती है और उसके किनारे पर बच्चे हर शाम खेलने आते हैं जब धूप कम हो जाती है",
        "def area(width, height):\n    total = width * height\n    return round(total, 2) if total else 0\n",
    ],
)
def test_every_script_is_compared(text: str) -> None:
    other = text[::-1]
    assert removed([text * 3, other * 3, text * 3 + " " + text[:3]]) == {0: (2, "near")}


def test_different_short_texts_stay() -> None:
    assert removed(["yes", "no", "3.5", "35", "3,5", "", "?"]) == {}
    assert removed(["Yes", "yes ", " yes"]) == {0: (1, "exact"), 2: (1, "exact")}


def test_nothing_and_nulls() -> None:
    assert removed([]) == {}
    assert removed([None, None]) == {}
    assert removed([None, STORY, None, STORY]) == {3: (1, "exact")}
    assert in_memory.duplicates(pa.chunked_array([], pa.string())).num_rows == 0
    chunks = pa.chunked_array([pa.array([STORY]), pa.array([STORY])], pa.string())
    assert in_memory.duplicates(chunks)["removed"].to_pylist() == [1]
    assert in_memory.duplicates(pa.array([STORY, STORY], pa.large_string())).num_rows == 1


def test_each_kind_can_be_left_alone() -> None:
    texts: list[str | None] = [STORY, STORY, STORY + " extra"]
    assert removed(texts, Config(near=False)) == {1: (0, "exact")}
    assert removed(texts, Config(exact=False, near=False)) == {}
    # An exact copy is a near one too.
    assert removed(texts, Config(exact=False)) == {0: (2, "near"), 1: (2, "near")}
    assert removed([STORY, STORY], Config(exact=False)) == {1: (0, "near")}


def test_threshold_is_met_from_above() -> None:
    texts: list[str | None] = [STORY + " tail of other words that were not there", STORY]
    folded = kernels.fold([t + " " for t in texts if t])
    similarity = kernels.jaccard([t + " " for t in folded.to_pylist()], [[0, 1]])[0]
    assert 0.7 < similarity < 1
    table = in_memory.duplicates(pa.array(texts), Config(threshold=similarity))
    assert table["similarity"].to_pylist() == [similarity]
    assert removed(texts, Config(threshold=float(np.nextafter(similarity, 1)))) == {}


def test_a_thousand_copies_are_linear_and_name_one_row() -> None:
    texts: list[str | None] = [*[STORY] * 3000, *(f"{STORY} {i:05d}" for i in range(300))]
    gone = removed(texts)
    assert len(gone) == 3299
    assert {kept for kept, _ in gone.values()} == {3000}


def test_one_preamble_with_different_bodies_stays() -> None:
    rng = np.random.default_rng(11)
    bodies = [" ".join(f"{w:x}" for w in rng.integers(0, 2**32, 40)) for _ in range(300)]
    assert removed([f"{STORY[:300]}\n{body}" for body in bodies]) == {}


def edited(words: list[str], rng: np.random.Generator) -> list[str]:
    out = list(words)
    for _ in range(int(rng.integers(1, 6))):
        at, kind = int(rng.integers(len(out))), int(rng.integers(4))
        if kind == 0:
            out[at] = f"new{rng.integers(10**6)}"
        elif kind == 1:
            out.insert(at, f"more{rng.integers(10**6)}")
        elif kind == 2:
            out = out[at:] + out[:at]
        else:
            out = out[: max(20, len(out) - 4)]
    return out


def corpus(seed: int, n: int = 120) -> list[str]:
    """Documents of which half are edits of earlier ones."""
    rng = np.random.default_rng(seed)
    found: list[list[str]] = []
    for _ in range(n):
        if found and rng.random() < 0.5:
            found.append(edited(found[int(rng.integers(len(found)))], rng))
        else:
            found.append([f"{WORDS[w % 16]}{w % 101}" for w in rng.integers(0, 10**6, rng.integers(20, 90))])
    return [" ".join(words) for words in found]


def similarities(texts: list[str]) -> np.ndarray:
    """Jaccard of all pairs, by definition."""
    sets = []
    for text in kernels.fold(texts).to_pylist():
        data = (text + " ").encode()
        sets.append({data[i : i + 8] for i in range(len(data) - 7)})
    n = len(sets)
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            found[i, j] = len(sets[i] & sets[j]) / max(1, len(sets[i] | sets[j]))
    return found


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_removals_are_verified_and_complete(seed: int) -> None:
    texts = corpus(seed)
    truth = similarities(texts)
    table = in_memory.duplicates(pa.array(texts)).to_pylist()
    gone = {r["removed"] for r in table}
    assert len(gone) == len(table)
    for row in table:
        assert row["kept"] not in gone
        assert row["similarity"] == pytest.approx(truth[row["removed"], row["kept"]])
        assert row["similarity"] >= 0.8
    windows = [len(text.encode()) - 6 for text in kernels.fold(texts).to_pylist()]
    kept = [at for at, n in enumerate(windows) if n >= Config().min_features and at not in gone]
    left = np.triu(truth[np.ix_(kept, kept)], 1)
    # Blocking finds a pair at .95 but for one in a million; at .85 it would miss one in a thousand.
    assert not (left >= 0.95).any()


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_order_changes_nothing(seed: int) -> None:
    """Texts of distinct lengths have one total order, so a permutation must permute the answer."""
    lengthened = [text + "z" * at for at, text in enumerate(corpus(seed, 60))]
    texts = list({len(text): text for text in lengthened}.values())
    order = np.random.default_rng(seed).permutation(len(texts))
    straight = in_memory.duplicates(pa.array(texts)).to_pylist()
    permuted = in_memory.duplicates(pa.array([texts[i] for i in order])).to_pylist()
    back = [{**r, "removed": int(order[r["removed"]]), "kept": int(order[r["kept"]])} for r in permuted]
    assert sorted(back, key=lambda r: r["removed"]) == straight


def test_mark_sets_the_reason_of_live_rows() -> None:
    made = [
        {"row_id": at + 2**63, "n_records": 1, "source": "s", "file": "f", "place": "p", "drop": drop}
        for at, drop in enumerate([None, None, "quality.too_short", None])
    ]
    table = schema.from_rows(made)
    gone = pa.table(
        {
            "removed": pa.array([2**63, 2**63 + 1, 2**63 + 2, 5], pa.uint64()),
            "rule": ["exact", "near", "near", "near"],
        }
    )
    marked = dedup.apply(table, gone)
    assert marked["drop"].to_pylist() == ["dedup.exact", "dedup.near", "quality.too_short", None]
    assert dedup.apply(table, gone.slice(0, 0)).equals(table)
    assert dedup.apply(table.slice(0, 0), gone).num_rows == 0


def test_config_refuses_what_cannot_be() -> None:
    for wrong in (
        {"threshold": 0},
        {"threshold": 1.1},
        {"margin": -0.1},
        {"min_features": fingerprint.KEYED + 1},
    ):
        with pytest.raises(ValueError, match="Input should be"):
            Config(**wrong)
