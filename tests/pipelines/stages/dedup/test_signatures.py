"""Candidates by SimHash: who meets, how far is looked, and that near texts go as by bands."""

from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.dedup import blocks, in_memory, signatures
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.signatures import CROWD, FIRST, Signatures, Signed
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from tests.benchmarks.labelled import pairs_of
from tests.builders import near_copies as corpus
from tests.pipelines.stages.dedup.builders import MIXED as STORY

WAYS: tuple[Literal["bands", "simhash", "both"], ...] = ("bands", "simhash", "both")


def signed(simhash: list[int], meeting: list[int] | None = None, rank: list[int] | None = None) -> Signed:
    n = len(simhash)
    zero = np.zeros(n, np.uint64)
    given_rank = np.array(range(n) if rank is None else rank, np.int64)
    return Signed(
        np.array(simhash, np.uint64), np.array(meeting or [0] * n, np.uint64), zero, zero, given_rank
    )


def met(rows: Signed, config: Config | None = None) -> list[tuple[int, int]]:
    """Pairs of ranks that any table finds, each once."""
    found = signatures.distinct(rows)
    config = config or Config(candidates="simhash")
    masks = signatures.tables(len(found.words), config)
    every = [signatures.pairs(found, masks, table, config) for table in range(len(masks))]
    pairs = [tuple(pair) for some in every for pair in some.tolist()]
    assert len(set(pairs)) == len(pairs)
    return sorted(pairs)


def candidate_pairs(texts: list[str], config: Config) -> set[tuple[int, int]]:
    rows = blocks.Rows(fingerprint.apply(in_memory.as_rows(pa.array(texts)), fingerprint.Config()))
    _, representative = blocks.exact_copies(rows)
    return set(map(tuple, in_memory.all_candidates(rows, representative, config).tolist()))


def test_how_far_follows_from_the_threshold() -> None:
    by_threshold = [signatures.farthest(t) for t in (0.1, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)]
    assert by_threshold == sorted(by_threshold, reverse=True)
    assert by_threshold[:2] == [signatures.FARTHEST] * 2
    assert (by_threshold[-3], by_threshold[-1]) == (8, 0)


def test_near_signatures_meet_where_they_have_something_in_common() -> None:
    assert met(signed([0b0, 0b111, 2**64 - 1])) == [(0, 1)]
    assert met(signed([0b0, 0b111, 0b110], [1, 2, 1])) == [(0, 2)]
    assert met(signed([0b0, 0b111], rank=[9, 4])) == [(4, 9)]
    assert met(signed([])) == met(signed([5])) == []


def test_rows_of_a_signature_stand_behind_its_best() -> None:
    found = signatures.distinct(signed([7, 5, 7, 5, 9], rank=[4, 3, 0, 1, 2]))
    assert found.words[:, 0].tolist() == [7, 5, 9]
    assert (found.starts.tolist(), found.ranks.tolist()) == ([0, 2, 4, 5], [0, 4, 1, 3, 2])


def test_a_signature_that_many_rows_share_stays_linear() -> None:
    many = 5000
    pairs = met(signed([0b1, *[0b11] * many]))
    assert pairs == [(0, row) for row in range(1, many + 1)]
    pairs = met(signed([*[0b11] * many, 0b1]))
    assert pairs == [(row, many) for row in range(FIRST)]


def test_a_crowd_of_signatures_meets_the_best_of_it() -> None:
    n = 3000
    pairs = met(signed([int(x) for x in np.random.default_rng(1).permutation(n)]))
    assert len(pairs) < n * CROWD * 4  # of 4.5 million that are near enough
    assert sum(better == 0 for better, _ in pairs) > 0.99 * n


def test_sketches_that_differ_too_much_are_dropped() -> None:
    rows = signed([0b1, 0b11])
    apart = rows._replace(low=np.array([0, 2**64 - 1], np.uint64), high=np.array([0, 2**64 - 1], np.uint64))
    assert (met(rows), met(apart)) == ([(0, 1)], [])


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), max_size=50))
def test_near_rows_meet_however_they_lie(drawn: list[tuple[int, int]]) -> None:
    rows = signed([s for s, _ in drawn], [m for _, m in drawn])
    order = np.random.default_rng(len(drawn)).permutation(len(drawn))
    shuffled = Signed(*(column[order] for column in rows))
    assert met(rows) == met(shuffled)
    for better, worse in met(rows):
        assert drawn[better][1] == drawn[worse][1]
        assert drawn[better][0] != drawn[worse][0]


@pytest.mark.parametrize("kind", ["word edits", "insertions", "reordering", "chinese", "code"])
def test_above_95_the_same_rows_go_as_by_bands(kind: str) -> None:
    texts = pairs_of(kind, 90, 3)
    gone = {way: in_memory.duplicates(pa.array(texts), Config(candidates=way)).to_pylist() for way in WAYS}
    rows = {way: {r["removed"]: r for r in found} for way, found in gone.items()}
    alike = {r["removed"] for r in gone["bands"] if r["similarity"] >= 0.95}
    assert len(alike) >= 5
    for way in ("simhash", "both"):
        assert alike <= rows[way].keys()
        assert all(rows[way][row]["similarity"] >= 0.95 for row in alike)
    assert len(rows["simhash"]) > 0.9 * len(rows["bands"])


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_both_is_the_union(seed: int) -> None:
    texts = corpus(seed)
    bands, simhash, both = (candidate_pairs(texts, Config(candidates=way)) for way in WAYS)
    assert both == bands | simhash
    assert simhash


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.sampled_from(["simhash", "both"]))
def test_order_changes_nothing(seed: int, way: Literal["simhash", "both"]) -> None:
    """Texts of distinct lengths have one total order, so a permutation must permute the answer."""
    config = Config(candidates=way)
    lengthened = [text + "z" * at for at, text in enumerate(corpus(seed, 60))]
    texts = list({len(text): text for text in lengthened}.values())
    order = np.random.default_rng(seed).permutation(len(texts))
    straight = in_memory.duplicates(pa.array(texts), config).to_pylist()
    permuted = in_memory.duplicates(pa.array([texts[i] for i in order]), config).to_pylist()
    back = [{**r, "removed": int(order[r["removed"]]), "kept": int(order[r["kept"]])} for r in permuted]
    assert sorted(back, key=lambda r: r["removed"]) == straight


def test_a_thousand_texts_of_one_signature_name_one_row() -> None:
    """Letter case is folded before texts are hashed: all have one SimHash, and none is an exact copy."""
    texts = [STORY[:at] + STORY[at].upper() + STORY[at + 1 :] for at in range(400) if STORY[at].islower()]
    found = in_memory.duplicates(pa.array([*texts, STORY + " end"]), Config(candidates="simhash"))
    assert set(found["kept"].to_pylist()) == {len(texts)}
    assert found.num_rows == len(set(texts))


def test_short_texts_and_none_have_no_signature() -> None:
    config = Config(candidates="simhash")
    assert in_memory.duplicates(pa.array(["yes", "Yes", "no", ""]), config).num_rows == 1
    assert in_memory.duplicates(pa.array([], pa.string()), config).num_rows == 0
    assert candidate_pairs([STORY, STORY + " more"], Config(candidates="simhash", near=False)) == set()


def test_another_way_is_refused() -> None:
    with pytest.raises(ValueError, match="Input should be 'bands', 'simhash' or 'both'"):
        Config(candidates="minhash")  # type: ignore[arg-type]


def test_the_signatures_fit_together() -> None:
    found: Signatures = signatures.distinct(signed([3, 3, 1]))
    assert len(found.starts) == len(found.words) + 1
    assert found.starts[-1] == len(found.ranks) == len(found.low) == len(found.high)
