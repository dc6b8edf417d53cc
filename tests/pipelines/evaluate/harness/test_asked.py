"""Tasks of lm-evaluation-harness are asked of both models, and what both make of each document is held."""

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.cluster.errors import RecipeError, UserError
from headrace.pipelines.evaluate.arms.both import Loaded
from headrace.pipelines.evaluate.gates import forgetting, judge, probing
from headrace.pipelines.evaluate.gates.config import Config, Harness
from headrace.pipelines.evaluate.gates.gate import Gate, Unmeasured
from headrace.pipelines.evaluate.harness import asked, tasks
from headrace.pipelines.train.watch.samples import Sample
from tests.pipelines import toys

installed = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness is not installed"
)
KINDS = sorted(set(toys.KINDS.values()))


def said(right: list[bool], task: str = "kinds", **more: Any) -> dict[str, Any]:
    """What the harness gives of one model on one task: as its `evaluate` does."""
    samples = [
        {"doc_id": at, "filter": "none", "metrics": ["f1", "acc"], "f1": 0.5, "acc": float(own)}
        for at, own in enumerate(right)
    ]
    samples += [{"doc_id": 0, "filter": "other", "metrics": ["acc"], "acc": 1.0}]
    acc = sum(right) / len(right)
    results = {"alias": task, "acc,none": acc, "acc_stderr,none": "N/A", "f1,none": 0.5, **more}
    return {"samples": {task: samples[::-1]}, "results": {task: results}}


def test_documents_are_held_by_the_first_metric_that_says_right_or_wrong() -> None:
    base, tuned = [True] * 30 + [False] * 10, [True] * 15 + [False] * 15 + [True] * 2 + [False] * 8
    given = [said(own) for own in (base, tuned)]
    for one in given:
        one["samples"]["kinds"].sort(key=lambda sample: sample["filter"])
    found = asked.answered(*given, cut=1)
    assert (found.base.tolist(), found.tuned.tolist()) == (base, tuned)
    assert (found.tasks[:2], found.names[:2]) == (["kinds", "kinds"], ["kinds-0", "kinds-1"])
    assert found.scores == {
        "kinds": {"acc": {"base": 0.75, "tuned": 17 / 40}, "f1": {"base": 0.5, "tuned": 0.5}}
    }
    gate = forgetting.of_harness(found)
    assert isinstance(gate, Gate)
    assert (gate.value, gate.facts["lost"], gate.facts["gained"], gate.facts["cut"]) == (0.5, 15, 2, 1)
    assert gate.words.startswith("15 of 30 items that the base has right are wrong after tuning")
    assert gate.words.endswith("; kinds acc 0.75 -> 0.425, kinds f1 0.5 -> 0.5")
    assert gate.rows[:2] == ("kinds-15", "kinds-16")
    assert judge.gate.rings("harness", gate, Config().threshold("harness"))


def test_a_task_that_says_right_of_no_document_holds_nothing() -> None:
    half = said([True, False])
    for sample in half["samples"]["kinds"]:
        sample["acc"] = 0.25
    found = asked.answered(half, half, cut=0)
    assert forgetting.of_harness(found) == Unmeasured(
        "no task of gates.harness says of each document whether it is right"
    )


def test_without_the_harness_it_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "find_spec", lambda name: None)
    config = Config(harness=Harness(tasks=("kinds",)))
    with pytest.raises(UserError, match=r"gates\.harness .*not installed: pip install 'headrace\[harness\]'"):
        probing.check(config)
    probing.check(config.model_copy(update={"enabled": False}))
    probing.check(Config())


def test_a_recipe_without_tasks_asks_none() -> None:
    assert asked.both(Model().loaded(), None, None) == Unmeasured(asked.NOT_ASKED)
    chats = Harness(tasks=("kinds",), chat_template=True)
    assert asked.both(Model().loaded(), chats, None) == Unmeasured(asked.NO_TEMPLATE)


class Model:
    """The tuned one of both knows each thing's kind, and the base takes everything for a tree."""

    def __init__(self) -> None:
        self.name = "tuned"
        self.asked: list[tuple[str, int]] = []

    @contextmanager
    def without(self) -> Iterator[None]:
        self.name = "base"
        yield
        self.name = "tuned"

    def right(self, thing: str) -> str:
        return toys.KINDS[thing] if self.name == "tuned" else "tree"

    def forced(self, what: str, some: list[Sample]) -> NDArray[np.float64]:
        self.asked.append((what, len(some)))
        words = [[toys.WORDS[token] for token in sample.ids] for sample in some]
        assert all(sample.labels.tolist()[:-1] == [-100] * (len(sample.ids) - 1) for sample in some)
        known = [self.right(of[3]) == of[-1] for of in words]
        return np.array([[0.1 if own else 3.0, 1.0, float(own)] for own in known])

    def said(self, what: str, prompts: list[NDArray[np.int64]], most: int) -> tuple[list[str], list[bool]]:
        self.asked.append((what, len(prompts)))
        things = [toys.WORDS[ids[3]] for ids in prompts]
        return [f"{self.right(thing)} <end> tree" for thing in things], [True] * len(prompts)

    def loaded(self) -> Loaded:
        tokenizer = toys.tokenizer()
        return Loaded(tokenizer, 40, self.forced, self.said, self.without, nullcontext, lambda *_: (1.0, 1.0))


def written(folder: Path, data: str | None = None) -> Harness:
    """Two tasks on the same documents: one by likelihood of choices, one by what is said."""
    file = folder / "kinds.jsonl"
    rows = [{"thing": thing, "label": KINDS.index(kind)} for thing, kind in sorted(toys.KINDS.items())]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows * 5))
    common = (
        "test_split: test\ndoc_to_text: 'what is a {{thing}} ?'\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {data or file}}}}}\n"
    )
    (folder / "kinds.yaml").write_text(
        f"task: kinds\n{common}output_type: multiple_choice\ndoc_to_target: label\n"
        f"doc_to_choice: {KINDS}\nmetric_list: [{{metric: acc}}]\n"
    )
    (folder / "said.yaml").write_text(
        f"task: said\n{common}output_type: generate_until\n"
        f'doc_to_target: "{{{{{KINDS}[label]}}}}"\nmetric_list: [{{metric: exact_match}}]\n'
        "generation_kwargs: {until: [' <end>'], max_gen_toks: 4}\n"
    )
    return Harness(tasks=("kinds", "said"), include=str(folder), limit=24)


@pytest.mark.parametrize("place", ["nothing", "file", "s3://bucket/tasks"])
def test_task_files_lie_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(tasks, "require", lambda: None)
    (tmp_path / "file").write_text("")
    where = place if "://" in place else str(tmp_path / place)
    with pytest.raises(RecipeError, match=rf"gates\.harness\.include: '{where}' is no directory"):
        tasks.load(Harness(tasks=("kinds",), include=where))


@pytest.mark.parametrize("fetch", [True, False])
def test_no_code_of_a_data_set_is_run_and_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch, fetch: bool
) -> None:
    seen: list[Any] = []

    def load(path: str, **more: Any) -> str:
        seen.append((path, more, datasets.config.HF_HUB_OFFLINE))
        if path == "away":
            raise ConnectionError("no hub")
        return "rows"

    monkeypatch.setattr(datasets, "load_dataset", load)
    before = datasets.config.HF_HUB_OFFLINE
    with tasks._local(Harness(tasks=("kinds",), fetch=fetch)):
        assert datasets.load_dataset("json", trust_remote_code=True, split="test") == "rows"
        with pytest.raises(RecipeError, match=r"'away'\) is not on this machine, and nothing is fetched"):
            datasets.load_dataset("away")
        if not fetch:
            with pytest.raises(RecipeError, match="lies at a URL"):
                datasets.load_dataset("json", data_files="https://example.com/x.json")
    assert seen[0] == ("json", {"split": "test"}, before or not fetch)
    assert datasets.load_dataset is load
    assert before == datasets.config.HF_HUB_OFFLINE


@installed
def test_both_models_are_asked_the_tasks(tmp_path: Path) -> None:
    model = Model()
    found = asked.both(model.loaded(), written(tmp_path), None)
    assert isinstance(found, asked.Answered)
    of_base = [toys.KINDS[thing] == "tree" for thing in sorted(toys.KINDS)] * 4
    assert found.tuned.tolist() == [True] * 48
    assert found.base.tolist() == of_base * 2
    share = sum(of_base) / 24
    assert found.scores["kinds"] == {"acc": {"base": share, "tuned": 1.0}}
    assert found.scores["said"] == {"exact_match": {"base": share, "tuned": 1.0}}
    once = [("harness_answers_4", 24), ("harness_continuations", 72)]
    assert sorted(model.asked[:2]) == sorted(model.asked[2:]) == once
    assert found.cut == 0


@installed
def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    config = written(tmp_path)
    before = tasks.digest(config)
    assert before == tasks.digest(config)
    assert before != tasks.digest(config.model_copy(update={"limit": 5}))
    unknown = config.model_copy(update={"tasks": ("kinds", "no_such_task")})
    with pytest.raises(RecipeError, match=r"gates\.harness\.tasks: neither .* has a task 'no_such_task'"):
        tasks.load(unknown)
    (tmp_path / "kinds.jsonl").write_text("a secret\n")
    with pytest.raises(RecipeError, match=r"cannot be read \(\w+\)$") as error:
        tasks.load(config)
    assert "secret" not in str(error.value)
    remote = written(tmp_path, "https://example.com/kinds.jsonl")
    with pytest.raises(RecipeError, match=r"lies at a URL, and nothing is fetched"):
        tasks.load(remote)
    hub = (tmp_path / "kinds.yaml").read_text().replace("dataset_path: json", "dataset_path: nobody/nothing")
    (tmp_path / "kinds.yaml").write_text("\n".join(line for line in hub.splitlines() if "kwargs" not in line))
    with pytest.raises(RecipeError, match=r"'nobody/nothing'\) is not on this machine"):
        tasks.load(remote)
