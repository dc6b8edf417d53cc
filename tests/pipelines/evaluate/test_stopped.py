"""What is said of the adapter of a run whose training was stopped."""

from pathlib import Path
from typing import Any

import pytest

from headrace.cluster import storage
from headrace.pipelines.evaluate import standing


@pytest.mark.parametrize(
    ("reason", "card", "words"),
    [
        ("diverging", None, "is not there: its training was stopped (diverging), and published nothing"),
        ("diverging", "earlier", "is that of an earlier training: the last one was stopped (diverging)"),
        ("patience", "now", None),
        (None, "now", None),
    ],
)
def test_a_stopped_training_is_told(
    tmp_path: Path, reason: str | None, card: str | None, words: str | None
) -> None:
    packed = {side: side for side in ("train", "validation", "test")}
    train: dict[str, Any] = {"key": "now", "stopped": reason and {"reason": reason, "words": "", "step": 3}}
    if card:
        held = storage.join(str(tmp_path), "adapter", "headrace.json")
        storage.put(held, str({"key": card, "packed": packed}).replace("'", '"').encode())
    run = {"train": train, "packed": {side: {"digest": side} for side in packed}}
    said = standing.look(str(tmp_path), run).get("train")
    assert said is None if words is None else said is not None and said.startswith(words)
