"""What `pii` says of a row in columns: counts, spans, findings, keyed digests; never a value."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.masking.replace import Conversation, Issued, Spans
from headrace.pipelines.stages.pii.masking.surrogates import digest

KINDS = {"pii": schema.PII, "spans": schema.SPANS, "found": schema.FOUND, "values": schema.VALUES}
DIGEST = 8  # bytes: with the row in it, so short that two of a row are hardly ever the same


class Outcome(NamedTuple):
    """One text of a row: its number among the row's messages (-1: beside them), and what is in it."""

    row: int
    message: int
    role: str
    issued: list[Issued]
    found: list[Finding]


class Story(NamedTuple):
    """Items of the columns `pii`, `spans`, `found` and `values`: the number of the row, then their fields."""

    pii: list[tuple[int, str, int]]
    spans: list[tuple[int, int, int, int, str, str]]
    found: list[tuple[int, str, str, str, str, int]]
    values: list[tuple[int, str, int, bytes]]


def story(texts: Iterable[Outcome], config: Config) -> Story:
    """What is to be said of rows with these texts but for their values, in the order of rows."""
    replaced: list[tuple[int, str]] = []
    found: list[tuple[int, str, str, str, str]] = []
    spans = []
    threshold = config.threshold
    for row, message, role, issued, findings in texts:
        for start, end, entity, kind, recognizer in issued:
            replaced.append((row, entity))
            found.append((row, entity, role, recognizer, kind))
            if message >= 0:
                spans.append((row, message, start, end, entity, str(kind)))
        inside = Spans(issued) if issued else None
        for start, end, entity, score, recognizer in findings:
            if inside and inside.cover(start, end):
                continue  # a stand-in that is found
            kept = score >= threshold
            found.append((row, entity, role, recognizer, "keep" if kept else "below"))
            if kept and message >= 0:
                spans.append((row, message, start, end, entity, "keep"))
    return Story(_counted(replaced), sorted(spans), _counted(found), [])


def _counted(items: list[Any]) -> list[Any]:
    """Tuples, each once with how often it is there, sorted."""
    return sorted((*item, n) for item, n in Counter(items).items())


def values(conversation: Conversation, row_id: int, secret: bytes) -> list[tuple[str, int, bytes]]:
    """Keyed digests of the values that a conversation must not say any more."""
    digests = [
        (value_digest(secret, row_id, value), known.finding.entity, len(value))
        for value, known in conversation.gone().items()
    ]
    # In the order of digests: that of the values would say something of them.
    return [(entity, size, raw) for raw, entity, size in sorted(digests)]


def value_digest(secret: bytes, row_id: int, value: str) -> bytes:
    """`DIGEST` bytes that tell `value` (folded) in row `row_id` and nowhere else."""
    return digest(secret, "value", str(row_id), value)[:DIGEST]


def add(table: pa.Table, said: Story, shown: NDArray[np.bool_]) -> pa.Table:
    """`table` with the columns; empty where nothing is said of a row, null where it is not `shown`."""
    mask = pa.array(~shown)
    for name, items in said._asdict().items():
        kind = KINDS[name]
        fields = [kind.key_field, kind.item_field] if name == "pii" else list(kind.value_type)
        rows, *parts = list(zip(*items, strict=True)) or [()] * (1 + len(fields))
        offsets = pa.array(
            arrays.offsets(np.bincount(np.array(rows, np.int64), minlength=len(shown))), pa.int32()
        )
        columns = [pa.array(part, field.type) for part, field in zip(parts, fields, strict=True)]
        if name == "pii":
            column = pa.MapArray.from_arrays(offsets, *columns, mask=mask)
        else:
            made = pa.StructArray.from_arrays(columns, fields=fields)
            column = pa.ListArray.from_arrays(offsets, made, type=kind, mask=mask)
        table = table.append_column(name, column)
    return table
