"""The checks in their order, and what each one is: a folder beside this file with `config.py` and `run.py`.

A check's `run.py` has `NAME`, `VERSION` and ``run(prepared, run, config, each)``: `prepared` are paths of
files of `prepared/`, `run` the run directory, and ``each(function, items, name=...)`` gives results of tasks
in the order of the items. It returns a report for run.json without any row's text (`words` are sentences for
people), and writes ``findings/<check>.parquet``, and where rows go by it ``findings/<check>.drops.parquet``
(`row_id`, `reason`): dropped, or quarantined where the policy of its config says so. Where files that the
recipe names decide what it finds, ``marks(config)`` tells them from changed ones; `LIBRARIES` are those that
decide it too.

Where a check begins by looking at every file, ``looking(run, config, each)`` gives the function that looks (a
`rows.Look`), and `run` takes what it said of each run of files as `looked`: so those of all checks are read
at once. Left out, it looks by itself.
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import schema

CHECKS: tuple[str, ...] = (
    *("leaks", "contradictions", "label_noise", "diversity", "formats", "reasoning", "bias"),
)
# Rows that go by what a check found. mark: "drop", or "error" where they are quarantined.
DROPS = pa.schema([("row_id", pa.uint64()), ("reason", pa.string()), ("mark", pa.string())])


def module(check: str) -> ModuleType:
    """The code of a check, loaded when it is first asked for."""
    return import_module(f"{__package__}.{check}.run")


def path(check: str, kind: str = "") -> str:
    """Where a check's findings lie, below the run; `kind`: "drops"."""
    return f"findings/{check}.{kind + '.' if kind else ''}parquet"


def drops(run: str, check: str, first: int = 0, last: int = 2**32 - 1) -> pa.Table:
    """Rows of ordinals `first` to `last` that go by what a check found (`DROPS`)."""
    span: list[Any] = [("row_id", ">=", first << 32), ("row_id", "<", (last + 1) << 32)]
    return storage.read_table(storage.join(run, path(check, "drops")), filters=span).cast(DROPS)


def settle(run: str, check: str, held: NDArray[np.uint64], mark: str) -> pa.Table:
    """Write again which rows go by what a check found, as `DROPS`, less those of the ordinals in `held`: what
    a source holds out stays as it is. mark: "drop" or "error". Returns them.
    """
    where = storage.join(run, path(check, "drops"))
    found = storage.read_table(where)
    found = found.append_column("mark", pa.repeat(mark, found.num_rows))
    stays = np.isin(schema.ordinal(found["row_id"].to_numpy()), held)
    found = found.select(DROPS.names).cast(DROPS).filter(pa.array(~stays)).sort_by("row_id")
    storage.write_ranges(where, found)
    return found


def sentences(report: Mapping[str, Any]) -> list[str]:
    """What a report says for people: its `words`, one sentence or several, and those of its sources."""
    words = report.get("words") or []
    own = [words] if isinstance(words, str) else list(words)
    return own + [s["words"] for s in report.get("sources") or () if isinstance(s, dict) and s.get("words")]


def mark(table: pa.Table, found: pa.Table) -> pa.Table:
    """Drop or quarantine the rows of `table` that `found` (`DROPS`) names."""
    for column in ("drop", "error"):
        chosen = found.filter(pc.equal(found["mark"], column)).combine_chunks()
        place = pc.index_in(table["row_id"].combine_chunks(), chosen["row_id"].combine_chunks())
        table = schema.mark(table, column, chosen["reason"].combine_chunks().take(place))
    return table
