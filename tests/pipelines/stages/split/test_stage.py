"""Split: no cluster or group on two sides, shares near their targets, and what stood stays."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.stages.split import assign
from headrace.pipelines.stages.split import stage as split
from headrace.pipelines.stages.split.config import Config
from tests.builders import table

HALVES = {"train": 0.34, "validation": 0.33, "test": 0.33}


def assigned(
    folder: Path,
    edges: list[tuple[int, int]],
    own: dict[int, int],
    *,
    rows: int = 10_000,
    firsts: tuple[int, ...] = (0,),
    config: Config | None = None,
    seed: int = 7,
    removed: dict[int, int] | None = None,
    same: set[tuple[int, int]] = frozenset(),  # type: ignore[assignment]
    templates: dict[int, int] | None = None,
) -> tuple[dict[str, Any], dict[int, tuple[str, bool]]]:
    """Run `assign` over the clustered rows of `edges`; `own` gives each its key. Sides by row id."""
    ids = np.array(sorted({row for edge in edges for row in edge}), np.uint64)
    ordinals, counts = np.unique(schema.ordinal(ids), return_counts=True)
    filled = np.zeros(int(ordinals.max(initial=0)) + 1, np.int64)
    filled[ordinals.astype(np.int64)] = counts
    filled[0] += rows - filled.sum()
    clusters = pa.table(
        {"row_id": ids, "cluster": ids, "own": pa.array([own[int(i)] for i in ids], pa.uint64())}
    )
    pairs = sorted((max(e), min(e)) for e in edges)
    joined = pa.table(
        {
            "a": pa.array([a for _, a in pairs], pa.uint64()),
            "b": pa.array([b for b, _ in pairs], pa.uint64()),
            "same": pa.array([(a, b) in same for b, a in pairs], pa.bool_()),
        }
    )
    sizes = pa.table({"ordinal": pa.array(range(len(filled)), pa.uint64()), "rows": filled})
    gone = sorted((removed or {}).items())
    removals = pa.table(
        {
            "removed": pa.array([r for r, _ in gone], pa.uint64()),
            "kept": pa.array([k for _, k in gone], pa.uint64()),
            "run": pa.nulls(len(gone), pa.string()),
        }
    )
    tables = {"clusters": clusters, "joined": joined, "ordinals": sizes, "removed": removals}
    if templates is not None:
        columns = {"row_id": sorted(templates), "first": [first for _, first in sorted(templates.items())]}
        columns["own"] = [own[row] for row in sorted(templates)]
        tables["templates"] = pa.table({k: pa.array(v, pa.uint64()) for k, v in columns.items()})
    for name, written in tables.items():
        storage.write_table(str(folder / f"{name}.parquet"), written)
    report = assign.assign(str(folder), config or Config(**HALVES), seed=seed, rows=rows, firsts=firsts)
    found = storage.read_table(str(folder / "sides.parquet")).to_pylist()
    return report, {r["row_id"]: (schema.SPLITS[r["side"]], r["bridge"]) for r in found}


def key_on(side: str, seed: int = 7, after: int = 0) -> int:
    """A key whose hash lies on `side`."""
    keys = np.arange(after, after + 200, dtype=np.uint64)
    found = split.side_of(keys, Config(**HALVES), seed)
    return int(keys[found == schema.SPLITS.index(side)][0])


def test_shares_are_near_their_targets() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 200_000, np.uint64)
    for seed in (0, 1, -5, 2**70):
        sides = split.side_of(keys, Config(), seed)
        shares = np.bincount(sides, minlength=3) / len(sides)
        assert shares == pytest.approx([0.9, 0.05, 0.05], abs=0.003)
    assert (split.side_of(keys, Config(), 0) != split.side_of(keys, Config(), 1)).mean() > 0.1


def test_a_share_of_nothing_gets_nothing() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 100_000, np.uint64)
    assert set(split.side_of(keys, Config(validation=0, test=0), 3).tolist()) == {0}
    assert set(split.side_of(keys, Config(validation=0, test=0.3), 3).tolist()) == {0, 2}


def test_config_adds_up() -> None:
    assert Config(test=0.2).train == pytest.approx(0.75)
    with pytest.raises(ValueError, match="must add up to 1"):
        Config(train=0.5, validation=0.1, test=0.1)
    with pytest.raises(ValueError, match="greater than 0"):
        Config(validation=0.6, test=0.6)


def test_a_cluster_goes_where_its_earliest_row_goes(tmp_path: Path) -> None:
    for number, side in enumerate(schema.SPLITS):
        own = {5: key_on(side), 6: key_on("train", after=300), 9: key_on("test", after=300)}
        _, sides = assigned(tmp_path, [(6, 9), (5, 9)], own, seed=7)
        assert sides == dict.fromkeys((5, 6, 9), (schema.SPLITS[number], False))


def test_a_cluster_too_large_for_its_side_goes_to_train(tmp_path: Path) -> None:
    edges = [(0, row) for row in range(1, 20)]
    own = dict.fromkeys(range(20), key_on("test"))
    report, sides = assigned(tmp_path, edges, own, rows=119)
    assert {side for side, _ in sides.values()} == {"train"}
    assert report["too_large"] == [{"kept": 0, "rows": 20}]
    report, sides = assigned(tmp_path, edges, own, rows=122)
    assert {side for side, _ in sides.values()} == {"test"}
    assert report == {
        "clusters": 1,
        "rows": 20,
        "bridges": 0,
        "protected": 0,
        "orphans": 0,
        "too_large": [],
        "bounds": None,
    }


def later(row: int, ordinal: int = 1) -> int:
    return (ordinal << 32) + row


def test_a_new_row_that_would_join_two_sides_is_a_bridge(tmp_path: Path) -> None:
    old = {0: key_on("train"), 1: key_on("test")}
    new = {later(0): 1, later(1): 2, later(2): 3}
    edges = [(0, later(0)), (1, later(0)), (0, later(1)), (later(1), later(2))]
    report, sides = assigned(tmp_path, edges, old | new, firsts=(0, 1))
    assert sides == {
        0: ("train", False),
        1: ("test", False),
        later(0): ("train", True),
        later(1): ("train", False),
        later(2): ("train", False),
    }
    assert report["bridges"] == 1
    # In one plan nothing stands yet: they all go to one side.
    _, sides = assigned(tmp_path, edges, old | new, firsts=(0,))
    assert set(sides.values()) == {("train", False)}


BY_TEMPLATE = Config(by="template", **HALVES)


def test_rows_of_one_template_stand_on_one_side(tmp_path: Path) -> None:
    own = {0: key_on("train"), 1: key_on("test"), 2: key_on("validation"), 3: key_on("test", after=300)}
    own |= {4: key_on("train", after=300), 5: key_on("test", after=600)}
    # 1 to 3 are of one template, and 3 is like 4, which is of none; 0 and 5 are of another.
    told = {1: 1, 2: 1, 3: 1, 0: 0, 5: 0}
    report, sides = assigned(tmp_path, [(3, 4)], own, config=BY_TEMPLATE, templates=told)
    assert {row: side for row, (side, _) in sides.items()} == {
        **dict.fromkeys((1, 2, 3, 4), "test"),
        **dict.fromkeys((0, 5), "train"),
    }
    assert (report["clusters"], report["rows"]) == (2, 6)
    _, sides = assigned(tmp_path, [(3, 4)], own, templates=told)
    assert set(sides) == {3, 4}


def test_what_is_added_joins_its_template_and_goes_with_the_first_of_a_new_one(tmp_path: Path) -> None:
    own = {0: key_on("test"), 1: key_on("train"), later(0): 1, later(1): 2, later(2): 3, later(3): 4}
    # later(1) is the first of its template, and joins two sides; later(3) is like what is trained on.
    told = {0: 0, later(0): 0, later(1): later(1), later(2): later(1), later(3): later(1)}
    edges = [(0, later(1)), (1, later(1)), (1, later(3))]
    report, sides = assigned(tmp_path, edges, own, firsts=(0, 1), config=BY_TEMPLATE, templates=told)
    assert sides[0] == sides[later(0)] == ("test", False)
    assert [sides[later(n)][1] for n in (1, 2, 3)] == [True] * 3
    assert report["bridges"] == 3


def test_rows_removed_for_a_bridge_are_told_as_bridges(tmp_path: Path) -> None:
    own = {0: key_on("train"), 1: key_on("test"), later(0): 1, later(1): 2, later(2): 3}
    edges = [(0, later(0)), (1, later(0)), (later(0), later(1)), (0, later(2))]
    removed = {later(1): later(0), later(2): 0}
    report, sides = assigned(tmp_path, edges, own, firsts=(0, 1), removed=removed)
    assert [row for row, (_, bridge) in sides.items() if bridge] == [later(0), later(1)]
    assert (report["bridges"], report["orphans"]) == (2, 1)
    assert storage.read_table(str(tmp_path / "removed.parquet"))["removed"].to_pylist() == [later(2)]


def test_only_the_row_that_joins_is_dropped(tmp_path: Path) -> None:
    """train ~ x ~ y ~ test: x follows train, y would join and goes."""
    own = {0: key_on("train"), 1: key_on("test"), later(0): 5, later(1): 6}
    _, sides = assigned(tmp_path, [(0, later(0)), (later(0), later(1)), (1, later(1))], own, firsts=(0, 1))
    assert (sides[later(0)], sides[later(1)][1]) == (("train", False), True)


def test_rows_alone_do_not_move_when_they_get_partners(tmp_path: Path) -> None:
    """In a small first plan even one row is over half a side's share; it was never judged by that."""
    own = {0: key_on("test"), later(0): key_on("train")}
    _, sides = assigned(tmp_path, [(0, later(0))], own, rows=2, firsts=(0, 1), config=Config(**HALVES))
    assert sides == {0: ("test", False), later(0): ("test", False)}


def test_rows_of_a_group_stand_together_though_its_first_row_is_a_bridge(tmp_path: Path) -> None:
    """later(0) is the first of a group and joins two sides; of the others one is like an old row."""
    own = {0: key_on("train"), 1: key_on("test"), later(0): 1, later(1): key_on("validation")}
    own |= {later(2): key_on("train", after=300), later(3): 4}
    group = [(later(0), later(n)) for n in (1, 2, 3)]
    for like in (1, 2, 3):
        edges = [(0, later(0)), (1, later(0)), (1, later(like)), *group]
        report, sides = assigned(tmp_path, edges, own, firsts=(0, 1))
        assert {sides[later(n)] for n in (1, 2, 3)} == {("test", False)}
        assert report["bridges"] == 1
    # Added after that, one that is like a row of another side would join two.
    added = later(0, 2)
    edges += [(later(0), added), (0, added)]
    report, sides = assigned(tmp_path, edges, own | {added: 9}, firsts=(0, 1, 2))
    assert [row for row, (_, bridge) in sides.items() if bridge] == [later(0), added]


def test_who_has_the_prompt_of_a_bridge_goes_with_it(tmp_path: Path) -> None:
    """Rows with its prompt would stand beside both sides; others that only begin with it may stay."""
    own = {0: key_on("train"), 1: key_on("test"), later(0): 1, later(1): 2, later(2): 3}
    edges = [(0, later(0)), (1, later(0)), (later(0), later(1)), (later(0), later(2))]
    report, sides = assigned(tmp_path, edges, own, firsts=(0, 1), same={(later(0), later(1))})
    assert [row for row, (_, bridge) in sides.items() if bridge] == [later(0), later(1)]
    assert report["bridges"] == 2
    _, sides = assigned(tmp_path, edges, own, firsts=(0,), same={(later(0), later(1))})
    assert set(sides.values()) == {("train", False)}


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda e: e[0] < e[1]), max_size=16),
    st.lists(st.tuples(st.integers(0, 23), st.integers(12, 23)).filter(lambda e: e[0] < e[1]), max_size=16),
    st.integers(-(2**65), 2**65),
)
def test_adding_inputs_moves_no_row(
    tmp_path_factory: pytest.TempPathFactory,
    old: list[tuple[int, int]],
    new: list[tuple[int, int]],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("split")
    ids = {n: n if n < 12 else later(n) for n in range(24)}
    own = {ids[n]: n * 7919 for n in range(24)}
    before_edges = [(ids[a], ids[b]) for a, b in old]
    edges = [*before_edges, *((ids[a], ids[b]) for a, b in new)]
    _, before = assigned(folder, before_edges, own, rows=30, firsts=(0,), seed=seed)
    report, after = assigned(
        folder, edges, own, rows=30 + len({r for e in edges for r in e if r > 99}), firsts=(0, 1), seed=seed
    )
    assert {row: after[row] for row in before} == before
    alone = split.side_of(np.array([own[r] for r in range(12)], np.uint64), Config(**HALVES), seed)
    for row in set(range(12)) & set(after) - set(before):
        assert after[row] == (schema.SPLITS[alone[row]], False)
    for a, b in edges:  # no cluster on two sides
        assert after[a][1] or after[b][1] or after[a][0] == after[b][0]
    assert report["bridges"] == sum(bridge for _, bridge in after.values())


def grouped(groups: list[int | None]) -> pa.Table:
    """Rows of these clusters, with random digests; their ids are those of late fragments."""
    exact = np.random.default_rng(1).integers(0, 2**64, len(groups), np.uint64)
    rows = table(*[None] * len(groups), first=2**63, group=groups)
    return rows.append_column("exact_lo", pa.array(exact))


def sides_table(rows: list[tuple[int, int, bool]]) -> pa.Table:
    kinds = [("row_id", pa.uint64()), ("side", pa.int8()), ("bridge", pa.bool_())]
    columns = [pa.array([r[i] for r in rows], kind) for i, (_, kind) in enumerate(kinds)]
    columns.append(pa.array([False] * len(rows), pa.bool_()))
    return pa.table(columns, names=[*(n for n, _ in kinds), "protected"])


def test_apply_gives_clustered_rows_their_side_and_drops_bridges() -> None:
    given_ = grouped([None, 5, 5, None, 2**64 - 1, None])
    sides = sides_table([(2**63, 1, False), (2**63 + 3, 2, True), (99, 2, False)])
    done = split.apply(given_, sides, Config(**HALVES), 7)
    keys = [5, 5, 2**64 - 1, given_["exact_lo"][5].as_py()]
    own = [schema.SPLITS[s] for s in split.side_of(np.array(keys, np.uint64), Config(**HALVES), 7)]
    assert done["split"].to_pylist() == ["validation", own[0], own[1], "test", own[2], own[3]]
    assert done["drop"].to_pylist() == [None, None, None, "split.bridge", None, None]


def test_apply_without_sides_or_rows() -> None:
    done = split.apply(grouped([None] * 40), sides_table([]), Config(**HALVES), 7)
    assert set(done["split"].to_pylist()) == set(schema.SPLITS)
    assert split.apply(grouped([]), sides_table([(1, 0, False)]), Config(), 7).num_rows == 0


def test_assign_of_nothing(tmp_path: Path) -> None:
    report, sides = assigned(tmp_path, [], {}, rows=0, firsts=())
    assert (report, sides) == (
        {
            "clusters": 0,
            "rows": 0,
            "bridges": 0,
            "protected": 0,
            "orphans": 0,
            "too_large": [],
            "bounds": None,
        },
        {},
    )
