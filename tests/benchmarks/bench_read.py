"""Speed of reading files of every format on one core: MB of text a second.

Question and answer rows of about 520 bytes, the same in every format. Nothing is timed before it is right:
each file gives every row.

    python tests/benchmarks/bench_read.py [--rows N] [--out FILE]

prints, and writes as a CSV, a line a format: the best of five readings, in MB of content a CPU second.
"""

import argparse
import csv
import gzip
import io
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.source import Source

BEST_OF = 5


def pairs(count: int) -> list[dict[str, str]]:
    """Questions and answers of common words."""
    draw = random.Random(7)
    words = [
        "ship",
        "harbour",
        "of",
        "the",
        "a",
        "and",
        "größer",
        "wait",
        "for",
        "tide",
        "is",
        "then",
        "it",
        "was",
    ]

    def text(n: int) -> str:
        return " ".join(draw.choice(words) for _ in range(n))

    return [{"question": text(50), "answer": text(55)} for _ in range(count)]


def separated(rows: list[dict[str, str]], delimiter: str) -> bytes:
    """A table in text."""
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, ["question", "answer"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    """A Parquet file."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def lines(rows: list[dict[str, str]]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()


FILES: dict[str, Callable[[list[dict[str, str]]], bytes]] = {
    "jsonl": lines,
    "json": lambda rows: json.dumps(rows, ensure_ascii=False).encode(),
    "jsonl.gz": lambda rows: gzip.compress(lines(rows), mtime=0),
    "jsonl.zst": lambda rows: zstandard.compress(lines(rows)),
    "csv": lambda rows: separated(rows, ","),
    "tsv": lambda rows: separated(rows, "\t"),
    "parquet": as_parquet,
}


def seconds(path: Path, count: int) -> float:
    """CPU seconds of the fastest reading. Every row must come."""
    (source,) = inputs.resolve([Source(name="bench", path=str(path))])
    best = float("inf")
    for _ in range(BEST_OF):
        started = time.process_time()
        found = 0
        for fragment in inputs.plan(source, 2**25):
            for table in read_rows.read(fragment, source, fragment_size=2**25, seed=0):
                found += table.num_rows
                assert table["error"].null_count == table.num_rows
        best = min(best, time.process_time() - started)
        assert found == count
    return best


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--out")
    given = parser.parse_args()
    rows = pairs(given.rows)
    size = sum(len(r["question"].encode()) + len(r["answer"].encode()) for r in rows)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for form, make in FILES.items():
            path = Path(folder) / f"x.{form}"
            path.write_bytes(make(rows))
            figures.append((form, round(size / seconds(path, len(rows)) / 1e6, 1), "MB/s"))
            print(*figures[-1], sep=",")
    if given.out:
        with open(given.out, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("format", "figure", "unit"), *figures])


if __name__ == "__main__":
    main()
