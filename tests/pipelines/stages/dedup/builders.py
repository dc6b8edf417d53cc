"""Runs and passes over files of prepared rows, for the tests of dedup."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.cluster import ledger, storage
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.steps import run as dedup_tasks
from tests.builders import SYLLABLES as WORDS
from tests.builders import in_order as each
from tests.builders import prepared_table as rows

OUTPUTS = ("removed", "borderline", "clusters", "joined", "ordinals")
STORY = " ".join(f"word{n} of the story" for n in range(60))
OTHER = " ".join(f"line{n} in a song" for n in range(60))
MIXED = " ".join(f"{WORDS[i * 7 % 16]} {WORDS[i * i % 13]}{i}" for i in range(60))


def ran(
    paths: list[str],
    output: Path,
    config: Config | None = None,
    order: dict[str, int] | None = None,
    each: Any = each,
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Pass 2 over files: its report, and its outputs by name."""
    report = dedup_tasks.run(paths, str(output), config or Config(), order=order or {}, ngram=8, each=each)
    return report, {name: storage.read_table(str(output / f"{name}.parquet")) for name in OUTPUTS}


def make_run(folder: Path, texts: list[str]) -> str:
    """A run directory as pass 2 leaves it: recipe, commits, prepared/ and duplicates/."""
    run = str(folder)
    storage.put(storage.join(run, "recipe.yaml"), b"fingerprint: {ngram: 8}\n")
    outputs = []
    table = rows(texts)
    for ordinal, (first, last) in enumerate(((0, len(texts) // 2), (len(texts) // 2, len(texts)))):
        part = table.slice(first, last - first)
        ids = np.arange(part.num_rows, dtype=np.uint64) + (np.uint64(ordinal) << np.uint64(32))
        part = part.set_column(part.schema.get_field_index("row_id"), "row_id", [ids])
        path = f"prepared/part-{ordinal:08d}-0000.parquet"
        size, digest = storage.write_table(storage.join(run, path), part)
        outputs.append(storage.join(run, path))
        record = {
            "ordinal": ordinal,
            "part": 0,
            "rows": {"in": part.num_rows, "kept": part.num_rows},
            "outputs": [{"path": path, "size": size, "xxh3": digest}],
        }
        ledger.commit(run, "prepare", f"{ordinal:08d}-0000", record)
    compare(run, outputs)
    ledger.commit(run, "dedup", "all", {"key": "k"})
    return run


def compare(run: str, paths: list[str], corpora: Any = (), **config: Any) -> dict[str, Any]:
    """Pass 2 over files of a run, with earlier ones beside; its report."""
    output = storage.join(run, "duplicates")
    return dedup_tasks.run(paths, output, Config(**config), order={}, ngram=8, each=each, corpora=corpora)


def listed(run: str) -> list[dict[str, Any]]:
    """What pass 2 has removed in a run."""
    return storage.read_table(storage.join(run, "duplicates/removed.parquet")).to_pylist()


def ours(folder: Path, texts: list[str]) -> tuple[str, list[str]]:
    """A run directory with one prepared file, and the paths of its files."""
    path = str(folder / "prepared/part-00000000-0000.parquet")
    storage.write_table(path, rows(texts))
    return str(folder), [path]
