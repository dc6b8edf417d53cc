"""Every gate with its threshold, its state and what was seen; and how evaluate ends where one rings."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster.errors import GateError
from headrace.pipelines import ending, recipe
from headrace.pipelines.commands import gates
from headrace.pipelines.evaluate import run as evaluation
from headrace.pipelines.evaluate.gates import judge
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.examine.spot_check import ratings
from headrace.pipelines.tuning import evaluating

SEEN = {
    "value": 0.2,
    "interval": [0.1, 0.3],
    "threshold": 0.02,
    "state": "warn",
    "words": "4 of 20",
    "rows": [1],
}


def told(run: Path, **more: Any) -> dict[str, dict[str, Any]]:
    made = {"output": str(run), "sources": [{"name": "s", "path": "p"}], **more}
    return {line.fields["name"]: line.fields for line in gates.lines(recipe.validate(made, "recipe.yaml"))}


def test_every_gate_is_listed_before_anything_was_run(tmp_path: Path) -> None:
    found = told(tmp_path / "run")
    assert set(found) == {name for of_command in ending.GATES.values() for name in of_command}
    assert found["pii.gate"]["state"] == gates.NOT_YET
    assert found[ratings.GATE]["state"] == gates.OFF
    assert {found[name]["fails"] for name in THRESHOLDS} == {"a warning"}


def test_what_was_seen_stands_beside_its_threshold(tmp_path: Path) -> None:
    held = {"pii.gate": {"passed": False, "words": "2 addresses"}, "endless": {"passed": True, **SEEN}}
    (tmp_path / "run.json").write_text(json.dumps({"gates": held}))
    found = told(tmp_path)
    assert (found["pii.gate"]["state"], found["pii.gate"]["words"]) == ("fail", "2 addresses")
    assert found["endless"]["state"] == "warn"
    assert found["endless"]["interval"] == [0.1, 0.3]
    assert found["empty"]["state"] == gates.NOT_YET


def test_why_a_gate_was_not_held(tmp_path: Path) -> None:
    for folder in ("evaluation", "adapter"):
        (tmp_path / folder).mkdir()
    scores = {"adapter": "k", "split": "test", "measured": {"safety": "nobody asked"}}
    (tmp_path / "evaluation/scores.json").write_text(json.dumps(scores))
    (tmp_path / "evaluation/speed.json").write_text(json.dumps({"speed": "no prompt has room"}))
    (tmp_path / "run.json").write_text("{}")
    assert told(tmp_path)["safety"]["state"] == gates.NOT_YET, "of an adapter that is not there"
    (tmp_path / "adapter/headrace.json").write_text(json.dumps({"key": "k", "packed": {}}))
    found = told(tmp_path)
    assert found["safety"]["state"] == "not held, as nobody asked"
    assert found["speed"]["state"] == "not held, as no prompt has room"


@pytest.mark.parametrize(
    ("section", "fails"),
    [({"ship": "fail"}, "exit 3"), ({"enabled": False}, None), ({"off": ["endless"]}, None)],
)
def test_the_recipe_says_what_happens(tmp_path: Path, section: dict[str, Any], fails: str | None) -> None:
    assert told(tmp_path, gates=section)["endless"]["fails"] == fails


def test_a_threshold_of_ones_own_is_named_as_such(tmp_path: Path) -> None:
    found = told(tmp_path, gates={"thresholds": {"endless": 0.5}})["endless"]
    assert found["threshold"].endswith("not over 0.5")
    assert found["source"] == "the recipe's"


@pytest.mark.parametrize("state", ["warn", "fail"])
def test_a_gate_that_rings_warns_or_fails_after_all_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    made = {"output": str(tmp_path), "sources": [{"name": "s", "path": "p"}], "model": "m"}
    loaded = recipe.validate(made, "recipe.yaml")
    earlier = {
        "kept": {"passed": True, "words": ""},
        "empty": {"passed": False, "words": "of an earlier start"},
    }
    (tmp_path / "run.json").write_text(json.dumps({"gates": earlier}))
    monkeypatch.setattr(evaluation, "run", lambda *_, **__: {})
    held = judge.Judged({"endless": {**SEEN, "state": state}}, {})
    monkeypatch.setattr(evaluation, "held", lambda *_: held)
    try:
        evaluating._evaluated(loaded, "plain")
        failed = None
    except GateError as error:
        failed = error.gate, str(error), error.exit_code
    assert failed == (None if state == "warn" else ("endless", "gates.endless: 4 of 20", 3))
    written = json.loads((tmp_path / "run.json").read_bytes())["gates"]
    assert written == {
        "kept": earlier["kept"],
        "endless": {"passed": state == "warn", **SEEN, "state": state},
    }
    output = capsys.readouterr()
    assert "gate endless: 4 of 20" in output.out + output.err


def test_an_alarm_that_only_warns_is_not_said_to_be_held(tmp_path: Path) -> None:
    assert told(tmp_path)["dedup.alarm"]["state"] == gates.WARNED
    assert told(tmp_path, dedup={"on_alarm": "stop"})["dedup.alarm"]["state"] == gates.NOT_YET
