"""Templates of real sets: how many there are, and how many a split by rows puts on two sides.

    python tests/benchmarks/bench_templates.py [--out FILE]

Of each set of `bench_leaks.real_rows` a line: rows; templates that several rows have, and these rows; the
largest; templates on two sides, or three, where each row goes by a hash of its own content (by template none
is, which every run proves on its packed shards); rows that are held out so, and by template, where a template
of more than half of a side goes to train. A tenth is asked for each of test and validation. No run is
started; a few seconds.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from bench_leaks import real_rows

from headrace import kernels
from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.examine.diversity import templates
from headrace.pipelines.stages.split.config import Config
from headrace.pipelines.stages.split.stage import side_of

HERE = Path(__file__).resolve().parent
CONFIG = Config(by="template", test=0.1, validation=0.1)


def in_order(function: Callable[[Any], Any], items: Iterable[Any], *, name: str) -> Iterator[Any]:
    """As the driver runs tasks, one after the other."""
    return map(function, items)


def measured(rows: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Figures of one set of prompts and answers."""
    n = len(rows)
    texts = pa.array([f"{asked}\0{answer}" for asked, answer in rows], pa.large_string())
    content = kernels.content_hash(kernels.fold(texts))[0]
    turns = [
        [{"role": r, "content": c} for r, c in zip(("user", "assistant"), row, strict=True)] for row in rows
    ]
    table = pa.table(
        {
            "row_id": pa.array(range(n), pa.uint64()),
            "messages": pa.array(turns, schema.MESSAGES),
            "group": pa.nulls(n, pa.uint64()),
            "exact_lo": content,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        storage.write_table(f"{folder}/rows.parquet", table)
        templates.run([f"{folder}/rows.parquet"], folder, first=n, stop=1, held={}, each=in_order)
        found = storage.read_table(f"{folder}/{templates.FILE}")
    ids, first = (found[name].to_numpy().astype(np.int64) for name in ("row_id", "first"))
    by_row = side_of(content, CONFIG, 0)
    heads, place, sizes = np.unique(first, return_inverse=True, return_counts=True)
    bits = np.zeros(len(heads), np.int64)
    np.bitwise_or.at(bits, place, 1 << by_row[ids].astype(np.int64))
    by_template = by_row.copy()
    targets = np.array([n, CONFIG.target("validation", n), CONFIG.target("test", n)])
    large = sizes > targets[by_row[heads]] / 2
    by_template[ids] = np.where(large, 0, by_row[heads])[place]
    return {
        "rows": n,
        "templates": len(heads),
        "rows_in_templates": len(ids),
        "largest": int(sizes.max(initial=0)),
        "on_two_sides_by_row": int((bits & (bits - 1) != 0).sum()),
        "held_out_by_row": int((by_row > 0).sum()),
        "held_out_by_template": int((by_template > 0).sum()),
    }


def main() -> None:
    """Measure every set and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "split_templates.csv")
    options = parser.parse_args()
    sets: dict[str, list[tuple[str, str]]] = {}
    for name, asked, answer in real_rows():
        if asked.strip():
            sets.setdefault(name, []).append((asked, answer))
    figures = [{"set": name, **measured(rows)} for name, rows in sets.items()]
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(figures[0]))
        writer.writeheader()
        writer.writerows(figures)
    print(options.out.read_text())


if __name__ == "__main__":
    main()
