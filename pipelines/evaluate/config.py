"""The config of `evaluate`, apart from its code: torch takes seconds to import."""

from typing import Literal

from pydantic import Field

from headrace.pipelines.section import Section
from headrace.pipelines.train.config import Attention, Precision

Metric = Literal["loss", "perplexity", "token_accuracy", "exact_match", "rouge1", "rougeL", "bleu"]
METRICS: tuple[Metric, ...] = (
    "loss",
    "perplexity",
    "token_accuracy",
    "exact_match",
    "rouge1",
    "rougeL",
    "bleu",
)
LOWER_IS_BETTER = {"loss", "perplexity"}
Verdict = Literal["better", "worse", "no clear difference"]
VERDICTS: tuple[Verdict, ...] = ("better", "worse", "no clear difference")
FORCED = {"loss", "perplexity", "token_accuracy"}  # need no generation


class Gate(Section):
    """What the tuned model must reach, or the command ends with exit code 3."""

    metric: Metric = "loss"
    """Metric in which it must be better than its base, clearly: the interval must not hold 0."""
    improvement: float = Field(default=0.0, ge=0)
    """Least gain, in the unit of the metric."""


class Config(Section):
    """How base and tuned model are compared."""

    split: Literal["test", "validation"] = "test"
    """Which held-out rows."""
    samples: int = Field(default=200, ge=1)
    """Most samples, drawn at random by the recipe's seed."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Longest answer; a longer one is cut and counted as unfinished."""
    batch_size: int = Field(default=8, ge=1)
    """Samples that are computed at once."""
    metrics: tuple[Metric, ...] = Field(default=METRICS, min_length=1)
    """What is measured; without those of answers nothing is generated."""
    bleu_tokenizer: Literal["13a", "intl", "char", "zh", "none"] = "13a"
    """How sacrebleu cuts words: `zh` for Chinese, `char` for other scripts without spaces."""
    examples: int = Field(default=20, ge=0)
    """Answers of both models that are kept to be read."""
    precision: Precision = "auto"
    """float32, bfloat16, or auto: bfloat16 on GPUs that compute in it."""
    attention: Attention = "sdpa"
    """Implementation of attention: sdpa or eager."""
    gate: Gate | None = None
    """Left out: the comparison is told and nothing depends on it."""
