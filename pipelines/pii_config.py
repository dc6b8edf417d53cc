"""What the recipe says of PII."""

import difflib
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator

from pipelines.pii_catalogue import RECOGNIZERS, STEPS
from pipelines.pii_locales import LOCALES, PRESIDIO
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
    recognizers: Literal["all", "presidio"] = "all"
    """What looks: `all` is Presidio's default English pattern recognisers, ours, and the steps that resolve
    overlaps; `presidio` exactly the former."""
    without: tuple[str, ...] = ()
    """Recognisers that do not look, as they stand in the column `recognizer` (`PhoneRecognizer`,
    `greetings`), and steps that are not taken: `overlaps`, `sums`, `domains`, `licences`."""
    locales: tuple[str, ...] = ()
    """Countries whose identifiers are looked for too, by Presidio's own recognisers: `de`, `in`, `it`."""

    @field_validator("without")
    @classmethod
    def _known_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [*(one.name for one in RECOGNIZERS), *STEPS, *PRESIDIO, *sum(LOCALES.values(), ())]
        return _known(value, names, "recogniser")

    @field_validator("locales")
    @classmethod
    def _known_locales(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, LOCALES, "locale")


def _known(value: tuple[str, ...], names: Iterable[str], what: str) -> tuple[str, ...]:
    """`value`, all of whose items are in `names`. Raises: ValueError with the nearest name or all of them."""
    known = sorted(names)
    for one in value:
        if one not in known:
            near = difflib.get_close_matches(one, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"unknown {what} {one!r}; {hint}")
    return value
