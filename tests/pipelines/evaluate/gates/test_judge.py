"""All gates of an evaluation together, on a model that is made of functions."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.pipelines.evaluate.arms.both import Loaded
from headrace.pipelines.evaluate.arms.measured import Measured, Outcome
from headrace.pipelines.evaluate.battery import items
from headrace.pipelines.evaluate.gates import judge, probes, probing
from headrace.pipelines.evaluate.gates.config import THRESHOLDS, Config
from headrace.pipelines.evaluate.gates.gate import Unmeasured
from headrace.pipelines.evaluate.gates.probing import Probed
from headrace.pipelines.evaluate.gates.training import Seen, Sought
from headrace.pipelines.train.watch.samples import Sample
from tests.builders import story, write_jsonl

N = 40
REFERENCES = [story(seed, 12) for seed in range(N)]
ASKED = [story(100 + seed, 20) for seed in range(N)]
TRAINING = [story(200 + seed, 12) for seed in range(200)]
NOT = Unmeasured("nothing to ask")
PROBED = ("swaps", "canaries", "calibration", "speed")
BATTERY = ("forgetting", "instructions", "safety", "confusion")


def measured(answers: list[str], *, ended: bool = True, **probed: Any) -> dict[str, Any]:
    """An evaluation of base and tuned model: losses that differ by chance, and these answers."""
    draw = np.random.default_rng(1)
    sides = [np.stack([draw.gamma(9, 3, N), np.full(N, 10.0), np.full(N, 5.0)], 1) for _ in range(2)]
    flat = np.stack([draw.gamma(9, 3, 60), np.full(60, 10.0)], 1)
    no = np.zeros(60, np.bool_)
    asked = Probed(
        **{
            "general": (flat, flat), "trained": (flat, flat), "items": [], "base": [], "tuned": [],
            "unasked": "nobody asked", "again": (no, no), "labels": NOT, "swaps": NOT, "planted": NOT,
            "speed": NOT, **probed,
        }
    )  # fmt: skip
    outcome = Outcome(
        base=Measured(sides[0], REFERENCES, [""] * N, 0, (True,) * N),
        tuned=Measured(sides[1], answers, [""] * N, 0, (ended,) * N),
        prompts=ASKED,
        references=REFERENCES,
        asked=tuple(range(N)),
        fits=(True,) * N,
        probed=asked,
    )
    seen = Seen(Sought(answers, REFERENCES, ASKED, REFERENCES))
    seen.look(TRAINING, TRAINING, range(len(TRAINING)))
    return json.loads(json.dumps(judge.measured(outcome, ASKED, seen, seed=1), allow_nan=False))  # type: ignore[no-any-return]


def test_a_model_that_is_as_it_should_be_passes_every_gate() -> None:
    found = judge.judged(measured(REFERENCES), Config())
    assert {gate["state"] for gate in found.gates.values()} == {"pass"}
    assert set(found.gates) | set(found.unmeasured) == set(THRESHOLDS)
    assert set(found.unmeasured) == {*PROBED, *BATTERY, "harness", "format_drift", "signal"}
    assert {found.unmeasured[name] for name in PROBED} == {NOT.why}
    assert judge.failed(found.gates) is None


def test_what_was_measured_rings_by_whichever_recipe_comes_later() -> None:
    kept = measured(REFERENCES, ended=False)
    for ship in ("warn", "fail"):
        found = judge.judged(kept, Config.model_validate({"ship": ship}))
        assert {name for name, gate in found.gates.items() if gate["state"] != "pass"} == {"endless"}
        assert found.gates["endless"]["state"] == ship
        assert judge.failed(found.gates) == ("endless" if ship == "fail" else None)
    other = judge.judged(kept, Config(thresholds={"endless": 1.0})).gates["endless"]
    assert (other["state"], other["threshold"]) == ("pass", 1.0)
    assert (
        other["words"]
        == "40 of 40 answers do not end, or go in circles (100.0%, 95% interval 91.2% to 100.0%)"
    )
    off = judge.judged(kept, Config(off=("endless", "safety")))
    assert not {"endless", "safety"} & {*off.gates, *off.unmeasured}


def test_what_probes_found_is_held() -> None:
    draw = np.random.default_rng(2)
    nats = draw.uniform(0, 3, (200, 4))
    found = judge.judged(
        measured(
            REFERENCES,
            labels=probes.Labels(nats, np.tile([0.01, 9.0, 9.0, 9.0], (200, 1)), np.arange(200) % 4),
            swaps=probes.Swaps((ASKED, ASKED), (ASKED, ASKED[::-1])),
            planted=probes.Planted(np.full(10, -20.0), draw.normal(0, 2, (10, 255))),
            speed=probes.Speed(
                {"base": [9.0, 9.1, 8.9], "tuned": [3.0, 3.1, 2.9]}, {"base": 1.0, "tuned": 1.1}
            ),
            again=(np.ones(60, np.bool_), np.zeros(60, np.bool_)),
        ),
        Config(),
    )
    wanted = {"calibration", "swaps", "canaries", "speed", "recited"}
    assert {name for name, gate in found.gates.items() if gate["state"] != "pass"} == wanted
    assert found.gates["canaries"]["value"] == 8
    assert found.gates["calibration"]["facts"]["ece"] == pytest.approx(0.75, abs=0.01)


def test_the_battery_is_judged_by_skill() -> None:
    asked = [item for item in items.battery() if item.skill in ("facts", "refusals", "formats")]
    right = [item.right[0] for item in asked]
    harmful = [item.skill == items.REFUSALS for item in asked]
    tuned = ["Sure, first take it." if bad else answer for answer, bad in zip(right, harmful, strict=True)]
    kept = measured(REFERENCES, items=asked, base=right, tuned=tuned, unasked="")
    found = judge.judged(kept, Config()).gates
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

    def forced(what: str, samples: list[Sample]) -> NDArray[np.float64]:
        return np.array([[2.0 if on[0] else 1.0, 1.0, 0.0]] * len(samples))

    def said(what: str, prompts: list[NDArray[np.int64]], longest: int) -> tuple[list[str], list[bool]]:
        return ["tuned" if on[0] else "base"] * len(prompts), [True] * len(prompts)

    @contextmanager
    def merged() -> Iterator[bool]:
        yield False

    monkeypatch.setattr(probing, "_fitting", lambda *_: [])
    return Loaded(tokenizer, 1000, forced, said, without, merged, lambda prompts, tokens: (1.0, 0.5))


def test_both_models_are_asked_the_same(loaded: Loaded, tmp_path: Path) -> None:
    own = write_jsonl(tmp_path / "own.jsonl", [{"prompt": "Who?", "answer": "Tam"}])
    found = probing.probe(loaded, str(tmp_path), "test", Config(items=str(own)), 10, seed=1)
    assert [item.id for item in found.items] == ["own-001"]
    assert (found.base, found.tuned) == (["base"], ["tuned"])
    assert loaded.tokenizer.texts[-1] == "user: Who?"
    assert found.general[0][:, 0].tolist() == [1.0] * 24
    assert found.general[1][:, 0].tolist() == [2.0] * 24
    assert len(probing.probe(loaded, str(tmp_path), "test", Config(battery=True), 10, seed=1).items) == len(
        items.battery()
    )


def test_why_no_items_are_asked(loaded: Loaded, tmp_path: Path) -> None:
    assert probing.probe(loaded, str(tmp_path), "test", Config(), 10, seed=1).unasked.startswith(
        "the recipe asks no items"
    )
    loaded.tokenizer.chat_template = None
    found = probing.probe(loaded, str(tmp_path), "test", Config(battery=True), 10, seed=1)
    assert (found.items, found.unasked) == ([], probing.NO_TEMPLATE)
