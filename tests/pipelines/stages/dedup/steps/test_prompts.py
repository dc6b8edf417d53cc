"""Rows that begin with the same prompt stand on one side, and adding inputs moves none of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.steps import run as dedup_tasks
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from headrace.pipelines.stages.split import assign
from headrace.pipelines.stages.split import stage as split
from headrace.pipelines.stages.split.config import Config as Shares
from tests.builders import Turn, backwards, in_order, table, write_parts

HALVES = Shares(train=0.34, validation=0.33, test=0.33)
Talk = tuple[str, ...]  # contents, the user's first
TALKS = st.lists(
    st.lists(st.sampled_from("pqr"), min_size=1, max_size=3).flatmap(
        lambda asked: st.tuples(*(st.sampled_from([f"{a}x", f"{a}y"]) for a in asked)).map(
            lambda answers: tuple(t for pair in zip(asked, answers, strict=True) for t in pair)
        )
    ),
    max_size=9,
)


def turns(talk: Talk) -> list[Turn]:
    return [(("user", "assistant")[k % 2], content) for k, content in enumerate(talk)]


def fingerprinted(plans: Sequence[Sequence[Talk]], **fields: Any) -> pa.Table:
    """Rows of some plans, each one fragment."""
    tables = [
        fingerprint.apply(table(*map(turns, talks), first=ordinal << 32, **fields), fingerprint.Config())
        for ordinal, talks in enumerate(plans)
    ]
    made = pa.concat_tables(tables).combine_chunks()
    quality = pa.array([{"score": 0.5}] * made.num_rows, schema.QUALITY)
    return made.append_column("quality", quality).drop_columns(["drop", "error"])


def sides_of(
    folder: Path, rows: pa.Table, plans: int, cuts: Sequence[int] = (), each: Any = in_order
) -> dict[int, str | None]:
    """The side of each row, by pass 2 over its files and by itself; None of one that is dropped."""
    folder.mkdir(exist_ok=True)
    paths = write_parts(folder, rows, list(cuts))
    output, firsts = str(folder / "out"), tuple(range(plans))
    report = dedup_tasks.run(
        paths, output, Config(exact=False, near=False), order={}, ngram=8, each=each, firsts=firsts
    )
    assign.assign(output, HALVES, seed=3, rows=report["rows"], firsts=firsts)
    sides = storage.read_table(f"{output}/sides.parquet")
    marked = rows.append_column("drop", pa.nulls(rows.num_rows, pa.string()))
    done = split.apply(marked.append_column("error", pa.nulls(rows.num_rows, pa.string())), sides, HALVES, 3)
    columns = (done[c].to_pylist() for c in ("row_id", "split", "drop"))
    return {row: None if drop else side for row, side, drop in zip(*columns, strict=True)}


def belong(one: Talk, other: Talk) -> bool:
    """Whether the prompt of `one` is all that stands before some answer of `other`."""
    return len(one) <= len(other) and one[:-1] == other[: len(one) - 1]


@settings(max_examples=60)
@given(TALKS, TALKS, st.integers(0, 6))
def test_no_prompt_on_two_sides_whatever_is_added(
    tmp_path_factory: pytest.TempPathFactory, old: list[Talk], new: list[Talk], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("prompts")
    before = sides_of(folder / "a", fingerprinted([old]), 1)
    rows = fingerprinted([old, new])
    after = sides_of(folder / "b", rows, 2)
    assert None not in before.values()
    assert {row: after[row] for row in before} == before
    talk_of = dict(zip(after, [*old, *new], strict=True))
    for one, a in talk_of.items():
        for other, b in talk_of.items():
            if belong(a, b) and after[one] is not None and after[other] is not None:
                assert after[one] == after[other], (a, b)
    cuts = [min(cut, rows.num_rows)]
    assert sides_of(folder / "c", rows, 2, cuts, backwards) == after
    written = [(folder / name / "out/sides.parquet").read_bytes() for name in "bc"]
    assert written[0] == written[1]


def test_rows_that_only_begin_alike_stand_apart(tmp_path: Path) -> None:
    """Without a row that has just that prompt nothing joins them."""
    talks = [("hello", "hello", f"question {n}", "answer") for n in range(40)]
    assert len(set(sides_of(tmp_path / "a", fingerprinted([talks]), 1).values())) == 3
    joined = sides_of(tmp_path / "b", fingerprinted([[*talks, ("Hello ", "welcome")]]), 1)
    assert set(joined.values()) == {"train"}  # more than half a side's share


def test_where_two_sides_meet_the_new_rows_are_dropped(tmp_path: Path) -> None:
    old: list[Talk] = [("hello", "hello", f"question {n}", "answer") for n in range(40)]
    new: list[Talk] = [("hello", "welcome"), ("hello", "hi"), ("hello", "x", "y", "z"), ("bye", "bye")]
    before = sides_of(tmp_path / "a", fingerprinted([old]), 1)
    after = sides_of(tmp_path / "b", fingerprinted([old, new]), 2)
    assert {row: after[row] for row in before} == before
    assert [after[(1 << 32) + n] is None for n in range(4)] == [True, True, False, False]


def test_other_answers_to_a_prompt_share_its_side_and_plain_texts_have_none(tmp_path: Path) -> None:
    talks = [("what?", f"answer {n}") for n in range(30)] + [(f"why {n}?", "so") for n in range(30)]
    sides = list(sides_of(tmp_path / "a", fingerprinted([talks * 4]), 1).values())
    assert len(set(sides[:30])) == 1
    assert len(set(sides[30:60])) == 3
    texts = fingerprint.apply(table([("text", "what?")], [("user", "what?")]), fingerprint.Config())
    assert texts["openings"].to_pylist() == [[], []]
