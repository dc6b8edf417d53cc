"""Formats: answers that begin as JSON, XML, YAML, a call, a fence, SQL or CSV, parsed to their end.

What: each structured answer is *valid*, *drift* (a valid head and a wrong tail, with the character where it
breaks) or *invalid*. Rows that are not valid stand in ``findings/formats.parquet`` (row_id, format,
valid_head, valid, breaks_at). The report counts them by format, and names sources of which most answers,
not all, are structured. No row goes by it.

Why: a model that has seen one JSON answer in twenty end in prose ends every twentieth of its own in prose.

Cost: one look at the beginning of each answer; see `parse` for those that are structured.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster import storage
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.formats.config import Config as Config
from headrace.pipelines.examine.formats.parse import CLUES, Parsed, parse

NAME = "formats"
VERSION = 1
LIBRARIES = ("sqlglot", "pyyaml")
STATES = ("valid", "drift", "invalid")
FINDINGS = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("format", pa.string()),
        ("valid_head", pa.bool_()),
        ("valid", pa.bool_()),
        ("breaks_at", pa.int64()),
    ]
)
# Share of structured answers of a source between which it is neither the one nor the other.
MIXED = (0.5, 0.98)


def formats(answers: pa.Array, config: Config | None = None) -> pa.Table:
    """The answers that begin in a format, ``[K]``: ``row`` int64, their places; ``format``; ``valid_head``,
    ``valid``; ``breaks_at`` int64, the character where one breaks, null where it is valid.

    answers: string[N] or large_string[N]; nulls are none. Answers longer than `config.longest` are left out.
    """
    config = config or Config()
    if isinstance(answers, pa.ChunkedArray):
        answers = answers.combine_chunks()
    pattern = re.compile(config.pattern, re.DOTALL) if config.pattern is not None else None
    short = pc.less_equal(pc.utf8_length(answers), config.longest)
    if pattern is None:
        short = pc.and_(short, pc.match_substring_regex(pc.utf8_slice_codeunits(answers, 0, 400), CLUES))
    places = pc.indices_nonzero(short.fill_null(False)).to_pylist()
    parsed = [(at, parse(answers[at].as_py(), pattern)) for at in places]
    found = [(at, *one) for at, one in parsed if one is not None]
    columns = list(zip(*found, strict=True)) or [()] * 5
    kinds = (pa.int64(), pa.string(), pa.bool_(), pa.bool_(), pa.int64())
    names = ("row", *Parsed._fields)
    return pa.table({n: pa.array(c, k) for n, c, k in zip(names, columns, kinds, strict=True)})


def run(
    prepared: Sequence[str], run: str, config: Config, each: Callable[..., Iterator[Any]]
) -> dict[str, Any]:
    """Write the findings, return the report: counts by format and state, and words. Raises: StorageError."""
    if not config.enabled:
        return {"enabled": False}
    looked = partial(_file, run=run, config=config)
    results = list(each(looked, list(prepared), name=NAME))
    findings = [found for found, _, _ in results if found.num_rows]
    table = pa.concat_tables([FINDINGS.empty_table(), *findings]).sort_by("row_id")
    storage.write_ranges(storage.join(run, f"findings/{NAME}.parquet"), table)
    counts = Counter[tuple[str, str, str]]()
    for _, counted, _ in results:
        counts.update(counted)
    return _report(counts, sum(long for _, _, long in results), config)


def _file(path: str, run: str, config: Config) -> tuple[pa.Table, Counter[tuple[str, str, str]], int]:
    """Findings of one file; rows by source, format and state; answers that were too long."""
    table = rows.left(path, run, ["source", "messages"])
    answers = rows.exchanges(table)["answer"].combine_chunks()
    found = formats(answers, config)
    places = found["row"].combine_chunks()
    wrong = pc.invert(found["valid"])
    own = found.append_column("row_id", table["row_id"].take(places)).filter(wrong).select(FINDINGS.names)
    state = pc.if_else(found["valid"], "valid", pc.if_else(found["valid_head"], "drift", "invalid"))
    named = zip(
        table["source"].take(places).to_pylist(), found["format"].to_pylist(), state.to_pylist(), strict=True
    )
    counts = Counter(named)
    answered = table["source"].filter(pc.not_equal(answers, ""))
    for value in pc.value_counts(answered.combine_chunks()).to_pylist():
        counts[value["values"], "", ""] = value["counts"]
    long = pc.sum(pc.greater(pc.utf8_length(answers), config.longest)).as_py() or 0
    return own.cast(FINDINGS), counts, long


def _report(counts: Counter[tuple[str, str, str]], long: int, config: Config) -> dict[str, Any]:
    by_format: dict[str, dict[str, int]] = {}
    by_source: dict[str, dict[str, int]] = {}
    for (source, name, state), n in sorted(counts.items()):
        own = by_source.setdefault(source, {"answers": 0, "structured": 0})
        if not name:
            own["answers"] += n
            continue
        own["structured"] += n
        states = by_format.setdefault(name, dict.fromkeys(STATES, 0))
        states[state] += n
    structured = sum(sum(states.values()) for states in by_format.values())
    broken = structured - sum(states["valid"] for states in by_format.values())
    words = []
    for name, states in by_format.items():
        of = sum(states.values())
        if of - states["valid"] > config.most * of:
            words.append(f"{of - states['valid']:,} of {of:,} answers that begin as {name} break")
    mixed = {
        source: own
        for source, own in by_source.items()
        if MIXED[0] < own["structured"] / max(own["answers"], 1) < MIXED[1]
    }
    words += [
        f"{own['structured']:,} of {own['answers']:,} answers of {source!r} are structured, the rest is not"
        for source, own in mixed.items()
    ]
    return {
        "enabled": True,
        "answers": sum(own["answers"] for own in by_source.values()),
        "structured": structured,
        "broken": broken,
        "by_format": by_format,
        "mixed": mixed,
        "too_long": long,
        "verdict": "mend" if words else "fine",
        "words": words,
    }
