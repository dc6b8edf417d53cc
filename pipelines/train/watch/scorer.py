"""What the best checkpoint is chosen by, where it is of answers: a metric, or a function of the recipe's
author.

What: `score` gives a number for each answer, higher being better. A function's file is read once, when the
training is planned: its text is part of the training's key, and travels to the ranks.

Cost: that of the metric; some .2 ms an answer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate import metrics
from headrace.pipelines.evaluate.judged import function

Score = Callable[[Sequence[str], Sequence[str]], Any]
METRICS: dict[str, Score] = {
    "exact_match": metrics.exact_match,
    "f1": metrics.token_f1,
    "rougeL": lambda answers, references: metrics.rouge(answers, references)["rougeL"],
}
LOSS = "validation_loss"


def code(best: str) -> str | None:
    """The text of the function's file; None where `best` is no function.

    Raises: RecipeError where there is no such file or it cannot be run, StorageError.
    """
    return function.text(_named(best)) if function.FORM.fullmatch(best) else None


def score(best: str, text: str | None, answers: Sequence[str], references: Sequence[str]) -> float:
    """The sum over all answers. Raises: RecipeError where a function does not give a number for each."""
    if not answers:
        return 0.0
    if text is None:
        return float(np.sum(METRICS[best](answers, references)))
    judge = function.made(_named(best), text)
    try:
        values = np.asarray(judge(list(answers), list(references)), np.float64)
    except Exception as error:  # noqa: BLE001 - its message may quote an answer
        raise RecipeError(f"train.best: {best!r} failed with {type(error).__name__} on an answer") from None
    if values.shape != (len(answers),) or not np.isfinite(values).all():
        raise RecipeError(f"train.best: {best!r} must return a number for each answer")
    return float(values.sum())


def _named(best: str) -> function.Named:
    return function.Named("train.best", best, takes=2)
