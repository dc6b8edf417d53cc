"""The digest: what is packed decides it, not the files that it lies in."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.cluster import storage, stream
from headrace.pipelines.cli import main as cli
from headrace.pipelines.passes.digest import digest as digest_of
from headrace.pipelines.stages.pack import stage as pack

LENGTH = 8


def rows(count: int, seed: int = 0) -> pa.Table:
    """Packed rows of random numbers."""
    draw = np.random.default_rng(seed)
    values = {n: list(draw.integers(0, 99, (count, LENGTH)).astype(np.int32)) for n in pack.DIGEST_COLUMNS}
    ids = [[n] for n in range(count)]
    pieces = [[0]] * count
    return pa.table({**values, "row_ids": ids, "pieces": pieces}, schema=pack.PACKED)


def write(run: Path, files: dict[str, pa.Table]) -> str:
    """A run directory with these files below packed/."""
    for name, table in files.items():
        storage.write_table(str(run / "packed" / name), table)
    return str(run)


@pytest.mark.ray
def test_the_digest_sees_content_order_and_side_and_nothing_else(ray_local: None, tmp_path: Path) -> None:
    table = rows(12)

    def digest(name: str, files: dict[str, pa.Table]) -> str:
        return digest_of(write(tmp_path / name, files), partial(stream.each, workers=2))

    whole = digest("whole", {"train/part-0.parquet": table})
    cut = {"train/part-0.parquet": table.slice(0, 5), "train/part-1.parquet": table.slice(5)}
    assert digest("cut", cut) == whole
    other_ids = table.set_column(4, "row_ids", pa.array([[n + 7] for n in range(12)], pa.list_(pa.uint64())))
    assert digest("lineage", {"train/part-0.parquet": other_ids}) == whole
    swapped = {"train/part-0.parquet": table.slice(5), "train/part-1.parquet": table.slice(0, 5)}
    assert digest("swapped", swapped) != whole
    assert digest("side", {"test/part-0.parquet": table}) != whole
    sides = {"train/part-0.parquet": table.slice(0, 5), "test/part-0.parquet": table.slice(5)}
    assert digest("sides", sides) != whole
    for n, column in enumerate(pack.DIGEST_COLUMNS):
        values = table[column].to_pylist()
        values[3][LENGTH - 1] += 1
        changed = table.set_column(n, column, pa.array(values, pa.list_(pa.int32())))
        assert digest(column, {"train/part-0.parquet": changed}) != whole, column


def test_nothing_packed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["digest", str(tmp_path)]) == 2
    assert "nothing is packed in" in capsys.readouterr().err
