"""From what was said to figures: the metrics that apply, the part that is compared, and where it is worse."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate import decision, scoring
from headrace.pipelines.evaluate.arms.measured import Measured, Outcome
from headrace.pipelines.evaluate.config import Config
from headrace.pipelines.evaluate.diagnosis.diagnose import diagnose
from tests.builders import write_jsonl

KINDS = ("bill", "login", "sync")


def outcome(base: list[str], tuned: list[str], references: list[str], **more: Any) -> Outcome:
    """What two models said, one sample without a prompt before them."""
    n = len(references)
    forced = np.tile([[2.0, 1.0, 0.0]], (n + 1, 1))
    return Outcome(
        base=Measured(forced, base, [""] * n, 0),
        tuned=Measured(forced * [0.5, 1, 1], tuned, [""] * n, 0),
        prompts=more.pop("prompts", [f"prompt {i}" for i in range(n)]),
        references=references,
        row_ids=tuple(range(n + 1)),
        lengths=tuple(range(1, n + 2)),
        asked=tuple(range(1, n + 1)),
        **more,
    )


def scored(outcome: Outcome, traits: dict[str, list[str]] | None = None, **config: Any) -> dict[str, Any]:
    return scoring.scored(outcome, Config(**config), 0, traits)


def test_only_what_applies_is_measured() -> None:
    texts = scored(outcome(["a b"] * 30, ["a c"] * 30, [f"a {i}" for i in range(30)]))
    assert not {"label_f1", "json_valid", "entity_f1", "sql", "code"} & set(texts["metrics"])
    assert texts["labels"] is None
    assert texts["metrics"]["loss"]["n"] == 31
    assert texts["metrics"]["exact_match"]["n"] == 30
    labels = scored(outcome(["bill"] * 30, list(KINDS) * 10, list(KINDS) * 10))
    assert labels["metrics"]["label_f1"] | {"interval": 0, "p": 0} == {
        "base": pytest.approx(1 / 6),
        "tuned": 1.0,
        "interval": 0,
        "p": 0,
        "verdict": "better",
        "n": 30,
        "test": "bootstrap",
        "primary": False,
    }
    assert [row["label"] for row in labels["labels"]["by_label"]] == list(KINDS)
    assert labels["labels"]["confused"] == {
        "base": [["login", "bill", 10], ["sync", "bill", 10]],
        "tuned": [],
    }
    json = scored(outcome(['["x"]', "no"] * 15, ['["y"]'] * 30, [f'["y", {i}]' for i in range(30)]))
    assert json["metrics"]["json_valid"]["base"] == 0.5
    assert json["metrics"]["entity_f1"]["tuned"] == pytest.approx(2 / 3)


def test_the_same_part_of_all_is_compared_and_references_without_it_are_counted() -> None:
    said = [f"So many words {i}.\n#### {i}" for i in range(30)]
    wanted = [f"Other words.\nThe answer is: {i}.0" for i in range(29)] + [""]
    base = ["#### -1"] * 30
    assert scored(outcome(base, said, wanted))["metrics"]["exact_match"]["tuned"] == 0
    found = scored(outcome(base, said, wanted), answer="last_line", fold=("numbers",))
    assert found["metrics"]["exact_match"]["tuned"] == pytest.approx(29 / 30)
    assert found["without_answer"] == 1


def test_code_counts_where_there_are_tests(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "tests.jsonl", [{"prompt": "write double.", "tests": "assert double(2) == 4"}]
    )
    prompts = ["Write double.", "Write something else.", "write  DOUBLE. now"]
    good, bad = "def double(x): return 2 * x", "def double(x): return x"
    found = scored(outcome([bad] * 3, [good] * 3, [good] * 3, prompts=prompts), code=str(path))
    score = found["metrics"]["code"]
    assert (score["n"], score["base"], score["tuned"]) == (2, 0.0, 1.0)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("json_schema", '{"type": "nothing"}', "evaluate.json_schema: it is no JSON Schema"),
        ("code", '{"prompt": "x"}', "evaluate.code: line 1 has no texts `prompt` and `tests`"),
        ("code", "{", "evaluate.code: line 1 is no JSON"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, key: str, text: str, words: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words):
        scored(outcome(["a"], ["a"], ["a"]), **{key: str(path)})


def test_where_it_is_worse_comes_first_and_small_parts_are_left_out() -> None:
    """Right in English, wrong in German since it was tuned; of a third language are few."""
    language = ["", *["en"] * 40, *["de"] * 40, *["fr"] * 19]
    wanted = [f"answer {i}" for i in range(99)]
    tuned = [*wanted[:40], *["?"] * 40, *wanted[80:]]
    base = [*["?"] * 40, *wanted[40:80], *wanted[80:]]
    found = scored(
        outcome(base, tuned, wanted), {"language": language, "source": ["s"] * 100}, primary="exact_match"
    )
    parts = [part for part in found["slices"] if part["by"] == "language"]
    assert [(p["value"], p["n"], p["verdict"]) for p in parts] == [("de", 40, "worse"), ("en", 40, "better")]
    assert {part["by"] for part in found["slices"]} == {"language", "length"}
    assert found["slices"][0]["verdict"] == "worse"
    assert found["power"]["n"] == 99
    assert "cannot be told" in found["power"]["words"]


def with_arms(base: list[str], tuned: list[str], **arms: list[str]) -> Outcome:
    """What two models and some arms said; the references are ten names and again."""
    references = [f"name {i % 10}" for i in range(len(base))]
    forced = np.zeros((0, 3))
    said = {name: Measured(forced, answers, [""] * len(base), 0) for name, answers in arms.items()}
    return outcome(base, tuned, references, arms=said)


def test_the_tuned_model_is_held_against_each_arm() -> None:
    right, wrong = [f"name {i % 10}" for i in range(40)], ["?"] * 40
    half = right[:20] + wrong[20:]
    found = scored(
        with_arms(wrong, half, shots_4_alike=right, shots_4_random=half, larger=wrong), primary="exact_match"
    )
    score = found["metrics"]["exact_match"]
    assert (score["base"], score["tuned"], score["few_shot"]) == (0.0, 0.5, 1.0)
    assert {name: (arm["value"], arm["verdict"], arm["n"]) for name, arm in score["arms"].items()} == {
        "shots_4_alike": (1.0, "worse", 40),
        "shots_4_random": (0.5, "no clear difference", 40),
        "larger": (0.0, "better", 40),
    }
    assert score["arms"]["larger"]["p"] == pytest.approx(3 * score["p"]), "corrected for three arms"
    assert score["arms"]["shots_4_alike"]["interval"][1] < 0
    assert (score["test"], found["metrics"]["loss"]["test"]) == ("mcnemar", "bootstrap")
    assert "arms" not in found["metrics"]["loss"], "no arm was run over the samples"
    assert found["arms"]["larger"] == {"fewer": 0, "unasked": 0, "unfinished": 0}


def test_of_an_arm_only_what_it_was_asked_counts() -> None:
    right = [f"name {i % 10}" for i in range(40)]
    one = with_arms(["?"] * 40, right, larger=right[:30] + [""] * 10)
    arm = Measured(np.zeros((0, 3)), one.arms["larger"].answers, [""] * 40, 0, unasked=tuple(range(30, 40)))
    found = scored(replace(one, arms={"larger": arm}), primary="exact_match")["metrics"]
    for name in ("exact_match", "label_f1", "bleu", "token_f1"):
        if name in found:
            assert (found[name]["arms"]["larger"]["n"], found[name]["n"]) == (30, 40)
    assert found["exact_match"]["arms"]["larger"]["value"] == 1.0


def test_samples_that_stand_in_training_are_told_apart() -> None:
    """The tuned model has learned by heart, and can nothing else."""
    right, wrong = [f"name {i % 10}" for i in range(60)], ["?"] * 60
    tuned = right[:30] + wrong[30:]
    one = with_arms(wrong, tuned, shots_4_alike=wrong[:30] + right[30:])
    found = scoring.scored(one, Config(primary="exact_match"), 0, contaminated=list(one.asked[:30]))
    score = found["metrics"]["exact_match"]
    assert (score["base"], score["tuned"], score["verdict"], score["n"]) == (0.0, 0.5, "better", 60)
    clean = score["clean"]
    assert (clean["base"], clean["tuned"], clean["verdict"], clean["n"]) == (0, 0, "no clear difference", 30)
    assert (clean["few_shot"], clean["arms"]["shots_4_alike"]["verdict"]) == (1.0, "worse")
    assert found["metrics"]["loss"]["clean"]["n"] == 31, "the one without a prompt is clean"
    assert (found["contaminated"], found["power"]["n"]) == (30, 30)
    none = scoring.scored(one, Config(primary="exact_match"), 0)
    assert "clean" not in none["metrics"]["exact_match"]
    assert none["power"]["n"] == 60


def test_values_are_told_of_each_arm() -> None:
    one = with_arms(["?"] * 40, ["?"] * 40, shots_4_alike=[f"name {i % 10}" for i in range(40)])
    found = scoring.values(one, Config(metrics=("loss", "exact_match", "chrf")))
    assert found == {
        "base": {"loss": 2.0, "exact_match": 0.0, "chrf": 0.0},
        "shots_4_alike": found["shots_4_alike"],
    }
    assert found["shots_4_alike"] == {"exact_match": 1.0, "chrf": pytest.approx(100)}


def test_a_function_of_the_author_scores_and_takes_answers(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "def number(text):\n    return text.split()[-1]\n"
        "def near(prompt, answer, reference):\n    return 1 - min(1, abs(int(answer) - int(reference)))\n"
    )
    made = outcome(["it is 7"] * 30, ["that makes 8"] * 30, ["so 8"] * 30)
    told = scored(made, answer=f"python:{file}:number", score=f"python:{file}:near")["metrics"]
    assert (told["score"]["base"], told["score"]["tuned"], told["score"]["verdict"]) == (0, 1, "better")
    assert told["exact_match"]["tuned"] == 1


def test_a_function_that_fails_is_told_with_the_row(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def f(prompt, answer, reference):\n    raise ValueError(answer)\n")
    made = outcome(["hidden"] * 30, ["hidden"] * 30, ["x"] * 30)
    with pytest.raises(RecipeError, match=r"evaluate\.score: .* failed with ValueError.* row 1 ") as raised:
        scored(made, score=f"python:{file}:f")
    assert "hidden" not in str(raised.value)


def test_a_named_metric_that_does_not_apply_decides_nothing() -> None:
    """Neither a gain of another metric, nor silence."""
    found = scored(outcome(["x"] * 30, ["y"] * 30, [f"a {i}" for i in range(30)]), primary="label_f1")
    label_f1 = found["metrics"]["label_f1"]
    assert (label_f1["primary"], label_f1["n"], label_f1["base"], label_f1["verdict"]) == (
        True,
        0,
        None,
        "too few samples",
    )
    assert not any(one["primary"] for name, one in found["metrics"].items() if name != "label_f1")
    books = {"evaluate": found["metrics"], "power": found["power"]}
    decided, diagnosed = decision.decide(books), diagnose(books)
    assert decided is not None
    assert diagnosed is not None
    assert (decided["decision"], diagnosed["code"]) == ("mend", "no_metric")
    assert decided["reasons"][0]["words"].startswith(
        "label f1, which decides, could not be measured: name one"
    )


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_references_of_white_space_make_nothing_right(blank: str) -> None:
    """An empty answer would be exactly what is wanted."""
    found = scored(outcome(["x"] * 30, [""] * 30, [blank] * 30), primary="exact_match")
    assert set(found["metrics"]) == {"loss", "perplexity", "token_accuracy", "exact_match"}
    assert (found["metrics"]["exact_match"]["n"], found["metrics"]["exact_match"]["tuned"]) == (0, None)


def test_one_sample_has_no_interval_of_no_width() -> None:
    found = scored(outcome([], [], []))["metrics"]
    assert found["loss"] | {"p": 1.0} == {
        "base": 2.0,
        "tuned": 1.0,
        "interval": [None, None],
        "p": 1.0,
        "verdict": "too few samples",
        "n": 1,
        "test": "bootstrap",
        "primary": True,
    }


def test_hundreds_of_labels_are_labels() -> None:
    wanted = [f"label {at % 300}" for at in range(900)]
    found = scored(outcome(["label 1"] * 900, wanted, wanted), metrics=("label_f1",))["metrics"]["label_f1"]
    assert (found["tuned"], found["verdict"]) == (1.0, "better")
