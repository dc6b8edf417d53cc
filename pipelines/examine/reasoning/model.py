"""What the model of a run does with reasoning, and what its recipe makes of it.

Cost: loading the tokenizer takes a second.
"""

from collections.abc import Mapping
from typing import NamedTuple

import yaml

from headrace.cluster import storage
from headrace.pipelines.examine import rows
from headrace.pipelines.stages.tokenise.config import Config as Tokenise
from headrace.pipelines.stages.tokenise.config import Reasoning
from headrace.pipelines.stages.tokenise.reasoning.facts import Facts


class Model(NamedTuple):
    """facts: of its chat template; None where it has none. reasoning: `tokenise.reasoning` of the recipe.
    loss: what that says of each source.
    """

    facts: Facts | None
    reasoning: Reasoning
    loss: Mapping[str, str] = {}


def of_run(run: str) -> Model:
    """The model that the recipe of a run directory names."""
    from headrace.pipelines.stages.tokenise import stage as tokenise

    recipe = yaml.safe_load(storage.read_bytes(storage.join(run, "recipe.yaml")))
    config = Tokenise.model_validate(recipe.get("tokenise") or {})
    facts = tokenise.tokenizer(recipe.get("model"), config).facts
    return Model(facts, config.reasoning, rows.losses(recipe))
