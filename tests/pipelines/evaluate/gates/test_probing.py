"""What the gates ask goes on after a kill, and leaves the bytes of an evaluation that nobody disturbed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import storage
from headrace.pipelines.evaluate import run as evaluate
from headrace.pipelines.evaluate.arms import asking, pieces
from headrace.pipelines.evaluate.config import Config
from headrace.pipelines.evaluate.gates import speed
from headrace.pipelines.evaluate.gates.config import Config as Gates
from headrace.pipelines.train.watch import samples

CONFIG = Config(samples=24, max_new_tokens=8, batch_size=5, metrics=("loss", "exact_match"), shots=(0,))


@pytest.fixture
def run(tuned_run: str, tmp_path: Path) -> str:
    """A copy of the toy run that nobody has evaluated."""
    shutil.copytree(tuned_run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation", "trainings"))
    return str(tmp_path / "run")


def counted(monkeypatch: pytest.MonkeyPatch, dies_at: int | None = None) -> list[int]:
    """How many samples each call of a model is given, for an answer or a loss, but for those that are timed;
    `dies_at`: calls after which it ends as if killed.
    """
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # else a task measures, in a process of its own
    monkeypatch.setattr(speed, "PROMPTS", 0)
    calls: list[int] = []

    def noting(work: Callable[..., Any]) -> Callable[..., Any]:
        def ask(model: Any, some: list[Any], *given: Any, **more: Any) -> Any:
            if len(calls) == dies_at:
                raise KeyboardInterrupt
            calls.append(len(some))
            return work(model, some, *given, **more)

        return ask

    monkeypatch.setattr(samples, "answered", noting(samples.answered))
    monkeypatch.setattr(asking, "_forced", noting(asking._forced))
    return calls


def evaluated(run: str, model: str) -> dict[str, bytes]:
    """Everything that an evaluation with gates has left."""
    evaluate.run(run, model, CONFIG, seed=3, gates=Gates())
    assert not storage.listing(storage.join(run, pieces.FOLDER))
    entries = storage.listing(storage.join(run, "evaluation"))
    return {entry.path.removeprefix(run): storage.read_bytes(entry.path) for entry in entries}


def test_gates_go_on_after_a_kill(
    toy_model: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = str(tmp_path / "undisturbed")
    shutil.copytree(run, undisturbed)
    whole = counted(monkeypatch)
    wanted = evaluated(undisturbed, toy_model)
    monkeypatch.undo()
    before = counted(monkeypatch, dies_at=len(whole) - 4)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(run, toy_model, CONFIG, seed=3, gates=Gates())
    asked = {what for _, what in pieces.progress(run)}
    assert {"general_base", "general_tuned", "trained_base", "trained_tuned"} <= asked
    monkeypatch.undo()
    after = counted(monkeypatch)
    assert evaluated(run, toy_model) == wanted
    assert (len(before), len(after)) == (len(whole) - 4, 4), "nothing is asked twice"


def test_what_was_asked_outlives_a_kill_of_what_is_made_of_it(
    toy_model: str, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "_scored", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate.run(run, toy_model, CONFIG, seed=3, gates=Gates())
    assert calls
    calls.clear()
    evaluated(run, toy_model)
    assert calls == []
