"""The tuned model is held against every arm that the recipe names, each asked once, whatever happens."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.cluster import storage
from headrace.cluster.errors import ModelError, RecipeError
from headrace.pipelines.evaluate import outputs
from headrace.pipelines.evaluate import run as evaluate
from headrace.pipelines.evaluate.arms import asking, kept, others, pieces, wanted
from headrace.pipelines.evaluate.arms.measured import Measured, Questions
from headrace.pipelines.evaluate.config import Config, Documents
from headrace.pipelines.train import batches
from headrace.pipelines.train.watch import samples
from tests.pipelines import toys

FAST: dict[str, Any] = {
    "samples": 24,
    "max_new_tokens": 8,
    "batch_size": 5,
    "metrics": ("loss", "exact_match"),
}


@pytest.fixture
def run(tuned_run: str, tmp_path: Path) -> str:
    """A copy of the toy run that nobody has evaluated."""
    shutil.copytree(tuned_run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation", "trainings"))
    return str(tmp_path / "run")


def bytes_of(run: str) -> dict[str, bytes]:
    """Everything that an evaluation has left."""
    entries = storage.listing(storage.join(run, "evaluation"))
    return {entry.path.removeprefix(run): storage.read_bytes(entry.path) for entry in entries}


def counted(monkeypatch: pytest.MonkeyPatch, dies_at: int | None = None) -> list[int]:
    """How many prompts each call of a model is given; `dies_at`: calls after which it ends as if killed."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # else a task measures, in a process of its own
    calls: list[int] = []
    answered = samples.answered

    def ask(model: Any, prompts: list[Any], *given: Any, **more: Any) -> Any:
        if len(calls) == dies_at:
            raise KeyboardInterrupt
        calls.append(len(prompts))
        return answered(model, prompts, *given, **more)

    monkeypatch.setattr(samples, "answered", ask)
    return calls


def test_examples_in_the_prompt_are_an_arm(toy_model: str, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One word a token, and six things: none is its own example."""
    calls = counted(monkeypatch)
    found = evaluate.run(run, toy_model, Config(**FAST, shots=(0, 2)), seed=1)
    assert sum(calls) == 4 * 24
    score = found["loss"]
    assert set(score["arms"]) == {"shots_2_alike", "shots_2_random"}
    assert {arm["verdict"] for arm in score["arms"].values()} == {"better"}
    assert score["few_shot"] == min(arm["value"] for arm in score["arms"].values())
    low, high = score["arms"]["shots_2_alike"]["interval"]
    assert low < score["tuned"] - score["arms"]["shots_2_alike"]["value"] < high < 0
    assert found["exact_match"]["arms"]["shots_2_random"]["n"] == 24
    assert (score["test"], found["exact_match"]["test"]) == ("bootstrap", "mcnemar")
    told = evaluate.written(run)["arms"]["shots_2_alike"]
    assert (told["fewer"], told["unasked"]) == (0, 0)
    of_arm = storage.read_object(kept.path(run, "shots_2_random"))
    assert of_arm is not None
    assert len(of_arm["answers"]) == 24


def test_an_arm_is_asked_once(toy_model: str, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(**FAST, shots=(0, 2))
    before = evaluate.baseline(run, toy_model, config, seed=1)
    assert set(before) == {"base", "shots_2_alike", "shots_2_random"}
    calls = counted(monkeypatch)
    found = evaluate.run(run, toy_model, config, seed=1)
    assert sum(calls) == 24, "of the tuned model"
    for name, by_metric in before.items():
        of_name = (lambda s: s["base"]) if name == "base" else (lambda s, n=name: s["arms"][n]["value"])
        assert by_metric == {metric: of_name(score) for metric, score in found.items()}
    calls.clear()
    other = config.model_copy(update={"metrics": ("loss", "exact_match", "token_f1"), "fold": ("numbers",)})
    assert set(evaluate.run(run, toy_model, other, seed=1)) == {"loss", "exact_match", "token_f1"}
    assert calls == [], "what is made of answers changes none"
    evaluate.run(run, toy_model, config.model_copy(update={"shots": (0, 2, 1)}), seed=1)
    assert sum(calls) == 2 * 24, "of the new arms alone"


def test_a_killed_evaluation_goes_on_and_leaves_the_same(
    toy_model: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(**FAST, shots=(0, 1))
    undisturbed = str(tmp_path / "undisturbed")
    shutil.copytree(run, undisturbed)
    evaluate.run(undisturbed, toy_model, config, seed=3)
    calls = counted(monkeypatch, dies_at=7)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(run, toy_model, config, seed=3)
    assert [done for (_, what), done in pieces.progress(run).items() if what == "answers"] != []
    monkeypatch.undo()
    more = counted(monkeypatch)
    evaluate.run(run, toy_model, config, seed=3)
    assert sum(calls) + sum(more) == 4 * 24, "nothing is asked twice"
    assert bytes_of(run) == bytes_of(undisturbed)
    assert not storage.listing(storage.join(run, pieces.FOLDER))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_workers_that_share_the_batches_find_the_same(toy_model: str, run: str) -> None:
    config = Config(**FAST, shots=(0, 1))
    shelf = batches.shelf(run, "test")
    keys = wanted.keys(run, toy_model, config, 3, shelf) | {wanted.TUNED: "0f"}
    work = outputs.Work(run, toy_model, config, 3, shelf, keys, {})
    alone = evaluate._compute(work)
    pieces.remove(run)
    shared = evaluate._compute(work, workers=2)
    for ours, theirs in zip(alone.models, shared.models, strict=True):
        assert ours.answers == theirs.answers
        np.testing.assert_array_equal(ours.forced, theirs.forced)
    assert {done == count for done, count in pieces.progress(run).values()} == {True}


def test_documents_are_an_arm(toy_model: str, run: str, tmp_path: Path) -> None:
    """The toy's tokenizer knows six things and no other word: what it does not know is padding."""
    (tmp_path / "facts.txt").write_text(" ".join(f"a {k} is a {v}" for k, v in toys.KINDS.items()))
    documents = Documents(path=str(tmp_path / "facts.txt"), top=2, words=10)
    config = Config(**FAST, shots=(0,), documents=documents)
    found = evaluate.run(run, toy_model, config, seed=1)["loss"]
    assert set(found["arms"]) == {"retrieval"}
    assert found["arms"]["retrieval"]["value"] not in (found["base"], found["tuned"])
    assert "few_shot" not in found
    (tmp_path / "empty.txt").write_text(" ")
    for name, words in (("nothing", "there is no"), ("empty.txt", ".* holds no text")):
        other = config.model_copy(update={"documents": Documents(path=str(tmp_path / name))})
        with pytest.raises(RecipeError, match=rf"evaluate\.documents\.path: {words}"):
            wanted.check(other, toy_model)


def test_an_earlier_adapter_is_an_arm(toy_model: str, run: str, tmp_path: Path) -> None:
    """The run's own is as good as itself."""
    config = Config(**FAST, shots=(0,), earlier=run)
    found = evaluate.run(run, toy_model, config, seed=1)
    assert found["loss"]["arms"]["earlier"]["value"] == pytest.approx(found["loss"]["tuned"], abs=1e-6)
    assert found["exact_match"]["arms"]["earlier"] == {
        "value": 1.0,
        "interval": pytest.approx([-0.12, 0.12], abs=0.05),
        "p": 1.0,
        "verdict": "no clear difference",
        "n": 24,
    }
    assert evaluate.written(run)["arms"]["earlier"]["same_rows"] is True, "packed rows that nobody counted"
    with pytest.raises(ModelError, match=r"evaluate\.earlier: .* is neither a run with a finished adapter"):
        evaluate.run(run, toy_model, config.model_copy(update={"earlier": str(tmp_path)}), seed=1)


def test_a_larger_base_is_asked_the_answers(toy_model: str, run: str, tmp_path: Path) -> None:
    config = Config(**FAST, shots=(0,), larger=toys.model(tmp_path / "larger", seed=5))
    found = evaluate.run(run, toy_model, config, seed=1)
    assert "arms" not in found["loss"], "other tokens have another loss"
    assert found["exact_match"]["arms"]["larger"]["n"] == 24
    nowhere = str(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"evaluate\.larger: .* is not a directory"):
        evaluate.run(run, toy_model, config.model_copy(update={"larger": nowhere}), seed=1)


def test_what_no_larger_base_can_be_asked_is_refused(
    toy_model: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others, "asked_anew", lambda asked, *_: [None] * len(asked))
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    config = Config(**FAST, shots=(0,), larger=toys.model(tmp_path / "larger", seed=5))
    with pytest.raises(ModelError, match=r"evaluate\.larger: .* can be asked none of the samples"):
        evaluate.run(run, toy_model, config, seed=1)


def test_how_far_it_is_is_told(toy_model: str, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(evaluate, "EVERY", 0.0)
    told: list[tuple[str, dict[str, Any]]] = []
    evaluate.run(run, toy_model, Config(**FAST, shots=(0,)), seed=1, say=lambda *line: told.append(line))
    assert {line[1]["of"] for line in told} == {24}
    done = [line[1]["done"] for line in told if (line[1]["arm"], line[1]["what"]) == ("base", "answers")]
    assert done == sorted(set(done))
    assert told[0][0].startswith("evaluate: base: losses of ")


def test_an_answer_ends_at_the_empty_line_that_sets_examples_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [("", "\n\na tree\n\nan oak"), ("", "a fish")], [False, False]
    monkeypatch.setattr(asking, "said", lambda *_: said)
    monkeypatch.setattr(asking, "sums", lambda *_: np.zeros((2, 3)))
    drawn = outputs._Drawn([], [], [], 0)
    manner: Any = None
    found = outputs._arm(None, drawn, manner, pieces.Pieces(), outputs.Helped([], 1, "\n\n"))
    assert found is not None
    assert found.answers == ["a tree", "a fish"]
    assert (found.ended, found.unfinished, found.fewer) == ((True, False), 1, 1)


def test_kept_answers_are_what_was_measured(run: str) -> None:
    one = Measured(
        np.array([[0.1, 2.0, 1.0]]), ["a"], [""], 0, (True,), np.zeros((0, 2)), unasked=(3,), fewer=2
    )
    kept.keep(run, "retrieval", "k", one)
    found = kept.load(run, {"retrieval": "k", "base": "k"})
    assert set(found) == {"retrieval"}
    assert found["retrieval"].forced.tolist() == one.forced.tolist()
    assert (found["retrieval"].unasked, found["retrieval"].fewer) == ((3,), 2)
    assert kept.load(run, {"retrieval": "other"}) == {}
    asked = Questions(["p"], ["r"], 0, 16, (5,), (4,), (0,), (True,))
    kept.keep_questions(run, "k", asked)
    assert kept.questions(run, "k") == asked
    assert kept.questions(run, "other") is None
    assert json.loads(storage.read_bytes(storage.join(run, kept.QUESTIONS)))["row_ids"] == [5]
