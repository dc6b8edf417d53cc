"""Rows of a run found again in `prepared/`, with their text as PII has masked it; nothing else is read.

Cost: those files of `prepared/` that hold one of the rows, one at a time.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.cluster import storage
from headrace.pipelines import structure
from headrace.pipelines.stages.fingerprint import stage as fingerprint


@dataclass(frozen=True)
class Stored:
    """A row as `prepared/` holds it."""

    source: str
    place: str  # "file, line 12"
    text: str
    parts: tuple[str, str] = ("", "")  # prompt and answer, as `fingerprint` tells them apart


def find(run: str, row_ids: Iterable[int]) -> dict[int, Stored]:
    """Rows of `prepared/` by row_id; those that are not there are left out. Raises: StorageError."""
    by_id = {}
    for row in rows(run, row_ids, ["source", "file", "place", "messages"]):
        messages = row["messages"]
        place = f"{row['file']}, {row['place']}"
        by_id[row["row_id"]] = Stored(row["source"], place, as_text(messages), _parts(messages))
    return by_id


def rows(run: str, row_ids: Iterable[int], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of `prepared/` with these columns and `row_id`, sorted. Raises: StorageError."""
    wanted = sorted(set(row_ids))
    ordinals = {row_id >> 32 for row_id in wanted}
    paths = []
    for entry in storage.listing(storage.join(run, "prepared")) if wanted else ():
        match = re.match(r"part-(\d+)", entry.path.rsplit("/", 1)[-1])
        if match and int(match[1]) in ordinals:
            paths.append(entry.path)
    listed = []
    for path in paths:
        table = storage.read_table(path, columns=["row_id", *columns])
        listed += table.filter(pc.is_in(table["row_id"], pa.array(wanted, pa.uint64()))).to_pylist()
    return sorted(listed, key=lambda row: row["row_id"])


def columns(run: str) -> list[str]:
    """Columns of `prepared/`; none where nothing is prepared. Raises: StorageError."""
    first = next(
        (e.path for e in storage.listing(storage.join(run, "prepared")) if e.path.endswith(".parquet")), ""
    )
    if not first:
        return []
    with storage.explained(first, "read"), storage.open_input(first) as file:
        return list(pq.read_schema(file).names)


def _parts(messages: Sequence[dict[str, str]] | None) -> tuple[str, str]:
    sides: tuple[list[str], list[str]] = ([], [])
    for message in messages or ():
        sides[message["role"] in fingerprint.ANSWERS].append(structure.readable(message["content"] or ""))
    return "\n".join(sides[0]), "\n".join(sides[1])


def as_text(messages: Sequence[dict[str, str]] | None) -> str:
    """A row's messages as one text: roles in brackets, none for a plain text."""
    turns = [(m["role"], structure.readable(m["content"] or "")) for m in messages or ()]
    if [role for role, _ in turns] == ["text"]:
        return turns[0][1]
    return "\n\n".join(f"[{role}] {content}" for role, content in turns)
