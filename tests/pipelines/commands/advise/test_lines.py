"""`headrace advise` before a run and on one: what it says first, and that it can be acted on."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.pipelines import recipe
from headrace.pipelines.commands.advise import lines
from headrace.pipelines.commands.advise.gather import Gathered
from headrace.pipelines.examine.advice.facts import Facts
from tests.builders import Finished, recipe_of, run_command, save_recipe, story, write_jsonl


def labelled(count: int) -> list[dict[str, str]]:
    """Texts with a label each, no two alike."""
    return [{"text": story(n, 12), "label": ("bill", "sync", "login")[n % 3]} for n in range(count)]


def advise(path: Path, data: dict[str, Any], *more: str) -> str:
    code, out, err = run_command(["advise", save_recipe(path, data), *more])
    assert (code, err) == (0, "")
    return out


def test_few_rows_are_not_to_be_tuned_on(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", labelled(36))
    data = recipe_of(tmp_path / "run", tmp_path / "in")
    out = advise(tmp_path / "r.yaml", data)
    told = out.splitlines()
    assert told[0] == "verdict: do not tune"
    assert told[1].startswith("effective prompts: ")
    assert told[1].endswith(" of 36 rows")
    assert told[2] == "looked at: all records: 36 of 1 file; no run was made"
    assert "Put up to 20 of them into the prompt" in out
    assert "not worked out" in told[-1]
    assert "rank" not in out
    assert not (tmp_path / "run").exists()
    assert story(0, 12)[:20] not in out
    every = advise(tmp_path / "r.yaml", data, "--all", "--gpu", "h100-80g")
    for part in (
        "start with this",
        "rank: ",
        "fit: ",
        "fits on h100-80g (as named",
        "cost, in dollars (h100-80g",
    ):
        assert part in every


def test_a_sample_is_said_to_be_one(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", labelled(300))
    out = advise(tmp_path / "r.yaml", recipe_of(tmp_path / "run", tmp_path / "in"), "--sample", "100")
    assert "looked at: the first records, a sample: 100 of 1 file" in out
    assert "the files hold more: raise --sample" in out
    assert out.startswith("verdict: ")
    assert "do not tune" not in out


def test_an_unknown_gpu_is_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", labelled(5))
    path = save_recipe(tmp_path / "r.yaml", recipe_of(tmp_path / "run", tmp_path / "in"))
    code, out, err = run_command(["advise", path, "--gpu", "h100"])
    assert (code, out) == (2, "")
    assert "no GPU 'h100' is known; did you mean 'h100-80g'?" in err


@pytest.mark.ray
def test_a_run_is_advised_on(finished: Finished) -> None:
    code, out, err = run_command(["advise", str(finished.path), "--all"])
    assert (code, err) == (0, "")
    advice = finished.json["advice"]
    assert out.splitlines()[0] == f"verdict: {advice['verdict']}"
    assert f"looked at: run {finished.path}" in out
    for reason in advice["reasons"]:
        assert f"  {reason['level']}: {reason['code']}: {reason['words']}\n" in out
    assert "measured in this run" in out
    assert f'"verdict: {advice["verdict"]}' in finished.out
    code, out, err = run_command(["advise", finished.recipe, "--json"])
    assert (code, err) == (0, "")
    first, second, *_ = map(json.loads, out.splitlines())
    assert (first["event"], first["verdict"]) == ("advice", advice["verdict"])
    assert (
        second["rows"]
        == advice["rows"]
        == sum(finished.json["splits"][s]["rows"] for s in ("train", "validation", "test"))
    )
    page = (finished.path / "report.html").read_text(encoding="utf-8")
    assert f"<strong>Advice: {advice['verdict']}.</strong>" in page


def said(config: dict[str, Any], **more: Any) -> str:
    """All that is said of 6,000 labelled rows."""
    facts = Facts(
        **{"rows": 6_000, "records": 6_000, "tokens": 10**6, "packed": 500, "samples": 5_400, **more}
    )
    loaded = recipe.validate({**recipe_of("out", "in"), **config}, "r")
    return "\n".join(
        line.text for line in lines.lines(loaded, Gathered(facts, "made up", 80, 20), "a100-80g")
    )


def test_the_section_that_is_printed_is_one_of_a_recipe() -> None:
    text = said({}).partition("start with this in the recipe")[2]
    pasted = text.partition("\n")[2].partition("\n  rank, alpha")[0]
    recipe.validate({**recipe_of("out", "in"), **yaml.safe_load(pasted)}, "pasted")
    assert yaml.safe_load(pasted)["train"]["rank"] == 32


def test_every_assumption_of_the_cost_is_a_key() -> None:
    usual = said({})
    assert "cost, in dollars (a100-80g, 1.5 an hour, prices of 2026-05" in usual
    assert "1,000 queries of 80 + 20 tokens" in usual
    assert "8 experiments" in usual
    own = said(
        {"costs": {"gpu_hour": 9, "experiments": 5, "prompt_tokens": 7, "queries": 10**7, "larger": 400}}
    )
    for part in (
        "9 an hour, costs.gpu_hour",
        "5 experiments",
        "of 7 + 20 tokens",
        "is the cheapest by",
        "400B",
    ):
        assert part in own


def test_a_gpu_without_a_price_is_not_given_one() -> None:
    facts = Facts(rows=6_000, records=6_000, tokens=10)
    loaded = recipe.validate(recipe_of("out", "in"), "r")
    told = [line.text for line in lines.lines(loaded, Gathered(facts, "made up", 0, 0), "t4-16g")]
    assert told[-1] == "cost: no price of t4-16g is known: set costs.gpu_hour to dollars an hour"


def test_amounts() -> None:
    assert [lines.amount(n) for n in (0, 0.001, 0.034, 1.5, 1234.4)] == [
        "$0.00",
        "under $0.01",
        "$0.034",
        "$1.50",
        "$1,234",
    ]
