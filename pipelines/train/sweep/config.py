"""The config of `sweep`, apart from its code."""

import math
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from headrace.pipelines.section import Section, hint
from headrace.pipelines.train.config import Config as Train

SPACE = {
    "learning_rate": {"low": 1e-6, "high": 1e-3, "log": True},
    "rank": [4, 8, 16, 32, 64],
    "alpha": [8, 16, 32, 64, 128],
    "epochs": {"low": 1, "high": 4},
    "weight_decay": {"low": 0.0, "high": 0.1},
    "dropout": {"low": 0.0, "high": 0.1},
    "rows_per_step": [4, 8, 16, 32],
}


class Range(Section):
    """All numbers from `low` to `high`: whole ones where the key takes whole ones."""

    low: float
    """The least."""
    high: float
    """The greatest."""
    log: bool = False
    """Whether ten times as much is one step further, wherever it begins: for rates."""

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low >= self.high:
            raise ValueError(f"low is {self.low:g} and high {self.high:g}: low must be less")
        if self.log and self.low <= 0:
            raise ValueError("log needs a low above 0")
        return self


class Config(Section):
    """Trainings in search of better settings, each over the rows that the run has packed."""

    space: dict[str, Range | tuple[Any, ...]] = Field(default=SPACE, min_length=1, validate_default=True)
    """What is searched, by key of `train`: `{low: 1e-6, high: 1e-3, log: true}` or a list of values. All
    other keys stay as the recipe has them."""
    trials: int = Field(20, ge=1)
    """Trainings; the first is that of the recipe as it is."""
    fine: float = Field(0.4, ge=0, le=1)
    """Share of the trials, the last ones, that search near the best of those before alone."""
    hours: float | None = Field(None, gt=0)
    """Hours of training over all trials, those of earlier starts too, after which no other is begun."""
    money: float | None = Field(None, gt=0)
    """The same in dollars, by the prices of `costs`."""
    metric: Literal["validation_loss"] = "validation_loss"
    """What the trials are ranked by: the least loss on the validation rows."""
    reduction_factor: int = Field(3, ge=1)
    """At a ninth and a third of its steps a trial goes on where it is among the best third of those before;
    another number instead of three; 1: all go to their end."""
    parallel: int | None = Field(None, ge=1)
    """Trials at once, each on one GPU or one worker's CPUs; left out: as many as there are GPUs, or 1. On a
    CPU they share the base's memory where its files hold the type that is computed in."""
    confirm: int = Field(1, ge=0)
    """Other seeds that the best settings are trained on again: how far their losses lie apart is chance."""

    @field_validator("space")
    @classmethod
    def _keys_of_train(cls, space: dict[str, Any]) -> dict[str, Any]:
        """Raises: ValueError for what is no key of `train`, or a value that it cannot have."""
        for key, among in space.items():
            if key not in Train.model_fields:
                raise ValueError(f"{key!r} is no key of train; {hint(key, Train.model_fields)}")
            if among == ():
                raise ValueError(f"{key} has no values: list some, or leave it out")
            for value in (among.low, among.high) if isinstance(among, Range) else among:
                try:
                    Train.model_validate({key: value})
                except ValidationError as error:
                    raise ValueError(f"train.{key} cannot be {value!r}: {error.errors()[0]['msg']}") from None
        return space
