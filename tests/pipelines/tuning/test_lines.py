"""What an evaluation says in the terminal of the tuned model beside its base and the other arms."""

from typing import Any

from headrace.pipelines.tuning import lines

SCORE: dict[str, Any] = {"base": 0.4, "tuned": 0.6, "verdict": "better", "n": 50, "primary": True}


def test_the_metric_that_decides_is_told_beside_each_arm() -> None:
    arms = {
        "shots_4_alike": {"value": 0.5, "verdict": "better"},
        "shots_1_random": {"value": None, "verdict": "too few samples"},
        "retrieval": {"value": 0.6123456, "verdict": "no clear difference"},
    }
    clean = {"base": 0.4, "tuned": 0.41, "verdict": "no clear difference", "n": 42}
    score = {**SCORE, "few_shot": 0.5, "arms": arms, "clean": clean}
    assert lines.score("exact_match", score).splitlines() == [
        "  exact_match: base 0.4, few-shot 0.5, tuned 0.6 (better; this decides)",
        "    beside the base with 4 examples like the question (0.5): better",
        "    beside the base with 1 example drawn at random (not measured): too few samples",
        "    beside the base with passages of the documents (0.6123): no clear difference",
        "    without the 8 samples that stand in training: base 0.4, tuned 0.41 (no clear difference)",
    ]


def test_other_metrics_have_a_line_alone() -> None:
    score = {**SCORE, "primary": False, "few_shot": 0.5, "arms": {"larger": {"value": 1, "verdict": "worse"}}}
    assert lines.score("rouge1", score) == "  rouge1: base 0.4, few-shot 0.5, tuned 0.6 (better)"


def test_where_nothing_is_clean_that_is_told() -> None:
    clean = {"base": None, "tuned": None, "verdict": "too few samples", "n": 0}
    assert lines.score("loss", {**SCORE, "clean": clean}).splitlines()[1:] == [
        "    without the 50 samples that stand in training: nothing to measure (too few samples)"
    ]


def test_what_an_arm_lacked_is_told() -> None:
    whole = {"fewer": 0, "unasked": 0, "unfinished": 3}
    told = {
        "shots_4_alike": {**whole, "fewer": 1200},
        "shots_4_random": whole,
        "larger": {**whole, "unasked": 2},
    }
    told["earlier"] = {**whole, "same_rows": False}
    assert list(lines.notes({"arms": told})) == [
        "  the base with 4 examples like the question: 1,200 prompts have room in the context for less",
        "  the larger base: 2 samples could not be put into its form",
        "  the earlier adapter was trained on other rows, or does not say on which: what is held out here "
        "may be what it has learned",
    ]
    assert list(lines.notes({})) == []
