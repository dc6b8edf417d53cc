"""Damaging a run: one file of each kind that a run writes, deleted, cut or with a flipped bit, on disk or
S3.
"""

import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.cluster import storage
from tests.builders import recipe_of, story, write_jsonl

# Everything that `prepare` leaves, by kind; of each the first file in order of names is damaged.
OUTPUTS = {
    "prepared": "prepared/part-*",
    "rejected, pass 1": "rejected/part-*",
    "rejected, pass 3": "rejected/pack-*",
    "removed": "duplicates/removed.parquet",
    "borderline": "duplicates/borderline.parquet",
    "sides": "duplicates/sides.parquet",
    "joined": "duplicates/joined.parquet",
    "clusters": "duplicates/clusters.parquet",
    "ordinals": "duplicates/ordinals.parquet",
    "index": "duplicates/index/*.faiss",
    "index, entries": "duplicates/index/*.parquet",
    "passages": "duplicates/passages/*",
    "cuts": "duplicates/cuts/*",
    "changes, pass 3": "changed/pack-*",
    "packed, train": "packed/train/*",
    "packed, test": "packed/test/*",
}
BOOKS = {
    "record of pass 1": "ledger/prepare/0*.json",
    "record of pass 2": "ledger/dedup/all.json",
    "record of pass 3": "ledger/pack/0*.json",
    "snapshot": "ledger/prepare/snapshot.json",
    "plan": "ledger/plan/*.json",
    "recipe": "recipe.yaml",
    "run.json": "run.json",
    "pii.json": "pii.json",
    "report": "report.html",
}
KINDS = OUTPUTS | BOOKS
# What nothing reads when all is done: a flipped bit there is seen by `verify`.
UNREAD = {"prepared", "rejected, pass 1", "rejected, pass 3", "changes, pass 3", "index", "index, entries"}
SHARED = (
    "Read the terms of service before you write to us, for they have changed.\n"
    "All prices are in euros and hold until the end of May, unless they are withdrawn before.\n"
    "Nothing on this page is advice; ask somebody who knows your case and has seen the papers.\n"
)


def write_inputs(folder: Path) -> Path:
    """Texts of which some repeat, most share lines, and some lines are no JSON."""
    texts = [f"{story(n, 60)}\n{SHARED}" for n in range(90)]
    records: list[Any] = [{"text": text} for text in [*texts, *texts[:12]]]
    write_jsonl(folder / "a.jsonl", [*records[:50], "{half", *records[50:], "[1"])
    return folder


def recipe(inputs: Path, output: str) -> dict[str, Any]:
    """A recipe over `write_inputs` that has every kind of output."""
    return recipe_of(
        output,
        inputs,
        "texts",
        fragment_size="8KiB",
        pack={"window": 40},
        tokenise={"max_length": 512},
        dedup={"passages": {"enabled": True, "action": "cut", "copies": 5}},
        split={"train": 0.7, "validation": 0.1, "test": 0.2},
    )


def file_of(run: str, pattern: str) -> str:
    """Path below the run of the first file of a kind."""
    root = len(storage.join(run, "")) if storage.is_remote(run) else len(str(Path(run).resolve())) + 1
    names = [e.path[root:] for e in storage.listing(run)]
    return min(name for name in names if fnmatch.fnmatchcase(name, pattern))


def delete(path: str) -> None:
    """Remove the file."""
    storage.delete(path)


def cut(path: str) -> None:
    """Leave the first half."""
    data = storage.read_bytes(path)
    storage.put(path, data[: len(data) // 2])


def flip(path: str) -> None:
    """Flip one bit in the middle."""
    data = bytearray(storage.read_bytes(path))
    data[len(data) // 2] ^= 0x10
    storage.put(path, bytes(data))


FAULTS: dict[str, Callable[[str], None]] = {"deleted": delete, "cut": cut, "flipped": flip}
