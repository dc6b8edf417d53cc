"""Formats: answers that begin as JSON, XML, YAML, a call, a fence, SQL or CSV, parsed to their end.

What: each structured answer is *valid*, *drift* (a valid head and a wrong tail, with the character where it
breaks) or *invalid*. The report counts them by format, names tasks of a source whose answers come in
several formats (`mixture`), and counts answers that lose their end to `tokenise.max_length` (`cut`). The
rows stand in ``findings/formats.parquet`` (row_id, format, valid_head, valid, breaks_at, and as `finding`
one of `broken`, `mixed` (all but those of the format that most have) and `cut`). No row goes by it.

Prose and code begin as CSV, YAML or a call by accident. So answers of a source that begin as one of these
count only where more than half of them are valid to their end: there it is a habit, which the others break.

Why: a model that has seen one JSON answer in twenty end in prose ends every twentieth of its own in prose;
one that has seen answers without an end goes on.

Cost: one look at the beginning of each answer; see `parse` for those that are structured. Rows of about as
many bytes as a sample may have tokens are tokenised; 20 bytes a row are written and, where a task is mixed,
read again.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.formats import cut, mixture
from headrace.pipelines.examine.formats.config import Config as Config
from headrace.pipelines.examine.formats.parse import CLUES, Parsed, parse

NAME = "formats"
VERSION = 5
LIBRARIES = ("sqlglot", "pyyaml")
WORK = f"findings/work/{NAME}"
Each = Callable[..., Iterator[Any]]
STATES = ("valid", "drift", "invalid")
FINDINGS = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("format", pa.string()),
        ("valid_head", pa.bool_()),
        ("valid", pa.bool_()),
        ("breaks_at", pa.int64()),
        ("finding", pa.string()),
    ]
)
Mask = NDArray[np.bool_]
LOOSE = ("call", "csv", "yaml")
OTHER = ""  # the format of an answer that begins as none
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


def looking(run: str, config: Config, each: Each) -> rows.Look:
    """What parses the answers of some files. Raises: what loading the tokenizer raises, for long rows."""
    work = rows.emptied(run, WORK)
    return partial(_file, work=work, config=config, limit=cut.of_run(run))


def run(
    prepared: Sequence[str],
    run: str,
    config: Config,
    each: Each,
    looked: Sequence["Looked"] | None = None,
) -> dict[str, Any]:
    """Write the findings, return the report: counts by format and state, and words. Raises: StorageError, and
    as `looking`.
    """
    if not config.enabled:
        return {"enabled": False}
    if looked is None:
        looked = rows.alone(looking(run, config, each), prepared, run, each, name=NAME)
    results, limit = looked, cut.of_run(run)
    counts, tasks = Counter[tuple[str, str, str]](), mixture.Counts()
    for one in results:
        counts.update(one.counts)
        tasks.update(one.tasks)
    mixed = mixture.told(tasks, config.most, config.mixed)
    accidents = _accidents(counts)
    counts = Counter({key: n for key, n in counts.items() if key[:2] not in accidents})
    findings = [_without(one.findings, accidents) for one in results]
    if mixed:
        minor = partial(_minor, mixed=mixed)
        written = [one.every for one in results]
        findings += [_without(found, set()) for found in each(minor, written, name="formats mixed")]
    storage.delete(storage.join(run, WORK))
    table = pa.concat_tables([FINDINGS.empty_table(), *findings])
    table = table.sort_by([("row_id", "ascending"), ("finding", "ascending")])
    storage.write_ranges(storage.join(run, f"findings/{NAME}.parquet"), table)
    lost = Counter[str]()
    for one in results:
        lost.update(one.lost)
    return _report(counts, sum(one.long for one in results), mixed, lost, limit, config)


def _accidents(counts: Counter[tuple[str, str, str]]) -> set[tuple[str, str]]:
    """Sources and formats of which no more than half of the answers that begin so are valid to their end."""
    of = {key[:2] for key in counts if key[1] in LOOSE}
    return {key for key in of if 2 * counts[*key, "valid"] <= sum(counts[*key, state] for state in STATES)}


def _without(findings: pa.Table, accidents: set[tuple[str, str]]) -> pa.Table:
    """Findings without those of formats that a source's answers begin in by accident."""
    named = zip(findings["source"].to_pylist(), findings["format"].to_pylist(), strict=True)
    by_accident = np.array([key in accidents for key in named], np.bool_)
    broken = _true(pc.equal(findings["finding"], "broken"))
    return findings.filter(pa.array(~(by_accident & broken))).select(FINDINGS.names).cast(FINDINGS)


class Looked(NamedTuple):
    """findings of some files, with the source of each; rows by source, format and state, and by source, task
    and format; answers that are too long to be parsed; rows that lose an end, by format; where `_every` of
    the answers is written.
    """

    findings: pa.Table
    counts: Counter[tuple[str, str, str]]
    tasks: mixture.Counts
    long: int
    lost: Counter[str]
    every: str


def _file(files: rows.Files, work: str, config: Config, limit: cut.Limit) -> Looked:
    """Look at the answers of some files."""
    table, exchanged = files.table, files.exchanges
    found = formats(exchanged["answer"], config)
    answers, places = exchanged["answer"].combine_chunks(), found["row"].combine_chunks()
    state = pc.if_else(found["valid"], "valid", pc.if_else(found["valid_head"], "drift", "invalid"))
    named = zip(
        table["source"].take(places).to_pylist(), found["format"].to_pylist(), state.to_pylist(), strict=True
    )
    counts = Counter(named)
    sources = table["source"].filter(pc.not_equal(answers, "")).combine_chunks()
    for value in pc.value_counts(sources).to_pylist():
        counts[value["values"], "", ""] = value["counts"]
    long = pc.sum(pc.greater(pc.utf8_length(answers), config.longest)).as_py() or 0
    every = _every(table, found)
    answered = every.filter(pc.not_equal(answers, ""))
    target = storage.join(work, f"every-{files.number}.parquet")
    storage.write_table(target, answered, dictionary=["source", "task", "format"])
    lost = cut.shortened(table, exchanged, limit)
    findings = [
        _found(every, _mask(found, pc.invert(found["valid"]), table.num_rows), "broken"),
        _found(every, lost, "cut"),
    ]
    by_format = Counter(every["format"].filter(pa.array(lost)).to_pylist())
    return Looked(pa.concat_tables(findings), counts, mixture.counted(answered), long, by_format, target)


def _minor(path: str, mixed: Sequence[mixture.Mixture]) -> pa.Table:
    """Answers of some files that are not of the format that most of their task have."""
    every = storage.read_table(path)
    return _found(every, mixture.minor(every, mixed), "mixed")


def _every(table: pa.Table, found: pa.Table) -> pa.Table:
    """Of each row ``row_id``, ``source``, ``task`` (null where nobody told it), and what was `found` of it:
    its format is `OTHER`, and the rest null, where its answer begins in none.
    """
    at = pc.index_in(pa.array(np.arange(table.num_rows)), found["row"].combine_chunks())
    columns = {name: found[name].take(at) for name in Parsed._fields}
    columns["format"] = pc.fill_null(columns["format"], OTHER)
    told = "traits" in table.column_names  # a run may be without
    task = pc.struct_field(table["traits"], "task") if told else pa.nulls(table.num_rows, pa.string())
    return pa.table({"row_id": table["row_id"], "source": table["source"], "task": task, **columns})


def _mask(found: pa.Table, mask: pa.ChunkedArray, n: int) -> Mask:
    chosen = np.zeros(n, np.bool_)
    chosen[found["row"].filter(mask).to_numpy()] = True
    return chosen


def _found(every: pa.Table, mask: Mask, finding: str) -> pa.Table:
    chosen = every.filter(pa.array(mask))
    chosen = chosen.append_column("finding", pa.repeat(finding, chosen.num_rows))
    return chosen.select(["source", *FINDINGS.names])


def _true(mask: pa.Array | pa.ChunkedArray) -> Mask:
    array: Mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return array


Tally: TypeAlias = dict[str, dict[str, int]]


def _tallied(counts: Counter[tuple[str, str, str]]) -> tuple[Tally, Tally]:
    """Answers by format and state, and of each source its answers and those that are structured."""
    by_format: Tally = {}
    by_source: Tally = {}
    for (source, name, state), n in sorted(counts.items()):
        own = by_source.setdefault(source, {"answers": 0, "structured": 0})
        if not name:
            own["answers"] += n
            continue
        own["structured"] += n
        states = by_format.setdefault(name, dict.fromkeys(STATES, 0))
        states[state] += n
    return by_format, by_source


def _report(
    counts: Counter[tuple[str, str, str]],
    long: int,
    mixtures: Sequence[mixture.Mixture],
    lost: Counter[str],
    limit: cut.Limit,
    config: Config,
) -> dict[str, Any]:
    by_format, by_source = _tallied(counts)
    of_format = {name: sum(states.values()) for name, states in by_format.items()}
    answers, structured = sum(own["answers"] for own in by_source.values()), sum(of_format.values())
    broken = structured - sum(states["valid"] for states in by_format.values())
    words = []
    for name, states in by_format.items():
        wrong = of_format[name] - states["valid"]
        if wrong > config.most * of_format[name]:
            words.append(f"{wrong:,} of {of_format[name]:,} answers that begin as {name} break")
    words += [mixture.sentence(one) for one in mixtures]
    told = {one.source for one in mixtures}
    mixed = {
        source: own
        for source, own in by_source.items()
        if MIXED[0] < own["structured"] / max(own["answers"], 1) < MIXED[1]
    }
    words += [
        f"{own['structured']:,} of {own['answers']:,} answers of {source!r} are structured, the rest is not"
        for source, own in mixed.items()
        if source not in told
    ]
    words += cut.sentences(lost, {OTHER: answers - structured, **of_format}, limit, config.most)
    return {
        "enabled": True,
        "answers": answers,
        "structured": structured,
        "broken": broken,
        "by_format": by_format,
        "mixed": mixed,
        "mixtures": [one._asdict() for one in mixtures],
        "too_long": long,
        "cut": {name or "other": n for name, n in sorted(lost.items())},
        "faults": broken + sum(mixture.strays(one) for one in mixtures) + sum(lost.values()),
        "verdict": "mend" if words else "fine",
        "words": words,
    }
