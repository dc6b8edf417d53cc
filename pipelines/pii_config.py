"""What the recipe says of PII."""

from typing import Literal

from pydantic import Field

from pipelines.settings import Section


class Config(Section):
    """What is looked for and what is replaced."""

    enabled: bool = True
    """Look for PII at all; without it rows pass as they are."""
    threshold: float = Field(default=0.4, ge=0, le=1)
    """Lowest score that is replaced."""
    entities: tuple[str, ...] | None = None
    """Entities that are replaced; null: all that are found, but for those of `keep`."""
    keep: tuple[str, ...] = ("DATE_TIME", "URL")
    """Entities that are found but stay."""
    context: bool = True
    """Let words nearby ("phone", "passport") raise scores, as Presidio does over a full language model."""
    recognizers: Literal["presidio"] = "presidio"
    """What looks: `presidio` stands for exactly its default English pattern recognisers."""
