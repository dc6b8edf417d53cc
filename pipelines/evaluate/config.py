"""The config of `evaluate`, apart from its code: torch takes seconds to import."""

from collections.abc import Collection
from typing import Literal

from pydantic import Field, model_validator

from headrace.pipelines.section import Section
from headrace.pipelines.train.config import Attention, Precision

Metric = Literal[
    "loss",
    "perplexity",
    "token_accuracy",
    "exact_match",
    "rouge1",
    "rougeL",
    "bleu",
    "preference_accuracy",
]
METRICS: tuple[Metric, ...] = (
    "loss",
    "perplexity",
    "token_accuracy",
    "exact_match",
    "rouge1",
    "rougeL",
    "bleu",
    "preference_accuracy",
)
LOWER_IS_BETTER = {"loss", "perplexity"}
Verdict = Literal["better", "worse", "no clear difference", "too few samples"]
VERDICTS: tuple[Verdict, ...] = ("better", "worse", "no clear difference", "too few samples")
LEAST = 20  # samples that a verdict asks for
FORCED = {"loss", "perplexity", "token_accuracy", "preference_accuracy"}  # need no generation


class Gate(Section):
    """What the tuned model must reach, or the command ends with exit code 3."""

    metric: Metric = "loss"
    """Metric in which the verdict must be better."""
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
    """What is measured; without those of answers nothing is generated. preference_accuracy: share of the
    pairs of which the chosen answer is the likelier one; pairs count for nothing else."""
    primary: Metric | None = None
    """The one metric that the verdict hangs on, named before anything is measured. Left out: the gate's where
    there is a gate, else the first that is measured of loss, perplexity, token_accuracy, exact_match, rouge1,
    rougeL, bleu, preference_accuracy."""
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

    @model_validator(mode="after")
    def _measured(self) -> "Config":
        asked = {"primary": self.primary, "gate.metric": self.gate.metric if self.gate else None}
        for key, metric in asked.items():
            if metric is not None and metric not in self.metrics:
                raise ValueError(f"{key} is {metric}, which evaluate.metrics does not measure: add it there")
        return self

    def deciding(self, measured: Collection[str]) -> Metric | None:
        """The metric that the verdict hangs on; None where it could not be measured."""
        named = self.primary or (self.gate.metric if self.gate else None)
        wanted = (named,) if named else METRICS
        return next((metric for metric in wanted if metric in measured), None)
