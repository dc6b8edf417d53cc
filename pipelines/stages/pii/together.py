"""Findings of all scanners as one table, and what they mean together, where they could mean anything.

What: most texts hold findings about which no step of `overlaps` has anything to say: names, streets, and
dates without a clock time beside them, all apart from each other. Columns and the bytes around dates tell
which these are; the steps look at the findings of the other texts, one text at a time.

Cost: under a microsecond a finding, and about ten for each text that the steps look at.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans, one_span
from headrace.pipelines.stages.pii import code_values, overlaps, times
from headrace.pipelines.stages.pii.findings import KINDS, Finding, Findings, collected, joined, ordered
from headrace.pipelines.stages.pii.references import CALLED

# Of which a step may say something wherever they stand; of dates only where something stands beside them.
JUDGED = (code_values.ASKED | overlaps.DOUBTED | overlaps.MEANT.keys() | set(CALLED)) - {"DATE_TIME"}


def together(
    texts: pa.Array, parts: Sequence[Findings], without: frozenset[str], is_idle: Callable[[str], bool]
) -> Findings:
    """Findings of several scanners in texts (large_string[N]) that stay, sorted.

    without: recognisers that are off, and steps that are not taken. is_idle: whether nothing of an entity is
    replaced.
    """
    found = sorted_but(parts, without)
    rows, of = np.unique(found.rows, return_inverse=True)
    held = texts.take(pa.array(rows))
    noisy = _noisy(one_span(held), found._replace(rows=of))
    asked = np.flatnonzero(noisy)
    idle = frozenset(filter(is_idle, {entity for entity, _ in KINDS}))
    chosen = zip(rows[asked].tolist(), held.take(pa.array(asked)).to_pylist(), strict=True)
    judged = by_text(found.taken(noisy[of]))
    kept = [(row, one) for row, text in chosen for one in overlaps.resolved(text, judged[row], without, idle)]
    return with_others(found.taken(~noisy[of]), kept)


def sorted_but(parts: Sequence[Findings], without: frozenset[str]) -> Findings:
    """Findings of several scanners, sorted, but those of recognisers that are off."""
    found = joined(parts)
    return ordered(found.taken(_which(found.kinds, lambda _, name: name not in without)))


def by_text(found: Findings) -> dict[int, list[Finding]]:
    """Findings one by one, those of each text together."""
    texts: dict[int, list[Finding]] = {}
    for row, finding in zip(found.rows.tolist(), found.findings, strict=True):
        texts.setdefault(row, []).append(finding)
    return texts


def with_others(found: Findings, others: Iterable[tuple[int, Finding]]) -> Findings:
    """`found` and findings of other texts, in the order of texts; those of a text as they come."""
    pairs = list(others)
    both = joined([found, collected([row for row, _ in pairs], [one for _, one in pairs], {})])
    return both.taken(np.argsort(both.rows, kind="stable"))


def _noisy(texts: Spans, found: Findings) -> NDArray[np.bool_]:
    """Whether a step could say anything of the findings in each text, which are in order: ``bool[texts]``."""
    noisy = _holding(texts, texts.data == ord("\\"))
    noisy[found.rows[_which(found.kinds, lambda entity, _: entity in JUDGED)]] = True
    meet = (found.ends[:-1] > found.starts[1:]) & (found.rows[:-1] == found.rows[1:])
    noisy[found.rows[:-1][meet]] = True
    dates = found.taken(_which(found.kinds, lambda entity, _: entity == "DATE_TIME") & ~noisy[found.rows])
    noisy[dates.rows[dates.scores <= overlaps.BASE["DATE_TIME"]]] = True
    noisy[dates.rows[_holding(texts, texts.data > 127)[dates.rows]]] = True  # characters are no bytes there
    dates = dates.taken(~noisy[dates.rows])
    ahead = _bytes(texts, dates.rows, dates.starts - times.LONGEST, times.LONGEST)
    behind = _bytes(texts, dates.rows, dates.ends, times.NEXT)
    noisy[dates.rows[times.may_grow(ahead, behind) | overlaps.may_be_sum(behind)]] = True
    return noisy


def _bytes(texts: Spans, rows: NDArray[np.int64], firsts: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """`size` bytes of each text in `rows` from ``firsts[i]`` on, 0 beyond its ends: ``uint8[rows, size]``."""
    starts, stops = texts.starts[rows, None], texts.stops[rows, None]
    at = starts + firsts[:, None] + np.arange(size)
    inside = (starts <= at) & (at < stops)
    return np.where(inside, texts.data[np.where(inside, at, 0)], 0).astype(np.uint8)


def _holding(texts: Spans, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a byte of each text is marked: ``bool[data] -> bool[texts]``; texts lie in order."""
    holds = np.zeros(len(texts.starts), np.bool_)
    at = np.searchsorted(texts.stops, np.flatnonzero(marked), "right")
    holds[at[at < len(holds)]] = True
    return holds


def _which(kinds: NDArray[np.int64], test: Callable[[str, str], bool]) -> NDArray[np.bool_]:
    """Which findings are of an entity and a recogniser that pass the test."""
    passed: NDArray[np.bool_] = np.array([test(*kind) for kind in KINDS], np.bool_)[kinds]
    return passed
