"""What is wrong with a run, from its books alone."""

from typing import Any

import pytest

from headrace.pipelines.evaluate.diagnosis import rules
from headrace.pipelines.evaluate.diagnosis.books import PARTS
from headrace.pipelines.evaluate.diagnosis.diagnose import diagnose

LEARNT = {"base": {"validation": 2.0}, "best_validation": 1.0, "warnings": [], "stopped": None}


def run_json(
    verdict: str = "better", base: float = 0.4, name: str = "exact_match", **more: Any
) -> dict[str, Any]:
    score = {"base": base, "tuned": base + 0.1, "verdict": verdict, "n": 200, "primary": True}
    return {"evaluate": {name: score}, "train": LEARNT, "gates": {}, **more}


def rings(*names: str, value: float = 0.2) -> dict[str, dict[str, Any]]:
    return {name: {"state": "warn", "value": value, "words": f"{name} rings. Mend it"} for name in names}


def warned(*codes: str) -> dict[str, Any]:
    return {**LEARNT, "warnings": [{"code": code, "words": f"{code} said", "step": 3} for code in codes]}


def advised(code: str) -> dict[str, Any]:
    return {"verdict": "mend first", "reasons": [{"code": code, "level": "mend", "words": f"{code} is bad"}]}


def code(run: dict[str, Any]) -> str:
    found = diagnose(run)
    assert found is not None
    assert found["words"]
    assert found["evidence"]
    return str(found["code"])


@pytest.mark.parametrize(
    ("run", "wanted"),
    [
        (run_json(), "sound"),
        (run_json(gates={"empty": {"state": "pass", "value": 0.0, "words": "none"}}), "sound"),
        (run_json("worse", train=warned("exploding")), "rate_too_high"),
        (
            run_json(
                "worse",
                gates=rings("general_loss", "endless", value=2.4),
                train={**LEARNT, "best_validation": 2.1},
            ),
            "rate_too_high",
        ),
        (
            run_json("worse", gates=rings("general_loss", "endless", value=2.4), train=LEARNT),
            "no_end",
        ),
        (run_json("better", gates=rings("general_loss", value=2.4)), "forgetting"),
        (run_json(gates=rings("contamination")), "leak"),
        (run_json(gates=rings("endless", "format_drift")), "no_end"),
        (run_json(gates=rings("empty")), "no_end"),
        (run_json(gates=rings("copied", "format_drift")), "copies"),
        (run_json(gates=rings("format_drift", "membership")), "format"),
        (run_json(gates=rings("openers"), train=warned("no_signal")), "collapse"),
        (run_json(gates=rings("membership"), train=warned("few_rows")), "too_few_rows"),
        (run_json("no clear difference", advice=advised("size")), "too_few_rows"),
        (run_json(train=warned("few_rows")), "sound"),
        (run_json(gates=rings("signal")), "contradictions"),
        (run_json(train=warned("guessing")), "contradictions"),
        (run_json(train=warned("guessing"), gates=rings("general_loss")), "rate_too_high"),
        (run_json("no clear difference", advice=advised("contradictions")), "contradictions"),
        (run_json(advice=advised("contradictions")), "sound"),
        (run_json(gates=rings("recited", "forgetting")), "overfitting"),
        (run_json(train=warned("overfitting")), "overfitting"),
        (run_json(gates=rings("safety", "forgetting")), "forgetting"),
        (run_json(gates=rings("safety", value=0.9) | rings("forgetting")), "safety"),
        (run_json(gates=rings("swaps", "forgetting")), "safety"),
        (run_json(gates=rings("confusion", "forgetting")), "confusion"),
        (run_json(gates=rings("forgetting", "instructions")), "forgetting"),
        (run_json(train=warned("forgetting")), "forgetting"),
        (run_json(gates=rings("calibration")), "calibration"),
        (run_json(gates=rings("speed")), "slow"),
        (run_json("no clear difference", base=0.97), "base_good"),
        (run_json("no clear difference", base=2.0, name="loss"), "no_gain"),
        (run_json("no clear difference", train={**LEARNT, "best_validation": 1.99}), "nothing_learnt"),
        (run_json("no clear difference", train=warned("plateau")), "nothing_learnt"),
        (run_json("no clear difference", train=warned("metric_flat")), "metric_flat"),
        (run_json("no clear difference", power={"words": "nothing under 9 points"}), "too_few_samples"),
        (run_json("too few samples", power={"words": "hold out more"}), "too_few_samples"),
        (run_json("worse"), "no_gain"),
    ],
)
def test_the_cause_is_named_before_its_effects(run: dict[str, Any], wanted: str) -> None:
    assert code(run) == wanted


def test_a_loss_that_fell_beside_a_metric_that_did_not() -> None:
    run = run_json("no clear difference")
    run["evaluate"]["loss"] = {"base": 2.0, "tuned": 1.0, "verdict": "better", "n": 200, "primary": False}
    found = diagnose(run)
    assert found == {
        "code": "metric_flat",
        "words": next(rule.words for rule in rules.RULES if rule.code == "metric_flat"),
        "evidence": [
            "loss went from 2 to 1 (better)",
            "exact match went from 0.4 to 0.5 (no clear difference)",
        ],
        "beside": ["no_gain"],
    }


def test_a_gain_on_contaminated_rows_alone_is_a_leak() -> None:
    run = run_json()
    run["evaluate"]["exact_match"]["clean"] = {"verdict": "no clear difference"}
    found = diagnose(run)
    assert found is not None
    assert (found["code"], found["evidence"]) == (
        "leak",
        ["on rows that do not stand in training the verdict is: no clear difference"],
    )


def test_a_base_with_examples_that_is_better() -> None:
    run = run_json()
    run["evaluate"]["exact_match"]["arms"] = {
        "shots_4_alike": {"verdict": "worse"}, "larger": {"verdict": "worse"},
    }  # fmt: skip
    found = diagnose(run)
    assert found is not None
    assert found["code"] == "prompt_instead"
    assert found["evidence"] == ["the base with 4 examples like the question is better"]


def test_what_holds_too_is_named_beside_it() -> None:
    found = diagnose(run_json(gates=rings("recited", "forgetting")))
    assert found is not None
    assert found["beside"] == ["forgetting"]
    assert found["evidence"] == ["recited rings. Mend it"]


def test_a_training_that_was_stopped_is_told_without_an_evaluation() -> None:
    stopped = {**LEARNT, "stopped": {"reason": "diverging", "words": "the loss has risen", "step": 30}}
    found = diagnose({"train": stopped})
    assert found is not None
    assert (found["code"], found["evidence"]) == ("rate_too_high", ["the loss has risen"])


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"train": LEARNT},
        {"train": {**LEARNT, "stopped": {"reason": "patience", "words": "enough", "step": 3}}},
        run_json() | {"evaluate": {"stale": "other rows"}},
    ],
)
def test_of_what_was_not_evaluated_nothing_is_said(run: dict[str, Any]) -> None:
    assert diagnose(run) is None


def test_every_code_is_there_once() -> None:
    assert len(set(rules.codes())) == len(rules.codes()) == len(rules.RULES) + 1


def part(value: str, verdict: str = "worse", by: str = "language") -> dict[str, Any]:
    told = {"n": 40, "base": 0.6, "tuned": 0.35, "interval": [-0.4, -0.1], "p": 0.001}
    return {"by": by, "value": value, "verdict": verdict, **told}


def test_a_part_on_which_it_is_worse_is_named() -> None:
    told = "where the language is de, exact match went from 0.6 to 0.35"
    told += " (95% interval of the change -0.4 to -0.1, 40 samples)"
    run = run_json(slices=[part("de"), part("en", "no clear difference"), part("fr", "better")])
    found = diagnose(run)
    assert found is not None
    assert (found["code"], found["evidence"]) == ("worse_in_part", [told])
    assert found["words"].endswith(f"It is worse than the base in a part: {told}.")
    other = diagnose({**run, "gates": rings("forgetting")})
    assert other is not None
    assert (other["code"], other["beside"]) == ("forgetting", ["worse_in_part"])
    assert other["words"].endswith(f"in a part: {told}.")
    alone = diagnose({**run, "slices": [part("en", "no clear difference")]})
    assert alone is not None
    assert alone["code"] == "sound"
    many = diagnose({**run, "slices": [part(str(n), by="label") for n in range(9)]})
    assert many is not None
    assert many["words"].count("the label is") == PARTS
