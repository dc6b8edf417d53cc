"""The config of `examine.diversity`, apart from its code."""

from pydantic import Field

from headrace.pipelines.section import Path, Section


class Config(Section):
    """Which prompts ask the same, and how many are compared."""

    enabled: bool = True
    """Tell how many different things the prompts ask."""
    sample: int = Field(10_000, ge=100, le=50_000)
    """Most prompts that are compared with each other; of more, a fixed draw, and the number for all rows is
    an estimate. Time and memory of the comparison grow with its square."""
    near: float = Field(0.8, gt=0, le=1)
    """Least share of words and pieces of words in common (Jaccard) of prompts that are nearly the same;
    these are counted, and make no clusters."""
    meaning: float = Field(0.7, gt=0, le=1)
    """Least cosine of two prompts' weighted words that ask the same."""
    model: Path | None = None
    """An embedding model, a directory, local or s3://, or a hub name: compares the drawn prompts as well."""
    model_meaning: float = Field(0.92, gt=0, le=1)
    """Least cosine of two prompts' embeddings that ask the same; it hangs on the model."""
    model_length: int = Field(256, ge=8)
    """Tokens of a prompt that the model reads."""
