"""The config of `split`, apart from its code."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from headrace.pipelines.section import Section


def _size(value: float) -> float:
    """Raises: ValueError for what is neither a share nor a number of rows."""
    if value >= 1 and value != int(value):
        raise ValueError("write a share under 1, such as 0.05, or a whole number of rows")
    return value


Size = Annotated[float, Field(ge=0), AfterValidator(_size)]


class Config(Section):
    """Shares of rows, or numbers of them; shares add up to 1."""

    by: Literal["hash", "template", "time"] = "hash"
    """hash: each cluster of rows that belong together goes by a hash of its own. template: so it does, and
    prompts that are the same but for words that vary belong together. time: train before validation before
    test, by each source's `time`; a row like one of another side's time is dropped."""
    train: float | None = Field(None, gt=0, le=1)
    """Share of rows to train on; left out: the rest."""
    validation: Size = 0.05
    """Share of rows that choose the checkpoint; from 1 on: how many rows."""
    test: Size = 0.05
    """Share of rows held out for the verdict; from 1 on: how many rows."""
    stratify: Literal["source", "label"] | None = None
    """Give each source, or each short answer, its own share of every side."""
    gap: float = Field(0, ge=0)
    """time: days before the validation and the test side of which rows are dropped: what happened just before
    may tell what came then."""

    @model_validator(mode="before")
    @classmethod
    def _rest_is_train(cls, data: Any) -> Any:
        """Where only held-out shares are given, train takes the rest."""
        if isinstance(data, dict) and data.get("train") is None:
            held = [data.get(n, cls.model_fields[n].default) for n in ("validation", "test")]
            if all(isinstance(h, int | float) for h in held) and max(held) < 1:
                return {**data, "train": 1 - sum(held)}
        return data

    @model_validator(mode="after")
    def _whole(self) -> "Config":
        if self.counted:
            if self.train is not None:
                raise ValueError(
                    "train is the rest where validation or test is a number of rows: leave it out"
                )
        elif self.train is None or abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("train, validation and test must add up to 1")
        if self.gap and self.by != "time":
            raise ValueError("gap is for `by: time`")
        if self.stratify and self.by == "time":
            raise ValueError("stratify is for `by: hash` and `by: template`")
        return self

    @property
    def counted(self) -> bool:
        """Whether a side is a number of rows."""
        return self.validation >= 1 or self.test >= 1

    @property
    def bounded(self) -> bool:
        """Whether the rows have to be looked at to say which hash, or which time, goes to which side."""
        return self.by == "time" or self.counted or self.stratify is not None

    def target(self, side: str, rows: float) -> float:
        """How many of `rows` rows a held-out side should have."""
        size: float = getattr(self, side)
        return size if size >= 1 else size * rows
