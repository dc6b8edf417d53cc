"""The text of a starter recipe: sources as they were found, every other key as a comment with its default."""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from headrace.cluster.errors import OutputError
from headrace.cluster.fragments import File
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.section import Section
from headrace.pipelines.stages.read import detection, inputs, shapes
from headrace.pipelines.stages.read.shapes import Columns
from headrace.pipelines.stages.read.source import Source
from headrace.pipelines.stages.read.turns import advice, paths
from headrace.pipelines.stages.read.values import clean

SHAPES = "preference, messages, sharegpt, alpaca, prompt_completion, question_answer, text_label or text"


@dataclass
class Found:
    """Files of one format and shape, as a source, with what its first records show."""

    source: Source
    look: detection.Look
    files: list[File] = dataclasses.field(default_factory=list)
    roleless: int = 0  # speakers that no role is known for


def recipe(whole: Source, sources: Sequence[Source], found: Sequence[Found], left: int) -> str:
    """YAML of a recipe with `sources`, each of which was `found` at the path of `whole`.

    left: files there that are in none of them.
    """
    text = [
        "# A recipe for headrace. What is commented out has the value that it shows.",
        _line("output", _output(whole), "where the run goes: a directory, or s3://..."),
        "sources:",
    ]
    for one, source in zip(found, sources, strict=True):
        text += _source(source, one, left)
    return "\n".join([*text, "", *_top(), *_sections()])


def _output(source: Source) -> str:
    """A run directory that does not lie among the inputs."""
    for output in (f"runs/{source.name}", f"../runs/{source.name}"):
        with suppress(OutputError):
            inputs.require_apart([source], output)
            return output
    return f"/tmp/runs/{source.name}"  # noqa: S108 - a proposal, where all of the disk is named as input


def _source(source: Source, found: Found, left: int) -> list[str]:
    """One entry of `sources`."""
    look, chosen = found.look, found.files
    size = sum(f.size for f in chosen)
    beside = f", {left} others there are left out" if left else ""
    count = f"{len(chosen)} file{'s' * (len(chosen) != 1)}"
    lines = [
        f"  # {count}, {size:,} bytes{beside}. Columns of {clean(look.file)}:",
        *(
            f"  #   {shown}: {_kind(look, c)}"
            for shown, c in list(zip(look.shown, look.columns, strict=True))[:40]
        ),
        *(
            ["  # Their names look like values: put a line with names before the first record."]
            * look.unnamed
        ),
        "  - " + _line("name", source.name, "in books and reports"),
        "    " + _line("path", _listed(source.path), "file, directory, glob or a list; local or s3://"),
    ]
    if source.format:
        lines.append("    " + _line("format", source.format, "jsonl, json, csv, tsv, parquet, text, ..."))
    if source.records:
        lines.append("    " + _line("records", source.records, "where the records lie in the file"))
    if source.shape and not source.group_by:
        lines.append("    " + _line("shape", source.shape, SHAPES))
    elif not source.shape:
        lines.append("    # No known shape fits these columns: say below which column holds what.")
        lines.append(f"    # shape: messages   # {SHAPES}")
    lines += _columns(source, look)
    if source.side:
        lines.append("    " + _line("side", source.side, "of the split: what is held out as it is"))
    if source.only:
        only = {name: _listed(value) for name, value in source.only.items()}
        lines.append("    " + _line("only", only, "records with other values are left out"))
    names, more = look.unread(source)
    if source.shape and (names or more):
        lines.append(f"    # {_one_line(advice.unread(names, more))}")
    return lines + _carried(source)


def _carried(source: Source) -> list[str]:
    """What joins records and goes along with them, as a comment where the source has none of it."""
    grouped = [
        _line("group_by", source.group_by, "several records make one conversation"),
        *([_line("order_by", source.order_by, "and stand in this order")] if source.order_by else []),
    ]
    usual = [
        "group_by: conversation_id   # several records make one conversation",
        "order_by: turn              # and stand in this order",
    ]
    others = (
        *(() if source.group_by else usual),
        "group: customer_id          # rows that must stand on one side of the split",
        "time: created_at",
        "meta: [ticket_id]           # columns to carry along; scanned for PII",
        "weight: 1.0                 # how often training draws from this source",
        "priority: 0                 # of two duplicates the higher one stays",
        "loss: assistant             # or all",
    )
    given = [f"    {line}" for line in grouped if source.group_by]
    return given + [f"    # {line}" for line in others]


def _listed(path: Any) -> Any:
    return list(path) if isinstance(path, tuple) else path


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _columns(source: Source, look: detection.Look) -> list[str]:
    """The line that says which column holds what, where the names are not the usual ones."""
    columns = source.columns.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    usual = (
        Columns() if source.shape is None else source.model_copy(update={"columns": Columns()}).completed()
    )
    plain = usual.model_dump(mode="json")
    asked = shapes.SIDES.get(source.shape or "", ())[:1] if source.columns.markers else ()
    unusual = {n: v for n, v in columns.items() if v != plain[n] or n in asked}
    if unusual:
        return ["    " + _line("columns", unusual, "which column holds what")]
    return ["    # columns: {messages: ..., role: ..., content: ..., roles: {customer: user}}"]


def _kind(look: detection.Look, column: str) -> str:
    """What lies in a column, in words, without any of it."""
    values = [r[column] for r in look.records if r.get(column) is not None]
    if not values:
        return "always empty"
    kinds = sorted({_word(v) for v in values})
    texts = [len(v) for v in values if isinstance(v, str)]
    length = f", about {statistics.median_low(texts)} characters" if texts else ""
    turns = [set(t) for v in values if isinstance(v, list) for t in v if isinstance(t, dict)]
    names = sorted(k for k in set.union(*turns) if not paths.is_value(k)) if turns else []
    keys = f" of {{{', '.join(names[:12])}}}" if turns else ""
    return f"{' or '.join(kinds)}{keys}{length}"


def _word(value: Any) -> str:
    words = {str: "text", bool: "yes or no", int: "number", float: "number", list: "list", dict: "mapping"}
    return words.get(type(value), type(value).__name__)


def _line(key: str, value: Any, comment: str) -> str:
    """One line of YAML with a comment."""
    return f"{key}: {flow(value)}   # {comment}"


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
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        for key, value in section().model_dump(mode="json", by_alias=True).items():
            about = fields[key].description
            lines += [f"#   # {line}" for line in (about or "").split("\n") if line]
            lines.append(f"#   {flow(key)}: {flow(value)}")  # `off` is no text in YAML
    return [*lines, ""]


def flow(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, str) and not value.isprintable():
        return json.dumps(value)  # in ASCII: a path need not be UTF-8
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=True)
    return text.removesuffix("...\n").strip()
