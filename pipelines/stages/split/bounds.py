"""Where sides begin, if shares of a hash do not say it: numbers of rows, strata, times.

What: the rows of a run's first plan are looked at once. By hash: the units (clusters, and rows that are in
none) of a stratum are put in the order of their hash, and the first go to test, the next to validation, until
there are as many rows as were asked for. By time: rows in the order of their time, the last to test. Rows
that are added later go by the same bounds, so none moves.

Cost: 24 bytes a row of the first plan, in one task.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.stages.split.config import Config

LEAST = 20  # rows of a stratum of its own; smaller ones are one together
REST = 0  # the stratum of all others


class Facts(NamedTuple):
    """What the bounds hang on, of some rows: ids, hash keys, strata and times (`NO_TIME`: there is none)."""

    ids: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    strata: NDArray[np.uint64]
    times: NDArray[np.int64]

    def at(self, chosen: NDArray[Any]) -> "Facts":
        """Those of some of the rows: a mask, or places."""
        return Facts(self.ids[chosen], self.keys[chosen], self.strata[chosen], self.times[chosen])


Bounds = dict[str, Any]  # strata, test, held: lists; or validation, test: microseconds since 1970
NO_TIME = np.iinfo(np.int64).min


def facts(table: pa.Table, config: Config) -> Facts:
    """`Facts` of the rows of a table of `prepared/`."""
    keys = pc.coalesce(table["group"], table["exact_lo"]).to_numpy().astype(np.uint64)
    strata = np.full(table.num_rows, REST, np.uint64)
    if config.stratify == "label":
        strata = table["answer_key"].to_numpy().astype(np.uint64)
    elif config.stratify == "source":
        names = table["source"].combine_chunks().cast(pa.string()).dictionary_encode()
        hashes = [xxhash.xxh3_64_intdigest(n.encode()) for n in names.dictionary.to_pylist()]
        strata = np.array([*hashes, 0], np.uint64)[names.indices.to_numpy()]
    times = np.full(table.num_rows, NO_TIME)
    if config.by == "time":
        times = pc.fill_null(table["time"].cast(pa.int64()), NO_TIME).to_numpy()
    return Facts(table["row_id"].to_numpy(), keys, strata, times)


COLUMNS = ("row_id", "group", "exact_lo", "answer_key", "source", "time")


def read(paths: Sequence[str], config: Config) -> Facts:
    """`Facts` of the rows of some files of `prepared/`, by ascending id."""
    tables = [storage.read_table(path, list(COLUMNS)) for path in paths]
    if not tables:
        none = np.zeros(0, np.uint64)
        return Facts(none, none, none, np.zeros(0, np.int64))
    whole = [facts(table, config) for table in tables]
    ids, keys, strata = (np.concatenate([getattr(f, n) for f in whole]) for n in ("ids", "keys", "strata"))
    found = Facts(ids, keys, strata, np.concatenate([f.times for f in whole]))
    return found.at(np.argsort(ids, kind="stable"))


def of_times(times: NDArray[np.int64], config: Config) -> Bounds:
    """From which time on a row is of validation, and of test; None for a side that there is not."""
    known = np.sort(times[times != NO_TIME])
    n = len(known)
    test = min(n, round(config.target("test", n)))
    held = min(n, test + round(config.target("validation", n)))
    # What is added later than all of them is of the last side.
    begins = [int(known[-k]) if k else int(known[-1]) + 1 if n else 0 for k in (held, test)]
    return {
        "validation": begins[0] if config.validation else None,
        "test": begins[1] if config.test else None,
    }


def of_units(
    shares: NDArray[np.float64], strata: NDArray[np.uint64], sizes: NDArray[np.int64], config: Config
) -> Bounds:
    """Bounds of the hash's share (0 to 1) by stratum, for units with these shares and numbers of rows."""
    rows = int(sizes.sum())
    names, place = np.unique(strata, return_inverse=True)
    small = np.bincount(place, sizes, len(names)) < LEAST
    strata = np.where(small[place] if len(names) else np.zeros(0, np.bool_), np.uint64(REST), strata)
    bounds: Bounds = {"strata": [], "test": [], "held": []}
    for stratum in np.union1d(strata, np.array([REST], np.uint64)):
        own = strata == stratum
        part = int(sizes[own].sum()) / rows if own.any() else 1 / max(rows, 1)
        targets = [config.target(side, rows) * part for side in ("test", "validation")]
        test, held = (
            _cut(shares[own], sizes[own], *targets) if own.any() else np.minimum(np.cumsum(targets), 1)
        )
        bounds["strata"].append(int(stratum))
        bounds["test"].append(float(test))
        bounds["held"].append(float(held))
    return bounds


def _cut(
    shares: NDArray[np.float64], sizes: NDArray[np.int64], test: float, validation: float
) -> tuple[float, float]:
    """Shares under which `test` rows lie, and that many and `validation` more; what is too large for a side,
    which goes to train, counts for neither.
    """
    fits = (sizes == 1) | (sizes <= min((t for t in (test, validation) if t), default=0) / 2)
    order = np.argsort(shares[fits], kind="stable")
    ends = [*shares[fits][order], 1.0]
    total = np.cumsum(sizes[fits][order])
    rows = [round(test), round(test) + round(validation)]
    cut = [float(ends[np.searchsorted(total, n, side="right")]) if n else 0.0 for n in rows]
    return cut[0], cut[1]


def side_by_time(times: NDArray[np.int64], bounds: Bounds) -> NDArray[np.int8]:
    """Side of each time, ``int64[N] -> int8[N]`` (place in `SPLITS`); rows without a time: train."""
    sides = np.zeros(len(times), np.int8)
    for side in (1, 2):
        if (begin := bounds[schema.SPLITS[side]]) is not None:
            sides[times >= begin] = side
    return sides


def in_gap(times: NDArray[np.int64], bounds: Bounds, gap: float) -> NDArray[np.bool_]:
    """Which times lie less than `gap` days before a side that begins: ``bool[N]``."""
    length = round(gap * 86400e6)
    found = np.zeros(len(times), np.bool_)
    for begin in (bounds["validation"], bounds["test"]):
        if begin is not None:
            found |= (times < begin) & (times >= begin - length) & (times != NO_TIME)
    return found


def side_by_share(
    shares: NDArray[np.float64], strata: NDArray[np.uint64], bounds: Bounds
) -> NDArray[np.int8]:
    """Side of each unit by its hash's share and its stratum: ``int8[N]``."""
    names = np.array(bounds["strata"], np.uint64)  # ascending, `REST` among them
    at = np.minimum(np.searchsorted(names, strata), len(names) - 1)
    at = np.where(names[at] == strata, at, np.searchsorted(names, np.uint64(REST)))
    test, held = np.array(bounds["test"])[at], np.array(bounds["held"])[at]
    return np.where(shares < test, 2, np.where(shares < held, 1, 0)).astype(np.int8)
