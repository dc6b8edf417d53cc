"""From places in a table of texts to findings: each text is examined by itself, equal ones once.

What both scanners (`presidio.scanner`, `own_scanner`) do with what their automata say.
"""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.pipelines.stages.pii.findings import Finding


class Findings(NamedTuple):
    """Findings in many texts: ``findings[i]`` is in text ``rows[i]``. `failures`: why a text has none."""

    rows: list[int]
    findings: list[Finding]
    failures: dict[int, str]


def by_row(
    texts: pa.Array, row: NDArray[np.int64], inside: list[tuple[int, int]], *, everywhere: bool = False
) -> Iterator[tuple[int, str, list[tuple[int, int]]]]:
    """(row, text, its places) of the texts that have any, or of all that are not null.

    ``inside[i]`` is a place in text ``row[i]``; `row` ascends.
    """
    rows: NDArray[np.int64] = np.unique(row)
    if everywhere:
        rows = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    first = np.searchsorted(row, rows, "left").tolist()
    last = np.searchsorted(row, rows, "right").tolist()
    chosen = texts.take(pa.array(rows)).to_pylist()
    for at, text, start, stop in zip(rows.tolist(), chosen, first, last, strict=True):
        yield at, text, inside[start:stop]


def examined(
    rows: Iterable[tuple[int, str, list[tuple[int, int]]]],
    examine: Callable[[str, list[tuple[int, int]]], list[Finding]],
) -> Findings:
    """What `examine` finds in texts at their places; of equal texts one is examined for all.

    A text on which it raises is in `failures`, with the type of the error alone: a message may quote it.
    """
    found = Findings([], [], {})
    known: dict[str, list[Finding]] = {}
    with uncollected():
        for row, text, places in rows:
            if text not in known:
                try:
                    known[text] = examine(text, places)
                except Exception as error:  # noqa: BLE001 - whatever it is, it costs this row only
                    found.failures[row] = type(error).__name__
                    continue
            found.rows.extend([row] * len(known[text]))
            found.findings.extend(known[text])
    return found


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for garbage in cycles: findings make none, and Presidio is so large that the search
    takes a tenth of the time, and a third of the time to set it up.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
