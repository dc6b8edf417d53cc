"""The config of `mix`: sources whose rows are learned beside the task's, as a share of what is trained on.

What: a pool is a source like any other: read, cleaned, masked and deduplicated as they are, on the train side
of the split alone, and its row goes where a task's row is a duplicate of it. Of its rows as many are drawn as
make up its share of the tokens to train on (`passes.mix`).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from headrace.pipelines.section import Section
from headrace.pipelines.stages.read.source import Source

POOLS = ("general", "off_task")
SET = {"side": "train", "weight": 1.0, "weights": {}}  # keys of a pool that its share stands for


class Mix(Section):
    """Rows that are learned beside the task's, for a share of the tokens to train on."""

    general: Source | None = None
    """Rows of general use, against forgetting what the base model could: a path, or a source with keys as in
    `sources[]`. They stand on the train side alone, so no metric of the task counts them."""
    share: float = Field(0.1, gt=0, lt=1)
    """Share of the tokens to train on that are of `general`."""
    off_task: Source | None = None
    """Rows of when not to do the task, against doing it wherever it is not asked for: as `general`."""
    off_task_share: float = Field(0.05, gt=0, lt=1)
    """Share of the tokens to train on that are of `off_task`."""

    @model_validator(mode="before")
    @classmethod
    def _paths(cls, values: Any) -> Any:
        """A path stands for a source that has no other key."""
        if not isinstance(values, Mapping):
            return values
        return {k: {"path": v} if k in POOLS and isinstance(v, str | list) else v for k, v in values.items()}

    @model_validator(mode="after")
    def _whole(self) -> "Mix":
        """Raises: ValueError where there is no pool, where nothing is left to the task, or for keys of a pool
        that its share stands for.
        """
        if not self.pools:
            raise ValueError("names no rows: give `general` or `off_task` a path or a source")
        if sum(share for _, share in self.pools.values()) >= 1:
            raise ValueError("the shares leave nothing to the task's own rows")
        for name, (source, _) in self.pools.items():
            given = [key for key, value in SET.items() if getattr(source, key) not in (value, None)]
            if given:
                raise ValueError(f"{name}: {', '.join(given)} is what its share and `mix` stand for")
        return self

    @property
    def pools(self) -> dict[str, tuple[Source, float]]:
        """The source and the share of each pool that is there."""
        given = {"general": (self.general, self.share), "off_task": (self.off_task, self.off_task_share)}
        return {name: (source, share) for name, (source, share) in given.items() if source is not None}

    @property
    def shares(self) -> dict[str, float]:
        """The share of each pool, by the name of its source."""
        return {name_of(pool, source): share for pool, (source, share) in self.pools.items()}

    def sources(self) -> list[Source]:
        """The pools as sources of the recipe."""
        given = {"side": "train"}
        return [
            source.model_copy(
                update={
                    **given,
                    "name": name_of(pool, source),
                    "priority": source.priority if "priority" in source.model_fields_set else -1,
                }
            )
            for pool, (source, _) in self.pools.items()
        ]


def name_of(pool: str, source: Source) -> str:
    """The name of a pool's source in books and reports."""
    return source.name or f"mix_{pool}"
