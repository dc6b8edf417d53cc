"""Where the raw text is: the sources of a recipe, their files, formats and shapes.

`resolve` looks at the first records of every source once and freezes what it found (names,
format, shape, columns) into the recipe that is kept with the run, so that a later look at other
files cannot change the meaning of the ones before.
"""

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from cluster.fragments import Cut, File
from pipelines import formats, shapes, streams
from pipelines.formats import Format
from pipelines.reading import read
from pipelines.settings import Section
from pipelines.shapes import Columns, Shape

__all__ = ["Columns", "Source", "read"]


class Source(Section):
    """One source of records."""

    name: str = ""
    """Name in books and reports; left out: the last fixed part of the path."""
    path: str | tuple[str, ...]
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
    """Columns that order the records of a conversation; numbers as numbers. Left out: as they lie."""
    group: str | None = None
    """Column of rows that must stand on one side of the split (a customer, a document)."""
    time: str | None = None
    """Column with the time of a record: ISO 8601 or a number since 1970."""
    meta: tuple[str, ...] = ()
    """Columns to carry along as text. They are scanned for PII too."""
    weight: float = Field(1.0, ge=0)
    """How often training draws a row of this source, beside the others' weights."""
    priority: int = 0
    """Of two duplicates the one from the source with the higher priority stays."""
    loss: Literal["assistant", "all"] = "assistant"
    """Which turns carry the loss."""
    label_names: tuple[str, ...] = ()
    """text_label: names of the labels that are given as numbers, from 0."""

    def format_of(self, relative: str) -> Format:
        """Format of one of the files."""
        return self.format or formats.of_name(relative) or "text"

    def completed(self) -> Columns:
        """Columns with the shape's usual names where the recipe names none."""
        return shapes.complete(self.shape or "messages", self.columns, self.group_by is not None)

    def mapper(self) -> Callable[[shapes.Record], list[shapes.Turn]]:
        """The function from a record to its turns."""
        return shapes.mapper(self.shape or "messages", self.completed(), self.label_names)

    def orders(self) -> tuple[str, ...]:
        """Columns that order the records of a conversation."""
        return (self.order_by,) if isinstance(self.order_by, str) else self.order_by

    def wanted(self) -> list[str]:
        """Every column that anybody looks at, in a fixed order."""
        extra = [self.group_by, *self.orders(), self.group, self.time, *self.meta]
        shaped = shapes.wanted(self.shape or "messages", self.completed())
        return list(dict.fromkeys([*shaped, *(c for c in extra if c)]))


def cuttable(source: Source, file: File) -> Cut | None:
    """How a big file of `source` may be cut."""
    form = source.format_of(file.relative)
    if streams.compression(file.relative) or form not in ("jsonl", "parquet"):
        return None
    return "row_groups" if form == "parquet" else "bytes"
