"""Repeated passages: first how much of planted boilerplate goes and that nothing else does, then how fast.

Texts of 2 to 4 KB are made from a seed; into a fifth of them one of ten boilerplates is put, at a place of
their own. Quality: of the planted bytes beyond the first copy, the share that is cut, by their length and
by `average`; nothing outside may be cut. Speed: prepared files (`--megabytes`) to decided cuts, and
cutting, in CPU time on one thread.

    python tests/benchmarks/bench_passages.py [--out FILE] [--megabytes N]

writes a CSV with a line a measurement: measure, case, figure, unit, date, commit, processor, load. The
default run takes about half a minute.
"""

import argparse
import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from bench_dedup import draw, timed, vocabulary
from bench_kernels import commit, processor
from numpy.typing import NDArray

from headrace import kernels
from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import in_memory, passages
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup.config import Passages
from headrace.pipelines.stages.dedup.steps import passages as passage_tasks

HERE = Path(__file__).resolve().parent
LENGTHS = (300, 600, 1200, 2400, 4800)
AVERAGES = (64, 128, 256)
SHARED, COPIES = 10, 5  # boilerplates, and one text in so many holds one
CHANCE = 8  # bytes beside boilerplate that may be the same in three texts: a line break, a word's end
Figure = tuple[str, str, float, str]


def each(function: Callable[[Any], Any], items: Iterable[Any], *, name: str) -> Iterator[Any]:
    """Tasks one after the other, in this process."""
    return map(function, items)


def make_texts(count: int, length: int, seed: int) -> tuple[list[str], NDArray[np.int64]]:
    """Texts, and where the boilerplate of `length` bytes stands in each: int64[count, 2], (0, 0) for none."""
    rng = np.random.default_rng(seed)
    words = vocabulary(rng, "latin")
    shared = [" ".join(draw(rng, words, length))[:length] for _ in range(SHARED)]
    texts, planted = [], np.zeros((count, 2), np.int64)
    for at in range(count):
        own = draw(rng, words, int(rng.integers(400, 800)))
        texts.append(" ".join(own))
        if rng.random() < 1 / COPIES:
            place = int(rng.integers(1, len(own)))
            before = " ".join(own[:place]) + "\n"
            texts[-1] = before + shared[int(rng.integers(SHARED))] + "\n" + " ".join(own[place:])
            planted[at] = len(before), len(before) + length
    return texts, planted


def write(folder: str, texts: list[str], files: int = 4) -> tuple[list[str], pa.Table]:
    """Prepared files of the texts, and what the steps before leave in duplicates/, where nothing goes."""
    table = in_memory.as_rows(pa.array(texts)).drop_columns(["drop", "error"])
    size = pa.array([len(text.encode()) for text in texts], pa.uint32())
    table = table.append_column("source", pa.repeat("s", len(texts))).append_column("size", size)
    table = table.append_column("quality", pa.array([{"score": 1.0}] * len(texts), schema.QUALITY))
    storage.write_table(f"{folder}/removed.parquet", dedup.REMOVED.empty_table())
    none = {"row_id": pa.array([], pa.uint64()), "bridge": pa.array([], pa.bool_())}
    storage.write_table(f"{folder}/sides.parquet", pa.table(none))
    step = -(-len(texts) // files)
    paths = [f"{folder}/part-{n:08d}-0000.parquet" for n in range(files)]
    for number, path in enumerate(paths):
        storage.write_table(path, table.slice(number * step, step))
    return paths, table


def found(folder: str, paths: list[str], average: int) -> pa.Table:
    """The cuts of all files."""
    config = Passages(enabled=True, average=average)
    told = passage_tasks.run(paths, folder, config, order={}, each=each)
    tables = [storage.read_table(f"{folder}/cuts/part-{unit}.parquet") for unit in sorted(told["cuts"])]
    return pa.concat_tables([passages.CUTS.empty_table(), *tables])


def measure_quality(count: int) -> Iterator[Figure]:
    """Share of the planted bytes that are cut, of those beyond the first copy."""
    for length in LENGTHS:
        texts, planted = make_texts(count, length, length)
        held = int((planted[:, 1] > 0).sum())
        for average in AVERAGES:
            with tempfile.TemporaryDirectory() as folder:
                cuts = found(folder, write(folder, texts)[0], average)
            rows, start, stop = (cuts[name].to_numpy() for name in ("row_id", "start", "stop"))
            outside = np.maximum(planted[rows, 0] - start, stop - planted[rows, 1])
            assert outside.max(initial=0) <= CHANCE, "something that was not planted is cut"
            share = (stop - start).sum() / ((held - SHARED) * length)
            yield "planted bytes cut", f"{length} bytes, average {average}", float(share), "share"


def measure_speed(megabytes: int) -> Iterator[Figure]:
    """MB/s of counting over files, and of cutting."""
    texts, _ = make_texts(megabytes * 300, 1200, 1)
    size = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        paths, table = write(folder, texts)
        cuts, _, seconds = timed(lambda: found(folder, paths, Passages().average), 3)
    yield "files to cuts", f"{size:.0f} MB", size / seconds, "MB/s a core"
    marks = {name: pa.nulls(table.num_rows, pa.string()) for name in ("drop", "error")}
    table = pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **marks})
    _, _, seconds = timed(lambda: passages.cut(table, cuts).table, 3)
    yield "cutting", f"{size:.0f} MB, {cuts.num_rows} cuts", size / seconds, "MB/s a core"


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "passages.csv")
    parser.add_argument("--megabytes", type=int, default=40)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    pa.set_cpu_count(1)
    load = f"{os.getloadavg()[0]:.1f}"
    place = (datetime.now(UTC).date(), commit(), processor(), load)
    kernels.warm()
    figures = [*measure_quality(500), *measure_speed(options.megabytes)]
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["measure", "case", "figure", "unit", "date", "commit", "cpu", "load"])
        for measure, case, value, unit in figures:
            writer.writerow([measure, case, f"{value:.4g}", unit, *place])
            print(f"{measure:20} {case:28} {value:10.4g} {unit}")


if __name__ == "__main__":
    main()
