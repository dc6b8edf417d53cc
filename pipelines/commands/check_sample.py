"""What a run would make of its first records: read, cleaned, masked and tokenised, as a run does it.

The first records of some files of every source go through pass 1 and the tokenizer in this process; nothing
is written. It says what would be lost, by file and reason, which columns nobody reads, and shows one sample
as a model will see it, masked, with what carries loss between ``[[`` and ``]]``: the only command that shows
a row of no run, and it does so on the terminal of who asked.

Cost: seconds; a few megabytes of text a second.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.cluster.errors import QuarantineError, SourceError
from headrace.cluster.fragments import File, Fragment, Range
from headrace.pipelines import books, schema
from headrace.pipelines.console import Line
from headrace.pipelines.passes import prepare_worker
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages import reasons
from headrace.pipelines.stages.pii import config as pii_config
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.read import grouping, inputs
from headrace.pipelines.stages.read import rows as read_rows
from headrace.pipelines.stages.read.records import Batch, Noted
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import advice, paths
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.config import TOLD

FILES = 20  # of a source that are looked into, spread over all of them
LISTED = 8  # files and reasons that are named of a source
MISSING = ("nan", "NaN", "NaT", "<NA>", "#N/A", "NULL", "\\N")  # answers that stand for nothing
SHOWN = 1_400  # characters of the sample


@dataclass
class Looked:
    """What became of the records of one source."""

    source: Source
    files: int  # of the source
    looked_into: int
    book: books.Books = field(default_factory=dict)
    losses: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # file, reason, detail
    noted: Noted = field(default_factory=Noted)
    changed: dict[str, int] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)  # answers that stand for nothing
    numbers: bool = False  # whether the labels are numbers without names
    example: str = ""


def lines(recipe: Recipe, stages: Sequence[str], count: int) -> Iterator[Line]:
    """What the first `count` records of every file would become; `recipe` is resolved.

    stages: names of the modules of pass 1 that judge rows, in their order.

    Raises: QuarantineError where a source loses more than the recipe lets it, SourceError where nothing
    would be kept.
    """
    looked = [_look(recipe, source, stages, count) for source in recipe.sources]
    for one in looked:
        yield from _lines(one, count)
    example = next((one for one in looked if one.example), None)
    if example is not None:
        text = f"a sample of {example.source.name}, masked; what carries loss stands in [[ ]]:"
        yield Line(f"{text}\n{example.example}", {"source": example.source.name})
    for one in looked:
        _judge(one, recipe.quarantine.limit)


def lost(told: Sequence[Line]) -> tuple[int, int]:
    """Records that were looked at and those that would be lost, by the fields of `lines`."""
    each = [line.fields for line in told if "in" in line.fields]
    return sum(f["in"] for f in each), sum(f["in"] - f["kept"] for f in each)


def _look(recipe: Recipe, source: Source, stages: Sequence[str], count: int) -> Looked:
    files = [f for f in inputs.files(source) if f.size]
    step = max(1, -(-len(files) // FILES))
    chosen = files[::step]
    looked = Looked(source, len(files), len(chosen))
    table = read(recipe, source, chosen, count, looked.noted)
    for module, config in prepare_worker.placed(stages, recipe):
        table = prepare_worker.isolated(module, table, config).combine_chunks()
    tokenizer = tokenise.tokenizer(recipe.model, recipe.tokenise)
    table, samples = tokenise.apply(table, recipe.tokenise, tokenizer, {str(source.name): source.loss})
    looked.book = books.of(table)
    looked.changed = books.changed(schema.changes(table), {})
    looked.numbers = _numbers(table, source)
    looked.missing.update(_missing(table))
    gone = table.filter(pc.invert(schema.live(table)))
    for file, drop, error, detail, n in zip(
        *(gone[c].to_pylist() for c in ("file", "drop", "error", "detail", "n_records")), strict=True
    ):
        looked.losses[file, drop or error, detail or ""] += n
    if samples.num_rows:
        looked.example = _example(recipe, table, samples, tokenizer, source)
    return looked


def read(recipe: Recipe, source: Source, files: Sequence[File], count: int, noted: Noted) -> pa.Table:
    """The first `count` records of every file as rows."""
    tables = []
    for file in files:
        whole = Range(file.path, file.relative, file.size, file.stamp)
        left = count
        for batch in read_rows.batches(whole, source, noted, guarded=True):
            with read_rows.uncollected():
                tables.append(_of(_first(batch, left), file.relative, source, recipe.seed))
            left -= len(batch.records)
            if left <= 0:
                break
    if source.group_by is None:
        joined = pa.concat_tables([schema.ROW.empty_table(), *tables], promote_options="default")
    else:
        records = pa.concat_tables([grouping.RECORD.empty_table(), *tables]).combine_chunks()
        joined = grouping.assemble(records, Fragment(str(source.name), "grouped", ()), source, recipe.seed)
    ids = pa.array(np.arange(joined.num_rows, dtype=np.uint64))
    return joined.combine_chunks().set_column(0, schema.ROW.field(0), ids)


def _of(batch: Batch, relative: str, source: Source, seed: int) -> pa.Table:
    if source.group_by is None:
        return read_rows.of_batch(batch, relative, source, seed)
    return grouping.records(batch, relative, source, 1, seed)


def _first(batch: Batch, count: int) -> Batch:
    """The first `count` records of a batch."""
    if len(batch.records) <= count:
        return batch
    errors = {at: error for at, error in batch.errors.items() if at < count}
    return replace(batch, records=batch.records[:count], places=batch.places[:count], errors=errors)


def _lines(looked: Looked, count: int) -> Iterator[Line]:
    name, book = looked.source.name, looked.book
    files = (
        f"{looked.looked_into} of {looked.files} files"
        if looked.looked_into < looked.files
        else (f"{looked.files} file{'s' * (looked.files != 1)}")
    )
    dropped, bad = sum(book["dropped"].values()), sum(book["quarantined"].values())
    text = (
        f"sample of {name}: {book['in']:,} records, the first {count:,} of {files}: {book['kept']:,} kept, "
        f"{dropped:,} dropped, {bad:,} quarantined"
    )
    grouped = looked.source.group_by is not None
    text += " (conversations may go on after them)" if grouped and dropped else ""
    yield Line(text, {"source": name, **book})
    for (file, reason, detail), n in looked.losses.most_common(LISTED):
        about = f" ({detail})" if detail else ""
        yield Line(f"  {n:,} {reason}{about} in {file}", {"file": file, "reason": reason, "records": n})
    for reason in sorted(set(book["dropped"]) & {reason for _, reason, _ in looked.losses}):
        if hint := reasons.remedy(reason):
            yield Line(f"    {reason}: {hint}", {"reason": reason})
    if len(looked.losses) > LISTED:
        yield Line(f"  and {len(looked.losses) - LISTED} more reasons and files")
    for kind, n in sorted(looked.changed.items()):
        if kind.startswith("read."):
            yield Line(f"  {kind}: {n:,}", {"kind": kind, "n": n})
        elif kind in TOLD:
            yield Line(f"  {n:,} {TOLD[kind]}", {"kind": kind, "n": n})
    for word, n in looked.missing.most_common():
        yield Line(f"  {n:,} answers are {word!r}, as tables write what is missing, and are learned")
    if looked.numbers:
        yield Line(
            "  its labels are numbers: `label_names: [FIRST, SECOND]` says what they stand for, from 0"
        )
    names = sorted(c for c in looked.noted.unread if not paths.is_value(c))
    more = len(looked.noted.unread) - len(names)
    if names or more:
        yield Line(f"  {advice.unread(names, more)}", {"unread": names})


def _missing(table: pa.Table) -> Counter[str]:
    """Answers that are what tables and databases write where there is none."""
    roles, _, texts = schema.contents(table.filter(schema.live(table)))
    answers = texts.filter(pc.equal(roles, "assistant"))
    return Counter(answers.filter(pc.is_in(answers, pa.array(MISSING, answers.type))).to_pylist())


def _numbers(table: pa.Table, source: Source) -> bool:
    """Whether the answers of a source of labels are numbers, of which a model learns no word."""
    if source.shape != "text_label" or source.label_names:
        return False
    roles, _, texts = schema.contents(table.filter(schema.live(table)))
    answers = texts.filter(pc.equal(roles, "assistant"))
    return len(answers) > 0 and bool(pc.all(pc.match_substring_regex(answers, r"^-?[0-9]+(\.0)?$")).as_py())


def _judge(looked: Looked, limit: float) -> None:
    """Raises: QuarantineError, SourceError."""
    book = looked.book
    bad = sum(book["quarantined"].values())
    name, whole = looked.source.name, max(book["in"], 1)
    if bad / whole > limit:
        hints = [hint for cause in sorted(book["quarantined"]) if (hint := reasons.remedy(cause))]
        raise QuarantineError(
            f"source {name!r}: {bad:,} of the first {book['in']:,} records ({bad / whole:.1%}) cannot be "
            f"used, over quarantine.limit {limit:.1%}; above it says why."
            + "".join(f"\n  {h}" for h in hints)
        )
    if book["in"] and not book["kept"] and looked.source.group_by is None:
        dropped = ", ".join(f"{n:,} {reason}" for reason, n in sorted(book["dropped"].items()))
        raise SourceError(
            f"source {name!r}: none of the first {book['in']:,} records would be kept: {dropped}; look at "
            "shape and columns first"
        )


def _example(recipe: Recipe, table: pa.Table, samples: pa.Table, tokenizer: Any, source: Source) -> str:
    """The first sample as text, masked, with what carries loss in brackets."""
    if not recipe.pii.enabled:  # what the run would leave as it is, is masked to be shown
        kept = table.filter(pc.equal(table["row_id"], samples["row_id"][0])).select(schema.ROW.names)
        masked = pii.apply(kept.combine_chunks(), pii_config.Config())
        if not schema.live(masked)[0].as_py():
            return ""
        _, samples = tokenise.apply(masked, recipe.tokenise, tokenizer, {str(source.name): source.loss})
        if not samples.num_rows:
            return ""
    ids, labels = samples["input_ids"][0].as_py(), np.array(samples["labels"][0].as_py())
    learned = labels != schema.IGNORE
    edges = [0, *(np.flatnonzero(np.diff(learned)) + 1).tolist(), len(ids)]
    pieces = []
    for start, stop in pairwise(edges):
        text = tokenizer.decode(ids[start:stop])
        pieces.append(f"[[{text}]]" if learned[start] else text)
    text = "".join(pieces)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ... {len(text) - SHOWN:,} characters more"
