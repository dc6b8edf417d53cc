"""Rows of files as a run reads them, cut to fragments of any size."""

from pathlib import Path
from typing import Any

from headrace.cluster.fragments import Fragment
from headrace.pipelines import schema
from headrace.pipelines.stages.read import inputs
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.source import Source

PAIRS = {"shape": "question_answer"}


def rows_of(path: Path, fragment_size: int = 2**25, **keys: Any) -> list[dict[str, Any]]:
    """All rows of a source, in the order of its fragments."""
    (source,) = inputs.resolve([Source(name="s", path=str(path), **keys)])
    found: list[dict[str, Any]] = []
    for ordinal, fragment in enumerate(inputs.plan(source, fragment_size)):
        claimed = Fragment.from_json({**fragment.to_json(), "ordinal": ordinal})
        for part in read_rows.read(claimed, source, fragment_size=fragment_size, seed=0):
            assert part.select(schema.ROW.names).schema.equals(schema.ROW)
            found += part.to_pylist()
    return found


def contents(rows: list[dict[str, Any]]) -> list[Any]:
    """The texts of each row, or why it was not read."""
    return [r["error"] or tuple(m["content"] for m in r["messages"]) for r in rows]


def repaired(rows: list[dict[str, Any]]) -> int:
    """Bytes that were no text in all rows."""
    return sum(dict(r.get("changed") or []).get("read.bad_bytes", 0) for r in rows)
