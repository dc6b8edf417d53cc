"""Sides of whole runs: what sources say holds, times stay in order, and every run proves its own split."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.cluster import ledger, storage
from headrace.cluster.errors import BooksError
from headrace.pipelines import recipe, rundir, schema
from headrace.pipelines.passes import parts, proof
from tests.builders import prepare, run_command, save_recipe, sums, write_jsonl

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def sides(run: Path) -> dict[str, set[str]]:
    """Questions of the rows that are packed, by side."""
    import headrace

    opened = headrace.open(str(run))
    kept = {r["row_id"]: r["messages"][0]["content"] for r in opened.kept.to_dicts()}
    return {
        side: {kept[i] for rows in opened.packed(side).to_dicts() for i in rows["row_ids"]}
        for side in schema.SPLITS
    }


def test_what_is_held_out_by_its_source_stays_and_nothing_like_it_is_trained_on(tmp_path: Path) -> None:
    rows = sums(120)
    golden = [*rows[:10], {"question": "what is ten?", "answer": "ten"}, rows[0]]
    reworded = [{"question": r["question"], "answer": "I would rather not say"} for r in rows[:5]]
    trained = [*rows[:3], *reworded, *rows[10:]]
    write_jsonl(tmp_path / "all.jsonl", trained)
    write_jsonl(tmp_path / "golden.jsonl", golden)
    sources: list[dict[str, Any]] = [
        {"path": str(tmp_path / "all.jsonl")},
        {"path": str(tmp_path / "golden.jsonl"), "split": "test"},
    ]
    data = {"output": str(tmp_path / "run"), "sources": sources, "split": {"test": 0, "validation": 0.1}}
    written = prepare(tmp_path / "recipe.yaml", data)
    found = sides(tmp_path / "run")
    assert found["test"] == {r["question"] for r in golden}
    assert written["packed"]["test"]["samples"] == 12
    assert not found["test"] & (found["train"] | found["validation"])
    assert written["rows"]["dropped"] == {"dedup.exact": 3, "split.protected": 5}
    told = written["examine"]["splits"]
    assert (told["prompts_on_two_sides"], told["groups_on_two_sides"], told["pairs_on_two_sides"]) == (
        0,
        0,
        0,
    )
    assert told["rows"] == 110 + 12


def test_sides_by_time(tmp_path: Path) -> None:
    first = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [{**row, "at": (first + timedelta(days=n)).isoformat()} for n, row in enumerate(sums(100))]
    again = {**rows[0], "answer": "as before", "at": (first + timedelta(days=99)).isoformat()}
    lost = {"question": "when was that?", "answer": "nobody knows", "at": None}
    path = write_jsonl(tmp_path / "rows.jsonl", [*rows, again, lost])
    data = {
        "output": str(tmp_path / "run"),
        "sources": [{"path": str(path), "time": "at"}],
        "split": {"by": "time", "test": 10, "validation": 10, "gap": 2},
    }
    written = prepare(tmp_path / "recipe.yaml", data)
    found = sides(tmp_path / "run")
    order = [r["question"] for r in rows]
    # The last ten are 91 to 99 and the one that comes again, which goes: its prompt was asked in train.
    assert found["test"] == set(order[91:])
    assert found["validation"] == set(order[81:89])
    assert found["train"] == set(order[:79])
    assert written["rows"]["dropped"] == {"split.gap": 4, "split.time": 1}
    assert written["rows"]["quarantined"] == {"split.no_time": 1}


def test_a_number_of_rows_and_labels_in_their_shares(tmp_path: Path) -> None:
    texts = [
        {"text": f"message number {n} of some customer", "label": "rare" if n % 10 == 0 else "usual"}
        for n in range(300)
    ]
    path = write_jsonl(tmp_path / "rows.jsonl", texts)
    data: dict[str, Any] = {
        "output": str(tmp_path / "run"),
        "sources": [{"path": str(path)}],
        "split": {"test": 60, "validation": 0, "stratify": "label"},
        "dedup": {"near": False},
    }
    written = prepare(tmp_path / "recipe.yaml", data)
    assert written["packed"]["test"]["samples"] == 60
    found = sides(tmp_path / "run")
    assert sum(int(q.split("number ")[1].split()[0]) % 10 == 0 for q in found["test"]) == 6
    before = found["test"]
    # What is added moves nothing that stood.
    more = [{"text": f"another message {n} that came later", "label": "usual"} for n in range(50)]
    write_jsonl(tmp_path / "more.jsonl", more)
    data["sources"].append({"path": str(tmp_path / "more.jsonl")})
    prepare(tmp_path / "recipe.yaml", data)
    assert {q for q in sides(tmp_path / "run")["test"] if q.startswith("message")} == before
    # Nor does what is held out and added: rows like it go, the others stay where they were.
    golden = texts[:30]
    write_jsonl(tmp_path / "golden.jsonl", golden)
    data["sources"].append({"path": str(tmp_path / "golden.jsonl"), "split": "validation"})
    prepare(tmp_path / "recipe.yaml", data)
    gone = {row["text"] for row in golden}
    assert {q for q in sides(tmp_path / "run")["test"] if q.startswith("message")} == before - gone


def test_a_time_that_no_source_names_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sums(10))
    data = {"output": str(tmp_path / "run"), "sources": [{"path": str(path)}], "split": {"by": "time"}}
    code, _, err = run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])
    assert code == 2
    assert "sources[0] has neither" in err


def test_what_stands_on_two_sides_fails_the_run(tmp_path: Path) -> None:
    group = [{**row, "customer": n // 2} for n, row in enumerate(sums(60))]
    path = write_jsonl(tmp_path / "rows.jsonl", group)
    data = {"output": str(tmp_path / "run"), "sources": [{"path": str(path), "group": "customer"}]}
    data |= {"split": {"test": 0.3, "validation": 0}, "pack": {"window": 10}, "fragment_size": "4KiB"}
    written = prepare(tmp_path / "recipe.yaml", data)
    assert written["examine"]["splits"]["groups"] == 30
    run = rundir.claim(recipe.load(str(tmp_path / "recipe.yaml")))
    passes = (parts.PREPARE, parts.DEDUP, parts.PACK)
    rows, (duplicates,), windows = (list(ledger.load(run.path, name).values()) for name in passes)
    # The shards of train, taken for those of validation in one window of several.
    half = windows[0]["outputs"][:1]
    windows[0]["outputs"] = [*windows[0]["outputs"], {**half[0], "split": "validation"}]
    with pytest.raises(
        BooksError, match=r"does not keep its sides apart: 22 rows on two sides, 22 prompts .*, 11 groups"
    ):
        proof.prove(run, rows, duplicates, windows, "quiet")


def test_a_beginning_counts_where_it_is_some_row_s_prompt() -> None:
    for last, counted in (([True, False, True], (2, 1)), ([False, False, True], (1, 0))):
        given = np.array([5, 5, 6], np.uint64), np.array([1, 4, 1], np.uint8), np.array(last)
        assert proof.two_sided_hashes(*given) == counted


def test_a_template_is_proved_by_the_rows_that_are_packed(tmp_path: Path) -> None:
    told = pa.table({"row_id": pa.array([1, 2, 3, 4, 5, 6], pa.uint64()), "first": [1, 1, 3, 3, 5, 5]})
    storage.write_table(str(tmp_path / "duplicates/templates.parquet"), told)
    for unit, (ids, sides) in {"a": ([1, 2, 3], [1, 1, 1]), "b": ([3, 4, 9], [1, 2, 4])}.items():
        rows = pa.table({"row_id": pa.array(ids, pa.uint64()), "side": pa.array(sides, pa.uint8())})
        storage.write_table(str(tmp_path / proof.WORK / f"rows-{unit}.parquet"), rows)
    assert proof._templates(["a", "b"], str(tmp_path)) == {"templates": (2, 1)}
