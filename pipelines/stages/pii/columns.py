"""What `pii` says of a row in columns: counts, spans, findings, keyed digests; never a value."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.pipelines import schema
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.masking.replace import Conversation, Issued, Spans
from headrace.pipelines.stages.pii.masking.surrogates import digest

DIGEST = 8  # bytes: with the row in it, so short that two of a row are hardly ever the same


class Outcome(NamedTuple):
    """One text of a row: its number among the row's messages (-1: beside them), and what is in it."""

    message: int
    role: str
    issued: list[Issued]
    found: list[Finding]


class Story(NamedTuple):
    """Items of the columns `pii`, `spans`, `found` and `values` of one row, their fields in order."""

    pii: list[tuple[str, int]]
    spans: list[tuple[int, int, int, str, str]]
    found: list[tuple[str, str, str, str, int]]
    values: list[tuple[str, int, bytes]]


def story(texts: Iterable[Outcome], config: Config) -> Story:
    """What is to be said of a row with these texts, but for its values."""
    replaced: dict[str, int] = {}
    found: dict[tuple[str, str, str, str], int] = {}
    spans = []
    threshold = config.threshold
    for message, role, issued, findings in texts:
        marked = [(one.start, one.end, one.entity, str(one.kind)) for one in issued]
        inside = Spans(issued) if issued else None
        for one in issued:
            replaced[one.entity] = replaced.get(one.entity, 0) + 1
            key = one.entity, role, one.recognizer, str(one.kind)
            found[key] = found.get(key, 0) + 1
        for start, end, entity, score, recognizer in findings:
            if inside and inside.cover(start, end):
                continue  # a stand-in that is found
            kind = "keep" if score >= threshold else "below"
            key = entity, role, recognizer, kind
            found[key] = found.get(key, 0) + 1
            if kind == "keep":
                marked.append((start, end, entity, kind))
        if message >= 0:
            spans += [(message, *one) for one in sorted(marked)]
    return Story(sorted(replaced.items()), spans, sorted((*key, n) for key, n in found.items()), [])


def values(conversation: Conversation, row_id: int, config: Config) -> list[tuple[str, int, bytes]]:
    """Keyed digests of the values that a conversation must not say any more."""
    if config.secret is None:
        return []
    digests = [
        (value_digest(config.secret, row_id, value), known.finding.entity, len(value))
        for value, known in conversation.gone().items()
    ]
    # In the order of digests: that of the values would say something of them.
    return [(entity, size, raw) for raw, entity, size in sorted(digests)]


def value_digest(secret: bytes, row_id: int, value: str) -> bytes:
    """`DIGEST` bytes that tell `value` (folded) in row `row_id` and nowhere else."""
    return digest(secret, "value", str(row_id), value)[:DIGEST]


def add(table: pa.Table, stories: dict[int, Story], shown: NDArray[np.bool_]) -> pa.Table:
    """`table` with the columns; empty where there is no story, null where not `shown`."""
    rows = sorted(row for row in stories if shown[row])
    number = np.zeros(table.num_rows, np.int64)  # of each row's story, of which the first says nothing
    number[rows] = np.arange(1, len(rows) + 1)
    place = pa.array(number, mask=~shown)
    kinds = {"pii": schema.PII, "spans": schema.SPANS, "found": schema.FOUND, "values": schema.VALUES}
    for name, kind in kinds.items():
        column = [[], *(getattr(stories[row], name) for row in rows)]
        table = table.append_column(name, pa.array(column, kind).take(place))
    return table
