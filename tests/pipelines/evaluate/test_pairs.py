"""Held-out pairs count for the preference alone, and all other samples for all else."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines.evaluate import scoring
from headrace.pipelines.evaluate.arms.measured import Measured, Outcome
from headrace.pipelines.evaluate.config import Config
from headrace.pipelines.train import batches
from headrace.pipelines.train.watch import samples


def write(folder: Path, part: int, rows: list[list[tuple[int, int]]], length: int = 12) -> None:
    """Packed rows of (token, preferred) segments, each of three tokens of which the last has loss."""
    columns: dict[str, list[list[int]]] = {name: [] for name in batches.COLUMNS}
    for row in rows:
        ids = [token for token, _ in row for _ in range(3)]
        rest = length - len(ids)
        columns["input_ids"].append([*ids, *[0] * rest])
        columns["labels"].append([*([-100, -100, 7] * len(row)), *[-100] * rest])
        columns["position_ids"].append([*([0, 1, 2] * len(row)), *range(rest)])
        columns["segment_ids"].append([*(n for n in range(1, len(row) + 1) for _ in range(3)), *[0] * rest])
    table = pa.table({n: pa.array(c, pa.list_(pa.int32())) for n, c in columns.items()})
    table = table.append_column("row_ids", pa.array([[0] * len(r) for r in rows], pa.list_(pa.uint64())))
    signs = [[sign for _, sign in row] for row in rows]
    if any(map(any, signs)):
        table = table.append_column("preferred", pa.array(signs, pa.list_(pa.int8())))
    storage.write_table(str(folder / f"packed/test/part-{part}.parquet"), table)


def first(found: list[samples.Sample]) -> list[int]:
    return [int(sample.ids[0]) for sample in found]


def test_pairs_are_drawn_apart_from_other_samples(tmp_path: Path) -> None:
    write(tmp_path, 0, [[(1, 0), (2, 1), (3, -1)], [(4, 1), (5, -1), (6, 0), (7, 0)]])
    write(tmp_path, 1, [[(8, 0), (9, 0)]])
    shelf = batches.shelf(str(tmp_path), "test")
    assert first(samples.drawn(shelf, 100, 0)) == [1, 6, 7, 8, 9]
    assert first(samples.drawn_pairs(shelf, 100, 0)) == [2, 3, 4, 5]
    one = first(samples.drawn_pairs(shelf, 1, 0))
    assert one in ([2, 3], [4, 5])
    assert len(samples.drawn(shelf, 3, 0)) == 3


def test_a_split_of_pairs_alone_is_one(tmp_path: Path) -> None:
    write(tmp_path, 0, [[(2, 1), (3, -1)]])
    shelf = batches.shelf(str(tmp_path), "test")
    assert samples.drawn(shelf, 10, 0, beside=2) == []
    with pytest.raises(SourceError, match="no held-out sample"):
        samples.drawn(shelf, 10, 0)


def measured(pairs: list[tuple[float, float]], samples: int) -> Measured:
    return Measured(np.ones((samples, 3)), [], [], 0, pairs=np.array(pairs, float).reshape(-1, 2))


@pytest.mark.parametrize("samples", [0, 30])
def test_the_preference_of_both_models_is_compared(samples: int) -> None:
    right, wrong = (-1.0, -2.0), (-2.0, -1.0)
    base, tuned = measured([wrong] * 30 + [right] * 10, samples), measured([right] * 40, samples)
    found: dict[str, Any] = scoring.scored(Outcome(base, tuned, [], []), Config(), 0)["metrics"]
    score = found["preference_accuracy"]
    assert (score["base"], score["tuned"], score["n"]) == (0.25, 1.0, 40)
    assert score["verdict"] == "better"
    assert score["primary"] == (samples == 0)
    assert ("loss" in found) == (samples > 0)


def test_without_pairs_there_is_no_such_metric() -> None:
    none = measured([], 30)
    found = scoring.scored(Outcome(none, none, [], []), Config(), 0)["metrics"]
    assert "preference_accuracy" not in found
