"""What stands on two sides of a split, by a hash of each row and by headrace, on real sets.

    python -m tests.benchmarks.splits DIRECTORY     # runs go there; figures to splits.csv

For each set: the prompts of rows that are kept and no duplicates; how many of them stand on two sides where
each row goes by a hash of its own content (what a plain `train_test_split` does), with duplicates in it and
without; and in the shards that headrace packed, as its own proof counts
them. Beside them the pairs of like rows, which stay both.
Data: HEADRACE_TEST_DATA, default ../shared/data.
"""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import headrace
from headrace.cluster import storage
from headrace.pipelines.passes import proof
from headrace.pipelines.stages.split.config import Config
from headrace.pipelines.stages.split.stage import side_of
from tests.conftest import REPOSITORY

DATA = Path(os.environ.get("HEADRACE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
FIGURES = Path(__file__).with_name("splits.csv")
SETS: dict[str, Any] = {
    "gsm8k": "instruct/gsm8k/*.jsonl*",
    "gpteacher": "instruct/gpteacher/*.json.gz",
    "llm-adapters": "instruct/llm-adapters/*.json*",
    "llms-from-scratch": "instruct/llms-from-scratch/instruction-data.json",
    "banking77": "dialogue/banking77/*.csv",
    "bitext-intent": "dialogue/bitext-intent/*.csv",
    "taskmaster4": "dialogue/taskmaster4/*.json.gz",
    "star-1": "reasoning/star-1/*.json.gz",
    "spider": "structured/spider/dev.json.gz",
}
SHAPES: dict[str, Any] = {
    "spider": {"shape": "prompt_completion", "columns": {"prompt": "question", "completion": "query"}}
}


def measured(name: str, pattern: str, directory: Path) -> dict[str, Any]:
    """Figures of one set."""
    paths = [str(p) for p in sorted(DATA.glob(pattern)) if "socratic" not in p.name]
    run = directory / name
    recipe = {
        "output": str(run),
        "sources": [{"name": name, "path": paths, **SHAPES.get(name, {})}],
        "pii": {"enabled": False},
        "quarantine": {"limit": 1},
        "split": {"test": 0.1, "validation": 0.1},
    }
    headrace.prepare(recipe)
    report = json.loads((run / "run.json").read_text())
    removed = storage.read_table(str(run / "duplicates/removed.parquet"))["removed"].combine_chunks()
    tables = [
        storage.read_table(str(path), ["row_id", "exact_lo", "openings"])
        for path in sorted((run / "prepared").glob("*.parquet"))
    ]
    rows = pa.concat_tables(tables)
    kept = rows.filter(pc.invert(pc.is_in(rows["row_id"], removed)))
    splits = report["examine"]["splits"]
    return {
        "set": name,
        "rows": splits["rows"],
        "prompts": splits["prompts"],
        "by_row": by_row(rows),
        "by_row_without_duplicates": by_row(kept),
        "pairs": splits["pairs"],
        "pairs_by_row": pairs_by_row(kept, run),
        "headrace": splits["prompts_on_two_sides"] + splits["pairs_on_two_sides"],
    }


def by_row(rows: pa.Table) -> int:
    """Prompts on two sides where each row goes by a hash of its content."""
    lists = rows["openings"].combine_chunks()
    counts = pc.list_value_length(lists).to_numpy()
    sides = side_of(rows["exact_lo"].to_numpy(), Config(test=0.1, validation=0.1), 0)
    last = np.zeros(int(counts.sum()), np.bool_)
    last[np.cumsum(counts)[counts > 0] - 1] = True
    bits = (1 << np.repeat(sides, counts)).astype(np.uint8)
    return proof.two_sided_hashes(pc.list_flatten(lists).to_numpy(), bits, last)[1]


def pairs_by_row(rows: pa.Table, run: Path) -> int:
    """Pairs of like rows, of those that pass 2 joined, on two sides where each row goes by itself."""
    joined = storage.read_table(str(run / "duplicates/joined.parquet"))
    order = np.argsort(rows["row_id"].to_numpy())
    ids, keys = rows["row_id"].to_numpy()[order], rows["exact_lo"].to_numpy()[order]
    sides = side_of(keys, Config(test=0.1, validation=0.1), 0)
    ends = [joined[end].to_numpy() for end in ("a", "b")]
    both = np.isin(ends[0], ids) & np.isin(ends[1], ids)
    a, b = (sides[np.searchsorted(ids, end[both])] for end in ends)
    return int((a != b).sum())


def main(directory: Path) -> None:
    """Measure every set and write the figures."""
    figures = [measured(name, pattern, directory) for name, pattern in SETS.items()]
    with FIGURES.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(figures[0]))
        writer.writeheader()
        writer.writerows(figures)
    print(FIGURES.read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
