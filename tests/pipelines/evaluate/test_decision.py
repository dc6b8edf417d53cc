"""One word for a run, from its books alone."""

from typing import Any

import pytest

from headrace.pipelines.evaluate import decision


def run_json(
    verdict: str = "better", base: float = 0.4, name: str = "exact_match", **more: Any
) -> dict[str, Any]:
    score = {"base": base, "tuned": base + 0.1, "verdict": verdict, "n": 200, "primary": True}
    return {"evaluate": {"loss": {**score, "primary": False}, name: score}, **more}


def decided(run: dict[str, Any]) -> tuple[str, list[str]]:
    found = decision.decide(run)
    assert found is not None
    return found["decision"], [reason["code"] for reason in found["reasons"]]


def test_a_gain_that_nothing_speaks_against_ships() -> None:
    assert decided(run_json(gates={"pii": {"passed": True, "words": ""}})) == ("ship", ["evaluate"])


@pytest.mark.parametrize(
    ("run", "wanted"),
    [
        (run_json("worse"), ("do_not_tune", ["evaluate"])),
        (run_json("no clear difference"), ("mend", ["evaluate"])),
        (run_json("no clear difference", base=0.97), ("do_not_tune", ["evaluate"])),
        (run_json("no clear difference", base=2.0, name="loss"), ("mend", ["evaluate"])),
        (run_json("too few samples"), ("mend", ["evaluate"])),
        (run_json(gates={"g": {"passed": False, "words": "x"}}), ("mend", ["g", "evaluate"])),
        (run_json(gates={"g": {"state": "fail", "words": "x"}}), ("mend", ["g", "evaluate"])),
        (run_json(gates={"g": {"state": "warn", "words": "x"}}), ("mend", ["g", "evaluate"])),
        (
            run_json(train={"warnings": [{"code": "overfitting", "words": "w", "step": 3}]}),
            ("ship", ["evaluate", "train.overfitting"]),
        ),
        (
            run_json(
                advice={
                    "verdict": "do not tune",
                    "reasons": [{"code": "size", "level": "stop", "words": "few"}],
                }
            ),
            ("do_not_tune", ["advice.size", "evaluate"]),
        ),
    ],
)
def test_the_gravest_reason_decides_and_comes_first(
    run: dict[str, Any], wanted: tuple[str, list[str]]
) -> None:
    assert decided(run) == wanted


@pytest.mark.parametrize("run", [{}, {"evaluate": {"stale": True, "why": "x"}}, {"evaluate": {}}])
def test_without_an_evaluation_there_is_no_word(run: dict[str, Any]) -> None:
    assert decision.decide(run) is None


def test_what_could_have_been_told_is_said_where_no_gain_is() -> None:
    found = decision.decide(
        run_json("no clear difference", power={"words": "with 200 a gain under 9 points is not told."})
    )
    assert found is not None
    assert found["reasons"][0]["words"].endswith("(with 200 a gain under 9 points is not told)")


def arms(**verdicts: str) -> dict[str, Any]:
    """A score's arms by their verdicts: what the tuned model is beside them."""
    value = {"worse": 0.9, "better": 0.1}
    return {name: {"value": value.get(v, 0.5), "verdict": v, "n": 200} for name, v in verdicts.items()}


@pytest.mark.parametrize(
    ("beside", "wanted"),
    [
        ({"shots_4_alike": "better"}, ("ship", ["evaluate", "evaluate.few_shot"])),
        ({"shots_4_alike": "no clear difference"}, ("mend", ["evaluate.few_shot", "evaluate"])),
        ({"shots_4_alike": "worse"}, ("do_not_tune", ["evaluate.few_shot", "evaluate"])),
        (
            {"shots_4_alike": "better", "shots_4_random": "worse"},
            ("do_not_tune", ["evaluate.few_shot", "evaluate"]),
        ),
        ({"retrieval": "worse"}, ("do_not_tune", ["evaluate.retrieval", "evaluate"])),
        ({"earlier": "worse"}, ("mend", ["evaluate.earlier", "evaluate"])),
        ({"earlier": "no clear difference"}, ("mend", ["evaluate.earlier", "evaluate"])),
        ({"larger": "worse"}, ("ship", ["evaluate", "evaluate.larger"])),
    ],
)
def test_what_a_prompt_does_has_to_be_beaten(beside: dict[str, str], wanted: tuple[str, list[str]]) -> None:
    run = run_json()
    run["evaluate"]["exact_match"]["arms"] = arms(**beside)
    assert decided(run) == wanted


def test_a_prompt_that_leaves_nothing_to_gain_is_enough() -> None:
    run = run_json(base=0.85)
    run["evaluate"]["exact_match"]["arms"] = arms(shots_4_alike="no clear difference")
    assert decided(run)[0] == "mend"
    run["evaluate"]["exact_match"]["arms"]["shots_4_alike"]["value"] = 0.96
    assert decided(run) == ("do_not_tune", ["evaluate.few_shot", "evaluate"])


def test_an_equal_prompt_is_no_reason_where_there_is_no_gain() -> None:
    run = run_json("no clear difference")
    run["evaluate"]["exact_match"]["arms"] = arms(shots_4_random="no clear difference")
    assert decided(run) == ("mend", ["evaluate"])


def test_the_reason_names_the_arm_and_what_to_do() -> None:
    run = run_json("better", base=2.0, name="loss")
    run["evaluate"]["loss"]["arms"] = {
        "shots_1_random": {"value": 1.9, "verdict": "worse", "n": 200},
        "shots_4_alike": {"value": 1.2, "verdict": "worse", "n": 200},
    }
    found = decision.decide(run)
    assert found is not None
    assert found["reasons"][0]["words"] == (
        "the base with 4 examples like the question reaches 1.2 in loss, the tuned model 2.1: better, beyond "
        "chance; prompt the base with examples instead, or show a gain over that"
    )


def test_only_samples_that_do_not_stand_in_training_count() -> None:
    run = run_json()
    run["evaluate"]["exact_match"]["clean"] = {
        "base": 0.4,
        "tuned": 0.41,
        "verdict": "no clear difference",
        "n": 150,
    }
    found = decision.decide(run)
    assert found is not None
    assert found["decision"] == "mend"
    assert found["reasons"][0]["words"] == (
        "exact match went from 0.4 to 0.41 over 150 held-out samples (50 more stand in the training rows): "
        "no gain that chance does not explain"
    )
    run["evaluate"]["exact_match"]["clean"] = {
        "base": None,
        "tuned": None,
        "verdict": "too few samples",
        "n": 0,
    }
    found = decision.decide(run)
    assert found is not None
    assert found["reasons"][0]["words"] == "all 200 held-out samples stand in the training rows"


@pytest.mark.parametrize(
    ("values", "verdict", "wanted"),
    [
        ([0.5, 0.45], "better", ("ship", ["evaluate", "evaluate.seeds"])),
        ([0.5, 0.38], "better", ("mend", ["evaluate.seeds", "evaluate"])),
        ([0.5, 0.38], "no clear difference", ("mend", ["evaluate"])),
    ],
)
def test_a_gain_is_held_against_what_seeds_differ_by(
    values: list[float], verdict: str, wanted: tuple[str, list[str]]
) -> None:
    seeds = {"metric": "exact_match", "values": values, "spread": max(values) - min(values)}
    assert decided(run_json(verdict, seeds=seeds)) == wanted
    other = {**seeds, "metric": "loss"}
    assert "evaluate.seeds" not in decided(run_json(verdict, seeds=other))[1]
