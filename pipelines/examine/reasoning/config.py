"""The config of `examine.reasoning`, apart from its code."""

from typing import Any, Literal

from pydantic import Field, model_validator

from headrace.pipelines.section import Section


class Config(Section):
    """What is made of reasoning traces that do not go with the model."""

    policy: Literal["fail", "warn", "allow"] = "warn"
    """fail: the run stops before it packs. warn: it is said. allow: it is only counted."""
    most: float = Field(default=0.02, ge=0, le=1)
    """Share of the rows from which on it is said."""

    @model_validator(mode="before")
    @classmethod
    def _policy_alone(cls, data: Any) -> Any:
        """`reasoning: warn` says the policy alone."""
        if isinstance(data, dict) and "style" in data:
            raise ValueError("style stands in tokenise.reasoning, which converts; this section only looks")
        return {"policy": data} if isinstance(data, str) else data
