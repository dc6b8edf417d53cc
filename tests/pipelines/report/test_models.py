"""The report's parts on training and on the models: whose verdict is told, and what is left out."""

import json
import math
from pathlib import Path

import pytest

from headrace.pipelines import flow
from headrace.pipelines.evaluate.config import METRICS, VERDICTS
from headrace.pipelines.report import comparison
from headrace.pipelines.report import page as report
from tests.pipelines.report.runs import history, prepared_run, score, shown


@pytest.mark.parametrize("word", VERDICTS)
def test_the_verdict_is_that_of_the_metric_that_decides(word: str, tmp_path: Path) -> None:
    others = {"bleu": score(1.0, 2.0, [0, 1]), "rouge1": score(2.0, 1.0, [-1, 0], "worse")}
    told = {"loss": score(2.0, 1.0, [-1, 1], word, primary=True), **others}
    found = comparison.metrics(told)
    assert found is not None
    assert found["verdict"] == word
    assert found["counts"] == {"better": 1, "worse": 1, "no clear difference": 0, "too few samples": 0}
    assert [one.metric for one in found["shown"]] == ["loss", "bleu", "rouge1"]
    assert [one.lower_is_better for one in found["shown"]] == [True, False, False]
    run = {**prepared_run(), "evaluate": told}
    page = shown(tmp_path, run)
    said = {
        "better": ("loss: better", "Yes."),
        "worse": ("loss: worse", "No, it is worse."),
        "no clear difference": ("loss: no clear difference", "It cannot be told apart."),
        "too few samples": ("loss: too few samples", "Not known: 200 held-out samples can show nothing"),
    }[word]
    assert all(words in page.text for words in said)
    assert "Beside it, and changing nothing: of 2 other metrics it is better on 1, worse on 1." in page.text


def test_without_the_metric_that_decides_there_is_no_verdict(tmp_path: Path) -> None:
    run = {**prepared_run(), "evaluate": {"loss": score(2.0, 1.0, [-1, -0.5])}}
    page = shown(tmp_path, run)
    assert "Not known: the metric that decides was not measured" in page.text
    assert "Yes." not in page.text


def test_one_row_shows_nothing_whatever_was_made_of_it(tmp_path: Path) -> None:
    told = {"exact_match": {**score(0.0, 1.0, [1.0, 1.0], primary=True), "n": 1}}
    found = comparison.metrics(told)
    assert found is not None
    assert (found["verdict"], found["shown"][0].interval) == ("too few samples", None)
    page = shown(tmp_path, {**prepared_run(), "evaluate": told})
    assert "exact match decides 0.000 1.000 +1.000 not told 1 too few samples" in page.text
    assert "on 1 held-out sample (too few samples)" in page.text


def test_figures_have_no_powers_of_ten(tmp_path: Path) -> None:
    told = {"perplexity": score(1594.4, 2.25, [-1600.0, -1580.123])}
    page = shown(tmp_path, {**prepared_run(), "evaluate": told})
    assert "perplexity less is better 1,594 2.250 −1,592 −1,600 to −1,580 < 0.001 200 better" in page.text


def test_a_metric_of_the_recipe_stands_behind_the_known_ones() -> None:
    found = comparison.metrics({"my_score": score(0.1, 0.2, [0.05, 0.15]), "bleu": score(1, 2, [0, 1])})
    assert found is not None
    assert [one.name for one in found["shown"]] == ["BLEU", "my score"]


def test_every_metric_has_a_name_on_the_page() -> None:
    assert set(comparison.NAMES) == set(METRICS)


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    told = {"perplexity": score(None, 3.0, [None, None]), "loss": score(9.0, 1.1, [None, -7.0])}
    found = comparison.metrics(told)
    assert found is not None
    assert [(one.metric, one.interval) for one in found["shown"]] == [("loss", None)]
    assert comparison.metrics({"perplexity": told["perplexity"]}) is None
    run = {**prepared_run(), "train": history([2.0, math.nan, 1.0], {}), "evaluate": told}
    page = shown(tmp_path, run)
    assert "Training loss went from 2.000 to 1.000." in page.text
    assert "loss nats a token less is better 9.000 1.100 −7.900 not told < 0.001 200 better" in page.text


def test_curves_of_a_training() -> None:
    found = comparison.training(history([3.0, 2.0, 1.5, 1.0], {2: 2.5, 4: 1.5}))
    assert found is not None
    assert (found["steps"], found["first"], found["last"], found["best"]) == (4, 3.0, 1.0, (4, 1.5))
    assert not found["rising"]
    assert found["facts"]["tokens with a loss, over all epochs"] == "91,000"
    unvalidated = comparison.training(history([3.0, 2.0], {}))
    assert unvalidated is not None
    assert unvalidated["best"] is None
    assert unvalidated["facts"] == {"epochs": "3", "tokens with a loss, over all epochs": "91,000"}


def test_what_was_wrong_with_a_training_is_told(tmp_path: Path) -> None:
    words = "it learns its rows by heart <b>"
    train = {
        **history([3.0, 2.0, 1.5, 1.0], {1: 2.0, 2: 1.5, 3: 1.6, 4: 1.7}),
        "base": {"validation": 2.25, "general": None},
        "warnings": [{"code": "overfitting", "words": words, "step": 4}],
        "stopped": {"reason": "patience", "words": "2 validations were not better", "step": 4},
    }
    found = comparison.training(train)
    assert found is not None
    assert not found["rising"], "it is said once"
    run = {**prepared_run(), "train": train}
    page = shown(tmp_path, run)
    assert "Step 4: it learns its rows by heart <b>." in page.text
    assert "Stopped: 2 validations were not better" in page.text
    assert "Before training it was 2.250." in page.text


def test_rising_validation_is_told() -> None:
    found = comparison.training(history([3.0, 2.0, 1.5, 1.0], {1: 2.0, 2: 1.5, 3: 1.6, 4: 1.7}))
    assert found is not None
    assert found["rising"]
    assert found["best"] == (2, 1.5)


def test_pairs_and_pools_are_told(tmp_path: Path) -> None:
    pairs = {"pairs": 1200, "accuracy": 0.75, "margin": 0.5, "chosen_reward": 0.2, "rejected_reward": -0.3}
    run = prepared_run()
    run["train"] = {
        "steps": 1,
        "loss": [1.0],
        "learning_rate": [0.1],
        "validation": [],
        "validation_steps": [],
        "best_step": 1,
        "best_validation": None,
        "epochs": 1,
        "tokens": 9,
        "seconds": 1.0,
        "tokens_per_second": 9.0,
        "preference": pairs,
    }
    words = "5 of 9 rows of 'general', 50 tokens, are drawn: 10.0% of the tokens to train on"
    run["mix"] = {"general": {"below": 7, "words": words}, "off": {"below": None, "words": "too few"}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    written = Path(report.build(str(tmp_path), flow.STAGES)).read_text()
    assert "Of 1,200 pairs of a chosen and a rejected answer that were learned, 75%" in written
    assert f"Mixed in (<code>mix</code>): {words.replace(chr(39), '&#39;')}." in written
    assert "Mixed in, and fewer than asked for:</strong> too few." in written
