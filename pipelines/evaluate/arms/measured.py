"""What was asked of models, and what each of them said: the records that everything of an evaluation is told
from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Measured:
    """One model on all samples. forced: nats, targets, right ones, ``float64[N, 3]``; answers without the
    `reasoning` before them; ended: whether each came to its end. pairs: log-probabilities of chosen and
    rejected answers, ``float64[P, 2]``. unasked: places among the answers of those that it could not be
    asked; fewer: samples that have room for less help than there was.
    """

    forced: NDArray[np.float64]
    answers: list[str]
    reasoning: list[str]
    unfinished: int
    ended: tuple[bool, ...] = ()
    pairs: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    unasked: tuple[int, ...] = ()
    fewer: int = 0


class Questions(NamedTuple):
    """What was asked: as in `Outcome`."""

    prompts: list[str]
    references: list[str]
    beyond: int
    longest: int
    row_ids: tuple[int, ...]
    lengths: tuple[int, ...]
    asked: tuple[int, ...]
    fits: tuple[bool, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Both models on the samples, with prompts and references of those that have a prompt.

    beyond: samples whose prompt leaves no room in the model's context, which nobody is asked for an answer.
    longest: tokens that an answer could have. row_ids, lengths (tokens), marks (digests of tokens and
    labels): of every sample; asked: places of the samples that were answered; fits: whether the reference of
    each has room in `longest`. probed: what `also` made of the models. arms: every other arm by its name.
    """

    base: Measured
    tuned: Measured
    prompts: list[str]
    references: list[str]
    beyond: int = 0
    longest: int = 0
    row_ids: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()
    fits: tuple[bool, ...] = ()
    marks: tuple[str, ...] = ()
    probed: Any = None
    arms: Mapping[str, Measured] = field(default_factory=dict)

    @property
    def questions(self) -> "Questions":
        """What was asked."""
        return Questions(*(getattr(self, name) for name in Questions._fields))

    @property
    def models(self) -> list[Measured]:
        """Base, tuned model and arms, in this order."""
        return [self.base, self.tuned, *self.arms.values()]
