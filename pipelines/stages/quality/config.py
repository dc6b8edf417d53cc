"""The config of `quality`, apart from its code."""

from pydantic import Field

from headrace.pipelines.section import Section


class Config(Section):
    """The rules' thresholds; null, false or empty switches a rule off."""

    shortest: int | None = Field(default=2, ge=0)
    """Fewest visible characters of a row."""
    longest: int | None = Field(default=1_000_000, ge=1)
    """Most characters of a row."""
    letters: bool = True
    """A row needs a letter or a digit of some script."""
    symbols: float | None = Field(default=0.9, ge=0, le=1)
    """Largest share of punctuation and symbols among visible characters."""
    replacements: float | None = Field(default=0.05, ge=0, le=1)
    """Largest share of U+FFFD among characters."""
    repetition: float | None = Field(default=0.8, ge=0, le=1)
    """Largest share of 16-byte windows that stood earlier in the same message."""
    echo: bool = True
    """Drop rows whose every answer repeats what it answers (case and white space at the ends apart)."""
    empty_answer: bool = True
    """Drop conversations whose assistant turns are all blank."""
    phrases: tuple[str, ...] = ()
    """Phrases that no answer may hold, such as "As an AI language model"; case makes no difference."""
