"""What the passes cut a run into, and what they are called in the ledger and in file names.

A *part* is a piece of a fragment that is worked on as one table. A *window* is a run of consecutive parts of
`prepared/` that were claimed by the same plan, about `pack.window` rows long, so that packing fills its rows
whatever the sizes of the files. It is derived, not recorded: it depends on the plan and on how many rows were
*read* in each part, never on a stage's config, so an added input makes new windows and leaves the old ones
as they are, and a run with a changed recipe gives the same bytes as a fresh one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash

from headrace.cluster import ledger
from headrace.pipelines import schema

PREPARE = "prepare"
DEDUP = "dedup"
PASSAGES = "passages"
EXAMINE = "examine"
MIX = "mix"
PACK = "pack"
PROOF = "proof"
GATE = "gate"


def part(ordinal: int, number: int) -> str:
    """Name of a fragment's part in the ledger and in file names."""
    return f"{ordinal:08d}-{number:04d}"


def hashed(table: pa.Table, row_ids: pa.ChunkedArray) -> dict[str, str]:
    """A hash of the rows of each fragment, by ordinal (as text, for JSON).

    row_ids: ``uint64[N]``, ascending: whose row each row of `table` is.
    """
    table = table.combine_chunks()
    ordinals, starts = np.unique(schema.ordinal(row_ids.to_numpy()), return_index=True)
    ends = [*starts[1:], table.num_rows]
    return {
        str(o): xxhash.xxh3_64_hexdigest(ledger.dumps(table.slice(a, b - a).to_pydict()))
        for o, a, b in zip(ordinals, starts, ends[: len(ordinals)], strict=True)
    }


@dataclass(frozen=True)
class Window:
    """Consecutive parts of `prepared/`: their units, the ordinals that they span, and the hash of each one's
    file (None: its record does not tell).
    """

    number: int
    units: tuple[str, ...]
    first: int
    last: int
    sums: tuple[str | None, ...] = ()

    @property
    def parts(self) -> tuple[tuple[str, str | None], ...]:
        """Path below the run of each part's file, and its hash."""
        sums = self.sums or (None,) * len(self.units)
        return tuple((f"prepared/part-{u}.parquet", s) for u, s in zip(self.units, sums, strict=True))

    @property
    def unit(self) -> str:
        """Name in the ledger and in file names."""
        return window(self.number)


def window(number: int) -> str:
    """Name of a window in the ledger and in file names."""
    return f"{number:08d}"


def windows(records: Sequence[ledger.Record], epochs: dict[int, int], rows: int) -> list[Window]:
    """Cut parts, in the order of ordinal and part, into windows of at least `rows` rows read.

    `records` are the commits of pass 1, `epochs` the number of the plan that claimed each ordinal:
    no window spans two plans.
    """
    cut: list[Window] = []
    held: list[ledger.Record] = []
    for record in sorted(records, key=lambda r: (r["ordinal"], r["part"])):
        if held and (
            epochs[record["ordinal"]] != epochs[held[0]["ordinal"]]
            or sum(r["rows"]["in"] for r in held) >= rows
        ):
            cut.append(_window(len(cut), held))
            held = []
        held.append(record)
    if held:
        cut.append(_window(len(cut), held))
    return cut


def _window(number: int, held: list[ledger.Record]) -> Window:
    units = tuple(part(r["ordinal"], r["part"]) for r in held)
    sums = tuple(r["outputs"][0].get("xxh3") if r.get("outputs") else None for r in held)
    return Window(number, units, held[0]["ordinal"], held[-1]["ordinal"], sums)
