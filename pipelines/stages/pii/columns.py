"""What `pii` says of a row in columns: counts, spans, findings, keyed digests; never a value."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema
from headrace.pipelines.stages.pii.config import Kind
from headrace.pipelines.stages.pii.findings import KINDS, Findings, ranked
from headrace.pipelines.stages.pii.masking.replace import Conversation
from headrace.pipelines.stages.pii.masking.surrogates import digest

COLUMNS = {"pii": schema.PII, "spans": schema.SPANS, "found": schema.FOUND, "values": schema.VALUES}
BECAME = tuple(sorted((*get_args(Kind), "below")))  # what becomes of a finding; "below": under the threshold
KEEP, BELOW = BECAME.index("keep"), BECAME.index("below")
REACH = 32  # bits of where in a text something is
DIGEST = 8  # bytes: with the row in it, so short that two of a row are hardly ever the same


class Outcomes(NamedTuple):
    """What became of findings, a column each: characters ``starts[i]:ends[i]`` of text ``texts[i]``.

    int64[N] each. kinds: numbers in `KINDS`; became: numbers in `BECAME`.
    """

    texts: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    kinds: NDArray[np.int64]
    became: NDArray[np.int64]

    def taken(self, chosen: NDArray[np.bool_]) -> "Outcomes":
        return Outcomes(*(column[chosen] for column in self))


Items = tuple[NDArray[np.int64], list[pa.Array]]  # the number of the row, then the fields of each item


class Story(NamedTuple):
    """Items of the columns `pii`, `spans`, `found` and `values`, in the order of rows."""

    pii: Items
    spans: Items
    found: Items
    values: Items


def outcomes(
    issued: Sequence[tuple[int, int, int, str, str, str]], found: Findings, threshold: float
) -> Outcomes:
    """What was issued (text, and the fields of `Issued`), then what was found but for stand-ins."""
    texts, starts, ends, entities, became, names = list(zip(*issued, strict=True)) or [()] * 6
    kinds = [KINDS[kind] for kind in zip(entities, names, strict=True)]
    fates = [BECAME.index(one) for one in became]
    stand_ins = Outcomes(*(np.array(column, np.int64) for column in (texts, starts, ends, kinds, fates)))
    order = np.lexsort((stand_ins.ends, stand_ins.starts, stand_ins.texts))
    begins = (stand_ins.texts[order] << REACH) + stand_ins.starts[order]
    stops = (stand_ins.texts[order] << REACH) + stand_ins.ends[order]
    at = np.searchsorted(begins, (found.rows << REACH) + found.starts, "right") - 1
    inside = (at >= 0) & ((found.rows << REACH) + found.ends <= stops[at]) if len(stops) else at >= 0
    left = found.taken(~inside)
    fate = np.where(left.scores >= threshold, KEEP, BELOW)
    others = Outcomes(left.rows, left.starts, left.ends, left.kinds, fate)
    return Outcomes(*(np.concatenate(both) for both in zip(stand_ins, others, strict=True)))


def story(
    every: Outcomes, rows: NDArray[np.int64], messages: NDArray[np.int64], roles: Sequence[str]
) -> Story:
    """What is to be said of rows but for their values.

    rows, messages: int64[N], of each outcome its row and the number of its message there (-1: beside them);
    roles: who says it.
    """
    (entity, entities), (name, names) = (ranked([kind[at] for kind in KINDS]) for at in (0, 1))
    role, roles = ranked(roles)
    of, who = entity[every.kinds], name[every.kinds]
    issued = (every.became != KEEP) & (every.became != BELOW)
    spans = np.flatnonzero((messages >= 0) & (every.became != BELOW))
    order = (every.became, of, every.ends, every.starts, messages, rows)
    spans = spans[np.lexsort([column[spans] for column in order])]
    places = [pa.array(column[spans], pa.int32()) for column in (messages, every.starts, every.ends)]
    told = [_strings(entities, of[spans]), _strings(BECAME, every.became[spans])]
    return Story(
        _counted(rows[issued], [(entities, of[issued])]),
        (rows[spans], places + told),
        _counted(rows, [(entities, of), (roles, role), (names, who), (BECAME, every.became)]),
        NOTHING.values,
    )


def _counted(rows: NDArray[np.int64], columns: Sequence[tuple[Sequence[str], NDArray[np.int64]]]) -> Items:
    """Rows with strings, each once with how often it is there, sorted; of the strings all, and numbers."""
    dims = [int(rows.max(initial=-1)) + 1, *(len(strings) for strings, _ in columns)]
    if not len(rows):
        return np.zeros(0, np.int64), [
            *(pa.array([], pa.string()) for _ in columns),
            pa.array([], pa.int32()),
        ]
    keys = np.ravel_multi_index((rows, *(numbers for _, numbers in columns)), dims)
    different, counts = np.unique(keys, return_counts=True)
    places, *numbers = np.unravel_index(different, dims)
    shown = [_strings(strings, one) for (strings, _), one in zip(columns, numbers, strict=True)]
    return places, [*shown, pa.array(counts, pa.int32())]


def _strings(strings: Sequence[str], numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array(strings, pa.string()).take(pa.array(numbers))


def items(name: str, tuples: Sequence[tuple[Any, ...]]) -> Items:
    """Items of the column `name`, given as (row, *fields) in the order of rows."""
    fields = _fields(name)
    rows, *parts = list(zip(*tuples, strict=True)) or [()] * (1 + len(fields))
    columns = [pa.array(part, field.type) for part, field in zip(parts, fields, strict=True)]
    return np.array(rows, np.int64), columns


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
    for name, (rows, columns) in said._asdict().items():
        offsets = pa.array(arrays.offsets(np.bincount(rows, minlength=len(shown))), pa.int32())
        if name == "pii":
            column = pa.MapArray.from_arrays(offsets, *columns, mask=mask)
        else:
            made = pa.StructArray.from_arrays(columns, fields=_fields(name))
            column = pa.ListArray.from_arrays(offsets, made, type=COLUMNS[name], mask=mask)
        table = table.append_column(name, column)
    return table


def _fields(name: str) -> list[pa.Field]:
    """Fields of an item of the column `name`."""
    kind = COLUMNS[name]
    return [kind.key_field, kind.item_field] if name == "pii" else list(kind.value_type)


NOTHING = Story(*(items(name, []) for name in COLUMNS))
