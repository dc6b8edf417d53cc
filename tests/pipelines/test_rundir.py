"""Whose run directory is it, and which fragments does a run have?"""

from pathlib import Path

import pyarrow as pa
import pytest

from headrace.cluster.errors import OutputError
from headrace.pipelines import recipe, rundir
from tests.builders import recipe_of, write_jsonl


def make(tmp_path: Path, name: str = "notes", **more: object) -> recipe.Recipe:
    return recipe.validate(recipe_of(tmp_path / "run", tmp_path / "in", name, **more), "recipe.yaml")


def write_lines(path: Path, n: int) -> None:
    write_jsonl(path, [{"text": f"line {i} of {path.name}"} for i in range(n)])


def test_the_recipe_is_kept_with_what_was_found(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", 5)
    run = rundir.claim(make(tmp_path))
    number, kept = recipe.kept(run.path)
    assert number == recipe.FORMAT
    assert kept is not None
    assert (kept.sources[0].shape, kept.sources[0].format) == ("text", "jsonl")
    assert [f.ordinal for f in run.fragments] == [0]


def test_what_was_found_first_stays(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", 5)
    rundir.claim(make(tmp_path))
    (tmp_path / "in/0.jsonl").write_text('{"prompt": "p", "completion": "c"}\n', encoding="utf-8")
    assert rundir.claim(make(tmp_path)).recipe.sources[0].shape == "text"


def test_the_order_of_dates_is_told_once_by_a_source_s_own_dates(tmp_path: Path) -> None:
    us = [{"text": f"due {month}/25/2024"} for month in (1, 2, 3)]
    write_jsonl(tmp_path / "in/a.jsonl", us)
    assert rundir.claim(make(tmp_path)).recipe.sources[0].dates is None
    asked = make(tmp_path, clean={"dates": {}})
    run = rundir.claim(asked)
    assert run.recipe.sources[0].dates == "mdy"
    assert run.recipe.clean.orders(pa.chunked_array([["notes", "?"]])) == ["mdy", None]
    # What is added does not change how the rows before it were read.
    write_jsonl(tmp_path / "in/b.jsonl", [{"text": f"due 25/{month}/2024"} for month in (1, 2, 3)])
    assert rundir.claim(asked).recipe.sources[0].dates == "mdy"
    given = make(tmp_path, clean={"dates": {}}, sources=[{**source(asked), "dates": "row"}])
    assert rundir.claim(given).recipe.clean.orders(pa.chunked_array([["notes"]])) == []
    fixed = make(tmp_path, clean={"dates": {"order": "dmy"}}, sources=[{**source(asked), "dates": None}])
    assert rundir.resolve(fixed, None).sources[0].dates is None


def source(given: recipe.Recipe) -> dict[str, object]:
    return {"name": given.sources[0].name, "path": given.sources[0].path}


def test_the_same_run_again_claims_nothing_new(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", 5)
    assert rundir.claim(make(tmp_path)) == rundir.claim(make(tmp_path))


def test_an_added_file_gets_the_next_ordinal_whatever_its_name(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/m.jsonl", 5)
    rundir.claim(make(tmp_path))
    write_lines(tmp_path / "in/a.jsonl", 5)
    run = rundir.claim(make(tmp_path))
    assert [(f.ranges[0].relative, f.ordinal) for f in run.fragments] == [("m.jsonl", 0), ("a.jsonl", 1)]
    assert run.epochs == {0: 0, 1: 1}


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", 5)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(OutputError, match=r"is not empty and holds no recipe\.yaml of headrace"):
        rundir.claim(make(tmp_path))


def test_a_run_of_other_sources_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", 5)
    rundir.claim(make(tmp_path))
    with pytest.raises(OutputError, match="its sources are notes, this recipe's letters"):
        rundir.claim(make(tmp_path, name="letters"))


def test_another_format_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", 5)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.yaml").write_text("headrace: 999\n", encoding="utf-8")
    with pytest.raises(OutputError, match="has format 999, this version writes format 2"):
        rundir.claim(make(tmp_path))


def test_our_own_temporaries_do_not_make_a_directory_foreign(tmp_path: Path) -> None:
    write_lines(tmp_path / "in/a.jsonl", 5)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.headrace-check-0").write_text("x", encoding="utf-8")
    assert rundir.claim(make(tmp_path)).fragments
