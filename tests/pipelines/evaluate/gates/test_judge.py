"""All gates of an evaluation together, on a model that is made of functions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.pipelines.evaluate.battery import items
from headrace.pipelines.evaluate.gates import judge, probing
from headrace.pipelines.evaluate.gates.config import THRESHOLDS, Config
from headrace.pipelines.evaluate.gates.probing import Probed
from headrace.pipelines.evaluate.outputs import Loaded, Measured, Outcome
from headrace.pipelines.train.watch.samples import Sample
from tests.builders import story, write_jsonl

N = 40
REFERENCES = [story(seed, 12) for seed in range(N)]
ASKED = [story(100 + seed, 20) for seed in range(N)]
TRAINING = [story(200 + seed, 12) for seed in range(200)]
BATTERY = ("forgetting", "instructions", "safety", "confusion")


def measured(answers: list[str], *, ended: bool = True, **probed: Any) -> Outcome:
    """An evaluation of base and tuned model: losses that differ by chance, and these answers."""
    draw = np.random.default_rng(1)
    sides = [np.stack([draw.gamma(9, 3, N), np.full(N, 10.0), np.full(N, 5.0)], 1) for _ in range(2)]
    flat = np.stack([draw.gamma(9, 3, 60), np.full(60, 10.0)], 1)
    asked = Probed(
        **{
            "general": (flat, flat), "trained": (flat, flat), "rows": TRAINING, "answers": TRAINING,
            "items": [], "base": [], "tuned": [], "unasked": "nobody asked", **probed,
        }
    )  # fmt: skip
    return Outcome(
        base=Measured(sides[0], REFERENCES, [""] * N, 0, (True,) * N),
        tuned=Measured(sides[1], answers, [""] * N, 0, (ended,) * N),
        prompts=ASKED,
        references=REFERENCES,
        asked=tuple(range(N)),
        fits=(True,) * N,
        probed=asked,
    )


def test_a_model_that_is_as_it_should_be_passes_every_gate() -> None:
    found = judge.gates(measured(REFERENCES), ASKED, Config(), seed=1)
    assert {gate["state"] for gate in found.gates.values()} == {"pass"}
    assert set(found.gates) | set(found.unmeasured) == set(THRESHOLDS)
    assert set(found.unmeasured) == {*judge.UNHELD, *BATTERY, "format_drift"}
    assert judge.failed(found.gates) is None


def test_answers_without_an_end_ring_one_gate_and_fail_where_the_recipe_says_so() -> None:
    for ship in ("warn", "fail"):
        config = Config.model_validate({"ship": ship})
        found = judge.gates(measured(REFERENCES, ended=False), ASKED, config, seed=1)
        assert {name for name, gate in found.gates.items() if gate["state"] != "pass"} == {"endless"}
        assert found.gates["endless"]["state"] == ship
        assert judge.failed(found.gates) == ("endless" if ship == "fail" else None)


def test_gates_that_are_off_are_not_held() -> None:
    found = judge.gates(measured(REFERENCES), ASKED, Config(off=("endless", "safety")), seed=1)
    assert not {"endless", "safety"} & {*found.gates, *found.unmeasured}


def test_a_threshold_of_ones_own_decides() -> None:
    config = Config(thresholds={"endless": 1.0})
    found = judge.gates(measured(REFERENCES, ended=False), ASKED, config, seed=1)
    assert found.gates["endless"]["state"] == "pass"
    assert found.gates["endless"]["threshold"] == 1.0


def test_the_battery_is_judged_by_skill() -> None:
    asked = [item for item in items.battery() if item.skill in ("facts", "refusals", "formats")]
    right = [item.right[0] for item in asked]
    harmful = [item.skill == items.REFUSALS for item in asked]
    tuned = ["Sure, first take it." if bad else answer for answer, bad in zip(right, harmful, strict=True)]
    outcome = measured(REFERENCES, items=asked, base=right, tuned=tuned, unasked="")
    found = judge.gates(outcome, ASKED, Config(), seed=1).gates
    assert {name: found[name]["state"] for name in BATTERY} == {
        "forgetting": "pass",
        "instructions": "pass",
        "safety": "warn",
        "confusion": "pass",
    }
    assert found["safety"]["rows"][0] == "refusals-001"
    assert found["instructions"]["facts"]["by_skill"] == {
        "formats": {"items": 40, "base_right": 40, "lost": 0, "gained": 0}
    }


class Spoken:
    """A tokenizer of numbers: a text's token is its place among those it has seen."""

    chat_template: str | None = "there is one"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str, add_special_tokens: bool = True) -> Any:
        self.texts.append(text)
        return type("Ids", (), {"input_ids": [len(self.texts) - 1] * 4})

    def apply_chat_template(self, turns: list[dict[str, str]], **_: object) -> str:
        return " / ".join(f"{turn['role']}: {turn['content']}" for turn in turns)

    def batch_decode(self, rows: list[NDArray[np.int64]], **_: object) -> list[str]:
        return [self.texts[row[0]] for row in rows]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """A base that answers "base", and an adapter that answers "tuned" at twice the loss; no training rows."""
    tokenizer, on = Spoken(), [True]

    @contextmanager
    def without() -> Iterator[None]:
        on[0] = False
        yield
        on[0] = True

    def forced(samples: list[Sample]) -> NDArray[np.float64]:
        return np.array([[2.0 if on[0] else 1.0, 1.0, 0.0]] * len(samples))

    def said(prompts: list[NDArray[np.int64]], longest: int) -> tuple[list[str], list[bool]]:
        return ["tuned" if on[0] else "base"] * len(prompts), [True] * len(prompts)

    monkeypatch.setattr(probing, "_training", lambda run, seed: [])
    return Loaded(tokenizer, 1000, forced, said, without)


def test_both_models_are_asked_the_same(loaded: Loaded, tmp_path: Path) -> None:
    own = write_jsonl(tmp_path / "own.jsonl", [{"prompt": "Who?", "answer": "Tam"}])
    found = probing.probe(loaded, "run", Config(items=str(own)), 10, seed=1)
    assert [item.id for item in found.items] == ["own-001"]
    assert (found.base, found.tuned) == (["base"], ["tuned"])
    assert loaded.tokenizer.texts[-1] == "user: Who?"
    assert found.general[0][:, 0].tolist() == [1.0] * 24
    assert found.general[1][:, 0].tolist() == [2.0] * 24
    assert len(probing.probe(loaded, "run", Config(battery=True), 10, seed=1).items) == len(items.battery())


def test_why_no_items_are_asked(loaded: Loaded) -> None:
    assert probing.probe(loaded, "run", Config(), 10, seed=1).unasked.startswith("the recipe asks no items")
    loaded.tokenizer.chat_template = None
    found = probing.probe(loaded, "run", Config(battery=True), 10, seed=1)
    assert (found.items, found.unasked) == ([], probing.NO_TEMPLATE)
