"""Which decoded messages the gate looks through: what is another text than `pii` left, and a sample."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.cluster import storage
from headrace.pipelines.passes import parts
from headrace.pipelines.passes.gate import unchanged
from tests.builders import table

WINDOW = parts.Window(0, ("00000000-0000", "00000001-0000"), 0, 1)
ROWS = (
    [("user", "good morning"), ("assistant", "")],
    [("user", "good evening"), ("assistant", "good evening")],
)


@pytest.fixture
def known(tmp_path: Path) -> np.ndarray:
    for row, (unit, turns) in enumerate(zip(WINDOW.units, ROWS, strict=True)):
        storage.write_table(str(tmp_path / f"prepared/part-{unit}.parquet"), table(turns, first=row))
    return unchanged.known(str(tmp_path), WINDOW)


@pytest.mark.parametrize(
    ("row", "role", "said", "due"),
    [
        (0, "user", "good morning", False),
        (0, "", "good morning", False),  # the template does not tell who says it
        (0, "assistant", "good morning", True),
        (1, "user", "good morning", True),
        (0, "user", "good morning ", True),
        (0, "user", "", True),
        (0, "assistant", "", False),
        (1, "assistant", "good evening", False),
        (1, "system", "good evening", True),
    ],
)
def test_what_stands_as_it_was_left_is_not_due(
    known: np.ndarray, monkeypatch: pytest.MonkeyPatch, row: int, role: str, said: str, due: bool
) -> None:
    monkeypatch.setattr(unchanged, "SAMPLE", 1 << 62)
    texts = pa.array(["new", said], pa.large_string())
    roles = pa.array(["user", role]).dictionary_encode()
    found = unchanged.changed(known, texts, roles, np.array([0, row], np.uint64))
    assert found.tolist() == ([0, 1] if due else [0])


def test_a_sample_of_what_was_left_is_due_all_the_same(tmp_path: Path) -> None:
    said = [f"sentence number {at}" for at in range(2000)]
    window = parts.Window(0, WINDOW.units[:1], 0, 0)
    path = tmp_path / f"prepared/part-{WINDOW.units[0]}.parquet"
    storage.write_table(str(path), table([("user", text) for text in said]))
    texts, roles = pa.array(said, pa.large_string()), pa.array(["user"] * len(said)).dictionary_encode()
    rows = np.zeros(len(said), np.uint64)
    found = unchanged.changed(unchanged.known(str(tmp_path), window), texts, roles, rows)
    assert 15 < len(found) < 60
