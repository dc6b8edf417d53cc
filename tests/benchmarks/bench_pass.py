"""Pass 2 over files: cost a row and memory of every step, and what that means for larger runs.

    python tests/benchmarks/bench_pass.py [DIRECTORY] [--documents N ...] [--rows-per-file N]

Documents of 1 to 2 KB, a tenth of them edits of another, are fingerprinted to files as pass 1 writes them;
then the steps of `stages.dedup.steps.run` run, each task in a process of its own, as on Ray: CPU seconds
without compilation, peak memory beside that of an empty task, and bytes that a step leaves in work/. The
answer must be that of `stages.dedup.stage.duplicates` in memory (up to 200,000 documents) and the planted
pairs above the threshold must be found. Writes pass.csv, from which `cost.py` writes COST.md.
"""

import argparse
import csv
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import labelled
import numpy as np
import pyarrow as pa
from bench_kernels import commit, processor

from headrace import kernels
from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import config as dedup_config
from headrace.pipelines.stages.dedup import in_memory
from headrace.pipelines.stages.dedup.steps import run as dedup_tasks
from headrace.pipelines.stages.fingerprint import stage as fingerprint

HERE = Path(__file__).resolve().parent
STEPS = ("stage", "order", "scatter", "block", "gather", "collect", "verify", "decide", "cluster", "index")
Spent = dict[str, dict[str, float]]


def warm() -> int:
    """Compile and import all that a task needs; returns the KiB that the process holds then.

    The peak is set back by the kernel (`man 5 proc`, clear_refs).
    """
    import faiss  # noqa: F401

    kernels.warm()
    one = schema.from_rows(
        [
            {
                "row_id": 0,
                "n_records": 1,
                "source": "s",
                "file": "f",
                "place": "p",
                "messages": [{"role": "text", "content": "warm " * 60}],
            }
        ]
    )
    fingerprint.apply(one, fingerprint.Config())
    in_memory.duplicates(pa.array(["some words " * 60, "other words " * 60] * 40))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak()


def peak() -> int:
    """Most KiB that this process held since the peak was set back."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def measured(function: Callable[[Any], Any], item: Any) -> tuple[Any, float, int]:
    """A task with its CPU seconds and the peak of its memory over an empty one, in KiB."""
    before = warm()
    started = time.process_time()
    result = function(item)
    seconds = time.process_time() - started
    return result, seconds, peak() - before


def each(
    function: Callable[[Any], Any], items: Iterable[Any], *, name: str, spent: Spent, work: Path
) -> Iterator[Any]:
    """Tasks in fresh processes, one a core; what they took goes into `spent` under the step's name."""
    step = spent[name.removeprefix("dedup ")]
    spawn = multiprocessing.get_context("spawn")
    before = size_of(work)
    try:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn, max_tasks_per_child=1) as pool:
            for result, seconds, memory in pool.map(partial(measured, function), items):
                step["seconds"] = step.get("seconds", 0.0) + seconds
                step["memory"] = max(step.get("memory", 0), memory * 1024)
                yield result
    finally:  # also where only the first result is taken
        step["bytes"] = step.get("bytes", 0) + size_of(work) - before


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def write_files(folder: Path, documents: pa.Array, rows: int) -> tuple[list[str], float]:
    """Prepared files of `rows` rows each, one an ordinal; and the CPU seconds of fingerprinting."""
    paths, seconds = [], 0.0
    for number, first in enumerate(range(0, len(documents), rows)):
        part = in_memory.as_rows(documents.slice(first, rows))
        ids = np.arange(part.num_rows, dtype=np.uint64) + (np.uint64(number) << np.uint64(32))
        part = part.set_column(0, "row_id", pa.array(ids))
        started = time.process_time()
        part = fingerprint.apply(part, fingerprint.Config())
        seconds += time.process_time() - started
        n = part.num_rows
        part = part.drop_columns(["drop", "error"])
        part = part.append_column("source", pa.array(["s"] * n).dictionary_encode())
        part = part.append_column("group", pa.nulls(n, pa.uint64()))
        part = part.append_column("quality", pa.nulls(n, schema.QUALITY))
        paths.append(str(folder / f"prepared/part-{number:08d}-0000.parquet"))
        storage.write_table(paths[-1], part)
    return paths, seconds


def measure(folder: Path, count: int, rows: int) -> tuple[Spent, dict[str, float]]:
    """Every step's figures for `count` documents, after a look at what was removed."""
    shutil.rmtree(folder, ignore_errors=True)
    documents, planted = labelled.make_documents(count, count)
    content = documents.nbytes
    paths, sketched = write_files(folder, documents, rows)
    spent: Spent = defaultdict(dict)
    output = folder / "duplicates"
    started = time.monotonic()
    report = dedup_tasks.run(
        paths,
        str(output),
        dedup_config.Config(),
        order={"s": 0},
        ngram=fingerprint.Config().ngram,
        each=partial(each, spent=spent, work=output),
    )
    wall = time.monotonic() - started
    check(documents, planted, storage.read_table(str(output / "removed.parquet")), rows)
    told = {"rows": count, "content": content, "fingerprint": sketched, "wall": wall}
    told |= {"candidates": report["candidates"], "removed": report["removed"], "stored": size_of(output)}
    shutil.rmtree(folder)
    return spent, told


def check(documents: pa.Array, planted: Any, removed: pa.Table, rows: int) -> None:
    """The same answer as in memory; planted pairs clear of the threshold are found."""
    ids = {name: removed[name].to_numpy() for name in ("removed", "kept")}
    flat = {n: (v >> np.uint64(32)) * np.uint64(rows) + (v & np.uint64(2**32 - 1)) for n, v in ids.items()}
    if len(documents) <= 200_000:
        table = in_memory.duplicates(documents)
        for name, found in flat.items():
            assert np.array_equal(found, table[name].to_numpy()), name
    gone = np.zeros(len(documents), np.bool_)
    gone[flat["removed"].astype(np.int64)] = True
    folded = pa.array([t + " " for t in kernels.fold(documents.take(pa.array(planted.ravel()))).to_pylist()])
    truth = kernels.jaccard(folded, np.arange(planted.size).reshape(-1, 2))
    wanted = planted[truth > dedup_config.Config().threshold + 0.05]
    found = gone[wanted].any(axis=1).mean()
    assert found >= 0.995, found


def table_of(spent: Spent, told: dict[str, float]) -> list[dict[str, Any]]:
    """A line a step: figures a row."""
    n = told["rows"]
    lines = [
        {
            "step": "fingerprint (pass 1)",
            "us_a_row": told["fingerprint"] / n * 1e6,
            "memory_mib": 0,
            "bytes_a_row": 0,
        }
    ]
    for step in STEPS:
        s = spent[step]
        lines.append(
            {
                "step": step,
                "us_a_row": s.get("seconds", 0) / n * 1e6,
                "memory_mib": s.get("memory", 0) / 2**20,
                "bytes_a_row": s.get("bytes", 0) / n,
            }
        )
    total = sum(s.get("seconds", 0) for s in spent.values())
    lines.append(
        {
            "step": "all of pass 2",
            "us_a_row": total / n * 1e6,
            "memory_mib": max(s.get("memory", 0) for s in spent.values()) / 2**20,
            "bytes_a_row": told["stored"] / n,
        }
    )
    return lines


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path, nargs="?", help="scratch; a temporary one if left out")
    parser.add_argument("--documents", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--rows-per-file", type=int, default=20_000)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    warm()
    place = {"date": datetime.now(UTC).date(), "commit": commit(), "cpu": processor()}
    written = []
    scratch = options.directory or Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    for count in options.documents:
        spent, told = measure(scratch / "pass", count, options.rows_per_file)
        for line in table_of(spent, told):
            print(
                f"{count:>10,} {line['step']:<22} {line['us_a_row']:8.2f} us a row "
                f"{line['memory_mib']:8.0f} MiB a task {line['bytes_a_row']:8.1f} bytes a row written",
                flush=True,
            )
            figures = {k: round(v, 2) if isinstance(v, float) else v for k, v in line.items()}
            written.append({"documents": count, **figures, **place})
        print(
            f"{count:>10,} {told['content'] / told['wall'] / 1e6:.1f} MB/s by the clock, "
            f"new processes included; {told['candidates']:,} candidates, {told['removed']:,} removed"
        )
    with (HERE / "pass.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(written[0]))
        writer.writeheader()
        writer.writerows(written)


if __name__ == "__main__":
    main()
