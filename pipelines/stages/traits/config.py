"""The config of `traits`, apart from its code."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from headrace.pipelines.section import Section, hint

Trait = Literal["language", "answer_language", "task", "format", "reasoning", "flags"]
TASKS = (
    *("question", "knowledge", "opinion", "extraction", "summarisation", "classification", "rewriting"),
    *("translation", "code", "maths", "chat", "creative", "text", "other"),
)
FORMATS = ("empty", "json", "xml", "table", "number", "code", "label", "list", "prose")
REASONING = ("think", "thinking", "reasoning", "thought", "mistral", "channel", "empty", "steps", "none")
FLAGS = (
    *("refusal", "opener", "praise", "disclaimer", "copies_prompt", "other_language", "empty_answer"),
    "one_word",
)
KNOWN: dict[str, tuple[str, ...]] = {
    "task": TASKS,
    "format": FORMATS,
    "reasoning": REASONING,
    "flags": FLAGS,
}
Chosen = dict[Trait, tuple[str, ...]]


class Config(Section):
    """What is told of each row, and which rows stay or go by it; by default all stay."""

    enabled: bool = True
    """Whether traits are told at all."""
    letters: int = Field(default=160, ge=20, le=10_000)
    """Bytes of a text that its language is told from."""
    keep: Chosen = Field(default={})
    """Only rows with one of these values of a trait stay (`{language: [en, de]}`), and those whose language
    could not be told."""
    drop: Chosen = Field(default={})
    """Rows with one of these values go (`{task: [opinion], flags: [refusal]}`)."""

    @field_validator("keep", "drop")
    @classmethod
    def _known(cls, given: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """Raises: ValueError for a value that no row can have."""
        for trait, values in given.items():
            for value in values:
                if trait in KNOWN and value not in KNOWN[trait]:
                    raise ValueError(f"{trait} is never {value!r}; {hint(value, KNOWN[trait])}")
        return given
