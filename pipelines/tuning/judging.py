"""The judge that a recipe names, asked after everything else is written: it may fail, and the rest stands.

Cost: that of `evaluate.judged.asking`.
"""

from headrace.cluster.errors import ModelError
from headrace.pipelines.console import Mode, say
from headrace.pipelines.recipe import Recipe


def judged(recipe: Recipe, mode: Mode) -> ModelError | None:
    """Ask the recipe's judge, where it names one, and write what it said into scores.json and run.json;
    returns why it gave no answers, where it did not.

    Raises: RecipeError, StorageError.
    """
    from headrace.pipelines.evaluate import run as evaluation
    from headrace.pipelines.evaluate.judged import asking
    from headrace.pipelines.passes import summary

    judge, found, failed = recipe.evaluate.judge, None, None
    if judge is not None:
        say(mode, "judging", f"evaluate: {judge.model} at {judge.endpoint} judges pairs of answers")
        try:
            found = asking.run(recipe.output, judge, seed=recipe.seed)
            say(mode, "judge", found["words"], **found)
        except ModelError as error:
            failed = error
    evaluation.write_judge(recipe.output, found)
    summary.write(recipe.output, {"judge": found})
    return failed
