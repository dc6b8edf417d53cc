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
