"""Candidates by SimHash over files: as in memory, in any order, and after a run that was killed."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines.passes import units
from headrace.pipelines.stages.dedup import against, in_memory, signatures
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.steps import block as blocking
from headrace.pipelines.stages.dedup.steps import run as dedup_tasks
from headrace.pipelines.stages.dedup.steps import signatures as signing
from headrace.pipelines.stages.dedup.steps import verify as verifying
from tests.builders import backwards
from tests.builders import in_order as each
from tests.builders import near_copies as corpus
from tests.builders import prepared_table as rows
from tests.builders import write_parts as written
from tests.pipelines.stages.dedup.builders import OTHER, STORY, compare, listed, make_run, ours, ran

Way = Literal["simhash", "both"]


@settings(max_examples=6)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 80), max_size=25).map(sorted),
    st.sampled_from(["simhash", "both"]),
)
def test_files_and_tasks_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cuts: list[int], way: Way
) -> None:
    folder = tmp_path_factory.mktemp("pass")
    config, texts = Config(candidates=way), corpus(seed)
    table = rows(texts)
    memory = in_memory.duplicates(pa.array(texts), config)
    (folder / "a").mkdir()
    report, straight = ran(written(folder / "a", table, []), folder / "one", config)
    assert straight["removed"].select(memory.column_names).equals(memory)
    mixed = table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))
    (folder / "b").mkdir()
    paths = written(folder / "b", mixed, cuts)
    again, shuffled = ran(paths[::-1], folder / "two", config, each=backwards)
    assert again == report
    assert shuffled == straight


def test_partitions_and_tasks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(candidates="simhash")
    paths = written(tmp_path, rows(corpus(11)), [20, 50])
    report, whole = ran(paths, tmp_path / "whole", config)
    monkeypatch.setattr(blocking, "PARTITION", 7)
    monkeypatch.setattr(storage, "RANGE_ROWS", 9)
    monkeypatch.setattr(verifying, "CHUNK", 500)
    monkeypatch.setattr(dedup_tasks, "GROUP", 2)
    monkeypatch.setattr(signing, "TABLES", 1)
    again, parted = ran(paths, tmp_path / "parted", config, each=backwards)
    assert again == report
    assert parted == whole
    assert whole["removed"].num_rows > 10


def test_the_report_says_how_was_looked(tmp_path: Path) -> None:
    paths = written(tmp_path, rows(corpus(11)), [])
    by_bands, _ = ran(paths, tmp_path / "bands")
    assert "signatures" not in by_bands
    report, _ = ran(paths, tmp_path / "simhash", Config(candidates="simhash"))
    found = report["signatures"]
    assert (found["distance"], found["recall"]) == (signatures.farthest(0.8), signatures.RECALL)
    assert 10 < found["distinct"] <= report["rows"]
    assert found["tables"] == len(signatures.tables(found["distinct"], Config()))
    nothing, _ = ran([], tmp_path / "nothing", Config(candidates="both"))
    assert (nothing["signatures"]["distinct"], nothing["signatures"]["tables"]) == (0, 0)


def test_a_run_that_was_killed_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(candidates="both")
    paths = written(tmp_path, rows(corpus(12)), [30])
    whole = ran(paths, tmp_path / "whole", config)

    def killed(function: Callable[[Any], Any], items: Iterable[Any], *, name: str) -> Iterator[Any]:
        for at, item in enumerate(items):
            if name == "dedup tables" and at == 1:
                raise KeyboardInterrupt
            yield function(item)

    monkeypatch.setattr(signing, "TABLES", 1)
    with pytest.raises(KeyboardInterrupt):
        ran(paths, tmp_path / "out", config, each=killed)
    assert list((tmp_path / "out/work").glob("near-*.parquet"))
    assert ran(paths, tmp_path / "out", config) == whole


def test_tables_run_where_they_are_told_to(tmp_path: Path) -> None:
    names: list[str] = []

    def on_gpus(function: Callable[[Any], Any], items: Iterable[Any], *, name: str) -> Iterator[Any]:
        names.append(name)
        return map(function, items)

    paths = written(tmp_path, rows(corpus(3)), [])
    config = Config(candidates="simhash")
    report = dedup_tasks.run(
        paths, str(tmp_path / "out"), config, order={}, ngram=8, each=each, each_table=on_gpus
    )
    assert names == ["dedup tables"]
    assert report == ran(paths, tmp_path / "plain", config)[0]


@pytest.mark.parametrize("way", ["simhash", "both"])
def test_earlier_runs_and_fingerprints_have_signatures_too(tmp_path: Path, way: Way) -> None:
    edited = STORY.replace("word7 ", "wording ")
    earlier = make_run(tmp_path / "earlier", [STORY, "a short one", OTHER])
    against.export(earlier, str(tmp_path / "prints"), each)
    run, paths = ours(tmp_path / "run", [edited, "A short  one", "new " * 30])
    for corpus_name, rule in ((earlier, "near"), (str(tmp_path / "prints"), "sketch")):
        compare(run, paths, against.opened([corpus_name], run, 8), candidates=way)
        assert [(r["removed"], r["kept"], r["run"], r["rule"]) for r in listed(run)] == [
            (0, 0, corpus_name, rule),
            (1, 1 << 32, corpus_name, "exact"),
        ]


def test_another_way_to_candidates_is_another_key() -> None:
    keys = [units.config_key(dedup, Config(candidates=way)) for way in ("bands", "simhash", "both")]
    assert len({str(key) for key in keys}) == 3


def test_what_one_step_hands_to_the_next(tmp_path: Path) -> None:
    """Signatures come by their best row, and the rows of each behind one another."""
    work = str(tmp_path)
    texts = [STORY, OTHER, STORY.upper(), "short"]
    storage.write_table(f"{work}/staged.parquet", rows(texts))
    ranks = pa.table({"rank": np.array([2, 1, 0, 3]), "representative": np.ones(4, np.bool_)})
    storage.write_table(f"{work}/ranks-0.parquet", ranks)
    assert signing.sign([f"{work}/staged.parquet"], work, Config(candidates="simhash")) == 2
    assert storage.read_table(f"{work}/signatures.parquet")["rows"].to_pylist() == [2, 1]
    assert storage.read_table(f"{work}/signed.parquet")["rank"].to_pylist() == [0, 2, 1]
