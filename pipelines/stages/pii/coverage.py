"""What the search for PII covers of names, for run.json, report and terminal."""

from typing import Any

from headrace.pipelines.stages.pii.config import Config


def coverage(config: Config) -> dict[str, Any]:
    """How names are found: `names` is "model", "context" or, where PII is not looked for, "off".

    With a model also `engine`, and `model` as the recipe names it.
    """
    if not config.enabled:
        return {"names": "off"}
    if not config.has_model:
        return {"names": "context"}
    return {"names": "model", "engine": config.ner.engine, "model": config.ner.model}


def model_digest(config: Config) -> list[str]:
    """What the model is: hash of its files or version of its package, then libraries; empty without one.

    Cost: reads the files of the model. Raises: ModelError.
    """
    if not config.has_model:
        return []
    from headrace.pipelines.stages.pii.ner import models  # what it imports takes seconds

    return models.digest(config.ner)


def sentence(covered: dict[str, Any]) -> str:
    """`coverage` as a sentence."""
    if covered["names"] == "off":
        return "personal data: not looked for (pii.enabled is false)"
    if covered["names"] == "context":
        return (
            "names: found only by the words around them (introduction, label, greeting), not by a model "
            "(pii.ner): the text can still hold names"
        )
    return f"names: found by the {covered['engine']} model {covered['model']}"
