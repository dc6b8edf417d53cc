"""PII: what Presidio's pattern recognisers find, replaced by tags such as ``<PHONE_NUMBER>``.

What: every message and every `meta` value of a live row is looked through. Findings at or above `threshold`
are replaced, but for the entities of `keep`; a kept finding does not protect another one inside it. A text
that changed is looked through again until nothing to be replaced is left. The column `pii` counts the tags
of each row by entity.

Why: what a model was trained on, it can say. Patterns find what has a form (numbers, addresses of all
kinds); names of people and places need a model and are not found here.

A row whose text could not be examined to the end is quarantined as ``pii.error``, and its messages and
`meta` are removed: nothing unmasked goes on.

Cost: an automaton reads all texts at about 100 MB/s and patterns are tried only where it says so
(`pipelines.pii_engine`): 10 to 40 MB/s together, by how many long numbers a text holds.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines import pii_presidio, schema
from pipelines.pii_config import Config
from pipelines.pii_find import found_in
from pipelines.pii_presidio import Finding
from pipelines.pii_replace import replaced, stretches
from pipelines.quarantine import quarantine

VERSION = 2
ROUNDS = 10  # a text is done after two; one that is not is set aside
FINDINGS = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("entity", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("recognizer", pa.string()),
    ]
)


class UnexaminedError(Exception):
    """Texts that could not be looked through to the end; `rows` says which, never what they hold."""

    def __init__(self, failures: dict[int, str]) -> None:
        super().__init__(f"{len(failures)} texts could not be examined: rows {sorted(failures)[:10]}")
        self.rows = sorted(failures)


def versions() -> dict[str, str]:
    """Libraries that decide what this stage writes."""
    return {"pyarrow": pa.__version__, **pii_presidio.versions()}


def find(texts: pa.Array | Sequence[str | None], config: Config | None = None) -> pa.Table:
    """All findings in `texts`, whatever their score: `FINDINGS`, sorted.

    `texts`: Arrow string array (or chunked array, or sequence of str); null holds nothing. Columns: `row`
    int64, index into `texts`; `start`, `end` int64, in characters; `entity` string; `score` float64;
    `recognizer` string.

    Raises: UnexaminedError where a recogniser failed on a text.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    found = found_in(
        texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string()), config or Config()
    )
    if found.failures:
        raise UnexaminedError(found.failures)
    columns = list(zip(*found.findings, strict=True)) or [()] * 5
    return pa.table([found.rows, *map(list, columns)], schema=FINDINGS)


def apply(table: pa.Table, config: Config) -> pa.Table:
    """`table` with tags for what was found and the column `pii` (``schema.PII``, null for marked rows)."""
    live = schema.live(table).to_numpy(zero_copy_only=False)
    if not config.enabled:
        return table.append_column("pii", _counts([], [], live))
    roles, rows, texts = schema.contents(table)
    meta = table["meta"].combine_chunks()
    values = meta.items.slice(*_inside(meta)).cast(pa.large_string())
    owners = np.concatenate([rows, _owners(meta)])
    masked = _masked(pa.concat_arrays([texts, values]), live[owners], config)
    failed: list[str | None] = [None] * table.num_rows
    for text, cause in masked.failures.items():
        failed[owners[text]] = cause
    fine = np.array([cause is None for cause in failed], np.bool_)
    table = schema.rebuild(table, rows, roles, masked.texts.slice(0, len(texts)))
    table = _withheld(_with_meta(table, meta, masked.texts.slice(len(texts))), fine)
    counts = _counts([int(owners[text]) for text in masked.tagged], masked.entities, live & fine)
    return quarantine(table.append_column("pii", counts), failed, "pii.error")


class Masked(NamedTuple):
    """Texts with their tags; for each tag the text it stands in and its entity; failures by text."""

    texts: pa.Array
    tagged: list[int]
    entities: list[str]
    failures: dict[int, str]


def _masked(texts: pa.Array, live: NDArray[np.bool_], config: Config) -> Masked:
    """`texts` (large_string[N]) with tags in those that are `live`, looked through until none is left."""
    tagged: list[int] = []
    entities: list[str] = []
    failures: dict[int, str] = {}
    pending = np.flatnonzero(live)
    for _ in range(ROUNDS):
        if not len(pending):
            return Masked(texts, tagged, entities, failures)
        found = found_in(texts.take(pa.array(pending)), config)
        failures |= {int(pending[at]): cause for at, cause in found.failures.items()}
        due: dict[int, list[Finding]] = {}
        for at, finding in zip(found.rows, found.findings, strict=True):
            if _is_due(finding, config) and at not in found.failures:
                due.setdefault(int(pending[at]), []).append(finding)
        pending = np.array(sorted(due), np.int64)
        new = []
        for text, content in zip(due, texts.take(pa.array(list(due), pa.int64())).to_pylist(), strict=True):
            joined = stretches(due[text])
            tagged += [text] * len(joined)
            entities += [finding.entity for finding in joined]
            new.append(replaced(content, joined))
        texts = _put(texts, list(due), new)
    return Masked(texts, tagged, entities, failures | {int(text): "does not settle" for text in pending})


def _is_due(finding: Finding, config: Config) -> bool:
    """Whether a finding is to be replaced."""
    wanted = config.entities is None or finding.entity in config.entities
    return wanted and finding.entity not in config.keep and finding.score >= config.threshold


def _put(texts: pa.Array, places: list[int], values: list[str]) -> pa.Array:
    if not places:
        return texts
    mask = np.zeros(len(texts), np.bool_)
    mask[places] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(values, pa.large_string()))


def _inside(meta: pa.Array) -> tuple[int, int]:
    """(offset, length) of the values that the map array `meta` refers to."""
    first, last = (meta.offsets[at].as_py() for at in (0, len(meta.offsets) - 1))
    return first, last - first


def _owners(meta: pa.Array) -> NDArray[np.int64]:
    """Row of each value of the map array `meta`: ``int64[values]``."""
    sizes = np.diff(meta.offsets.to_numpy(zero_copy_only=False))
    return np.repeat(np.arange(len(meta)), sizes).astype(np.int64)


def _with_meta(table: pa.Table, meta: pa.Array, values: pa.Array) -> pa.Table:
    """`table` with other values in its `meta` column."""
    first, size = _inside(meta)
    offsets = pa.array(meta.offsets.to_numpy(zero_copy_only=False) - first, pa.int32())
    masked = pa.MapArray.from_arrays(
        offsets, meta.keys.slice(first, size), values.cast(pa.string()), mask=meta.is_null()
    )
    return table.set_column(table.schema.get_field_index("meta"), "meta", masked.cast(schema.META))


def _withheld(table: pa.Table, fine: NDArray[np.bool_]) -> pa.Table:
    """`table` without the messages and `meta` of the rows that are not `fine`."""
    if fine.all():
        return table
    for name in ("messages", "meta"):
        column = table[name].combine_chunks()
        kept = pc.if_else(pa.array(fine), column, pa.scalar(None, column.type))
        table = table.set_column(table.schema.get_field_index(name), name, kept)
    return table


def _counts(rows: list[int], entities: list[str], shown: NDArray[np.bool_]) -> pa.Array:
    """Tags of each row by entity: ``map<string, int32>[rows]`` with sorted keys, null where not `shown`."""
    counted = sorted(
        Counter((row, entity) for row, entity in zip(rows, entities, strict=True) if shown[row]).items()
    )
    sizes = np.bincount(np.array([row for (row, _), _ in counted], np.int64), minlength=len(shown))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    keys = pa.array([entity for (_, entity), _ in counted], pa.string())
    items = pa.array([count for _, count in counted], pa.int32())
    return pa.MapArray.from_arrays(pa.array(offsets), keys, items, mask=pa.array(~shown)).cast(schema.PII)


__all__ = ["FINDINGS", "VERSION", "Config", "UnexaminedError", "apply", "find", "versions"]
