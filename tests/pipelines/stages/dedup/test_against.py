"""Rows of earlier runs: never removed, and whatever of ours is like one of them goes and names it."""

import json
from pathlib import Path

import pytest

from headrace.cluster import storage
from headrace.cluster.errors import OutputError, RecipeError
from headrace.pipelines.stages.dedup import against
from tests.builders import in_order as each
from tests.builders import near_copies as corpus
from tests.pipelines.stages.dedup.builders import OTHER, STORY, compare, listed, make_run, ours


def test_what_a_run_holds_is_removed_and_named(tmp_path: Path) -> None:
    edited = STORY.replace("word7 ", "wording ")  # longer, so the earlier run keeps it
    earlier = make_run(tmp_path / "earlier", ["something else", STORY, "the very same short text", edited])
    assert [(r["removed"], r["kept"]) for r in listed(earlier)] == [(1, (1 << 32) + 1)]
    run, paths = ours(tmp_path / "run", [edited, OTHER, "The very  same short text", STORY, OTHER + " x"])
    report = compare(run, paths, against.opened([earlier], run, 8))
    assert {r["removed"]: (r["kept"], r["run"], r["rule"]) for r in listed(run)} == {
        0: ((1 << 32) + 1, earlier, "exact"),
        1: (4, None, "near"),
        2: (1 << 32, earlier, "exact"),
        3: ((1 << 32) + 1, earlier, "near"),
    }
    assert (report["rows"], report["against"], report["removed"]) == (5, 3, 4)
    assert report["by_source"] == {"s": {"rows": 5, "removed": 4}}


def test_sketches_stand_for_texts_with_their_error(tmp_path: Path) -> None:
    edited = STORY.replace("word7 ", "wording ")
    earlier = make_run(tmp_path / "earlier", [STORY, "a short one", OTHER])
    assert against.export(earlier, str(tmp_path / "prints"), each) == {"rows": 3, "files": 2}
    for path in (tmp_path / "prints").iterdir():
        assert b"story" not in path.read_bytes(), "no text is in a fingerprint directory"
    run, paths = ours(tmp_path / "run", [edited, "A short  one", "new " * 30])
    names = [str(tmp_path / "prints")]
    report = compare(run, paths, against.opened(names, run, 8))
    near, exact = listed(run)
    assert (near["removed"], near["kept"], near["run"], near["rule"]) == (0, 0, names[0], "sketch")
    whole = compare(run, paths, against.opened([earlier], run, 8))
    measured = listed(run)[0]
    assert (measured["rule"], measured["error"]) == ("near", 0)
    assert 0 < near["error"] < 0.03
    assert near["similarity"] == pytest.approx(measured["similarity"], abs=4 * near["error"])
    assert (exact["removed"], exact["rule"], exact["error"]) == (1, "exact", 0)
    assert (report["sketch"], report["near"], whole["sketch"], whole["near"]) == (1, 0, 0, 1)


def test_earlier_rows_are_not_judged_again(tmp_path: Path) -> None:
    """Two corpora that hold the same rows: none of theirs is listed, and the first one is named."""
    texts = corpus(3, 40)
    first, second = make_run(tmp_path / "a", texts), make_run(tmp_path / "b", texts)
    run, paths = ours(tmp_path / "run", texts)
    report = compare(run, paths, against.opened([first, second], run, 8))
    assert {r["run"] for r in listed(run)} == {first}
    assert report["removed"] == len(texts)
    turned = compare(run, paths, against.opened([second, first], run, 8))
    assert turned["removed"] == len(texts)
    assert {r["run"] for r in listed(run)} == {second}


def test_nothing_in_common_changes_nothing(tmp_path: Path) -> None:
    earlier = make_run(tmp_path / "earlier", [OTHER])
    run, paths = ours(tmp_path / "run", corpus(5))
    alone = compare(run, paths)
    tables = {
        n: storage.read_table(f"{run}/duplicates/{n}.parquet") for n in ("removed", "clusters", "joined")
    }
    beside = compare(run, paths, against.opened([earlier], run, 8))
    assert beside == {**alone, "against": 1, "candidates": beside["candidates"]}
    for name, table in tables.items():
        assert storage.read_table(f"{run}/duplicates/{name}.parquet").equals(table)


def test_a_corpus_that_changes_has_another_mark(tmp_path: Path) -> None:
    marks = [
        against.opened([make_run(tmp_path / n, texts)], "x", 8)[0].mark
        for n, texts in (("a", [STORY]), ("b", [STORY]), ("c", [OTHER]))
    ]
    assert marks[0] == marks[1] != marks[2]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    earlier = make_run(tmp_path / "earlier", [STORY])
    with pytest.raises(RecipeError, match=r"dedup\.against\.0: .*nowhere.* is neither a run"):
        against.opened([str(tmp_path / "nowhere")], "x", 8)
    with pytest.raises(RecipeError, match=r"dedup\.against\.1: .* is this run itself"):
        against.opened([earlier, str(tmp_path)], str(tmp_path) + "/", 8)
    with pytest.raises(RecipeError, match="windows of 8 bytes, version 1; this run has 5"):
        against.opened([earlier], "x", 5)
    (tmp_path / "prints").mkdir()
    (tmp_path / "prints" / against.MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(RecipeError, match="is not JSON"):
        against.opened([str(tmp_path / "prints")], "x", 8)


def test_fingerprints_are_written_where_nothing_else_lies(tmp_path: Path) -> None:
    earlier = make_run(tmp_path / "earlier", [STORY])
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="holds other things"):
        against.export(earlier, str(tmp_path / "home"), each)
    with pytest.raises(OutputError, match="nothing is prepared"):
        against.export(str(tmp_path / "home"), str(tmp_path / "prints"), each)
    for _ in range(2):  # a second time over the first
        against.export(earlier, str(tmp_path / "prints"), each)
    manifest = json.loads((tmp_path / "prints" / against.MANIFEST).read_text())
    assert (manifest["rows"], manifest["k"], len(manifest["files"])) == (1, 256, 1)
