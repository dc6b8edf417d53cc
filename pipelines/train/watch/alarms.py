"""Alarms of a training: functions of its history alone, so that all ranks say the same without asking.

What: a step whose loss or gradient is no number or far beyond those before; a loss that rises instead of
falling; one that does not move; validation that rises while training falls, or gains nothing at all; a metric
that stays where it is while the loss falls; general text that gets worse; a model that ends where guessing by
frequency would, whatever it was asked. Each is said once, with its numbers
and what to do: data first, then the rate, then the epochs.

Why these bounds: an alarm that rings on good trainings is switched off. They were set so that none of the
clean trainings of tests/benchmarks/watch_alarms.py rings; which planted failures do is in watch_alarms.csv.

Cost: medians of a few dozen numbers a step.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config

History = Mapping[str, Any]

WINDOW, LEAST = 50, 20  # steps that a step is held against, at most and at least
LOOK = 10  # steps between two looks at the trend
SKIPS = 10  # steps that may be left out one after the other


class Alarm(NamedTuple):
    """What is wrong. step: after which it was seen; stops: whether the training should not go on."""

    code: str
    words: str
    step: int
    stops: bool = False


def bad_step(loss: float, norm: float, history: History, config: "Config") -> str | None:
    """Why a step is not to be made: its loss or gradients are no numbers, or far beyond those before.

    A loss is where it is three times the median of the steps before, 1.5 nats above it and 20 times as far
    from it as they are; a gradient where it is 100 times the median, and clipping would cut it to a tenth.
    Where the recipe plants canaries, tokens at random, steps with one are far beyond by intent.
    """
    for what, value in (("loss", loss), ("gradient", norm)):
        if not math.isfinite(value):
            return f"the {what} is {value}"
    losses, norms = (_last(history[name], WINDOW) for name in ("loss", "grad_norm"))
    if len(losses) < LEAST or config.canaries is not None:
        return None
    middle = median(losses)
    spread = 1.4826 * median(abs(value - middle) for value in losses)
    if loss > max(3 * middle, middle + 1.5, middle + 20 * spread):
        return f"the loss is {loss:.4g}, and was {middle:.4g} in the {len(losses)} steps before (median)"
    usual = median(norms)
    if norm > max(100 * usual, 10 * (config.max_grad_norm or 1.0)):
        return f"the gradient's norm is {norm:.4g}, and was {usual:.4g} (median of {len(norms)} steps before)"
    return None


def look(history: History, config: "Config", warmup: int, steps: int) -> list[Alarm]:
    """Alarms of a training so far: each that its history does not hold yet, or that stops it.

    warmup, steps: of the whole training. Trends are looked at every `LOOK` steps and after validations.
    """
    done = len(history["loss"])
    validated = bool(history["validation_steps"]) and history["validation_steps"][-1] == done
    if not validated and done % LOOK and done != steps:
        return []
    found = [
        *_skipped(history, config, done),
        *_frozen(history, config, done, warmup),
        *_exploding(history, config, done),
        *_diverging(history, config, done),
    ]
    if validated:
        found += [
            *_against_validation(history, config, done),
            *_metric(history, done),
            *_general(history, done),
        ]
        if not found and (done == steps or out_of_patience(history, config)):
            found += [*_guessing(history, config, done)] or [*_plateau(history, config, done)]
    told = {alarm["code"] for alarm in history["warnings"]}
    return [alarm for alarm in found if alarm.code not in told or (alarm.stops and config.watch.stop)]


def _skipped(history: History, config: "Config", done: int) -> Iterator[Alarm]:
    last = list(range(done - SKIPS + 1, done + 1))
    if done >= SKIPS and history["skipped"][-SKIPS:] == last:
        words = (
            f"the last {SKIPS} steps were left out, one after the other: it is not single rows. Lower "
            f"train.learning_rate ({config.learning_rate:g})"
            + ("" if config.max_grad_norm else ", or set train.max_grad_norm")
        )
        yield Alarm("bad_steps", words, done, stops=True)


def _frozen(history: History, config: "Config", done: int, warmup: int) -> Iterator[Alarm]:
    """No gradient any more: what is trained has run into a corner, and no step leads out of it."""
    norms = _numbers(history["grad_norm"])
    losses = _numbers(history["loss"])
    if done < max(LEAST, warmup) or len(norms) < LEAST:
        return
    if max(norms[-LOOK:]) <= 1e-6 * max(norms[:LEAST]) and fmean(losses[-LOOK:]) > 0.1 * fmean(losses[:3]):
        words = (
            f"the loss stands at {fmean(losses[-LOOK:]):.4g} and the gradients are gone (norm "
            f"{max(norms[-LOOK:]):.2g}): nothing is learnt any more. train.learning_rate "
            f"{config.learning_rate:g} is too high: try {config.learning_rate / 100:g}"
        )
        yield Alarm("frozen", words, done, stops=True)


def _diverging(history: History, config: "Config", done: int) -> Iterator[Alarm]:
    losses = _numbers(history["loss"])
    if len(losses) < LEAST:
        return
    begun, now = losses[: LOOK // 2], losses[-LOOK:]
    first, last = median(begun), median(now)
    if last > first + max(0.5, 0.25 * first) and min(now) > first:
        words = (
            f"the loss has risen from {first:.4g} (the first {len(begun)} steps) to {last:.4g} (the last "
            f"{len(now)}): training makes the model worse. train.learning_rate {config.learning_rate:g} is "
            f"too high for it: try {config.learning_rate / 10:g}"
        )
        yield Alarm("diverging", words, done, stops=True)


def _against_validation(history: History, config: "Config", done: int) -> Iterator[Alarm]:
    """What training and validation say together, from the third validation on."""
    validation, at, base = history["validation"], history["validation_steps"], history["base"]["validation"]
    losses = _numbers(history["loss"])
    if len(validation) < 3 or len(losses) < LEAST or base is None:
        return
    best = min(validation)
    step = at[validation.index(best)]
    first, last = fmean(losses[:3]), fmean(losses[-LOOK:])
    if best > base * 0.995 and last < 0.9 * first:
        words = (
            f"what is learnt does not carry over: the training loss fell from {first:.4g} to {last:.4g}, "
            f"and on validation rows it was {base:.4g} before training and {best:.4g} at best. Look at the "
            "answers first (`headrace sample RUN`): labels that contradict each other or do not follow from "
            "the prompt teach nothing; `headrace train --probe` tells"
        )
        yield Alarm("no_signal", words, done)
        return
    since = validation[validation.index(best) + 1 :]
    before = _numbers(history["loss"][:step])[-LOOK:]
    if (
        len(since) >= 2
        and min(since[-2:]) > best + max(0.02 * best, 0.01)
        and before
        and last < fmean(before)
    ):
        words = (
            f"it learns its rows by heart: on validation rows the loss was {best:.4g} at step {step} and is "
            f"{validation[-1]:.4g} now, while the training loss fell to {last:.4g}. More, or more varied, "
            f"rows help most; then a lower train.learning_rate (now {config.learning_rate:g}) or rank (now "
            f"{config.rank}); fewer epochs only stop it sooner"
        )
        yield Alarm("overfitting", words, done)


def _guessing(history: History, config: "Config", done: int) -> Iterator[Alarm]:
    """A training that stands where no prompt is read: its targets by their frequency have the same loss."""
    guessed, best = history["base"].get("guessed"), min(history["validation"])
    losses = _numbers(history["loss"])
    if guessed is None or len(losses) < LEAST or best < 0.97 * guessed or not _still(losses, 0.025):
        return
    words = (
        f"it answers as if it had read no prompt: on validation rows the loss is {best:.4g} at best, and "
        f"guessing each token by how often it stands in the answers has {guessed:.4g}. Either "
        f"train.learning_rate {config.learning_rate:g} is too high, which leaves nothing else to be learnt "
        f"(try {config.learning_rate / 10:g}), or the answers do not follow from the prompts "
        "(`headrace sample RUN`)"
    )
    yield Alarm("guessing", words, done)


def _plateau(history: History, config: "Config", done: int) -> Iterator[Alarm]:
    """A training that has stood still for the last 70% of its steps, far from having learnt all there is."""
    early = next((n for n, step in enumerate(history["validation_steps"]) if step >= 0.3 * done), None)
    losses = _numbers(history["loss"])
    if early is None or len(history["validation"]) - early < 4 or len(losses) < 1.5 * LEAST:
        return
    before, now = history["validation"][early], min(history["validation"][early:])
    last = fmean(losses[-(len(losses) // 5) :])
    if now > 0.995 * before and _still(losses, 0.01) and last > 0.5 * fmean(losses[:3]):
        words = (
            f"it has stood still since step {history['validation_steps'][early]}: on validation rows the "
            f"loss was {before:.4g} there and {now:.4g} at best since, and the training loss stays at "
            f"{last:.4g}. If it is to fall farther, look first whether the answers follow from the prompts "
            "(`headrace sample RUN`); then try a tenth of train.learning_rate (now "
            f"{config.learning_rate:g}), and ten times it; more epochs alone will not help"
        )
        yield Alarm("plateau", words, done)


def _still(losses: Sequence[float], share: float) -> bool:
    """Whether the last fifth of the losses is that which began at three tenths, within a share of it."""
    third, fifth = 3 * len(losses) // 10, len(losses) // 5
    middle, last = fmean(losses[third : third + fifth]), fmean(losses[-fifth:])
    return abs(middle - last) < share * middle


def _exploding(history: History, config: "Config", done: int) -> Iterator[Alarm]:
    """A gradient hundreds of times what it was at first: steps that are too long leave where it was small."""
    norms = _numbers(history["grad_norm"])
    if len(norms) < LOOK:
        return
    first, most = median(norms[:3]), max(norms)
    if most > max(100 * first, 10 * (config.max_grad_norm or 1.0)):
        words = (
            f"the gradient's norm was {first:.4g} in the first steps and rose to {most:.4g}: "
            f"train.learning_rate {config.learning_rate:g} is too high: try {config.learning_rate / 10:g}"
        )
        yield Alarm("exploding", words, done)


def _metric(history: History, done: int) -> Iterator[Alarm]:
    metric, validation, base = history["metric"], history["validation"], history["base"]
    if len(metric) < 3 or base["validation"] is None or validation[-1] > 0.95 * base["validation"]:
        return
    before = base["metric"]
    if max(metric) - before < 0.01:
        words = (
            f"the loss on validation rows fell from {base['validation']:.4g} to {validation[-1]:.4g} and the "
            f"answers are no better ({before:.4g} before, {max(metric):.4g} at best): it learns how "
            "answers look, not what they say. Look at some (`headrace evaluate`): rows that show the task "
            "are missing, or the metric does not measure it"
        )
        yield Alarm("metric_flat", words, done)


def _general(history: History, done: int) -> Iterator[Alarm]:
    general, base = history["general"], history["base"]["general"]
    if not general or base is None:
        return
    if general[-1] > base + max(0.1, 0.05 * base):
        words = (
            f"it forgets: on general text the loss was {base:.4g} before training and is {general[-1]:.4g} "
            "now. Mix general rows in (`mix: {general: PATH, share: .1}`); then lower train.learning_rate, "
            "then train.epochs"
        )
        yield Alarm("forgetting", words, done)


def flat(history: History, config: "Config", warmup: int) -> str | None:
    """Why a training has not begun to learn; None where it has, or where there are too few steps to tell.

    Against validation rows where there are any: the same rows before and now, which a few steps can tell.
    Otherwise by the training loss: whether the steps of the last third have less than those of the first.
    """
    losses = _numbers(history["loss"])
    if len(losses) < warmup + LOOK:
        return None
    third = len(losses) // 3
    first, last = losses[:third], losses[-third:]
    error = math.hypot(*(_deviation(part) / math.sqrt(len(part)) for part in (first, last)))
    fallen = fmean(first) - fmean(last)
    if fallen > max(2 * error, 0.002 * abs(fmean(first))):
        return None
    base, now = history["base"]["validation"], history["validation"]
    if base is not None and now:
        if min(now) < 0.998 * base:
            return None
        return f"on validation rows the loss was {base:.4g} before training and is {now[-1]:.4g}"
    return f"the loss was {fmean(first):.4g} in the first {third} steps and is {fmean(last):.4g} in the last"


def out_of_patience(history: History, config: "Config") -> bool:
    """Whether as many validations as the recipe's patience have not been better than the best."""
    best = history.get("best")
    if config.patience is None or not best:
        return False
    return bool(sum(step > best["step"] for step in history["validation_steps"]) >= config.patience)


def is_better(value: float, best: Mapping[str, Any] | None, config: "Config") -> bool:
    """Whether a validation is better than the best before, by more than `min_delta`."""
    if best is None:
        return True
    gain = best["value"] - value if config.best == "validation_loss" else value - best["value"]
    return bool(gain > config.min_delta)


def _numbers(values: Sequence[float | None]) -> list[float]:
    """Those of steps that were made."""
    return [value for value in values if value is not None]


def _last(values: Sequence[float | None], most: int) -> list[float]:
    """The last of those of steps that were made; each step asks, so the others are not looked at."""
    return list(islice((value for value in reversed(values) if value is not None), most))[::-1]


def _deviation(values: Sequence[float]) -> float:
    middle = fmean(values)
    return math.sqrt(sum((v - middle) ** 2 for v in values) / max(1, len(values) - 1))
