"""Every end leaves run.json and a report that say how it was: gates passed or failed, with words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster.errors import GateError, HeadraceError
from headrace.pipelines import ending, flow, recipe
from headrace.pipelines.evaluate import run as evaluation
from headrace.pipelines.tuning import evaluating
from tests.builders import recipe_of, run_command, save_recipe, story, sums, write_jsonl

pytestmark = pytest.mark.ray


def chats(count: int, bad: Callable[[int], bool]) -> list[dict[str, Any]]:
    """Conversations, of which some begin with an assistant's turn."""
    turns = [("user", "what is asked"), ("assistant", "what is said")]
    return [
        {
            "messages": [
                {"role": role, "content": f"{text} {story(n, 20)}"}
                for role, text in (turns[::-1] if bad(n) else turns)
            ]
        }
        for n in range(count)
    ]


@pytest.fixture
def refusing(tmp_path: Path) -> str:
    """A model whose chat template refuses a conversation that an assistant begins."""
    import shutil

    import headrace.pipelines.stages.tokenise.tokenizer as own

    folder = tmp_path / "model"
    shutil.copytree(Path(own.__file__).parent / "assets/tokenizer", folder)
    template = folder / "chat_template.jinja"
    guard = "{% if messages[0]['role'] == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
    template.write_text(guard + template.read_text())
    return str(folder)


def ended(run: Path) -> dict[str, Any]:
    """run.json's `ended`."""
    written: dict[str, Any] = json.loads((run / "run.json").read_bytes())
    return dict(written["ended"])


def test_the_limit_holds_for_what_pass_3_quarantines(ray_local: None, tmp_path: Path, refusing: str) -> None:
    write_jsonl(tmp_path / "in.jsonl", chats(60, lambda n: n % 3 == 0))
    keep = {"alternation": "keep", "opening": "keep"}
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl", "chats", model=refusing, clean=keep)
    command = ["prepare", save_recipe(tmp_path / "recipe.yaml", data)]
    code, _, err = run_command(command)
    assert code == 2
    assert "source 'chats': 20 of 60 records (33.3%) could not be used, over quarantine.limit 5.0%" in err
    assert "20 tokenise.error: " in err
    assert "in in.jsonl" in err
    assert "chat template refuses" in err
    told = ended(tmp_path / "run")
    assert (told["code"], told["gate"]) == (2, "quarantine.limit")
    written = json.loads((tmp_path / "run/run.json").read_bytes())
    assert written["rows"]["quarantined"] == {"tokenise.error": 20}
    assert written["gates"] == {"quarantine.limit": {"passed": False, "words": told["words"]}}
    assert "digest" not in written
    page = (tmp_path / "run/report.html").read_text()
    assert "A gate failed: <code>quarantine.limit</code>" in page
    assert "Stopped before it was done" in page
    assert run_command(["train", command[1]])[0] == 2
    code, _, err = run_command([*command, "quarantine.limit=0.5"])
    assert (code, err) == (0, "")
    assert ended(tmp_path / "run") == {"command": "prepare", "code": 0, "gate": None, "words": ""}
    assert "A gate failed" not in (tmp_path / "run/report.html").read_text()


def test_an_alarm_that_stops_leaves_a_report(ray_local: None, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [*sums(30), *sums(30)])
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl", dedup={"alarm": 0.1, "on_alarm": "stop"})
    assert run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])[0] == 3
    told = ended(tmp_path / "run")
    assert (told["code"], told["gate"]) == (3, "dedup.alarm")
    page = (tmp_path / "run/report.html").read_text()
    assert "A gate failed: <code>dedup.alarm</code>" in page
    assert "Removed rows beside the rows that stand for them" in page


def test_a_run_that_keeps_nothing_leaves_a_report(ray_local: None, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"question": "?", "answer": ""} for _ in range(4)])
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl")
    code, _, err = run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])
    assert code == 2
    assert "none of 4 records was kept, 4 of them for clean.empty_answer. `headrace rejected" in err
    told = ended(tmp_path / "run")
    assert (told["code"], told["gate"]) == (2, "kept")
    assert json.loads((tmp_path / "run/run.json").read_bytes())["gates"]["kept"]["passed"] is False
    assert (tmp_path / "run/report.html").exists()


def test_personal_data_in_the_shards_is_told_everywhere(
    ray_local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.pipelines.passes.gate import driver as gate

    def leaks(run: Any, seen: Any, mode: Any) -> None:
        raise GateError("gate: PII in the packed shards: 1 EMAIL_ADDRESS").at("pii.gate")

    monkeypatch.setattr(gate, "judge", leaks)
    write_jsonl(tmp_path / "in.jsonl", sums(30))
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl")
    assert run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", data)])[0] == 3
    assert ended(tmp_path / "run")["gate"] == "pii.gate"
    assert "A gate failed: <code>pii.gate</code>" in (tmp_path / "run/report.html").read_text()


def test_a_gate_of_evaluation_stands_in_run_json_and_report(
    ray_local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "in.jsonl", sums(30))
    gate = {"metric": "loss", "improvement": 0.1}
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl", model="nowhere", evaluate={"gate": gate})
    prepared = {**data, "model": None}
    assert run_command(["prepare", save_recipe(tmp_path / "recipe.yaml", prepared)])[0] == 0
    better = {
        "base": 2.0,
        "tuned": 1.95,
        "interval": [-0.06, -0.04],
        "verdict": "better",
        "n": 30,
        "primary": True,
    }
    loaded = recipe.validate(data, "recipe.yaml")

    def fails(*_: Any, **__: Any) -> Any:
        raise GateError("evaluate.gate: loss went from 2 to 1.95; asked for: better by at least 0.1")

    monkeypatch.setattr(evaluating, "_has_adapter", lambda run: True)
    monkeypatch.setattr(evaluation, "run", fails)
    monkeypatch.setattr(evaluation, "written", lambda path: {"metrics": {"loss": better}})
    with pytest.raises(GateError):
        flow.evaluate(loaded, "quiet")
    written = json.loads((tmp_path / "run/run.json").read_bytes())
    assert written["gates"]["evaluate.gate"]["passed"] is False
    assert written["ended"]["gate"] == "evaluate.gate"
    assert "A gate failed: <code>evaluate.gate</code>" in (tmp_path / "run/report.html").read_text()
    monkeypatch.setattr(evaluation, "run", lambda *_, **__: {"loss": better})
    assert flow.evaluate(loaded, "quiet")["gates"]["evaluate.gate"] == {"passed": True, "words": ""}
    page = (tmp_path / "run/report.html").read_text()
    assert "A gate failed" not in page
    assert '<strong class="good">passed</strong>' in page.partition("<code>evaluate.gate</code>")[2][:300]


def test_a_command_that_is_under_way_or_breaks_says_no_earlier_end(
    ray_local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "in.jsonl", sums(30))
    loaded = recipe.validate(recipe_of(tmp_path / "run", tmp_path / "in.jsonl"), "recipe.yaml")
    flow.prepare(loaded, "quiet")
    meanwhile: list[Any] = []

    def breaks(error: BaseException) -> Callable[..., Any]:
        def passes(*_: Any) -> Any:
            meanwhile.append(ended(tmp_path / "run"))
            raise error

        return passes

    for error, code, words in (
        (RuntimeError("what a row holds"), 1, "fault: RuntimeError in passes (test_endings.py:"),
        (KeyboardInterrupt(), 130, "interrupted: "),
    ):
        monkeypatch.setattr(flow, "_passes", breaks(error))
        with pytest.raises(type(error)):
            flow.prepare(loaded, "quiet")
        assert meanwhile.pop() == {"command": "prepare", "code": None, "gate": None, "words": ""}
        told = ended(tmp_path / "run")
        assert (told["code"], told["gate"]) == (code, None)
        assert told["words"].startswith(words)
        assert "what a row holds" not in (tmp_path / "run/run.json").read_text()
    monkeypatch.undo()
    monkeypatch.setattr(ending, "report", breaks(ValueError("page")))
    with pytest.raises(ValueError, match="page"):
        flow.prepare(loaded, "quiet")
    assert ended(tmp_path / "run")["code"] == 1


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (SystemExit(15), 143)])
def test_a_first_start_that_is_stopped_behind_pass_1_leaves_its_books(
    ray_local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException, code: int
) -> None:
    from headrace.pipelines.passes import dedup

    def stopped(*_: Any) -> Any:
        raise stop

    write_jsonl(tmp_path / "in.jsonl", [*sums(20), {"question": "?", "answer": ""}])
    loaded = recipe.validate(recipe_of(tmp_path / "run", tmp_path / "in.jsonl"), "recipe.yaml")
    with monkeypatch.context() as patched:
        patched.setattr(dedup, "deduplicate", stopped)
        with pytest.raises(type(stop)):
            flow.prepare(loaded, "quiet")
    written = json.loads((tmp_path / "run/run.json").read_bytes())
    assert (written["rows"]["in"], written["rows"]["kept"]) == (21, 20)
    assert written["ended"]["code"] == code
    page = (tmp_path / "run/report.html").read_text()
    assert "Stopped before it was done" in page
    assert "21 records came in and 20 (95.2%) were kept" in page
    assert "Duplicates, splits and packed rows are not there, or not all of them." in page
    assert (tmp_path / "run/report.md").read_text().startswith("## Stopped before it was done")
    assert flow.prepare(loaded, "quiet")["rows"]["in"] == 21
    assert "No model yet" in (tmp_path / "run/report.html").read_text()


def test_an_error_is_raised_though_no_report_can_be_built(
    ray_local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> str:
        raise ValueError("page")

    monkeypatch.setattr(ending, "_built", broken)
    write_jsonl(tmp_path / "in.jsonl", [*sums(30), *sums(30)])
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl", dedup={"alarm": 0.1, "on_alarm": "stop"})
    with pytest.raises(GateError):
        flow.prepare(recipe.validate(data, "recipe.yaml"), "plain")
    assert "no report could be written: " in capsys.readouterr().err
    assert ended(tmp_path / "run")["gate"] == "dedup.alarm"


def test_what_is_refused_before_the_work_is_told_of_a_run_and_of_nothing_else(
    ray_local: None, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", sums(30))
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl", model=None)
    loaded = recipe.validate(data, "recipe.yaml")
    with pytest.raises(HeadraceError):
        flow.train(loaded, "quiet")
    assert not (tmp_path / "run").exists()
    flow.prepare(loaded, "quiet")
    with pytest.raises(HeadraceError, match="names no model"):
        flow.train(loaded, "quiet")
    told = ended(tmp_path / "run")
    assert (told["command"], told["code"]) == ("train", 2)
    assert "names no model" in (tmp_path / "run/report.html").read_text()


def test_a_gate_that_failed_goes_when_its_command_mends_it(ray_local: None, tmp_path: Path) -> None:

    write_jsonl(tmp_path / "in.jsonl", [*sums(30), *sums(30)])
    data = recipe_of(tmp_path / "run", tmp_path / "in.jsonl", dedup={"alarm": 0.1, "on_alarm": "stop"})
    with pytest.raises(GateError):
        flow.prepare(recipe.validate(data, "recipe.yaml"), "quiet")
    assert run_gates(tmp_path / "run") == {"dedup.alarm": False}
    data["dedup"]["on_alarm"] = "warn"
    loaded = recipe.validate(data, "recipe.yaml")
    flow.prepare(loaded, "quiet")
    passed = {"quarantine.limit": True, "pii.gate": True, "kept": True}
    assert run_gates(tmp_path / "run") == passed
    assert "A gate failed" not in (tmp_path / "run/report.html").read_text()
    # A gate of one command stands until that command comes again.
    with (
        pytest.raises(GateError),
        ending.recorded("train", flow.STAGES, loaded.output, "quiet"),
    ):
        raise GateError("the loss is nan").at("train.loss")
    flow.prepare(loaded, "quiet")
    assert run_gates(tmp_path / "run") == {**passed, "train.loss": False}
    with ending.recorded("train", flow.STAGES, loaded.output, "quiet"):
        assert run_gates(tmp_path / "run") == passed
    assert run_gates(tmp_path / "run") == passed
    assert "A gate failed" not in (tmp_path / "run/report.html").read_text()


def run_gates(run: Path) -> dict[str, bool]:
    """By gate that run.json tells of: whether it was passed."""
    written = json.loads((run / "run.json").read_bytes())
    return {name: gate["passed"] for name, gate in written["gates"].items()}
