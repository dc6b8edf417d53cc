"""`headrace compare`: the same samples, paired; what differs in the recipes; what was won and lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.pipelines.commands.compare import compare, items, recipes
from headrace.pipelines.console import Line
from headrace.pipelines.evaluate import statistics
from headrace.pipelines.evaluate.config import Config
from tests.builders import recipe_of, run_command, save_recipe, write_jsonl
from tests.pipelines.evaluations import evaluate, outcome

N = 40
RIGHT = [f"answer {at}" for at in range(N)]


def said(right: int) -> list[str]:
    """Answers of which the first `right` are right."""
    return [*RIGHT[:right], *["no"] * (N - right)]


def run(path: Path, right: int, rows: range = range(N), **more: Any) -> str:
    """A run whose tuned model is right on the first `right` samples."""
    settings = {"seed": 0, "train.rank": right}
    return evaluate(path, outcome(["no"] * N, said(right), RIGHT, rows, **more), **settings)


def fields(lines: list[Line], key: str) -> list[dict[str, Any]]:
    return [line.fields for line in lines if key in line.fields]


def test_the_same_samples_are_paired(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 10), run(tmp_path / "b", 30)]
    lines = list(compare.lines(runs, show=1))
    (counts,) = fields(lines, "shared")
    assert (counts["shared"], counts["answers"], counts["of"]) == (N, N, (N, N))
    exact = next(one for one in fields(lines, "metric") if one["metric"] == "exact_match")
    assert (exact["first"], exact["other"], exact["n"]) == (0.25, 0.75, N)
    assert exact["p"] == pytest.approx(2 / 2**20)
    assert (exact["verdict"], exact["primary"]) == ("better", True)
    assert f"  {runs[1]} is better than {runs[0]}, beyond chance (by exact_match, which decides)" in {
        line.text for line in lines
    }
    (told,) = fields(lines, "won")
    assert (told["won"], told["lost"], told["alike"]) == (list(range(10, 30)), [], 20)
    (shown,) = fields(lines, "sample")
    assert (shown["row_id"], shown["prompt"], shown["first"], shown["other"]) == (
        10,
        "prompt 10",
        "no",
        "answer 10",
    )


def test_rows_without_a_text_are_named_all_the_same(tmp_path: Path) -> None:
    lines = list(compare.lines([run(tmp_path / "a", 10), run(tmp_path / "b", 30)], show=0))
    assert fields(lines, "won")[0]["won"] == list(range(10, 30))
    assert "answer" not in " ".join(line.text for line in lines if not line.fields.get("answers"))


def test_only_what_both_held_out_counts(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 10), run(tmp_path / "b", 30, range(10, 10 + N))]
    lines = list(compare.lines(runs, show=0))
    assert fields(lines, "shared")[0]["shared"] == 30
    # Row r is reference r of the first and reference r - 10 of the second.
    (told,) = fields(lines, "won")
    assert told["alike"] + len(told["won"]) + len(told["lost"]) == 30


@pytest.mark.parametrize(("first", "words"), [(35, "5 samples"), (60, "0 samples")])
def test_too_few_shared_samples_are_refused(tmp_path: Path, first: int, words: str) -> None:
    runs = [run(tmp_path / "a", 10), run(tmp_path / "b", 30, range(first, first + N), prompts=["p"] * N)]
    with pytest.raises(OutputError, match=f"{words} are held out in both .* too few"):
        list(compare.lines(runs, show=0))


def test_rows_packed_otherwise_are_one_by_row_and_reference(tmp_path: Path) -> None:
    other = {"marks": tuple(f"others {at}" for at in range(N)), "prompts": [f"<x>{at}" for at in range(N)]}
    runs = [run(tmp_path / "a", 10), run(tmp_path / "b", 30, **other)]
    lines = list(compare.lines(runs, show=0))
    assert fields(lines, "shared")[0]["shared"] == N
    assert {one["metric"] for one in fields(lines, "metric")} == {"exact_match"}
    assert any("losses are of other tokens" in line.text for line in lines)


def test_rows_of_other_sources_are_one_by_prompt_and_reference(tmp_path: Path) -> None:
    rows = range(1000, 1000 + N)
    prompts = [f"prompt {at}" for at in range(N)]
    other = run(tmp_path / "b", 30, rows, prompts=prompts)
    found = items.shared(items.evaluated(run(tmp_path / "a", 10)), items.evaluated(other))
    assert found.outcome.row_ids == tuple(range(N))
    assert found.outcome.tuned.answers == said(30)
    assert not found.tokens_alike


def test_the_deciding_metric_of_tokens_gives_way(tmp_path: Path) -> None:
    config = Config(metrics=("loss", "exact_match", "token_f1"), primary="loss")
    made = outcome(["no"] * N, said(10), RIGHT)
    evaluate(tmp_path / "a", made, config)
    other = run(tmp_path / "b", 30, marks=tuple("x" * N))
    found = items.shared(items.evaluated(str(tmp_path / "a")), items.evaluated(other))
    assert found.config.metrics == ("exact_match", "token_f1")
    assert found.config.deciding(found.config.metrics) == "exact_match"


def test_p_values_are_corrected_over_runs() -> None:
    one = statistics.Comparison(0, 1, 0.1, 0.9, 0.02, 40)
    found = compare.corrected([("a", {"a": one, "b": one}), ("a", {"a": one._replace(p=0.5), "b": one})])
    assert found == {(0, "a"): 0.04, (1, "a"): 0.5, (0, "b"): 0.04, (1, "b"): 0.04}


def test_each_run_is_held_against_the_first(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 10), run(tmp_path / "b", 30), run(tmp_path / "c", 10)]
    lines = list(compare.lines(runs, show=0))
    exact = {one["run"]: one for one in fields(lines, "metric") if one["metric"] == "exact_match"}
    assert exact[runs[1]]["p"] == pytest.approx(2 * 2 / 2**20)
    assert (exact[runs[2]]["p"], exact[runs[2]]["verdict"]) == (1, "no clear difference")


def test_what_was_really_trained_goes_before_the_recipe(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"question": "q", "answer": "a"}])
    paths = []
    for name, rank in (("a", 4), ("b", 8)):
        data = recipe_of(tmp_path / name, tmp_path / "in.jsonl", train={"epochs": 1}, split={"test": 0.2})
        run(tmp_path / name, rank)
        save_recipe(tmp_path / name / "recipe.yaml", {"headrace": 2, **data, "evaluate": {"samples": 5}})
        paths.append(items.evaluated(str(tmp_path / name)))
    assert recipes.differences(*paths) == {"train.rank": [4, 8]}
    assert recipes.settings(paths[0])["sources.sums.path"] == str(tmp_path / "in.jsonl")
    assert recipes.settings(paths[0])["train.epochs"] == 1
    assert recipes.settings(paths[0])["evaluate.samples"] == 200, "as it was evaluated"


def test_the_command_refuses_what_cannot_be_compared(tmp_path: Path) -> None:
    one = run(tmp_path / "a", 10)
    code, out, err = run_command(["compare", one])
    assert (code, out) == (2, "")
    assert "takes two runs or more" in err
    assert run_command(["compare", one, f"{one}/"])[0] == 2
    (tmp_path / "b").mkdir()
    code, _, err = run_command(["compare", one, str(tmp_path / "b")])
    assert (code, "nothing is evaluated" in err) == (2, True)
    stale = run(tmp_path / "c", 10)
    storage.put(f"{stale}/adapter/headrace.json", b'{"key": "another", "packed": {}}')
    code, _, err = run_command(["compare", one, stale])
    assert (code, "another adapter" in err) == (2, True)
    old = run(tmp_path / "d", 10)
    storage.delete(f"{old}/evaluation/tuned.json")
    code, _, err = run_command(["compare", one, old])
    assert (code, "run `headrace evaluate` again" in err) == (2, True)


def test_nothing_is_written_and_machines_read_it(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 10), run(tmp_path / "b", 30)]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code, out, err = run_command(["compare", *runs, "--json"])
    assert (code, err) == (0, "")
    assert all(json.loads(line)["event"] == "compare" for line in out.splitlines())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_samples_that_stand_in_training_are_left_out_and_told(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 10), run(tmp_path / "b", 30)]
    for one, places in zip(runs, ([20, 21], list(range(21, 30))), strict=True):
        scores = json.loads(storage.read_bytes(f"{one}/evaluation/scores.json"))
        storage.put(f"{one}/evaluation/scores.json", json.dumps({**scores, "in_training": places}).encode())
    lines = list(compare.lines(runs, show=0))
    assert fields(lines, "shared")[0]["shared"] == N - 10
    (told,) = fields(lines, "contaminated")
    assert (told["contaminated"], told["by"], told["first"], told["other"]) == (
        10,
        "exact_match",
        0.25,
        0.75,
    )
    assert "10 more stand in the training rows of one of the runs" in " ".join(line.text for line in lines)
    exact = next(one for one in fields(lines, "metric") if one["metric"] == "exact_match")
    assert (exact["first"], exact["other"], exact["n"]) == (10 / 30, 20 / 30, 30)
    assert fields(lines, "won")[0]["won"] == list(range(10, 20))


def test_where_every_sample_stands_in_training_nothing_is_claimed(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 10), run(tmp_path / "b", 30)]
    scores = json.loads(storage.read_bytes(f"{runs[0]}/evaluation/scores.json"))
    whole = json.dumps({**scores, "in_training": list(range(N))}).encode()
    storage.put(f"{runs[0]}/evaluation/scores.json", whole)
    lines = list(compare.lines(runs, show=0))
    assert [one["verdict"] for one in fields(lines, "verdict")] == [None]
    assert any("every sample stands in the training rows of a run" in line.text for line in lines)
    assert not fields(lines, "won")
