"""Whole runs of passes 1 to 3: same input, same bytes; and no more work than a change asks for."""

import json
import os
import shutil
import sys
import zipfile
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace.cluster import ledger, storage, stream
from headrace.cluster.errors import BooksError
from headrace.cluster.fragments import Fragment, Range
from headrace.pipelines import recipe, rundir, schema
from headrace.pipelines.passes import pools, prepare_worker
from headrace.pipelines.passes import prepare as prepare_pass
from headrace.pipelines.stages.quality import stage as quality
from tests.builders import (
    Finished,
    commits,
    messy_recipe,
    prepare,
    recipe_of,
    run_command,
    save_recipe,
    stand_in,
    text_table,
    write_jsonl,
)

PASSES = ("prepare", "dedup", "pack")


def state(run: object) -> dict[str, dict[str, tuple[int, int]]]:
    """Commit records of the three passes, to see which were written anew."""
    found = {name: commits(run, name) for name in PASSES}
    path = Path(str(run), "ledger/dedup/all.json")
    return {**found, "dedup": {path.name: (path.stat().st_mtime_ns, path.stat().st_ino)}}


def without_figures(found: dict[str, Any]) -> dict[str, Any]:
    """run.json without what may differ between two runs of the same: seconds, memory and the clock."""
    stages = {n: {k: v for k, v in s.items() if k != "seconds"} for n, s in found["stages"].items()}
    return {**{k: v for k, v in found.items() if k not in ("memory", "date")}, "stages": stages}


# Determinism.


@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_places_times_and_listing_order_change_nothing(
    finished: Finished, tmp_path: Path, workers: int
) -> None:
    elsewhere = tmp_path / "another/place"
    shutil.copytree(finished.inputs, elsewhere)
    for n, path in enumerate(sorted(p for p in elsewhere.rglob("*") if p.is_file())):
        os.utime(path, (1_600_000_000 - n, 1_600_000_000 - n))
    data = messy_recipe(elsewhere, tmp_path / "run", workers=workers)
    data["sources"].reverse()
    for source in data["sources"]:
        if source["name"] in ("chat", "turns"):
            source["path"] = [str(p) for p in sorted(Path(source["path"]).iterdir(), reverse=True)]
    found = prepare(tmp_path / "recipe.yaml", data)
    assert found["digest"] == finished.digest
    assert found["rows"] == finished.json["rows"]
    for folder in ("prepared", "rejected", "duplicates", "packed"):
        ours = {
            p.relative_to(finished.path): p.read_bytes() for p in (finished.path / folder).rglob("*.parquet")
        }
        theirs = {
            p.relative_to(tmp_path / "run"): p.read_bytes()
            for p in (tmp_path / "run" / folder).rglob("*.parquet")
        }
        assert theirs == ours


@pytest.mark.ray
@pytest.mark.s3
def test_input_and_output_on_s3_give_the_same_digest(finished: Finished, tmp_path: Path, s3: str) -> None:
    for path in sorted(p for p in finished.inputs.rglob("*") if p.is_file()):
        storage.put(storage.join(s3, "in", str(path.relative_to(finished.inputs))), path.read_bytes())
    data = messy_recipe(storage.join(s3, "in"), storage.join(s3, "run"))
    path = tmp_path / "recipe.yaml"
    found = prepare(path, data)
    assert found["digest"] == finished.digest
    assert found["rows"] == finished.json["rows"]
    assert run_command(["digest", data["output"]]) == (0, finished.digest + "\n", "")
    before = {e.path: e.stamp for e in storage.listing(storage.join(s3, "run/ledger"))}
    code, out, _ = run_command(["prepare", str(path)])
    assert code == 0
    assert f"prepare: {found['fragments']} of {found['fragments']} units were done before" in out
    after = {e.path: e.stamp for e in storage.listing(storage.join(s3, "run/ledger"))}
    assert after == before
    code, out, _ = run_command(["status", str(path)])
    assert code == 0
    assert "report.html: there" in out


FULL = "HEADRACE_SLOW" in os.environ
# A changed recipe: what is run again. The first leaves one pass as it is and runs two.
CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({"dedup": {"near": False}}, {"dedup", "pack"}),
    ({"tokenise": {"max_length": 200}, "pack": {"window": 40, "length": 320}}, {"pack"}),
    ({"clean": {"separator": " // "}, "quality": {"shortest": 20}}, {"prepare", "dedup", "pack"}),
    ({"split": {"validation": 0.2, "test": 0.2}}, {"dedup", "pack"}),
]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "again"),
    CHANGES if FULL else CHANGES[:1],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_change_runs_its_pass_and_what_follows_and_nothing_before(
    finished: Finished, tmp_path: Path, change: dict[str, Any], again: set[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    before = state(run)
    found = prepare(tmp_path / "recipe.yaml", messy_recipe(finished.inputs, run, **change))
    after = state(run)
    for name in PASSES:
        if name not in again:
            assert after[name] == before[name], name
        elif name != "pack":  # windows that a change leaves as they are need not be packed again
            assert not set(after[name].values()) & set(before[name].values()), name
    fresh = prepare(tmp_path / "fresh.yaml", messy_recipe(finished.inputs, tmp_path / "fresh", **change))
    assert fresh["digest"] != finished.digest
    assert without_figures(found) == without_figures(fresh)


@pytest.mark.ray
def test_what_decides_no_bytes_runs_nothing_again(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    before = state(run)
    data = messy_recipe(finished.inputs, run, workers=1, quarantine={"limit": 0.5})
    for source in data["sources"]:
        source["weight"] = 3.0
    assert prepare(tmp_path / "recipe.yaml", data)["digest"] == finished.digest
    assert state(run) == before


@pytest.mark.ray
def test_an_added_file_leaves_earlier_fragments_as_they_are(finished: Finished, tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    shutil.copytree(finished.inputs, inputs)
    late = inputs / "chat/0.jsonl"
    data = late.read_bytes()
    late.unlink()
    first = prepare(tmp_path / "recipe.yaml", messy_recipe(inputs, tmp_path / "run"))
    before = state(tmp_path / "run")
    late.write_bytes(data)
    found = prepare(tmp_path / "recipe.yaml", messy_recipe(inputs, tmp_path / "run"))
    after = state(tmp_path / "run")
    assert {n: after["prepare"][n] for n in before["prepare"]} == before["prepare"]
    assert len(after["prepare"]) > len(before["prepare"])
    assert found["rows"]["in"] == finished.json["rows"]["in"] > first["rows"]["in"]
    assert found["digest"] != first["digest"]
    if not FULL:
        return
    # The same history once more, without what the first run left: the same bytes.
    late.unlink()
    prepare(tmp_path / "again.yaml", messy_recipe(inputs, tmp_path / "again"))
    late.write_bytes(data)
    assert (
        prepare(tmp_path / "again.yaml", messy_recipe(inputs, tmp_path / "again"))["digest"]
        == found["digest"]
    )


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="actors of a whole run; HEADRACE_SLOW=1 runs it")
def test_a_pool_of_actors_sketches_the_same(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster with GPUs, but that the actors hold none."""
    made = []

    def pool(_: recipe.Recipe, job: prepare_worker.Job, begin: Any) -> stream.Pool:
        made.append(begin.__name__)
        return stream.Pool(partial(begin, job=job), partial(prepare_worker.finish, job=job), size=2, gpus=0)

    monkeypatch.setattr(pools, "pool", pool)
    found = prepare(tmp_path / "recipe.yaml", messy_recipe(finished.inputs, tmp_path / "run"))
    assert without_figures(found) == without_figures(finished.json)
    assert made == ["begin", "begin_grouped"]


@pytest.mark.ray
def test_a_recipe_that_asks_for_a_gpu_is_refused_without(finished: Finished, tmp_path: Path) -> None:
    data = messy_recipe(finished.inputs, tmp_path / "run", dedup={"device": "gpu"})
    code, _, err = run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])
    assert code == 2
    assert "dedup.device: gpu, and this cluster has no GPU; use auto or cpu" in err


@pytest.mark.ray
def test_a_removed_file_is_gone_from_what_is_packed(finished: Finished, tmp_path: Path) -> None:
    run, inputs = tmp_path / "run", tmp_path / "in"
    shutil.copytree(finished.inputs, inputs)
    prepare(tmp_path / "recipe.yaml", messy_recipe(inputs, run))
    (inputs / "chat/1.jsonl").unlink()
    found = prepare(tmp_path / "recipe.yaml", messy_recipe(inputs, run))
    assert found["sources"]["chat"]["in"] < finished.json["sources"]["chat"]["in"]
    named = {
        o["path"]
        for n in ("prepare", "pack")
        for r in ledger.load(str(run), n).values()
        for o in r["outputs"]
    }
    there = {
        str(p.relative_to(run))
        for f in ("prepared", "packed", "rejected", "changed")
        for p in (run / f).rglob("*.parquet")
    }
    assert there == named


# Books that do not balance, and rows that a stage cannot bear.


@pytest.mark.ray
def test_a_run_whose_books_do_not_balance_fails(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    path = min((run / "ledger/pack").glob("0*.json"))
    record = json.loads(path.read_bytes())
    record["books"]["in"] -= 1
    record["books"]["kept"] -= 1
    del record["seal"]  # of an older version: one with a seal would be seen to be changed, and done again
    path.write_bytes(ledger.dumps(record))
    code, _, err = run_command(
        ["prepare", save_recipe(tmp_path / "recipe.yaml", messy_recipe(finished.inputs, run))]
    )
    assert code == 1
    assert err.startswith("error: pass pack: the books do not balance: ")


def stage(monkeypatch: pytest.MonkeyPatch, apply: Any) -> str:
    """A module that stands in for the stage `clean`; returns its name."""
    module = stand_in("clean", apply, "stand_ins.clean")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def work(tmp_path: Path, stages: tuple[str, ...], texts: list[str]) -> ledger.Record:
    """Pass 1 over one part of plain texts, in this process."""
    data = recipe_of(tmp_path / "run", tmp_path, "notes")
    job = prepare_worker.Job(recipe.validate(data, "recipe.yaml"), stages, {7: "key"}, pooled=len(stages) - 1)
    rows = text_table(texts, first=7 << 32, n_records=2, source="notes", file="notes.txt")
    fragment = Fragment("notes", "ranges", (Range("notes.txt", "notes.txt", 1, "0"),), 7)
    return prepare_worker.work(fragment, 0, True, rows, job)


def breaks_on_bad(rows: pa.Table, config: Any) -> pa.Table:
    texts = schema.contents(rows)[2]
    if pc.any(pc.match_substring(texts, "bad")).as_py():
        raise ValueError("bad: the content, which must not be told")
    return rows


def test_a_row_that_makes_a_stage_raise_is_quarantined_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = (stage(monkeypatch, breaks_on_bad), "headrace.pipelines.stages.quality.stage")
    good = "A sentence of several words that nobody would want to drop from a corpus."
    record = work(tmp_path, stages, [good, f"bad {good}", good])
    assert record["books"] == {"in": 6, "kept": 4, "dropped": {}, "quarantined": {"clean.error": 2}}
    assert record["rows"] == {"in": 3, "kept": 2}
    kept, rejected = (storage.read_table(str(tmp_path / "run" / o["path"])) for o in record["outputs"])
    assert kept["row_id"].to_pylist() == [7 << 32, (7 << 32) + 2]
    (row,) = rejected.to_pylist()
    assert (row["error"], row["detail"], row["messages"]) == ("clean.error", "ValueError", None)
    assert row["place"] == "row 1"
    assert ledger.load(str(tmp_path / "run"), "prepare") == {"00000007-0000": record}


@pytest.mark.parametrize(
    "change",
    [
        lambda rows, config: rows.slice(1),
        lambda rows, config: pa.concat_tables([rows, rows.slice(0, 1)]),
        lambda rows, config: rows.take(pa.array([1, 0])),
        lambda rows, config: rows.set_column(1, "n_records", pa.array([2, 1], pa.uint32())),
    ],
    ids=["loses a row", "makes a row", "swaps rows", "loses a record"],
)
def test_a_stage_that_loses_or_makes_rows_fails_and_commits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    with pytest.raises(BooksError):
        work(tmp_path, (stage(monkeypatch, change),), ["one text", "another"])
    assert ledger.load(str(tmp_path / "run"), "prepare") == {}


def test_a_stage_that_moved_to_another_module_has_the_key_that_it_had(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("one text")
    run = rundir.claim(recipe.validate(recipe_of(tmp_path / "run", tmp_path / "in"), "recipe"))
    moved = ModuleType("somewhere.else.altogether")
    moved.__dict__.update({k: v for k, v in vars(quality).items() if k not in ("__name__", "__spec__")})
    assert prepare_pass._keys(run, run.recipe, (quality,)) == prepare_pass._keys(run, run.recipe, (moved,))
    moved.__dict__["VERSION"] = quality.VERSION + 1
    assert prepare_pass._keys(run, run.recipe, (quality,)) != prepare_pass._keys(run, run.recipe, (moved,))


def test_what_is_passed_by_is_named_once_for_each_source(tmp_path: Path) -> None:
    rows = [
        {"question": f"what is {n}?", "answer": f"{n}, I say", "tools": n, "ann@example.com": 1}
        for n in range(9)
    ]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    turns = [
        {"talk": n // 2, "role": ("user", "assistant")[n % 2], "text": f"words {n}", "weight": 2}
        for n in range(8)
    ]
    write_jsonl(tmp_path / "turns/a.jsonl", turns)
    strays = {"_SUCCESS": "", "README.md": "ours", "b/.hidden": "", "picture.png": "x"}
    for name, made in (("in/b.zip", rows[:1]), ("turns/b.zip", [{**turns[0], "talk": 9}])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for stray, text in strays.items():
                archive.writestr(stray, text)
            archive.writestr("rows.jsonl", json.dumps(made[0]))
    pairs = [{"prompt": f"say {n}", "chosen": f"{n}, of course", "rejected": "no"} for n in range(3)]
    write_jsonl(tmp_path / "pairs/a.jsonl", pairs)
    data = recipe_of(tmp_path / "run", tmp_path / "in")
    columns = {"role": "role", "content": "text"}
    data["sources"] += [
        {"name": "talks", "path": str(tmp_path / "turns"), "group_by": "talk", "columns": columns},
        {
            "name": "pairs",
            "path": str(tmp_path / "pairs"),
            "shape": "prompt_completion",  # which reads one of the two
            "columns": {"prompt": "prompt", "completion": "chosen"},
        },
    ]
    code, out, err = run_command(["prepare", save_recipe(tmp_path / "r.yaml", data)])
    assert not code, err
    written = json.loads((tmp_path / "run/run.json").read_text())
    assert written["unread"] == {
        "sums": {"columns": ["tools"], "more": 1},
        "talks": {"columns": ["weight"], "more": 0},
        "pairs": {"columns": ["rejected"], "more": 0},
    }
    left = {
        "hidden files and markers": 2,
        "pictures, sounds and films": 1,
        "what says something about the data": 1,
    }
    assert written["left_out"] == {"sums": left, "talks": left}
    (warning,) = written["warnings"]
    assert warning.startswith("source 'pairs': of a chosen and a rejected answer only 'chosen' is read")
    assert err.count(warning) == 1
    assert out.count("1 files in archives left out: pictures, sounds and films") == 2
    assert "of the files in it left out" not in out + err
    page = (tmp_path / "run/report.html").read_text()
    assert "nobody reads &#39;tools&#39; and 1 more" in page
    assert "Source talks: 2 files in archives left out: hidden files and markers." in page
    assert "only &#39;chosen&#39; is read, as the answer" in page
    assert "ann@example" not in page + json.dumps(written)
