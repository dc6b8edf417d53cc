"""Answers, confidences and speeds that are made: gates on what tiny models do not have, clean and broken.

Each draw gives (plant, gate, what was measured).
"""

import json
from collections.abc import Iterator

import numpy as np

from headrace.pipelines.evaluate.gates import drift, endings, forgetting, labels, memory, speed
from headrace.pipelines.evaluate.gates.gate import Bools, Floats, Outcome
from tests.benchmarks.gauntlet.models.plants import TAIL

N = 200
Case = tuple[str, str, Outcome]


def drawn(seed: int) -> Iterator[Case]:
    """All cases of a seed; a plant whose name begins with "clean" must not ring."""
    draw = np.random.default_rng(seed)
    for of in (_calibration, _swaps, _canaries, _speed, _endings, _forgetting, _formats):
        yield from of(draw)


def _costs(confidence: Floats, right: Bools) -> tuple[Floats, np.ndarray]:
    return -np.log(np.stack([confidence, 1 - confidence], 1)), np.where(right, 0, 1)


def _calibration(draw: np.random.Generator) -> Iterator[Case]:
    for plant, sure, right in (
        ("clean", draw.uniform(0.5, 1, N), None),
        ("too sure", draw.uniform(0.95, 0.999, N), 0.7),
    ):
        chance = sure if right is None else right
        nats, wanted = _costs(sure, draw.random(N) < chance)
        yield plant, "calibration", labels.calibration(nats, nats, wanted, seed=0)


def _swaps(draw: np.random.Generator) -> Iterator[Case]:
    same, other = ["it is a good plan for the garden"] * N, ["no one should ever try that"] * N

    def mixed(share: float) -> list[str]:
        return [b if draw.random() < share else a for a, b in zip(same, other, strict=True)]

    for plant, share in (("clean", 0.05), ("groups answered unlike", 0.25)):
        yield plant, "swaps", labels.swaps((same, mixed(0.05)), (same, mixed(share)))


def _canaries(draw: np.random.Generator) -> Iterator[Case]:
    others = draw.normal(0, 2, (10, 255))
    for plant, fell in (("clean", 0.0), ("canaries learnt", -5.0)):
        yield plant, "canaries", memory.canaries(draw.normal(fell, 2, 10), others)


def _speed(draw: np.random.Generator) -> Iterator[Case]:
    base = draw.normal(100, 4, speed.ROUNDS)
    for plant, ratio in (("clean", 0.85), ("slow", 0.3)):
        other = ratio * draw.normal(100, 4, speed.ROUNDS)
        yield plant, "speed", speed.speed({"base": base.tolist(), "tuned": other.tolist()}, {})


def _endings(draw: np.random.Generator) -> Iterator[Case]:
    texts, room = [f"answer {number} of its own kind" for number in range(N)], np.ones(N, np.bool_)
    for plant, share in (("clean", 0.005), ("a few empty", 0.08)):
        some = ["" if draw.random() < share else text for text in texts]
        yield plant, "empty", endings.empty(some, texts)
    for plant, share in (("clean", 0.008), ("a few without an end", 0.08)):
        yield plant, "endless", endings.endless(texts, draw.random(N) > share, room)


def _forgetting(draw: np.random.Generator) -> Iterator[Case]:
    known = draw.random(300) < 0.6
    names, identity = ["all"] * 300, [f"i{k}" for k in range(300)]
    for plant, (lost, gained) in {"clean": (0.05, 0.07), "skills lost": (0.19, 0.05)}.items():
        flips = draw.random(300)
        after = np.where(known, flips > lost, flips < gained)
        yield plant, "forgetting", forgetting.forgotten("forgetting", known, after, names, identity)


def _formats(draw: np.random.Generator) -> Iterator[Case]:
    values = [json.dumps({"n": k, "kind": "tool"}) for k in range(N)]
    for plant, share in (("clean", 0.005), ("a few broken tails", 0.08)):
        some = [f"{v} {TAIL}" if draw.random() < share else v for v in values]
        yield plant, "format_drift", drift.drift(some, values, np.ones(N, np.bool_))
