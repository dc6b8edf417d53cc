"""What base and tuned model make of tasks of lm-evaluation-harness, document by document.

What: both are asked the same prompts by the harness itself, which judges the answers. Of each task the first
metric counts that says of each document whether it is right (acc, exact_match, ...); what it says of the
whole task, by every metric, is told beside it. Nothing of a document's text is kept.

Cost: that of the tasks, twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.pipelines.evaluate.arms.both import Loaded
from headrace.pipelines.evaluate.gates.config import Harness
from headrace.pipelines.evaluate.gates.gate import Bools, Unmeasured
from headrace.pipelines.evaluate.harness import tasks

NOT_ASKED = "the recipe asks no task of lm-evaluation-harness: see gates.harness"
NO_TEMPLATE = "the tokenizer has no chat template, which gates.harness.chat_template asks for"
SEED = 1234  # of examples in prompts, as the harness draws them


class Answered(NamedTuple):
    """Documents that are right or wrong: task and name of each, and whether base and tuned model have it
    right, ``bool[N]`` each. scores: by task and metric the value of "base" and "tuned"; cut: requests that
    had no room in the model's context, of the base.
    """

    tasks: list[str]
    names: list[str]
    base: Bools
    tuned: Bools
    scores: dict[str, dict[str, dict[str, float]]]
    cut: int


def both(loaded: Loaded, config: Harness | None, template: str | None) -> Answered | Unmeasured:
    """Ask base and tuned model. template: of the run's chats. Raises: RecipeError, UserError."""
    if config is None:
        return Unmeasured(NOT_ASKED)
    if config.chat_template and template is None:
        return Unmeasured(NO_TEMPLATE)
    with loaded.without():
        base, cut = _asked(loaded, config, template)
    tuned, _ = _asked(loaded, config, template)
    return answered(base, tuned, cut)


def _asked(loaded: Loaded, config: Harness, template: str | None) -> tuple[dict[str, Any], int]:
    """What the harness says of the model that is asked now, and how many requests had no room."""
    from lm_eval import evaluator

    from headrace.pipelines.evaluate.harness import model

    asked, found = model.Model(loaded, template), tasks.load(config)
    for task in found["tasks"].values():
        own = task.get_config("num_fewshot")
        shots = own if config.shots is None or own == 0 else config.shots  # a 0 of the task's is meant so
        task.set_config(key="num_fewshot", value=shots or 0)
        task.set_fewshot_seed(seed=SEED)
    with tasks.quiet():
        said: dict[str, Any] = evaluator.evaluate(
            lm=asked,
            task_dict=found,
            limit=config.limit,
            bootstrap_iters=0,
            apply_chat_template=config.chat_template,
            fewshot_as_multiturn=config.chat_template,
        )
    return said, asked.cut


def answered(base: Mapping[str, Any], tuned: Mapping[str, Any], cut: int) -> Answered:
    """Both models side by side, of what `evaluator.evaluate` gave of each."""
    sides = (base, tuned)
    names: list[tuple[str, str]] = []
    right: tuple[list[bool], list[bool]] = ([], [])
    for task in sorted(base["samples"]):
        known = [_of_task(side["samples"][task]) for side in sides]
        values = _right(known)
        if values is None:
            continue
        names += [(task, f"{task}-{number}") for number in known[0]]
        for side, of_side in zip(right, values, strict=True):
            side += of_side
    whole = [np.array(side, np.bool_) for side in right]
    scores = {task: _scores(task, base, tuned) for task in sorted(base["samples"])}
    return Answered([t for t, _ in names], [n for _, n in names], whole[0], whole[1], scores, cut)


def _of_task(samples: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Each document of a task by its number, as the first of the task's filters has it."""
    first = samples[0]["filter"] if samples else ""
    own = {int(one["doc_id"]): one for one in samples if one["filter"] == first}
    return dict(sorted(own.items()))


def _right(known: Sequence[Mapping[int, Mapping[str, Any]]]) -> list[list[bool]] | None:
    """Whether each document is right, of both models, by the first metric that says so; None of no metric."""
    one = next(iter(known[0].values()), {"metrics": ()})
    for metric in one["metrics"]:
        values = [[document.get(metric) for document in of.values()] for of in known]
        if all(isinstance(v, bool | int | float | np.number) and v in (0, 1) for of in values for v in of):
            return [[bool(value) for value in of] for of in values]
    return None


def _scores(task: str, base: Mapping[str, Any], tuned: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What the harness says of a whole task, by metric, of both models."""
    found = {}
    for name, value in base["results"].get(task, {}).items():
        metric, _, filtered = name.partition(",")
        other = tuned["results"].get(task, {}).get(name)
        told = all(isinstance(v, int | float) and np.isfinite(v) for v in (value, other))
        if filtered and not metric.endswith("_stderr") and told:
            shown = metric if filtered == "none" else f"{metric} ({filtered})"
            found[shown] = {"base": float(value), "tuned": float(other)}
    return found
