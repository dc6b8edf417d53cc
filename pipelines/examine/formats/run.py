"""Formats: answers that begin as JSON, XML, YAML, a call, a fence, SQL or CSV, parsed to their end.

What: each structured answer is *valid*, *drift* (a valid head and a wrong tail, with the character where it
breaks) or *invalid*. The report counts them by format, names tasks of a source whose answers come in
several formats (`mixture`), and counts answers that lose their end to `tokenise.max_length` (`cut`). The
rows stand in ``findings/formats.parquet`` (row_id, format, valid_head, valid, breaks_at, and as `finding`
one of `broken`, `mixed` (all but those of the format that most have), `cut`, `shape` (JSON that is built
otherwise than the others of its source, see `shape`) and `call` (of tools, see `called`)). No row goes by it.

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
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines.examine import rows
from headrace.pipelines.examine.formats import called, cut, mixture, report, shape
from headrace.pipelines.examine.formats.config import Config as Config
from headrace.pipelines.examine.formats.parse import CLUES, Parsed, parse

NAME = "formats"
VERSION = 5
LIBRARIES = ("sqlglot", "pyyaml")
WORK = f"findings/work/{NAME}"
Each = Callable[..., Iterator[Any]]
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
    built: dict[str, Counter[str]] = {}
    lost = Counter[str]()
    for one in results:
        counts.update(one.seen.counts)
        tasks.update(one.seen.tasks)
        lost.update(one.lost)
        for source, shapes in one.seen.built.items():
            built.setdefault(source, Counter()).update(shapes)
    mixed, odd = mixture.told(tasks, config.most, config.mixed), _odd(built)
    findings = [_without(one.findings, _accidents(counts)) for one in results]
    if mixed or odd:
        minor = partial(_minor, mixed=mixed, odd=odd)
        written = [one.every for one in results]
        findings += [_without(found, set()) for found in each(minor, written, name="formats mixed")]
    storage.delete(storage.join(run, WORK))
    table = pa.concat_tables([FINDINGS.empty_table(), *findings])
    table = table.sort_by([("row_id", "ascending"), ("finding", "ascending")])
    storage.write_ranges(storage.join(run, f"findings/{NAME}.parquet"), table)
    also = report.more(built, odd, [one.seen.calls for one in results])
    long = sum(one.seen.long for one in results)
    return report.of(_habits(counts), long, mixed, config, also, (lost, limit))


def _odd(built: dict[str, Counter[str]]) -> dict[str, frozenset[str]]:
    """Odd shapes of each source that has some."""
    return {source: found for source, shapes in built.items() if (found := shape.odd(shapes))}


def _habits(counts: Counter[tuple[str, str, str]]) -> Counter[tuple[str, str, str]]:
    """Counts without those of formats that a source's answers begin in by accident."""
    accidents = _accidents(counts)
    return Counter({key: n for key, n in counts.items() if key[:2] not in accidents})


def _accidents(counts: Counter[tuple[str, str, str]]) -> set[tuple[str, str]]:
    """Sources and formats of which no more than half of the answers that begin so are valid to their end."""
    of = {key[:2] for key in counts if key[1] in LOOSE}
    return {key for key in of if 2 * counts[*key, "valid"] <= sum(counts[*key, s] for s in report.STATES)}


def _without(findings: pa.Table, accidents: set[tuple[str, str]]) -> pa.Table:
    """Findings without those of formats that a source's answers begin in by accident."""
    named = zip(findings["source"].to_pylist(), findings["format"].to_pylist(), strict=True)
    by_accident = np.array([key in accidents for key in named], np.bool_)
    broken = _true(pc.equal(findings["finding"], "broken"))
    return findings.filter(pa.array(~(by_accident & broken))).select(FINDINGS.names).cast(FINDINGS)


class Looked(NamedTuple):
    """What was seen of some rows, their `findings` with the source of each, rows that lose an end by format,
    and where `_every` of the answers is written.
    """

    seen: "Seen"
    findings: pa.Table
    lost: Counter[str]
    every: str


class Seen(NamedTuple):
    """counts: rows by source, format and state; tasks: by source, task and format; built: answers in JSON by
    source and shape; calls of tools; answers that are too long to be parsed.
    """

    counts: Counter[tuple[str, str, str]]
    tasks: mixture.Counts
    built: dict[str, Counter[str]]
    calls: called.Called
    long: int


def _file(files: rows.Files, work: str, config: Config, limit: cut.Limit) -> Looked:
    """Look at the answers of some files."""
    table, exchanged = files.table, files.exchanges
    seen, every = _seen(table, exchanged, config)
    target = storage.join(work, f"every-{files.number}.parquet")
    answered = every.filter(pc.not_equal(exchanged["answer"], ""))
    storage.write_table(target, answered, dictionary=["source", "task", "format", "shape"])
    lost = cut.shortened(table, exchanged, limit)
    wrong = np.zeros(table.num_rows, np.bool_)
    wrong[seen.calls.places] = True
    broken = _true(pc.invert(every["valid"]))
    found = [_found(every, broken, "broken"), _found(every, lost, "cut"), _found(every, wrong, "call")]
    by_format = Counter(every["format"].filter(pa.array(lost)).to_pylist())
    return Looked(seen, pa.concat_tables(found), by_format, target)


def _seen(table: pa.Table, exchanged: pa.Table, config: Config) -> tuple[Seen, pa.Table]:
    """What the answers of a table are, together and each (`_every`, with its shape); exchanged: its
    `rows.exchanges`."""
    found = formats(exchanged["answer"], config)
    answers, places = exchanged["answer"].combine_chunks(), found["row"].combine_chunks()
    state = pc.if_else(found["valid"], "valid", pc.if_else(found["valid_head"], "drift", "invalid"))
    named = zip(
        table["source"].take(places).to_pylist(), found["format"].to_pylist(), state.to_pylist(), strict=True
    )
    counts = Counter(named)
    said = pc.not_equal(answers, "")
    sources = table["source"].filter(said).combine_chunks()
    for value in pc.value_counts(sources).to_pylist():
        counts[value["values"], "", ""] = value["counts"]
    long = pc.sum(pc.greater(pc.utf8_length(answers), config.longest)).as_py() or 0
    every = _every(table, found)
    every = every.append_column("shape", _built(answers, every))
    tasks = mixture.counted(every.filter(said))
    return Seen(counts, tasks, _by_shape(every), called.look(table), long), every


def sampled(table: pa.Table, exchanged: pa.Table, config: Config) -> dict[str, Any]:
    """The report of rows in memory, of all but ends that are lost; exchanged: their `rows.exchanges`."""
    seen, _ = _seen(table, exchanged, config)
    mixed = mixture.told(seen.tasks, config.most, config.mixed)
    also = report.more(seen.built, _odd(seen.built), [seen.calls])
    return report.of(_habits(seen.counts), seen.long, mixed, config, also)


def _built(answers: pa.Array, every: pa.Table) -> pa.Array:
    """Shapes of the answers that are valid JSON, null for the others: string[N]."""
    fine = pc.and_(pc.equal(every["format"], "json"), pc.fill_null(every["valid"], False)).combine_chunks()
    return shape.of(pc.if_else(fine, answers, pa.scalar(None, answers.type)).to_pylist())


def _by_shape(every: pa.Table) -> dict[str, Counter[str]]:
    """Answers by source and shape."""
    found: dict[str, Counter[str]] = {}
    told = (
        every.filter(every["shape"].is_valid()).group_by(["source", "shape"]).aggregate([([], "count_all")])
    )
    for one in told.to_pylist():
        found.setdefault(one["source"], Counter())[one["shape"]] = one["count_all"]
    return found


def _minor(path: str, mixed: Sequence[mixture.Mixture], odd: dict[str, frozenset[str]]) -> pa.Table:
    """Answers of some files that are not of the format that most of their task have, or of an odd shape."""
    every = storage.read_table(path)
    named = zip(every["source"].to_pylist(), every["shape"].to_pylist(), strict=True)
    strange = np.array([own in odd.get(source, ()) for source, own in named], np.bool_)
    return pa.concat_tables(
        [_found(every, mixture.minor(every, mixed), "mixed"), _found(every, strange, "shape")]
    )


def _every(table: pa.Table, found: pa.Table) -> pa.Table:
    """Of each row ``row_id``, ``source``, ``task`` (null where nobody told it), and what was `found` of it:
    its format is `report.OTHER`, and the rest null, where its answer begins in none.
    """
    at = pc.index_in(pa.array(np.arange(table.num_rows)), found["row"].combine_chunks())
    columns = {name: found[name].take(at) for name in Parsed._fields}
    columns["format"] = pc.fill_null(columns["format"], report.OTHER)
    told = "traits" in table.column_names  # a run may be without
    task = pc.struct_field(table["traits"], "task") if told else pa.nulls(table.num_rows, pa.string())
    return pa.table({"row_id": table["row_id"], "source": table["source"], "task": task, **columns})


def _found(every: pa.Table, mask: Mask, finding: str) -> pa.Table:
    chosen = every.filter(pa.array(mask))
    chosen = chosen.append_column("finding", pa.repeat(finding, chosen.num_rows))
    return chosen.select(["source", *FINDINGS.names])


def _true(mask: pa.Array | pa.ChunkedArray) -> Mask:
    array: Mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return array
