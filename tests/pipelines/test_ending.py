"""What stands of gates and verdict where a command breaks off: never a better word than before."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import storage
from headrace.cluster.errors import GateError, UserError
from headrace.pipelines import ending
from headrace.pipelines.evaluate import standing
from tests.pipelines.evaluations import evaluate, outcome

RANG = {"passed": True, "state": "warn", "words": "half of the answers do not end"}
PASSED = {"passed": True, "words": ""}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that is evaluated: better, and a gate rang."""
    monkeypatch.setattr(ending, "_built", lambda path, stages: f"{path}/report.html")
    path = evaluate(tmp_path / "run", outcome(["no"] * 40, ["yes"] * 40, ["yes"] * 40))
    better = {"base": 0.0, "tuned": 1.0, "verdict": "better", "n": 40, "primary": True}
    written = {
        "evaluate": {"exact_match": better},
        "gates": {"endless": RANG, "train.loss": PASSED, "pii.gate": PASSED},
        "train": {"key": "training"},
    }
    storage.put(f"{path}/recipe.yaml", b"")
    storage.put(f"{path}/run.json", json.dumps(written).encode())
    return path


def written(run: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(storage.read_bytes(f"{run}/run.json"))
    return told


def ends(run: str, command: str, error: BaseException | None = None, **more: Any) -> str | None:
    """The decision after a command that breaks off with an error, or does not."""
    with suppress(*([type(error)] if error else [])), ending.recorded(command, (), run, "quiet", **more):
        if error is not None:
            raise error
    verdict = written(run).get("verdict")
    return None if verdict is None else str(verdict["decision"])


@pytest.mark.parametrize("command", ["evaluate", "train"])
@pytest.mark.parametrize("error", [UserError("no such file"), RuntimeError("x"), KeyboardInterrupt()])
def test_what_is_refused_before_any_work_leaves_gates_as_they_were(
    run: str, command: str, error: BaseException
) -> None:
    """Without them the run would ship."""
    gates = written(run)["gates"]
    found = ends(run, command, error)
    assert found == "mend" or isinstance(error, KeyboardInterrupt)  # which decides nothing anew
    assert written(run)["gates"] == gates
    assert written(run)["unheld"] == []
    assert ends(run, "sweep") == "mend"


def test_gates_of_what_is_there_no_more_decide_nothing(run: str) -> None:
    def breaks() -> None:
        with ending.recorded("evaluate", (), run, "quiet"):
            storage.put(
                f"{run}/{standing.SCORES}", json.dumps({"adapter": "training", "key": "new"}).encode()
            )
            raise UserError("the disk is full")

    with pytest.raises(UserError):
        breaks()
    assert (written(run)["unheld"], written(run)["verdict"]) == (["evaluate"], None)
    assert "endless" not in written(run)["gates"]
    assert ends(run, "train") is None, "another command holds no gate of the evaluation"
    assert ends(run, "evaluate") == "ship", "held anew, and none rings"
    assert written(run)["unheld"] == []


def test_a_killed_command_leaves_no_verdict(run: str) -> None:
    killed = ending.recorded("evaluate", (), run, "quiet")
    killed.__enter__()
    ending.report(run, (), "quiet")
    assert (written(run)["unheld"], written(run)["verdict"]) == (["evaluate"], None)


def test_a_gate_that_fails_is_held(run: str) -> None:
    error = GateError("endless: half do not end").at("endless")
    assert ends(run, "evaluate", error) == "mend"
    assert written(run)["unheld"] == []
    assert written(run)["gates"]["endless"] == {"passed": False, "words": "endless: half do not end"}


def test_a_whole_run_that_is_refused_says_nothing_of_what_it_was_to_make_anew(run: str) -> None:
    assert ends(run, "run", UserError("no model"), parts=("prepare", "train", "evaluate")) is None
    assert written(run)["unheld"] == ["prepare"]
    assert {"endless", "train.loss"} <= set(written(run)["gates"])


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_a_command_that_holds_no_gate_leaves_them_as_they_were(run: str, command: str) -> None:
    """`train --probe`, `evaluate --baseline`."""
    gates = written(run)["gates"]
    assert ends(run, command) == "mend"
    assert written(run)["gates"] == gates
