"""The search over parts: the same pairs as over all rows at once, however rows, keys and pairs are parted."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.stores import parted
from headrace.pipelines.examine.contradictions import bags, compare, keys, near, steps
from headrace.pipelines.examine.contradictions import run as contradictions
from headrace.pipelines.examine.contradictions.config import Config
from headrace.pipelines.examine.rows import Files
from headrace.pipelines.stages.dedup import stage as dedup
from tests import builders

WORDS = ("river", "rivver", "lamp", "garden", "please", "stone", "roof", "7", "which")
LONG = (
    "Of all the lamps that stood along the river that winter most had been lit by hand, one after another. "
)
ROWS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
        st.booleans(),
        st.sampled_from(["yes", "no", "a lamp", "nine"]),
    ),
    max_size=14,
)
Pairs = set[tuple[int, int]]


def of_rows(row_ids: NDArray[np.uint64], some: NDArray[np.int64]) -> Pairs:
    """Pairs of nodes by the rows that name them."""
    ids = row_ids[some.reshape(-1, 2)]
    return {(min(a, b), max(a, b)) for a, b in ids.tolist()}


def at_once(prompts: Sequence[str], answers: Sequence[str]) -> Pairs:
    """Pairs of nodes of all rows, in one task."""
    columns = {"prompt": prompts, "answer": answers}
    texts = pa.table({name: pa.array(values, pa.large_string()) for name, values in columns.items()})
    rows = keys.keys(np.arange(len(prompts), dtype=np.uint64), texts, near=True)
    found = compare.paired(rows, Config())
    return of_rows(found.nodes["row_id"].to_numpy(), found.pairs)


def in_parts(
    folder: Path,
    prompts: Sequence[str],
    answers: Sequence[str],
    cuts: list[int],
    parts: int,
    each: contradictions.Each,
) -> Pairs:
    """The same over files and parts."""
    rows = builders.table(*[[("user", p), ("assistant", a)] for p, a in zip(prompts, answers, strict=True)])
    storage.write_table(str(folder / "duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    work = str(folder / "work")
    files = builders.write_parts(folder, rows, cuts)
    looks = [Files(number, [path], str(folder)) for number, path in enumerate(files)]
    found = [steps.key(look, work=work, alike=True, parts=parts) for look in looks]
    counted, plans = contradictions.planned(found, work, parts, Config(), each)
    pieces = []
    for part, plan in enumerate(plans):
        held = list(parted.parts(f"{work}/pairs-{part}.arrow", ["a", "b"]))
        assert list(range(plan.chunks)) == [number for number, piece in enumerate(held) if piece.num_rows]
        pieces += held
    some = pa.concat_tables(pieces).combine_chunks()
    place, ends = np.unique(
        np.stack([some["a"].to_numpy(), some["b"].to_numpy()], axis=1), return_inverse=True
    )
    row_ids = steps.of_nodes(work, counted, place, ["row_id"])["row_id"].to_numpy()
    return of_rows(row_ids, ends)


@settings(max_examples=14)
@given(rows=ROWS, parts=st.integers(1, 9), data=st.data(), backwards=st.booleans())
def test_parts_make_no_difference(
    rows: list[tuple[str, bool, str]], parts: int, data: st.DataObject, backwards: bool
) -> None:
    prompts = [LONG * long + words for words, long, _ in rows]
    answers = [answer for _, _, answer in rows]
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=3).map(sorted))
    each = builders.backwards if backwards else builders.in_order
    with TemporaryDirectory() as folder:
        assert in_parts(Path(folder), prompts, answers, cuts, parts, each) == at_once(prompts, answers)


@pytest.mark.parametrize("parts", [1, 3, 5])
def test_limits_go_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """Of more prompts than may meet under a word or a key the same ones do, whoever comes first."""
    monkeypatch.setattr(bags, "MOST", 6)
    monkeypatch.setattr(steps, "AT_ONCE", 64)
    monkeypatch.setattr(steps, "CHUNK", 7)
    draw = np.random.default_rng(0)
    names = ["lamp", "garden", "river", "roof", "boat"]
    prompts = [LONG * (k % 2) + " ".join(draw.permutation(names)[: 4 + k % 2]) for k in range(60)]
    answers = [str(k % 7) for k in range(60)]
    expected = at_once(prompts, answers)
    assert len(expected) > 60
    assert in_parts(tmp_path, prompts, answers, [11, 40], parts, builders.in_order) == expected


def test_prompts_that_hang_together_make_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def pairs(*some: tuple[int, int]) -> NDArray[np.uint64]:
        return np.array([a << 32 | b for a, b in some], np.uint64)

    groups = near.Groups(7)
    groups.join(pairs((1, 4), (5, 6)))
    groups.join(pairs((4, 5)))
    assert groups.of(np.arange(7)).tolist() == [0, 1, 2, 3, 1, 1, 1]
    monkeypatch.setattr(near, "TOGETHER", 3)
    groups = near.Groups(7)
    groups.join(pairs((1, 4), (5, 6), (4, 5), (3, 4)))
    assert groups.of(np.arange(7)).tolist() == [0, 1, 2, 1, 1, 5, 5], "no group grows beyond three"


@pytest.mark.parametrize("parts", [1, 4])
def test_labels_are_short_answers_of_many_nodes(tmp_path: Path, parts: int) -> None:
    """Whichever parts their prompts lie in."""
    answers = ["nine"] * 4 + ["a lamp"] * 3 + ["river"] * 4 + ["a long answer " * 9] * 5
    prompts = [f"question {'abcd'[k % 4]} {k // 4}" for k in range(len(answers))]
    rows = builders.table(*[[("user", p), ("assistant", a)] for p, a in zip(prompts, answers, strict=True)])
    storage.write_table(str(tmp_path / "duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    work, files = str(tmp_path / "work"), builders.write_parts(tmp_path, rows, [5])
    looks = [Files(number, [path], str(tmp_path)) for number, path in enumerate(files)]
    found = [steps.key(look, work=work, alike=False, parts=parts) for look in looks]
    config = Config(near=1, label_rows=4)
    contradictions.planned(found, work, parts, config, builders.in_order)
    labels = {
        label for k in range(parts) for label in parted.read(f"{work}/labels-{k}.arrow")["answer"].to_pylist()
    }
    exchanges = pa.table(
        {
            name: pa.array(column, pa.large_string())
            for name, column in (("prompt", prompts), ("answer", answers))
        }
    )
    keyed = keys.keys(np.arange(len(answers), dtype=np.uint64), exchanges, near=False)
    by_row = dict(zip(keyed["row_id"].to_pylist(), keyed["answer"].to_pylist(), strict=True))
    assert labels == {by_row[0], by_row[7]}, "nine and river"
