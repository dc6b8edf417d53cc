"""From places in a table of texts to findings: each text is examined by itself, equal ones once.

What `presidio.scanner` does with what its automata say, whose recognisers look at a text as a whole.
"""

import functools
import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

from headrace.pipelines.stages.pii.findings import Findings, listed

Matched = Callable[[str, int], Any]  # text and the character at which to begin
Found = tuple[int, int, int, float]  # start, end, number of the kind, score


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
    examine: Callable[[str, list[tuple[int, int]]], list[Found]],
) -> Findings:
    """What `examine` finds in texts at their places; of equal texts one is examined for all.

    A text on which it raises is in `failures`, with the type of the error alone: a message may quote it.
    """
    of_rows: list[int] = []
    found: list[Found] = []
    failures: dict[int, str] = {}
    known: dict[str, list[Found]] = {}
    with uncollected():
        for row, text, places in rows:
            if text not in known:
                try:
                    known[text] = examine(text, places)
                except Exception as error:  # noqa: BLE001 - whatever it is, it costs this row only
                    failures[row] = type(error).__name__
                    continue
            of_rows.extend([row] * len(known[text]))
            found.extend(known[text])
    return listed(of_rows, found, failures)


def matcher(source: str, flags: int = 0, timeout: float | None = None) -> tuple[Matched, Matched]:
    """`match` and `search` of a pattern that is compiled when it is first tried: most never are in a process,
    and each takes `regex` milliseconds. timeout: seconds for one match; None: no limit.
    """
    compiled = functools.cache(functools.partial(regex.compile, source, flags))
    if timeout is None:  # to say so costs as much as a limit
        return lambda text, at: compiled().match(text, at), lambda text, at: compiled().search(text, at)
    return (
        lambda text, at: compiled().match(text, at, timeout=timeout),
        lambda text, at: compiled().search(text, at, timeout=timeout),
    )


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
