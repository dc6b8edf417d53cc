"""The config of `traits`, apart from its code."""

from typing import Literal, Self

from pydantic import Field, model_validator

from headrace.pipelines.section import Path, Section, hint

Trait = Literal["language", "answer_language", "task", "format", "reasoning", "flags"]
TASKS = (
    *("question", "knowledge", "opinion", "extraction", "summarisation", "classification", "rewriting"),
    *("translation", "code", "maths", "chat", "creative", "text", "other"),
)
FORMATS = ("empty", "call", "json", "xml", "table", "number", "code", "label", "list", "prose")
REASONING = ("think", "thinking", "reasoning", "thought", "mistral", "channel", "empty", "steps", "none")
FLAGS = (
    *("refusal", "opener", "praise", "disclaimer", "copies_prompt", "other_language", "empty_answer"),
    *("one_word", "missing", "error", "escaped", "placeholder", "markers", "lost_letters", "broken_words"),
    *("unbroken", "pasted", "media", "next_turn", "printed", "identity"),
    "repeated_turn",
)
KNOWN: dict[str, tuple[str, ...]] = {
    "task": TASKS,
    "format": FORMATS,
    "reasoning": REASONING,
}
Chosen = dict[Trait, tuple[str, ...]]


class Model(Section):
    """A model that classifies texts."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    """The flag that rows get which it finds."""
    path: Path
    """A directory, local or s3://, as transformers' save_pretrained leaves it, with safetensors. It has to be
    readable from every node."""
    over: Literal["prompt", "answer"] = "answer"
    """What it looks at."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Least probability of the label."""
    label: str | None = None
    """The model's label that counts; left out: the one that is called as `name`."""
    batch: int = Field(default=32, ge=1)
    """Most texts that it is given at once."""


class Config(Section):
    """What is told of each row, and which rows stay or go by it; by default all stay."""

    enabled: bool = True
    """Whether traits are told at all."""
    letters: int = Field(default=160, ge=20, le=10_000)
    """Bytes of a text that its language is told from."""
    models: tuple[Model, ...] = ()
    """Classifiers such as one of toxicity: rows over a threshold get a flag of the model's name."""
    actors: int = Field(default=1, ge=1)
    """Processes that hold the models. Changes nothing in the output."""
    gpus: float = Field(default=0, ge=0, le=1)
    """Share of a GPU that each of them holds; 0: a CPU."""
    keep: Chosen = Field(default={})
    """Only rows with one of these values of a trait stay (`{language: [en, de]}`), and those whose language
    could not be told."""
    drop: Chosen = Field(default={})
    """Rows with one of these values go (`{task: [opinion], flags: [refusal]}`)."""

    @property
    def flags(self) -> tuple[str, ...]:
        """All flags that a row may have."""
        return (*FLAGS, *(model.name for model in self.models))

    @property
    def known(self) -> dict[str, tuple[str, ...]]:
        """All values that a trait may have, of those traits that have a fixed number of them."""
        return {**KNOWN, "flags": self.flags}

    @model_validator(mode="after")
    def _known(self) -> Self:
        """Raises: ValueError for a value that no row can have, or a name that stands for two things."""
        if len(set(self.flags)) < len(self.flags):
            raise ValueError("models: each needs a name of its own, which is no flag's already")
        known = self.known
        for trait, values in [*self.keep.items(), *self.drop.items()]:
            for value in values:
                if trait in known and value not in known[trait]:
                    raise ValueError(f"{trait} is never {value!r}; {hint(value, known[trait])}")
        return self
