"""The config of `evaluate`, apart from its code: torch takes seconds to import."""

from collections.abc import Collection
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from headrace.pipelines.evaluate import answers as parts
from headrace.pipelines.evaluate.judged.config import Judge
from headrace.pipelines.evaluate.judged.function import FORM, Named
from headrace.pipelines.section import Path, Section
from headrace.pipelines.train.config import Precision

Fold = Literal["numbers", "units", "articles", "punctuation"]
Metric = Literal[
    "loss",
    "perplexity",
    "token_accuracy",
    "exact_match",
    "label_f1",
    "json_valid",
    "json_schema",
    "entity_f1",
    "sql",
    "code",
    "score",
    "token_f1",
    "rouge1",
    "rouge2",
    "rougeL",
    "bleu",
    "chrf",
    "meteor",
    "preference_accuracy",
]
METRICS: tuple[Metric, ...] = get_args(Metric)
LOWER_IS_BETTER = {"loss", "perplexity"}
Verdict = Literal["better", "worse", "no clear difference", "too few samples"]
VERDICTS: tuple[Verdict, ...] = ("better", "worse", "no clear difference", "too few samples")
SHOTS = "shots_"  # names of arms begin with it that put examples into the base's prompt
LEAST = 20  # samples that a verdict asks for
FORCED = {"loss", "perplexity", "token_accuracy", "preference_accuracy"}  # need no generation


class Gate(Section):
    """What the tuned model must reach, or the command ends with exit code 3."""

    metric: Metric = "loss"
    """Metric in which the verdict must be better."""
    improvement: float = Field(default=0.0, ge=0)
    """Least gain, in the unit of the metric."""


class Documents(Section):
    """What the base is given to look in, where retrieval is what tuning is held against."""

    path: Path
    """JSONL with a `text` a line, a .txt or .md file, or a directory of these."""
    top: int = Field(default=3, ge=1)
    """Passages before each question, those most like it (BM25)."""
    words: int = Field(default=200, ge=10)
    """Words of a passage."""


class Config(Section):
    """How base and tuned model are compared."""

    split: Literal["test", "validation"] = "test"
    """Which held-out rows."""
    samples: int = Field(default=200, ge=1)
    """Most samples, drawn at random by the recipe's seed."""
    max_new_tokens: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Longest answer in tokens; a longer one is cut and counted as unfinished. auto: as long as 99 of 100
    references, and a fifth more."""
    answer: str = "after_reasoning"
    """What of an answer is compared: after_reasoning (all behind the reasoning), last_line, boxed (of LaTeX),
    json:PATH (as json:items[0].name), regex:PATTERN, or python:FILE:FUNCTION, a function of a text that gives
    that part, or None where it is not there; it is RUN. References go through the same."""
    fold: tuple[Fold, ...] = ()
    """What exact match takes for equal beside case and white space: numbers (1,200.0 and 1200), units (12 kg
    and 12), articles, punctuation."""
    batch_size: int = Field(default=8, ge=1)
    """Samples that are computed at once."""
    metrics: tuple[Metric, ...] = Field(default=METRICS, min_length=1)
    """What is measured where it applies; without those of answers nothing is generated. label_f1 (macro)
    applies where references are labels, json_valid and entity_f1 where they are JSON, json_schema, sql, code
    and score where their key is set, preference_accuracy (the chosen answer is the likelier one) to pairs,
    which count for nothing else."""
    json_schema: Path | None = None
    """File with a JSON Schema that answers shall fit."""
    sql: Path | None = None
    """SQLite file on which answers and references are run, to compare the rows that they find."""
    code: Path | None = None
    """JSONL of `prompt` and `tests` (Python). Answers to prompts that hold such a `prompt` are RUN with the
    tests behind them: in a process with limits, which is no prison."""
    score: str | None = None
    """python:FILE:FUNCTION, a function of (prompt, answer, reference) that says how good an answer is, 0 to
    1. The prompt has its template; of answer and reference it gets what `answer` takes. It is RUN."""
    primary: Metric | None = None
    """The one metric that the verdict hangs on, named before anything is measured. Left out: the gate's where
    there is a gate, else the first that is measured of loss, perplexity, token_accuracy, exact_match, ..."""
    bleu_tokenizer: Literal["13a", "intl", "char", "zh", "none"] = "13a"
    """How sacrebleu cuts words: `zh` for Chinese, `char` for other scripts without spaces."""
    shots: tuple[Annotated[int, Field(ge=0)], ...] = (0, 4)
    """Numbers of examples in the base's prompt, from packed/train, that the tuned model is held against: once
    those most like the question, once drawn at random. 0 is the base alone, which is always asked."""
    documents: Documents | None = None
    """Documents of which the base is given passages before each question. Left out: none."""
    larger: str | None = None
    """Another base, by directory or hub name, that is asked the same. Left out: none."""
    earlier: Path | None = None
    """An earlier adapter of the same base, of a run or by peft, that is asked the same. Left out: none."""
    examples: int = Field(default=20, ge=0)
    """Answers of both models that are kept to be read."""
    precision: Precision = "auto"
    """float32, bfloat16, or auto: bfloat16 on GPUs that compute in it."""
    attention: Literal["auto", "sdpa", "eager"] = "auto"
    """Implementation of attention: sdpa, eager, or auto: the first that the model has and that is proved."""
    judge: Judge | None = None
    """Left out: no other model is asked, and nothing is sent to anybody."""
    gate: Gate | None = None
    """Left out: the comparison is told and nothing depends on it."""

    @field_validator("answer")
    @classmethod
    def _known(cls, answer: str) -> str:
        return parts.require(answer)

    @field_validator("score")
    @classmethod
    def _function(cls, score: str | None) -> str | None:
        if score is not None and not FORM.fullmatch(score):
            raise ValueError("is no python:FILE.py:FUNCTION")
        return score

    @property
    def functions(self) -> tuple[Named, ...]:
        """The functions of the recipe's author that are run."""
        given = {"answer": (self.answer, 1), "score": (self.score or "", 3)}
        return tuple(
            Named(f"evaluate.{k}", name, n) for k, (name, n) in given.items() if FORM.fullmatch(name)
        )

    @model_validator(mode="after")
    def _measured(self) -> "Config":
        asked = {"primary": self.primary, "gate.metric": self.gate.metric if self.gate else None}
        for key, metric in asked.items():
            if metric is not None and metric not in self.metrics:
                raise ValueError(f"{key} is {metric}, which evaluate.metrics does not measure: add it there")
        return self

    @property
    def named(self) -> Metric | None:
        """The metric that the recipe lets the verdict hang on; None where it names none."""
        return self.primary or (self.gate.metric if self.gate else None)

    def deciding(self, measured: Collection[str]) -> Metric | None:
        """The metric that the verdict hangs on; None where it could not be measured."""
        wanted = (self.named,) if self.named else METRICS
        return next((metric for metric in wanted if metric in measured), None)
