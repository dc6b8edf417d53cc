"""One source of a recipe: where its records lie and how they are read; and sources that are mixed in."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ByteSize, Field, model_validator

from headrace.pipelines.schema import SPLITS, TRAITS_BY
from headrace.pipelines.section import Path, Section, hint
from headrace.pipelines.stages.read import formats, mappers, shapes
from headrace.pipelines.stages.read.files import archives, encodings
from headrace.pipelines.stages.read.formats import Format
from headrace.pipelines.stages.read.records import MEMORY_LIMIT, Batch, Manner, Split
from headrace.pipelines.stages.read.shapes import Columns, Shape
from headrace.pipelines.stages.read.turns import envelopes, paths

LEAST_MEMORY = 64 * 2**20
POOLS = ("general", "off_task")  # of `Mix`
SET: dict[str, object] = {
    "side": None,
    "weight": 1.0,
    "weights": {},
}  # keys of a pool that its share stands for
PER_TURN = (
    "role",
    "content",
    "reasoning",
    "roles",
    "speakers",
    "markers",
)  # of `columns`: no columns of the record


def _encoding(value: str) -> str:
    """Raises: ValueError for what is no encoding of text."""
    if not encodings.known(value):
        raise ValueError(
            "is no encoding that Python knows; write utf-8, windows-1252, utf-16, shift_jis, ..."
        )
    return value


def _character(value: str) -> str:
    """Raises: ValueError for more than one character, or one that ends a line."""
    if len(value) > 1 or value in ("\n", "\r", "\0"):
        raise ValueError('must be one character, such as ";" or "\\t"')
    return value


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    """Raises: ValueError for a list of no paths."""
    if not value:
        raise ValueError("names no path")
    return value


Value = bool | int | float | str
Encoding = Annotated[str, AfterValidator(_encoding)]
Character = Annotated[str, AfterValidator(_character)]


class Source(Section):
    """One source of records."""

    name: str = ""
    """Name in books and reports; left out: the last fixed part of the path."""
    path: Path | Annotated[tuple[Path, ...], AfterValidator(_some)]
    """File, directory (read recursively), glob, or a list of them; local or s3://."""
    format: Format | None = None
    """Left out: by the files' suffixes (under that of their compression, and in archives), then by a look
    into them."""
    encoding: Encoding | None = None
    """Of text, such as windows-1252; left out: told for each file (a byte order mark, UTF-8, or what its
    bytes show). What does not fit becomes U+FFFD and is counted."""
    delimiter: Annotated[Character, Field(min_length=1)] | None = None
    """csv, tsv: what parts columns; left out: told by the first records of each file."""
    quote: Character | None = None
    """csv, tsv: what fields with delimiters and newlines stand in; "" for none; left out: told by the first
    records."""
    escape: Character | None = None
    """csv, tsv: what stands before a quote that is text; "" for none (the quote is doubled); left out: told
    by the first records."""
    header: bool = True
    """csv, tsv: whether the first record names the columns; otherwise they are called "column 1",
    "column 2", ..."""
    split: Split = "file"
    """text: what one record is: the whole file, a line, or a paragraph (parted by blank lines)."""
    shape: Shape | None = None
    """How a record holds a conversation; left out: told by its columns."""
    records: str | None = None
    """JSON: where the records lie in what the files hold, such as `data.items`; `*` stands for every value
    of a mapping. Left out: each line, element or object is one."""
    columns: Columns = Columns()
    """Which column holds what, where the names are not the usual ones."""
    group_by: str | None = None
    """Column whose value several records of one conversation share; `<file>` where each file is one."""
    order_by: str | tuple[str, ...] = ()
    """Columns that order the records of a conversation: numbers as numbers, ISO 8601 as times. Left out:
    as they lie."""
    only: dict[str, Value | Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(default={})
    """Columns and the values that records must have in them, in whatever case: `{label: true}` where false
    stands at unwanted answers, `{split: [train, dev]}`. All other records are dropped."""
    group: str | None = None
    """Column of rows that must stand on one side of the split (a customer, a document)."""
    time: str | None = None
    """Column with the time of a record: ISO 8601 or a number since 1970."""
    meta: tuple[str, ...] = ()
    """Columns to carry along as text. They are scanned for PII too."""
    weight: float = Field(default=1.0, ge=0)
    """How often training draws a row of this source, beside the others' weights."""
    weights: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = Field(default={})
    """How often it draws rows by their traits: `{task: {opinion: 0, code: 2}, language: {de: 0.5}}`. All that
    fit are multiplied, with `weight` too. A row of 0 is packed, is never trained on, and counted."""
    licence: str | None = None
    """Licence of its texts, as the model card of an export is to name it; changes nothing else."""
    priority: int = 0
    """Of two duplicates the one from the source with the higher priority stays."""
    dates: Literal["dmy", "mdy", "row"] | None = None
    """Which comes first in its dates, where `clean.dates` says `order: auto` and a row does not tell: the day
    (dmy), the month (mdy); row: nobody knows. Left out: told by its first records, where they hold three
    dates or more that can be read one way alone, and all agree."""
    loss: Literal["assistant", "last", "all"] = "assistant"
    """Which turns carry the loss. assistant: every turn of the assistant; last: the last of them alone, as
    where a conversation stands in the set turn by turn, each row going one answer further; all: every
    turn."""
    side: Literal["train", "validation", "test"] | None = None
    """Where the source is one side of the split, as sets come with theirs (`split: test` is read as this).
    What is held out so stays as it is, and nothing like it is trained on. Left out: by `split`."""
    label_names: tuple[str, ...] = ()
    """text_label: names of the labels that are given as numbers, from 0."""

    memory: ByteSize = Field(MEMORY_LIMIT, ge=LEAST_MEMORY, validate_default=True)
    """Most memory that reading one file may take. A Parquet row group that takes more is quarantined, and
    so is a line or record of more than a 32nd of it (32 MiB), which may take all of it once it is parsed."""

    @model_validator(mode="before")
    @classmethod
    def _side_by_split(cls, data: Any) -> Any:
        """`split` names a side too, in the recipes that people write."""
        if isinstance(data, dict) and data.get("split") in SPLITS and "side" not in data:
            return {**{k: v for k, v in data.items() if k != "split"}, "side": data["split"]}
        return data

    @model_validator(mode="after")
    def _weights_by_trait(self) -> "Source":
        """Raises: ValueError for a weight by what is no trait."""
        for trait in self.weights:
            if trait not in TRAITS_BY:
                raise ValueError(f"weights: {trait!r} is no trait; {hint(trait, TRAITS_BY)}")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """The path or paths."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def shown(self) -> str:
        """The path or paths, for a message."""
        return ", ".join(repr(p) for p in self.paths[:3]) + (", ..." if len(self.paths) > 3 else "")

    def format_of(self, relative: str) -> Format | None:
        """Format of one of the files; None: an archive, whose files have their own."""
        if self.format is None and archives.by_name(relative) is not None:
            return None
        return self.format or formats.of_name(relative) or "text"

    @property
    def manner(self) -> Manner:
        """How the text of its files is read."""
        return Manner(
            self.encoding, self.delimiter, self.quote, self.escape, self.header, self.split, self.memory
        )

    def completed(self) -> Columns:
        """Columns with the shape's usual names where the recipe names none."""
        return shapes.complete(self.shape or "messages", self.columns, self.group_by is not None)

    def mapper(self) -> Callable[[mappers.Record], list[mappers.Turn]]:
        """The function from a record to its turns."""
        # Whose columns hold a null for what another row has.
        padded = self.format in (None, "parquet", "arrow")
        return mappers.mapper(self.shape or "messages", self.completed(), self.label_names, padded)

    def orders(self) -> tuple[str, ...]:
        """Columns that order the records of a conversation."""
        return (self.order_by,) if isinstance(self.order_by, str) else self.order_by

    def wanted(self) -> list[str]:
        """Every column that anybody looks at, in a fixed order."""
        extra = [self.group_by, *self.orders(), *self.only, self.group, self.time, *self.meta]
        shaped = shapes.wanted(self.shape or "messages", self.completed())
        return list(dict.fromkeys([*shaped, *(c for c in extra if c)]))

    def stored(self) -> list[str]:
        """The columns that a file is asked for: those of `wanted`, and those that its paths begin in."""
        names = self.wanted()
        return list(dict.fromkeys([*names, *(paths.root(n) for n in names if paths.is_path(n))]))

    def paths_named(self) -> list[str]:
        """Every column inside a column that the recipe names."""
        given = self.columns
        named = [getattr(given, field) for field in type(given).model_fields if field not in PER_TURN]
        flat = [c for name in named for c in (name if isinstance(name, tuple) else [name])]
        if self.group_by is not None and not given.messages:
            flat += [given.role, given.content, given.reasoning]
        flat += [self.group_by, *self.orders(), *self.only, self.group, self.time, *self.meta]
        return [c for c in dict.fromkeys(flat) if isinstance(c, str) and paths.is_path(c)]

    def opened(self, batches: Iterator[Batch], relative: str) -> Iterator[Batch]:
        """Batches of what a file holds as batches of records with every column that is looked at."""
        names = [n for n in (*self.wanted(), *self.paths_named()) if paths.is_path(n)]
        for batch in envelopes.unfold(batches, self.records) if self.records else batches:
            if names:
                paths.lift(batch.records, names)
            if self.group_by == paths.FILE:
                for record in batch.records:
                    record[paths.FILE] = f"{relative}/{batch.member}" if batch.member else relative
            yield batch


class Mix(Section):
    """Rows that are learned beside the task's, for a share of the tokens to train on.

    A pool is a source like any other: read, cleaned, masked and deduplicated as they are, and its row goes
    where a task's row is a duplicate of it. Of its rows on the train side as many are drawn as make up its
    share (`passes.mix`); those that the split holds out are left out.
    """

    general: Source | None = None
    """Rows of general use, against forgetting what the base model could: a path, or a source with keys as in
    `sources[]`. What the split holds out of them is left out, so no metric of the task counts them."""
    share: float = Field(0.1, gt=0, lt=1)
    """Share of the tokens to train on that are of `general`."""
    off_task: Source | None = None
    """Rows of when not to do the task, against doing it wherever it is not asked for: as `general`."""
    off_task_share: float = Field(0.05, gt=0, lt=1)
    """Share of the tokens to train on that are of `off_task`."""

    @model_validator(mode="before")
    @classmethod
    def _paths(cls, values: Any) -> Any:
        """A path stands for a source that has no other key."""
        if not isinstance(values, Mapping):
            return values
        return {k: {"path": v} if k in POOLS and isinstance(v, str | list) else v for k, v in values.items()}

    @model_validator(mode="after")
    def _whole(self) -> "Mix":
        """Raises: ValueError where there is no pool, where nothing is left to the task, or for keys of a pool
        that its share stands for.
        """
        if not self.pools:
            raise ValueError("names no rows: give `general` or `off_task` a path or a source")
        if sum(share for _, share in self.pools.values()) >= 1:
            raise ValueError("the shares leave nothing to the task's own rows")
        for name, (source, _) in self.pools.items():
            given = [key for key, value in SET.items() if getattr(source, key) != value]
            if given:
                raise ValueError(f"{name}: {', '.join(given)} is what its share and `mix` stand for")
        return self

    @property
    def pools(self) -> dict[str, tuple[Source, float]]:
        """The source and the share of each pool that is there."""
        given = {"general": (self.general, self.share), "off_task": (self.off_task, self.off_task_share)}
        return {name: (source, share) for name, (source, share) in given.items() if source is not None}

    @property
    def shares(self) -> dict[str, float]:
        """The share of each pool, by the name of its source."""
        return {name_of(pool, source): share for pool, (source, share) in self.pools.items()}

    def sources(self, by: str) -> list[Source]:
        """The pools as sources of the recipe; by: what its split goes by. One without a time is put on the
        train side of a split by time.
        """
        return [
            source.model_copy(
                update={
                    "side": "train" if by == "time" and source.time is None else None,
                    "name": name_of(pool, source),
                    "priority": source.priority if "priority" in source.model_fields_set else -1,
                }
            )
            for pool, (source, _) in self.pools.items()
        ]


def name_of(pool: str, source: Source) -> str:
    """The name of a pool's source in books and reports."""
    return source.name or f"mix_{pool}"
