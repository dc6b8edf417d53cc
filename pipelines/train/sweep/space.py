"""Which settings a trial gets, and when it is ended early: both follow from the seed and what is known.

What: the first trial has the recipe's own settings, so that a sweep says what it gained. The others are
proposed by a tree-structured Parzen estimator over the results known, the first few at random; the last
`fine` of them within a quarter of the space around the best, so coarse to fine. At a ninth and a third of its
steps (for a reduction of 3) a trial is held against the losses that earlier trials had there, and goes on
where it is among the best third: successive halving as ASHA does it, but by what was known when the trial
began. Whatever comes first of trials that run at once, the same seed gives the same trials.

Cost: milliseconds a proposal.

Source: https://arxiv.org/abs/1810.05934 (ASHA); https://papers.nips.cc/paper/4443 (the estimator);
https://arxiv.org/abs/2304.10255 (importance).
"""

import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from headrace.pipelines.train.config import Config as Train
from headrace.pipelines.train.sweep.config import Range

Settings = dict[str, Any]
Space = Mapping[str, Range | tuple[Any, ...]]
RANDOM = 5  # first proposals of a round that no result decides
LEAST = 4  # finished trials that importance asks for
NEAR = 4  # the fine round keeps so many parts of a range, half of it on each side of the best

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Known(NamedTuple):
    """What is known of a trial: its settings, its losses at the rungs it reached, and its loss at the end,
    None where it was ended early.
    """

    settings: Settings
    rungs: tuple[float, ...]
    loss: float | None


def is_whole(key: str) -> bool:
    """Whether a key of `train` takes whole numbers alone."""
    annotation = Train.model_fields[key].annotation
    kinds = typing.get_args(annotation) or (annotation,)
    return int in kinds and float not in kinds


def narrowed(space: Space, best: Settings) -> dict[str, Range | tuple[Any, ...]]:
    """The part of a space near the best settings: a range's quarter, a list's neighbours."""
    near: dict[str, Range | tuple[Any, ...]] = {}
    for key, among in space.items():
        if not isinstance(among, Range):
            at = among.index(best[key]) if best[key] in among else 0
            near[key] = among[max(0, at - 1) : at + 2]
            continue
        low, high, here = among.low, among.high, min(max(best[key], among.low), among.high)
        if among.log:
            factor = (high / low) ** (0.5 / NEAR)
            ends = (max(low, here / factor), min(high, here * factor))
        else:
            reach = max((high - low) * 0.5 / NEAR, 1.0 if is_whole(key) else 0.0)
            ends = (max(low, here - reach), min(high, here + reach))
        near[key] = Range(low=ends[0], high=ends[1], log=among.log) if ends[0] < ends[1] else (best[key],)
    return near


def propose(space: Space, seed: int, number: int, known: Sequence[Known]) -> Settings:
    """Settings of trial `number`, of what is known when it begins."""
    among = {key: _distribution(key, one) for key, one in space.items()}
    sampler = optuna.samplers.TPESampler(
        seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]), n_startup_trials=RANDOM
    )
    study = optuna.create_study(sampler=sampler)
    for one in known:
        if (told := _told(one, space, among)) is not None:
            study.add_trial(told)
    drawn = study.ask(among).params
    return {key: _value(key, space[key], drawn[key]) for key in space}


def _distribution(key: str, among: Range | tuple[Any, ...]) -> BaseDistribution:
    if not isinstance(among, Range):
        return CategoricalDistribution(range(len(among)))  # by place: a value may be a list
    if is_whole(key):
        return IntDistribution(math.ceil(among.low), math.floor(among.high), log=among.log)
    return FloatDistribution(among.low, among.high, log=among.log)


def _value(key: str, among: Range | tuple[Any, ...], drawn: Any) -> Any:
    """A drawn value as the recipe has it: rates with three figures, which is what one would write."""
    if not isinstance(among, Range):
        return among[drawn]
    return drawn if is_whole(key) else min(max(float(f"{drawn:.3g}"), among.low), among.high)


def _told(known: Known, space: Space, among: Mapping[str, BaseDistribution]) -> FrozenTrial | None:
    """A trial as Optuna has it; None where it lies beyond the space."""
    params: dict[str, Any] = {}
    for key, one in space.items():
        value = known.settings[key]
        if isinstance(one, Range):
            if not one.low <= value <= one.high:
                return None
            params[key] = value
        elif value in one:
            params[key] = one.index(value)
        else:
            return None
    if known.loss is not None:
        return create_trial(value=known.loss, params=params, distributions=dict(among))
    # One that gave no number at all is as bad as can be.
    reached = dict(enumerate(known.rungs)) or {0: math.inf}
    return create_trial(
        state=TrialState.PRUNED, params=params, distributions=dict(among), intermediate_values=reached
    )


def rungs(steps: int, factor: int) -> tuple[int, tuple[int, ...]]:
    """Steps between two validations of a trial, and the steps at which it is held against others."""
    every = max(1, steps // (factor * factor)) if factor > 1 else max(1, steps // 10)
    at = (every, every * factor) if factor > 1 else ()
    return every, tuple(step for step in at if step < steps)


def cutoffs(known: Sequence[Known], factor: int) -> tuple[float | None, ...]:
    """Greatest loss with which a trial passes each rung; None where too little is known."""
    if factor == 1:
        return ()
    found: list[float | None] = []
    for rung in range(2):
        losses = sorted(one.rungs[rung] for one in known if len(one.rungs) > rung)
        found.append(losses[math.ceil(len(losses) / factor) - 1] if len(losses) >= factor else None)
    return tuple(found)


def importances(space: Space, known: Sequence[Known]) -> dict[str, float]:
    """Share of the differences between finished trials that each key stands for, the greatest first; empty
    where there are too few.
    """
    among = {key: _distribution(key, one) for key, one in space.items()}
    study = optuna.create_study()
    for one in known:
        told = _told(one, space, among)
        if told is not None and told.state == TrialState.COMPLETE:
            study.add_trial(told)
    if len(study.trials) < LEAST or len({trial.value for trial in study.trials}) == 1:
        return {}
    found = optuna.importance.get_param_importances(study)
    return {key: round(float(share), 4) for key, share in sorted(found.items(), key=lambda p: (-p[1], p[0]))}
