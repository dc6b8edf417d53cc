"""What the search for PII covers of names, for run.json, report and terminal."""

from typing import Any

from pipelines.pii_config import Config


def coverage(config: Config) -> dict[str, Any]:
    """How names are found: `names` is "model", "context" or, where PII is not looked for, "off".

    With a model also `engine`, `model` as the recipe names it and `mark`, what it was (hash of its files or
    version of its package, then libraries). Raises: ModelError.
    """
    if not config.enabled:
        return {"names": "off"}
    if not config.has_model:
        return {"names": "context"}
    from pipelines import pii_models  # what it imports takes seconds

    ner = config.ner
    return {"names": "model", "engine": ner.engine, "model": ner.model, "mark": pii_models.mark(ner)}


def told(found: dict[str, Any]) -> str:
    """`coverage` as a sentence."""
    if found["names"] == "off":
        return "personal data: not looked for (pii.enabled is false)"
    if found["names"] == "context":
        return (
            "names: found only by the words around them (introduction, label, greeting), not by a model "
            "(pii.ner): the text can still hold names"
        )
    return f"names: found by the {found['engine']} model {found['model']}"
