"""The config of `pack`, apart from its code."""

from pydantic import Field

from headrace.pipelines.section import Section


class Config(Section):
    """How samples share rows."""

    length: int | None = Field(default=None, ge=8)
    """Tokens of a packed row; `tokenise.max_length` where it is left out, never less."""

    window: int = Field(default=10_000, ge=1)
    """About how many rows are packed together: more fill rows better and take more memory."""
