"""Pairs of rows for people: which are picked, and that what differs is marked and nothing is lost."""

from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines.report import pairs
from tests.pipelines.report.lists import write_pairs


def test_examples_span_every_rule_and_the_whole_range(tmp_path: Path) -> None:
    many = [((1 << 32) | k, 0, 1, 0.75 + 0.0001 * k, "near") for k in range(2000)]
    many += [((2 << 32) | k, 0, 0, 1.0, "exact") for k in range(2000)]
    write_pairs(str(tmp_path), "removed", many)
    picked = pairs.pairs(str(tmp_path), "removed", 6)
    assert [p.rule for p in picked] == ["near"] * 3 + ["exact"] * 3
    assert [round(p.similarity or 0, 3) for p in picked[:3]] == [0.75, 0.85, 0.95]
    assert [p.removed for p in picked] == [None] * 6


def test_differences_mark_what_differs_and_nothing_else() -> None:
    left, right = pairs.differences("Pay invoice 17 by Monday.", "Pay invoice 18 by Monday.")
    assert left == (("same", "Pay invoice"), ("changed", " 17"), ("same", " by Monday."))
    assert right == (("same", "Pay invoice"), ("changed", " 18"), ("same", " by Monday."))
    left, right = pairs.differences("開きません", "開けません")
    assert [t for k, t in left if k == "changed"] == ["き"]
    assert [t for k, t in right if k == "changed"] == ["け"]


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=60)
def test_differences_lose_no_character_of_a_short_text(left: str, right: str) -> None:
    for pieces, text in zip(pairs.differences(left, right), (left, right), strict=True):
        whole = "".join(t for k, t in pieces if k != "gap")
        hidden = sum(int(t.split()[1].replace(",", "")) for k, t in pieces if k == "gap")
        assert len(whole) + hidden == len(text)
        if not hidden:
            assert whole == text


def test_differences_of_long_texts_are_cut_and_say_how_much() -> None:
    base = " ".join(f"word{k}" for k in range(40_000))
    left, right = pairs.differences(base, base.replace("word5 ", "other "))
    for pieces, text in ((left, base), (right, base.replace("word5 ", "other "))):
        shown = sum(len(t) for k, t in pieces if k != "gap")
        hidden = sum(int(t.split()[1].replace(",", "")) for k, t in pieces if k == "gap")
        assert shown + hidden == len(text)
        assert shown <= pairs.SHOWN


def test_lists_of_another_form_are_left_alone(tmp_path: Path) -> None:
    storage.write_table(f"{tmp_path}/duplicates/removed.parquet", pa.table({"left": [1], "right": [2]}))
    assert pairs.pairs(str(tmp_path), "removed", 3) == []
