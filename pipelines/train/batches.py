"""Which rank reads which packed rows in which step, and the reading itself.

What: everything about the order of training is a function of (seed, epoch): the plan is made up
front, is the same on every rank and needs no state but the number of the step to go on after a kill.

How: a *chunk* is one row group of a part of `packed/`. In an epoch the chunks are shuffled, taken
`MIXED` at a time, and the rows of those are shuffled together; so a rank holds at most a few chunks,
whatever the size of the data. A step takes the next rows of that order, however many ranks there are: it is
cut into micro-batches, which are dealt to the ranks like cards. The last step of an epoch takes what is
left.

Weights: a source's weight is how often a sample of it is trained on in an epoch, on average. Packed
rows mix sources, so a weight cannot be had by repeating rows alone: a sample is *drawn*
``floor(weight + u)`` times, with u in [0, 1) from a hash of (seed, epoch, row_id); its packed row is
visited as often as its most drawn sample, and on visit v only samples drawn more than v times carry
loss. With all weights 1.0 that is each packed row once and no draw is made. Weights by trait stand beside
`row_ids` in rows that were packed with them, and are multiplied with their source's. (Scaling the loss of
each sample instead would have the same mean, but a weight of 0.1 would then train on everything, and one of
5 would take one step five times as far.)

Cost: 8 bytes a packed row for the order, `MIXED` decoded chunks a rank; with weights the `row_ids`
column is read once an epoch.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines import arrays
from headrace.pipelines.schema import IGNORE

WEIGHTS = "weights"  # list<double>, one a segment; where the recipe weighs rows by their traits
COLUMNS = ("input_ids", "labels", "position_ids", "segment_ids")
MIXED = 8  # chunks whose rows are shuffled together

Batch = dict[str, NDArray[np.int64]]  # of COLUMNS, each [rows, length]


@dataclass(frozen=True)
class Chunk:
    """One row group of a part of `packed/`: the unit of reading."""

    path: str
    group: int
    rows: int


@dataclass(frozen=True)
class Shelf:
    """The packed rows of one split. `digest` changes with their content; weighted: some have `WEIGHTS`."""

    chunks: tuple[Chunk, ...]
    digest: str
    weighted: bool = False

    @property
    def rows(self) -> int:
        """Packed rows in all chunks."""
        return sum(c.rows for c in self.chunks)


def shelf(run: str, split: str) -> Shelf:
    """Look at the footers of `packed/<split>/`; no row is read.

    The digest is of these: encoded sizes and least and greatest value of every column of every row
    group, but no path and no time, so a moved or copied run has the digests it had.
    """
    chunks: list[Chunk] = []
    digest, weighted = xxhash.xxh3_128(), False
    for entry in storage.listing(storage.join(run, "packed", split)):
        with storage.explained(entry.path, "read"), storage.open_input(entry.path) as file:
            footer = pq.read_metadata(file)
        weighted |= WEIGHTS in footer.schema.to_arrow_schema().names
        for group in range(footer.num_row_groups):
            described = footer.row_group(group)
            if not described.num_rows:
                continue
            chunks.append(Chunk(entry.path, group, described.num_rows))
            digest.update(repr(described.to_dict()["columns"]).encode())
    return Shelf(tuple(chunks), digest.hexdigest(), weighted)


def draws(
    row_ids: NDArray[np.uint64],
    weights: Mapping[int, float],
    seed: int,
    epoch: int,
    own: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """How often each sample is trained on in `epoch`: ``uint64[N] -> int64[N]``.

    `weights` is by ordinal (``row_id >> 32``), 1.0 where it has none; `own` those of the samples by their
    traits. The mean over epochs is their product; one of 1.0 gives exactly 1, one of 0 never any.
    """
    ordinals, places = np.unique(row_ids >> np.uint64(32), return_inverse=True)
    wanted = np.array([weights.get(int(o), 1.0) for o in ordinals], np.float64)[places]
    wanted = wanted if own is None else wanted * own
    salt = xxhash.xxh3_64_intdigest(f"{seed}/{epoch}".encode())
    uniform = (arrays.finalised(row_ids ^ np.uint64(salt)) >> np.uint64(11)) * 2.0**-53
    drawn: NDArray[np.int64] = np.floor(wanted + uniform).astype(np.int64)
    return drawn


@dataclass(frozen=True)
class Order:
    """The rows of one epoch as they are trained on; both ``int64[visits]``."""

    places: NDArray[np.int64]  # row counted over all chunks
    visits: NDArray[np.int64]  # 0 the first time that a row is met in the epoch, 1 the second, ...


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a step reads.

    rows_per_step: over all ranks and micro-batches. weights: by ordinal; empty: all 1.0. by_trait: whether
    the rows' own `WEIGHTS` count. taken: share of the rows that is trained on, each within any larger one.
    """

    shelf: Shelf
    seed: int
    rows_per_step: int
    weights: Mapping[int, float]
    by_trait: bool = False
    taken: float = 1.0

    @property
    def drawn(self) -> bool:
        """Whether samples are drawn by weights."""
        return bool(self.weights) or self.by_trait

    @property
    def beside(self) -> tuple[str, ...]:
        """Columns that draws are made of."""
        return ("row_ids", WEIGHTS) if self.by_trait else ("row_ids",)

    def order(self, epoch: int) -> Order:
        """The order of `epoch`, the same on every machine."""
        chunks = self.shelf.chunks
        starts = arrays.offsets([c.rows for c in chunks])
        generator = np.random.default_rng([self.seed, epoch])
        shuffled = generator.permutation(len(chunks))
        places, visits = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for first in range(0, len(chunks), MIXED):
            taken = [int(c) for c in shuffled[first : first + MIXED]]
            rows = np.concatenate([np.arange(starts[c], starts[c + 1]) for c in taken])
            times = np.concatenate([self._times(chunks[c], epoch) for c in taken])
            if self.taken < 1:
                times = times * _taken(rows, self.seed, self.taken)
            repeated = np.repeat(rows, times)
            nth = np.arange(len(repeated)) - np.repeat(np.cumsum(times) - times, times)
            mixed = generator.permutation(len(repeated))
            places.append(repeated[mixed])
            visits.append(nth[mixed])
        return Order(np.concatenate(places), np.concatenate(visits))

    def _times(self, chunk: Chunk, epoch: int) -> NDArray[np.int64]:
        """How often each row of `chunk` is visited: ``int64[rows]``."""
        if not self.drawn:
            return np.ones(chunk.rows, np.int64)
        table = _read(chunk, self.beside)
        lists = table["row_ids"].combine_chunks()
        own = _values(table[WEIGHTS].combine_chunks()) if self.by_trait else None
        drawn = draws(_values(lists), self.weights, self.seed, epoch, own)
        times = np.zeros(chunk.rows, np.int64)
        np.maximum.at(times, np.repeat(np.arange(chunk.rows), lists.value_lengths().to_numpy()), drawn)
        return times

    def rows(self, order: Order, step: int) -> Order:
        """The rows of a step of an epoch (counted from 0), in their order."""
        cut = slice(step * self.rows_per_step, (step + 1) * self.rows_per_step)
        return Order(order.places[cut], order.visits[cut])

    def steps(self, order: Order) -> int:
        """Steps that an epoch of this order takes."""
        return -(-len(order.places) // self.rows_per_step)

    def epochs(self, epochs: int, max_steps: int | None) -> list[int]:
        """Steps of each epoch: of `epochs` of them, or as many as make up `max_steps`.

        Raises: SourceError where there is nothing to train on.
        """
        counts: list[int] = []
        while len(counts) < epochs if max_steps is None else sum(counts) < max_steps:
            same = bool(counts) and not self.drawn  # without weights every epoch is as long
            counts.append(counts[0] if same else self.steps(self.order(len(counts))))
            if not counts[-1]:
                raise SourceError(
                    "there is nothing to train on: packed/train holds no rows, or every source that it "
                    "holds has a weight near 0; look at split.*, sources[].weight and sources[].weights"
                )
        if max_steps is not None:
            counts[-1] -= sum(counts) - max_steps
        return counts


def _taken(places: NDArray[np.int64], seed: int, share: float) -> NDArray[np.bool_]:
    """Which rows belong to a share of them: ``int64[N] -> bool[N]``, by a hash of place and seed."""
    salt = xxhash.xxh3_64_intdigest(f"{seed}/taken".encode())
    uniform = (arrays.finalised(places.astype(np.uint64) ^ np.uint64(salt)) >> np.uint64(11)) * 2.0**-53
    return np.asarray(uniform < share)


class Micro(NamedTuple):
    """Rows that a rank computes at once. number: of the micro-batch in its step."""

    number: int
    order: Order


def share(rows: Order, rows_per_step: int, rank: int, ranks: int, batch: int) -> list[Micro]:
    """The micro-batches of a step's `rows` that are `rank`'s.

    They are of `batch` rows, or of fewer where that leaves ranks without work. The same rows come together
    on any number of ranks up to ``rows_per_step / batch``, and of each the same numbers are drawn: so a
    training that is resized goes on as it would have.
    """
    size = max(1, min(batch, -(-rows_per_step // ranks)))
    cuts = [slice(first, first + size) for first in range(0, len(rows.places), size)]
    micro = [Micro(i, Order(rows.places[cut], rows.visits[cut])) for i, cut in enumerate(cuts)]
    return micro[rank::ranks]


class Reader:
    """Packed rows by place, with the chunks read last kept decoded."""

    def __init__(self, plan: Plan, length: int | None = None) -> None:
        self._plan = plan
        self._starts = arrays.offsets([c.rows for c in plan.shelf.chunks])
        self._decoded: OrderedDict[int, dict[str, NDArray[np.int32]]] = OrderedDict()
        self._beside: dict[int, pa.Table] = {}
        self.length = length or self._length()

    def _length(self) -> int:
        first = next((i for i, c in enumerate(self._plan.shelf.chunks) if c.rows), None)
        return 0 if first is None else int(self._chunk(first)["input_ids"].shape[1])

    def read(self, chosen: Order, epoch: int) -> Batch:
        """The rows of `chosen`, in its order, with labels of samples that this visit leaves out put off."""
        rows = len(chosen.places)
        batch = {name: np.zeros((rows, self.length), np.int64) for name in COLUMNS}
        chunks = np.searchsorted(self._starts, chosen.places, side="right") - 1
        for i, (chunk, place) in enumerate(zip(chunks, chosen.places, strict=True)):
            row = int(place - self._starts[chunk])
            decoded = self._chunk(int(chunk))
            for name in COLUMNS:
                batch[name][i] = decoded[name][row]
            if self._plan.drawn:
                self._put_off(batch, i, int(chunk), row, int(chosen.visits[i]), epoch)
        return batch

    def _put_off(self, batch: Batch, i: int, chunk: int, row: int, visit: int, epoch: int) -> None:
        lists = [self._beside[chunk][name][row].values.to_numpy() for name in self._plan.beside]
        ids, own = np.asarray(lists[0], np.uint64), (lists[1] if self._plan.by_trait else None)
        drawn = draws(ids, self._plan.weights, self._plan.seed, epoch, own)
        wanted = np.concatenate([[False], drawn > visit])  # segments count from 1, 0 is padding
        batch["labels"][i][~wanted[batch["segment_ids"][i]]] = IGNORE

    def _chunk(self, number: int) -> dict[str, NDArray[np.int32]]:
        if number in self._decoded:
            self._decoded.move_to_end(number)
            return self._decoded[number]
        chunk = self._plan.shelf.chunks[number]
        table = _read(chunk, [*COLUMNS, *self._plan.beside])
        self._decoded[number] = _matrices(table)
        self._beside[number] = table.select(self._plan.beside).combine_chunks()
        while len(self._decoded) > MIXED:
            oldest, _ = self._decoded.popitem(last=False)
            del self._beside[oldest]
        return self._decoded[number]


def row_ids(shelf: Shelf, places: Sequence[int], most: int) -> list[int]:
    """Ids of the first rows whose samples lie in the packed rows at `places`, at most `most`."""
    starts = arrays.offsets([c.rows for c in shelf.chunks])
    found: list[int] = []
    for place in places:
        chunk = int(np.searchsorted(starts, place, side="right")) - 1
        lists = _read(shelf.chunks[chunk], ["row_ids"])["row_ids"]
        found += [int(i) for i in lists[int(place - starts[chunk])].values.to_pylist()]
        if len(found) >= most:
            break
    return found[:most]


def segments(chunk: Chunk) -> list[int]:
    """How many samples each row of a chunk holds."""
    lists = _read(chunk, ["row_ids"])["row_ids"].combine_chunks()
    return [int(n) for n in lists.value_lengths().to_numpy()]


def ids(chunk: Chunk) -> list[int]:
    """row_id of every sample of a chunk, row by row."""
    lists = _read(chunk, ["row_ids"])["row_ids"].combine_chunks()
    return [int(i) for i in lists.flatten().to_numpy()]


def decoded(chunk: Chunk) -> dict[str, NDArray[np.int32]]:
    """The token columns of a chunk, ``int32[rows, length]`` each."""
    return _matrices(_read(chunk, COLUMNS))


def _matrices(table: pa.Table) -> dict[str, NDArray[np.int32]]:
    return {n: _values(table[n].combine_chunks()).reshape(table.num_rows, -1) for n in COLUMNS}


def _read(chunk: Chunk, columns: Sequence[str]) -> pa.Table:
    with storage.explained(chunk.path, "read"), storage.open_input(chunk.path) as file:
        return pq.ParquetFile(file).read_row_group(chunk.group, columns=list(columns))


def _values(lists: pa.ListArray) -> NDArray[Any]:
    """All values of a list column, one list after the other."""
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False))
