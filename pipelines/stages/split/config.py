"""The config of `split`, apart from its code."""

from typing import Any

from pydantic import Field, model_validator

from headrace.pipelines.section import Section


class Config(Section):
    """Shares of rows; they add up to 1."""

    train: float = Field(0.9, gt=0, le=1)
    """Share of rows to train on."""
    validation: float = Field(0.05, ge=0, lt=1)
    """Share of rows that choose the checkpoint."""
    test: float = Field(0.05, ge=0, lt=1)
    """Share of rows held out for the verdict."""

    @model_validator(mode="before")
    @classmethod
    def _rest_is_train(cls, data: Any) -> Any:
        """Where only the held-out shares are given, train takes the rest."""
        if isinstance(data, dict) and "train" not in data:
            held = [data.get(n, cls.model_fields[n].default) for n in ("validation", "test")]
            if all(isinstance(h, int | float) for h in held):
                return {**data, "train": 1 - sum(held)}
        return data

    @model_validator(mode="after")
    def _whole(self) -> "Config":
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("train, validation and test must add up to 1")
        return self
