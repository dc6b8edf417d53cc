"""What the best checkpoint is chosen by, where it is of answers: a metric, or a function of the recipe's
author.

What: `score` gives a number for each answer, higher being better. A function's file is read once, when the
training is planned: its text is part of the training's key, and travels to the ranks.

Cost: that of the metric; some .2 ms an answer.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate import metrics

Score = Callable[[Sequence[str], Sequence[str]], Any]
METRICS: dict[str, Score] = {
    "exact_match": metrics.exact_match,
    "f1": metrics.token_f1,
    "rougeL": lambda answers, references: metrics.rouge(answers, references)["rougeL"],
}
LOSS = "validation_loss"
FORM = re.compile(r"python:(.+\.py):([A-Za-z_][A-Za-z0-9_]*)")


def code(best: str) -> str | None:
    """The text of the function's file; None where `best` is no function.

    Raises: RecipeError where there is no such file or it cannot be run, StorageError.
    """
    form = FORM.fullmatch(best)
    if form is None:
        return None
    try:
        text = storage.read_bytes(form[1]).decode()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise RecipeError(f"train.best: {form[1]!r} is no file of Python that can be read") from error
    _function(best, text)
    return text


def score(best: str, text: str | None, answers: Sequence[str], references: Sequence[str]) -> float:
    """The sum over all answers. Raises: RecipeError where a function does not give a number for each."""
    if not answers:
        return 0.0
    if text is None:
        return float(np.sum(METRICS[best](answers, references)))
    try:
        values = np.asarray(_function(best, text)(list(answers), list(references)), np.float64)
    except RecipeError:
        raise
    except Exception as error:  # noqa: BLE001 - its message may quote an answer
        raise RecipeError(f"train.best: {best!r} failed with {type(error).__name__} on an answer") from None
    if values.shape != (len(answers),) or not np.isfinite(values).all():
        raise RecipeError(f"train.best: {best!r} must return a number for each answer")
    return float(values.sum())


def _function(best: str, text: str) -> Score:
    form = FORM.fullmatch(best)
    assert form is not None, "the recipe has looked"
    made: dict[str, Any] = {"__name__": "headrace_best", "__file__": form[1]}
    try:
        exec(compile(text, form[1], "exec"), made)  # noqa: S102 - the recipe's author asked for it
    except (Exception, SystemExit) as error:
        raise RecipeError(f"train.best: {form[1]!r} cannot be run ({type(error).__name__})") from error
    found = made.get(form[2])
    if not callable(found):
        raise RecipeError(f"train.best: {form[1]!r} has no function {form[2]!r}")
    return found  # type: ignore[no-any-return]
