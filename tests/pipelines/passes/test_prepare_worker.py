"""One part of pass 1: rows that break a stage are set apart, text that is not masked is withheld."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster import fragments
from headrace.cluster.errors import StorageError
from headrace.pipelines import flow, schema
from headrace.pipelines.passes import prepare_worker
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read.source import Source
from tests.builders import stand_in, table, text_table

MODULES = [import_module(name) for name in flow.ROW_STAGES]
ROW_STAGES = [module.NAME for module in MODULES]


def breaks_on_bad(rows: pa.Table, config: Any) -> pa.Table:
    _, _, texts = schema.contents(rows)
    if pc.any(pc.equal(texts, "bad")).as_py():
        raise ValueError("bad: the content, which must not be told")
    return rows.append_column("added", pa.array([1] * rows.num_rows, pa.int64()))


FRAGILE = stand_in("fragile", breaks_on_bad)


@given(st.lists(st.sampled_from(["good", "bad"]), min_size=1, max_size=30))
def test_only_the_rows_that_break_a_stage_are_quarantined(texts: list[str]) -> None:
    after = prepare_worker.isolated(FRAGILE, text_table(texts), SimpleNamespace())
    assert after["row_id"].to_pylist() == list(range(len(texts)))
    assert after["error"].to_pylist() == ["fragile.error" if t == "bad" else None for t in texts]
    assert after["added"].to_pylist() == [None if t == "bad" else 1 for t in texts]
    assert set(after["detail"].to_pylist()) <= {None, "ValueError"}


def test_a_stage_that_breaks_on_every_row_of_many_is_no_rows_fault() -> None:
    many = text_table(["bad"] * prepare_worker.ROWS_AT_FAULT)
    with pytest.raises(ValueError, match="bad"):
        prepare_worker.isolated(FRAGILE, many, SimpleNamespace())
    with pytest.raises(ValueError, match="bad"):
        prepare_worker.isolated(FRAGILE, schema.mark(many, "drop", ["read.x"] * len(many)), None)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_part_whose_few_rows_all_break_a_stage_is_quarantined(rows: int) -> None:
    after = prepare_worker.isolated(FRAGILE, text_table(["bad"] * rows), SimpleNamespace())
    assert after["error"].to_pylist() == ["fragile.error"] * rows
    assert after["detail"].to_pylist() == ["ValueError"] * rows
    assert after["added"].null_count == rows


def test_errors_of_ours_are_not_taken_for_bad_rows() -> None:
    def unreachable(rows: pa.Table, config: Any) -> pa.Table:
        raise StorageError("cannot read s3://bucket/model")

    with pytest.raises(StorageError):
        prepare_worker.isolated(
            stand_in("fragile", unreachable), text_table(["good", "good"]), SimpleNamespace()
        )


def test_text_that_was_never_masked_is_withheld() -> None:
    rows = schema.mark(text_table(["a", "b", "c"]), "drop", ["quality.too_short", "dedup.exact", None])
    rows = schema.mark(rows, "error", [None, None, "pii.error"])
    kept = prepare_worker.rejected(rows, withhold=prepare_worker.unmasked(ROW_STAGES))
    assert kept["messages"].to_pylist() == [None, [{"role": "text", "content": "b"}], None]
    assert kept["stage"].to_pylist() == ["quality", "dedup", "pii"]
    assert kept["reason"].to_pylist() == ["quality.too_short", "dedup.exact", None]
    assert kept["error"].to_pylist() == [None, None, "pii.error"]
    shown = prepare_worker.rejected(rows, withhold=())
    assert shown["messages"].null_count == 0


@pytest.mark.parametrize("rows", [0, 1])
def test_stages_take_parts_without_a_readable_row(rows: int) -> None:
    part = table(*[None] * rows, first=7, error="read.binary")
    for module in MODULES:
        part = module.apply(part, module.Config())
    assert part["row_id"].to_pylist() == [7] * rows
    kept = part.filter(schema.live(part))
    assert kept.num_rows == 0
    assert prepare_worker.rejected(part, withhold=prepare_worker.unmasked(ROW_STAGES)).num_rows == rows


def test_a_bucket_counts_what_its_records_took_to_read(tmp_path: Path) -> None:
    turns = [{"talk": n % 7, "text": f"turn {n}", "role": "user"} for n in range(50)]
    (tmp_path / "turns.jsonl").write_text("".join(f"{json.dumps(turn)}\n" for turn in turns))
    columns = {"role": "role", "content": "text"}
    source = Source(path=f"{tmp_path}/turns.jsonl", group_by="talk", columns=columns)
    (resolved,) = inputs.resolve([source])
    job = prepare_worker.Job(Recipe(output=f"{tmp_path}/run", sources=[resolved]), (), {}, 0)
    bucket = inputs.plan(resolved, 300)[0]
    tables = [t for one in fragments.inputs(bucket) for t in prepare_worker.read_grouped(one, job)]
    took = pa.concat_tables(tables)["read_seconds"].to_numpy()
    assert len(took) == len(turns)
    assert took.min() > 0
    # However the shuffle cut and joined them, the whole is what reading took, and joining is counted on top.
    shuffled = pa.concat_tables(tables).take(pa.array(np.random.default_rng(0).permutation(len(turns))))
    rows = prepare_worker._assembled(replace(bucket, ordinal=0), shuffled, job)
    assert rows.schema.names == schema.ROW.names
    assert float(rows.schema.metadata[prepare_worker.READ_SECONDS]) >= took.sum()
    assert prepare_worker._assembled(replace(bucket, ordinal=0), shuffled.slice(0, 0), job).num_rows == 0
