"""One source of a recipe: where its records lie and how they are read."""

from collections.abc import Callable
from typing import Literal

from pydantic import ByteSize, Field

from headrace.pipelines.section import Path, Section
from headrace.pipelines.stages.read import formats, shapes
from headrace.pipelines.stages.read.formats import Format
from headrace.pipelines.stages.read.records import MEMORY_LIMIT
from headrace.pipelines.stages.read.shapes import Columns, Shape

LEAST_MEMORY = 64 * 2**20


class Source(Section):
    """One source of records."""

    name: str = ""
    """Name in books and reports; left out: the last fixed part of the path."""
    path: Path | tuple[Path, ...]
    """File, directory (read recursively), glob, or a list of them; local or s3://."""
    format: Format | None = None
    """Left out: by the files' suffixes (under .gz or .zst), then by a look into them."""
    shape: Shape | None = None
    """How a record holds a conversation; left out: told by its columns."""
    columns: Columns = Columns()
    """Which column holds what, where the names are not the usual ones."""
    group_by: str | None = None
    """Column whose value several records of one conversation share."""
    order_by: str | tuple[str, ...] = ()
    """Columns that order the records of a conversation: numbers as numbers, ISO 8601 as times. Left out:
    as they lie."""
    group: str | None = None
    """Column of rows that must stand on one side of the split (a customer, a document)."""
    time: str | None = None
    """Column with the time of a record: ISO 8601 or a number since 1970."""
    meta: tuple[str, ...] = ()
    """Columns to carry along as text. They are scanned for PII too."""
    weight: float = Field(default=1.0, ge=0)
    """How often training draws a row of this source, beside the others' weights."""
    priority: int = 0
    """Of two duplicates the one from the source with the higher priority stays."""
    loss: Literal["assistant", "all"] = "assistant"
    """Which turns carry the loss."""
    label_names: tuple[str, ...] = ()
    """text_label: names of the labels that are given as numbers, from 0."""

    memory: ByteSize = Field(MEMORY_LIMIT, ge=LEAST_MEMORY, validate_default=True)
    """Most memory that reading one file may take; a Parquet row group that takes more is quarantined."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The path or paths."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def shown(self) -> str:
        """The path or paths, for a message."""
        return ", ".join(repr(p) for p in self.paths[:3]) + (", ..." if len(self.paths) > 3 else "")

    def format_of(self, relative: str) -> Format:
        """Format of one of the files."""
        return self.format or formats.of_name(relative) or "text"

    def completed(self) -> Columns:
        """Columns with the shape's usual names where the recipe names none."""
        return shapes.complete(self.shape or "messages", self.columns, self.group_by is not None)

    def mapper(self) -> Callable[[shapes.Record], list[shapes.Turn]]:
        """The function from a record to its turns."""
        padded = self.format in (None, "parquet")  # whose columns hold a null for what another row has
        return shapes.mapper(self.shape or "messages", self.completed(), self.label_names, padded)

    def orders(self) -> tuple[str, ...]:
        """Columns that order the records of a conversation."""
        return (self.order_by,) if isinstance(self.order_by, str) else self.order_by

    def wanted(self) -> list[str]:
        """Every column that anybody looks at, in a fixed order."""
        extra = [self.group_by, *self.orders(), self.group, self.time, *self.meta]
        shaped = shapes.wanted(self.shape or "messages", self.completed())
        return list(dict.fromkeys([*shaped, *(c for c in extra if c)]))
