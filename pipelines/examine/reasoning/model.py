"""What the model of a run does with reasoning, and what its recipe makes of it.

Cost: loading the tokenizer takes a second.
"""

from typing import NamedTuple

import yaml

from headrace.cluster import storage
from headrace.pipelines.stages.tokenise.config import Config as Tokenise
from headrace.pipelines.stages.tokenise.config import Reasoning
from headrace.pipelines.stages.tokenise.reasoning.facts import Facts


class Model(NamedTuple):
    """facts: of its chat template; None where it has none. reasoning: `tokenise.reasoning` of the recipe."""

    facts: Facts | None
    reasoning: Reasoning


def of_run(run: str) -> Model:
    """The model that the recipe of a run directory names."""
    from headrace.pipelines.stages.tokenise import stage as tokenise

    recipe = yaml.safe_load(storage.read_bytes(storage.join(run, "recipe.yaml")))
    config = Tokenise.model_validate(recipe.get("tokenise") or {})
    return Model(tokenise.tokenizer(recipe.get("model"), config).facts, config.reasoning)
