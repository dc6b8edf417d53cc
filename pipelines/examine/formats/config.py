"""The config of `examine.formats`, apart from its code."""

import re

from pydantic import Field, field_validator

from headrace.pipelines.section import Section


class Config(Section):
    """Whether structured answers are parsed, and what else counts as structured."""

    enabled: bool = True
    """Parse answers that begin as JSON, XML, YAML, a call, a fence, SQL or CSV."""
    pattern: str | None = None
    """A regular expression that answers should match from end to end; where only its beginning matches, an
    answer drifts."""
    longest: int = Field(default=100_000, ge=100)
    """Characters of an answer; longer ones are counted and not parsed."""
    most: float = Field(default=0.02, ge=0, le=1)
    """Share from which on it is said that structured answers are broken, that they lose their end to
    `tokenise.max_length`, and that answers to a task of which most are structured are not of that format."""
    mixed: float = Field(default=0.05, gt=0, le=1)
    """The last of these for tasks whose answers are mostly of no format."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, given: str | None) -> str | None:
        """Raises: ValueError for what is no regular expression."""
        try:
            re.compile(given or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        return given
