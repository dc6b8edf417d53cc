"""Tasks of a source whose answers come in several formats.

What: the answers to one task (`traits.task`) of one source, counted by format; a task is *mixed* where some
begin in a format and a share of them is not of the format that most are: less of it where most are
structured, as such a task asks for one format. Answers that begin in none are one format of their own
("other").

Why: a model that is taught JSON and prose for the same question answers in either.

Cost: a count of three columns.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Counts = Counter[tuple[str, str | None, str]]  # source, task, format
ANSWERS = 20  # fewer of a task say nothing of it


class Mixture(NamedTuple):
    """One mixed task (None: of a source whose tasks nobody told): answers by format, the most frequent
    first.
    """

    source: str
    task: str | None
    formats: dict[str, int]


def counted(every: pa.Table) -> Counts:
    """Rows of `every` by ``source``, ``task`` and ``format``."""
    grouped = every.select(["source", "task", "format"]).group_by(["source", "task", "format"])
    listed = grouped.aggregate([([], "count_all")]).to_pylist()
    return Counter({(one["source"], one["task"], one["format"]): one["count_all"] for one in listed})


def told(counts: Counts, most: float, mixed: float) -> list[Mixture]:
    """The tasks that are mixed, by source and task. most: share of strays from which on it is said where the
    format of most answers is a structured one; mixed: the same of other tasks.
    """
    groups: dict[tuple[str, str | None], Counter[str]] = {}
    for (source, task, form), n in counts.items():
        groups.setdefault((source, task), Counter())[form or "other"] += n
    found = []
    for (source, task), formats in sorted(groups.items(), key=lambda g: (g[0][0], g[0][1] or "")):
        of = sum(formats.values())
        ordered = dict(sorted(formats.items(), key=lambda f: (-f[1], f[0])))
        strays = of - next(iter(ordered.values()))
        if of >= ANSWERS and strays and strays >= (mixed if "other" in list(ordered)[:1] else most) * of:
            found.append(Mixture(source, task, ordered))
    return found


def strays(one: Mixture) -> int:
    """How many answers are not of the format that most are."""
    return sum(one.formats.values()) - next(iter(one.formats.values()))


def minor(every: pa.Table, mixed: Sequence[Mixture]) -> NDArray[np.bool_]:
    """Rows of `every` whose task is mixed and whose format is not the one that most have, ``bool[N]``."""
    form = pc.if_else(pc.equal(every["format"], ""), "other", every["format"])
    found = np.zeros(every.num_rows, np.bool_)
    for one in mixed:
        task = pc.is_null(every["task"]) if one.task is None else pc.equal(every["task"], one.task)
        own = pc.and_(pc.equal(every["source"], one.source), task)
        stray = pc.and_(own, pc.not_equal(form, next(iter(one.formats))))
        found |= pc.fill_null(stray, False).to_numpy(zero_copy_only=False)
    return found


def sentence(one: Mixture) -> str:
    """For people."""
    of = sum(one.formats.values())
    shares = ", ".join(
        f"{n:,} ({n / of:.0%}) {'as none' if form == 'other' else f'as {form}'}"
        for form, n in one.formats.items()
    )
    task = f"to {one.task!r} " if one.task is not None else ""
    return f"the {of:,} answers {task}of {one.source!r} begin in several formats: {shares}"
