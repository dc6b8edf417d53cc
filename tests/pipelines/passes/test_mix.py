"""A pool's rows are drawn down to their share of the tokens to train on, by hash, and what is so is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe as recipes
from headrace.pipelines.passes import mix
from headrace.pipelines.stages.split import draw
from tests import builders


def told(folder: Path, task: int, pools: dict[str, list[int]], shares: dict[str, float]) -> dict[str, Any]:
    rows = [(name, n) for name, tokens in pools.items() for n in tokens]
    table = pa.table([range(len(rows)), [name for name, _ in rows], [n for _, n in rows]], schema=mix.ROWS)
    storage.write_table(str(folder / "mix/part-0.parquet"), table)
    records = [{"tokens": task, "outputs": [{"path": "mix/part-0.parquet"}]}]
    return mix.drawn(str(folder), records, shares, 0)


def test_a_pool_has_its_share_of_all_tokens(tmp_path: Path) -> None:
    found = told(tmp_path, 9000, {"a": [10] * 500, "b": [7] * 900}, {"a": 0.1, "b": 0.15})
    assert found["a"]["tokens"] == 1200
    assert found["b"]["tokens"] == pytest.approx(1800, abs=7)
    assert found["a"]["is"] == pytest.approx(0.1, abs=1e-3)
    assert found["b"]["is"] == pytest.approx(0.15, abs=1e-3)
    assert "120 of 500 rows of 'a', 1,200 tokens, are drawn: 10.0%" in found["a"]["words"]
    ids = np.arange(500, dtype=np.uint64)
    assert (draw.hashes(ids, 0) < np.uint64(found["a"]["below"])).sum() == 120


def test_a_pool_that_is_too_small_stays_whole_and_is_told(tmp_path: Path) -> None:
    found = told(tmp_path, 9000, {"a": [10] * 20}, {"a": 0.1})["a"]
    assert (found["rows"], found["below"], found["wanted"]) == (20, None, 1000)
    assert found["words"] == (
        "20 of 20 rows of 'a', 200 tokens, are all there are, and 10% asks for 1,000 tokens: they are 2.2% "
        "of the tokens to train on; give it more rows, or a smaller share"
    )


def test_a_pool_without_rows_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, 90, {"a": []}, {"a": 0.1})["a"]["tokens"] == 0


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 3))
def test_more_of_a_pool_is_the_same_rows_and_others(few: int, more: int, seed: int) -> None:
    table = builders.table(*[[("user", "a")]] * 80, source="pool")
    table = table.append_column("split", pa.array(["train"] * 80))
    keys = np.sort(draw.hashes(table["row_id"].to_numpy(), seed))

    def left(count: int) -> set[int]:
        marked = draw.marked(table, {"pool": int(keys[count]), "other": 0}, seed)
        assert set(marked["drop"].to_pylist()) <= {None, "mix.not_drawn"}
        return {row["row_id"] for row in marked.to_pylist() if row["drop"] is None}

    assert len(left(few)) == few
    assert (left(few) <= left(more)) == (few <= more)


def loaded(**section: Any) -> recipes.Recipe:
    return recipes.validate({"output": "out", "sources": [{"path": "x"}], "mix": section}, "r.yaml")


def test_pools_are_sources_of_the_recipe() -> None:
    made = loaded(general="replay.jsonl", off_task={"path": "no.jsonl", "name": "refusals", "priority": 3})
    names = [(s.name, s.path, s.side, s.priority) for s in made.sources]
    assert names == [
        ("", "x", None, 0),
        ("mix_general", "replay.jsonl", None, -1),
        ("refusals", "no.jsonl", None, 3),
    ]
    assert made.mix is not None
    assert made.mix.shares == {"mix_general": 0.1, "refusals": 0.05}
    again = recipes.validate(made.model_dump(mode="json"), "r.yaml")
    assert again.sources == made.sources


def test_what_the_split_holds_out_is_not_drawn() -> None:
    table = builders.table(*[[("user", "a")]] * 4, source=["pool", "pool", "task", "task"])
    table = table.append_column("split", pa.array(["train", "test", "train", "test"]))
    marked = draw.marked(table, {"pool": None}, 0)
    assert marked["drop"].to_pylist() == [None, "mix.held_out", None, None]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, "names no rows: give `general` or `off_task` a path or a source"),
        ({"general": "a", "share": 0.6, "off_task": "b", "off_task_share": 0.4}, "leave nothing to the task"),
        ({"general": {"path": "a", "weight": 2}}, "general: weight is what its share"),
        ({"general": {"path": "a", "side": "test"}}, "general: side is what its share"),
    ],
)
def test_what_is_no_mix_is_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        loaded(**section)


def test_a_run_of_pairs_and_pools(ray_local: None, tmp_path: Path) -> None:
    pairs = [
        {"prompt": f"say {n} in words", "chosen": f"here it is: {n} said well", "rejected": f"{n}? no idea"}
        for n in range(100, 220)
    ]
    pairs += [{"prompt": f"say {n} again", "chosen": "the same", "rejected": "the same"} for n in range(5)]
    builders.write_jsonl(tmp_path / "pairs.jsonl", pairs)
    builders.write_jsonl(tmp_path / "general.jsonl", builders.sums(300))
    data = builders.recipe_of(
        tmp_path / "run",
        tmp_path / "pairs.jsonl",
        "pairs",
        mix={"general": {"path": str(tmp_path / "general.jsonl"), "name": "general"}, "share": 0.2},
        split={"validation": 0.1, "test": 0.2},
        tokenise={"max_length": 128},
    )
    made = builders.prepare(tmp_path / "r.yaml", data)
    pool = made["mix"]["general"]
    held = made["rows"]["dropped"].pop("mix.held_out")
    assert 0 < held < 150
    assert pool["of_rows"] == 300 - held
    assert made["rows"]["dropped"] == {
        "mix.not_drawn": pool["of_rows"] - pool["rows"],
        "tokenise.equal_answers": 5,
    }
    assert made["mix"]["general"]["is"] == pytest.approx(0.2, abs=0.01)
    assert made["sources"]["general"]["kept"] == made["mix"]["general"]["rows"]
    held = {side: made["packed"][side] for side in ("train", "validation", "test")}
    assert sum(of["pairs"] for of in held.values()) == 120
    assert all(held[side]["samples"] == 2 * held[side]["pairs"] for side in ("validation", "test"))
    assert held["train"]["samples"] == 2 * held["train"]["pairs"] + made["mix"]["general"]["rows"]
    assert held["train"]["tokens"] * made["mix"]["general"]["is"] == pytest.approx(
        made["mix"]["general"]["tokens"], rel=1e-3
    )
    page = (tmp_path / "run/report.html").read_text()
    assert f"Mixed in (<code>mix</code>): {pool['rows']:,} of {pool['of_rows']:,} rows" in page
    code, out, err = builders.run_command(["verify", str(tmp_path / "run")])
    assert (code, err) == (0, ""), out + err
    shard = next((tmp_path / "run/packed/test").iterdir())  # which holds pairs alone
    row = storage.read_table(str(shard), ["row_ids"])["row_ids"][0][0].as_py()
    code, out, err = builders.run_command(["explain", str(tmp_path / "run"), str(row)])
    assert (code, err) == (0, "")
    assert "[rejected] " in out
    assert "2 samples, the chosen and the rejected answer" in out
