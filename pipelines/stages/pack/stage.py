"""Puts samples together into packed rows of one length; no token is lost, and samples do not see each other.

In: samples of one window (`tokenise.SAMPLES`). Out: packed rows (`PACKED`).

The two samples of a pair, of which one answer is preferred to the other, stay in one row, one behind the
other: together they are put where a single sample of their length would be. Rows with pairs have a column
`preferred`: 1, -1 (the rejected answer) or 0 (no pair) a segment.

Which samples share a row is decided by best-fit decreasing: the longest sample first, each into the row that
it fills best. Over 256 samples rows come out 98.7% full, over 10,000 samples 99.95%.

A sample in a row is a *segment*. `position_ids` begin at 0 in every segment; `segment_ids` are 1 in the first
one, 2 in the next, and 0 in the padding at the end. The first label of a segment is -100, no loss: models
predict each token from the one before, and that would be the last token of another sample. A trainer that
heeds `position_ids`, or takes a mask (`train.attention`), has then the same loss as on each sample alone.

Packed rows stand in the order of their first samples; inside a row segments keep the order of the samples.

Cost: ~1.6 us for a sample of a few hundred tokens, nearly all of it the copying.

Source: Ding et al. 2024, "Fewer Truncations Improve Language Modeling", https://arxiv.org/abs/2404.10830.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from headrace import kernels
from headrace.cluster.errors import RecipeError
from headrace.pipelines import arrays
from headrace.pipelines.stages.pack.config import Config as Config
from headrace.pipelines.stages.tokenise import programs
from headrace.pipelines.stages.tokenise import stage as tokenise

NAME = "pack"
VERSION = 2
DIGEST_COLUMNS = ("input_ids", "labels", "position_ids", "segment_ids")

WEIGHT = "weight"  # double, a column of samples where they are drawn by weights


def _of(kind: pa.DataType) -> pa.ListType:
    """Lists without nulls in them: what may be null costs a third of reading it."""
    return pa.list_(pa.field("element", kind, nullable=False))


PACKED = pa.schema(
    [
        *(pa.field(name, _of(pa.int32())) for name in DIGEST_COLUMNS),
        pa.field("row_ids", _of(pa.uint64())),  # one a segment
        pa.field("pieces", _of(pa.uint32())),  # one a segment
    ]
)
# Columns of samples that packed rows have one value a segment of; the last two where samples have them.
BESIDE = {
    "row_id": PACKED.field("row_ids"),
    "piece": PACKED.field("pieces"),
    tokenise.PREFERRED: pa.field(tokenise.PREFERRED, _of(pa.int8())),
    WEIGHT: pa.field("weights", _of(pa.float64())),
}
# Where values repeat. Positions and segments are written in half the time without one, and are smaller.
DICTIONARY = [f"{name}.list.element" for name in ("input_ids", "labels")]


def length(config: Config, tokenised: tokenise.Config) -> int:
    """Tokens of a packed row. Raises: RecipeError where samples may be longer."""
    chosen = config.length or tokenised.max_length
    if chosen < tokenised.max_length:
        raise RecipeError(
            f"pack.length is {chosen}, less than tokenise.max_length {tokenised.max_length}: "
            "make it at least as long, or lower tokenise.max_length"
        )
    return chosen


def apply(
    samples: pa.Table,
    config: Config,
    tokenised: tokenise.Config,
    *,
    pad_id: int,
    chosen: NDArray[np.int64] | None = None,
) -> pa.Table:
    """Packed rows (schema `packed`) of `samples` (schema `tokenise.SAMPLES`); see `groups`."""
    rows = samples.num_rows or 1
    made = groups(samples, config, tokenised, pad_id=pad_id, rows=rows, chosen=chosen)
    return next(made, packed(samples).empty_table())


def packed(samples: pa.Table) -> pa.Schema:
    """The schema of packed rows of `samples`: `PACKED`, and what some samples have beside it."""
    beside = [field for name, field in list(BESIDE.items())[2:] if name in samples.column_names]
    return pa.schema([*PACKED, *beside])


def groups(
    samples: pa.Table,
    config: Config,
    tokenised: tokenise.Config,
    *,
    pad_id: int,
    rows: int,
    chosen: NDArray[np.int64] | None = None,
) -> Iterator[pa.Table]:
    """Packed rows (schema `packed`) of `samples` (schema `tokenise.SAMPLES`), `rows` of them at a time.

    chosen: numbers of those that are packed, ascending; left out: all.

    Every list of the four token columns has the same length, so that a column is a matrix. In the padding ids
    are `pad_id`, labels -100, segments 0, positions 0, 1, ...

    Raises: RecipeError where `pack.length` is less than `tokenise.max_length`.
    """
    capacity = length(config, tokenised)
    ids, offsets = _values(samples["input_ids"])
    labels, _ = _values(samples["labels"])
    if chosen is None:
        chosen = np.arange(samples.num_rows)
    beside = {name: samples[name].combine_chunks() for name in BESIDE if name in samples.column_names}
    preferred = beside[tokenise.PREFERRED].to_numpy()[chosen] if tokenise.PREFERRED in beside else None
    bins = _bins(np.diff(offsets)[chosen], preferred, capacity)
    _, first = np.unique(bins, return_index=True)
    # Number of each bin as a packed row: bins are numbered anew, in the order of their first samples.
    row = np.argsort(np.argsort(first))[bins]
    order = np.argsort(row, kind="stable")
    laid, row = chosen[order], row[order]
    for begin in range(0, len(first), rows):
        count = min(rows, len(first) - begin)
        part = slice(*np.searchsorted(row, [begin, begin + count]))
        own = row[part] - begin
        starts = pa.array(np.arange(count + 1, dtype=np.int32) * capacity)
        columns = programs.lay(ids, labels, offsets, laid[part], own, count, capacity, pad_id)
        tokens = [pa.ListArray.from_arrays(starts, pa.array(c), type=_of(pa.int32())) for c in columns]
        ends = pa.array(arrays.offsets(np.bincount(own, minlength=count)).astype(np.int32))
        taken = pa.array(laid[part])
        lists = [
            pa.ListArray.from_arrays(ends, column.take(taken), type=BESIDE[name].type)
            for name, column in beside.items()
        ]
        yield pa.Table.from_arrays([*tokens, *lists], schema=packed(samples))


def _bins(lengths: NDArray[np.int64], preferred: NDArray[np.int8] | None, capacity: int) -> NDArray[np.int64]:
    """The packed row of each sample, those of a pair in one: ``int64[N]``."""
    if preferred is None:
        return kernels.pack(lengths, capacity)
    alone = preferred >= 0  # a rejected answer goes with the one before it
    number = np.cumsum(alone) - 1
    whole = np.bincount(number, lengths, minlength=int(alone.sum())).astype(np.int64)
    bins: NDArray[np.int64] = kernels.pack(whole, capacity)[number]
    return bins


def _values(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """All values of a list column end to end, and where each list begins in them (``int64[N + 1]``)."""
    lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which is a copy
    sizes = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    return lists.flatten().to_numpy(), arrays.offsets(sizes)


def row_hashes(table: pa.Table) -> bytes:
    """xxh3-128 of each packed row over its ids, labels, positions and segments, 16 bytes a row.

    The bytes hashed are the int32 values in little-endian order, column after column.
    """
    if not table.num_rows:
        return b""
    matrices = [_values(table[name])[0].reshape(table.num_rows, -1) for name in DIGEST_COLUMNS]
    rows = np.ascontiguousarray(np.stack(matrices, axis=1), dtype="<i4")
    return b"".join(xxhash.xxh3_128_digest(row) for row in rows)
