"""A first recipe, written from a look at the data (`headrace init`).

It names the files, the format and the shape that were found, and holds every other key as a
comment with its default, so that it runs as it is and shows what can be changed. No content of
a row is in it: of the columns it says the names, the kinds and the usual lengths.

Cost: a listing and the first records of one file.
"""

import json
import statistics
from collections import Counter
from contextlib import suppress
from typing import Any

import yaml

from headrace.cluster import storage
from headrace.cluster.errors import OutputError, SourceError
from headrace.cluster.fragments import File
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.section import Section
from headrace.pipelines.stages.read import detection, formats, inputs
from headrace.pipelines.stages.read.rows import clean
from headrace.pipelines.stages.read.shapes import Columns
from headrace.pipelines.stages.read.source import Source

DATA = ("jsonl", "json", "csv", "tsv", "parquet")
SHAPES = "messages, sharegpt, alpaca, prompt_completion, question_answer, text_label or text"


def starter(path: str) -> str:
    """YAML of a commented recipe for the data at `path` (a file, directory or glob).

    Raises: SourceError (nothing there, nothing that can be read), StorageError.
    """
    source = inputs.named([Source(path=path)])[0]
    listing = inputs.found(source)
    files = listing.files
    source, chosen = _of_one_kind(source, files)
    source = source.model_copy(update={"format": detection.file_format(source, chosen)})
    look = detection.look(source, chosen)
    if not look.records:
        detection.shape(source, look)
    # The usual names first; then any column that holds turns. Where nothing fits, the recipe says
    # what is there and what is to be filled in.
    # What looks like a value is written nowhere.
    named = [c for c in look.columns if not look.unnamed]
    for columns in (Columns(), *(Columns(messages=c) for c in named)):
        with suppress(SourceError):
            source = detection.shape(source.model_copy(update={"columns": columns}), look)
            break
    return "\n".join(
        [
            "# A recipe for headrace. What is commented out has the value that it shows.",
            _line("output", _output(source), "where the run goes: a directory, or s3://..."),
            "sources:",
            *_source(source, len(files) - len(chosen) + len(listing.left), chosen, look),
            "",
            *_top(),
            *_sections(),
        ]
    )


def _output(source: Source) -> str:
    """A run directory that does not lie among the inputs."""
    for output in (f"runs/{source.name}", f"../runs/{source.name}"):
        with suppress(OutputError):
            inputs.require_apart([source], output)
            return output
    return f"/tmp/runs/{source.name}"  # noqa: S108 - a proposal, where all of the disk is named as input


def _of_one_kind(source: Source, files: list[File]) -> tuple[Source, list[File]]:
    """Without the licences and notes that lie beside data: then the path becomes a glob."""
    by_format = Counter(formats.of_name(f.relative) for f in files)
    data = [form for form in by_format if form in DATA]
    if len(by_format) < 2 or not data or not storage.is_directory(source.paths[0]):
        return source, files
    kept = [f for f in files if formats.of_name(f.relative) in data]
    if len(data) == len(by_format):
        return source, kept
    best = max(sorted(data), key=lambda form: by_format[form])
    pattern = storage.join(source.paths[0], f"**/*.{'jsonl' if best == 'jsonl' else best}*")
    globbed = source.model_copy(update={"path": pattern})
    return globbed, inputs.files(globbed)


def _source(source: Source, others: int, chosen: list[File], look: detection.Look) -> list[str]:
    """The one entry of `sources`."""
    size = sum(f.size for f in chosen)
    left = f", {others} others there are left out" if others else ""
    count = f"{len(chosen)} file{'s' * (len(chosen) != 1)}"
    lines = [
        f"  # {count}, {size:,} bytes{left}. Columns of {clean(look.file)}:",
        *(
            f"  #   {shown}: {_kind(look, c)}"
            for shown, c in list(zip(look.shown, look.columns, strict=True))[:40]
        ),
        *(
            ["  # Their names look like values: put a line with names before the first record."]
            * look.unnamed
        ),
        "  - " + _line("name", source.name, "in books and reports"),
        "    " + _line("path", source.path, "file, directory, glob or a list; local or s3://"),
    ]
    if source.format:
        lines.append("    " + _line("format", source.format, "jsonl, json, csv, tsv, parquet or text"))
    if source.shape:
        lines.append("    " + _line("shape", source.shape, SHAPES))
    else:
        lines.append("    # No known shape fits these columns: say below which column holds what.")
        lines.append(f"    # shape: messages   # {SHAPES}")
    columns = source.columns.model_dump(exclude_none=True, exclude_defaults=True)
    columns = {name: value for name, value in columns.items() if value in look.columns or source.shape}
    usual = (
        Columns() if source.shape is None else source.model_copy(update={"columns": Columns()}).completed()
    )
    unusual = {n: v for n, v in columns.items() if v != getattr(usual, n)}
    if unusual:
        lines.append("    " + _line("columns", unusual, "which column holds what"))
    else:
        lines += ["    # columns: {messages: ..., role: ..., content: ..., roles: {customer: user}}"]
    return lines + [
        f"    # {line}"
        for line in (
            "group_by: conversation_id   # several records make one conversation",
            "order_by: turn              # and stand in this order",
            "group: customer_id          # rows that must stand on one side of the split",
            "time: created_at",
            "meta: [ticket_id]           # columns to carry along; scanned for PII",
            "weight: 1.0                 # how often training draws from this source",
            "priority: 0                 # of two duplicates the higher one stays",
            "loss: assistant             # or all",
        )
    ]


def _kind(look: detection.Look, column: str) -> str:
    """What lies in a column, in words, without any of it."""
    values = [r[column] for r in look.records if r.get(column) is not None]
    if not values:
        return "always empty"
    kinds = sorted({_word(v) for v in values})
    texts = [len(v) for v in values if isinstance(v, str)]
    length = f", about {statistics.median_low(texts)} characters" if texts else ""
    turns = [set(t) for v in values if isinstance(v, list) for t in v if isinstance(t, dict)]
    names = sorted(k for k in set.union(*turns) if not detection.is_value(k)) if turns else []
    keys = f" of {{{', '.join(names[:12])}}}" if turns else ""
    return f"{' or '.join(kinds)}{keys}{length}"


def _word(value: Any) -> str:
    words = {str: "text", bool: "yes or no", int: "number", float: "number", list: "list", dict: "mapping"}
    return words.get(type(value), type(value).__name__)


def _line(key: str, value: Any, comment: str) -> str:
    """One line of YAML with a comment."""
    return f"{key}: {_flow(value)}   # {comment}"


def _top() -> list[str]:
    return [
        "# model: Qwen/Qwen3-0.6B       # hub name or directory; train and evaluate need one",
        "# workers: 8                   # most tasks at once; left out: the cluster's CPUs",
        "seed: 0",
        "# fragment_size: 32MiB         # bytes of input a unit of work",
    ]


def _sections() -> list[str]:
    """Every section with its defaults, as comments."""
    lines = []
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        if not (isinstance(section, type) and issubclass(section, Section)):
            continue
        lines += ["", f"# {name}:"]
        for key, value in section().model_dump(mode="json").items():
            about = section.model_fields[key].description
            lines += [f"#   # {line}" for line in (about or "").split("\n") if line]
            lines.append(f"#   {key}: {_flow(value)}")
    return [*lines, ""]


def _flow(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, str) and not value.isprintable():
        return json.dumps(value)  # in ASCII: a path need not be UTF-8
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=True)
    return text.removesuffix("...\n").strip()
