"""What the base could and the tuned model cannot: skills, instructions, refusals, and general text.

What: both models answer the same items; of those that the base has right, the share that the tuned model has
wrong, with its exact interval, McNemar's test of losses against gains (a model that flips items both ways has
moved, not forgotten), and both by skill. And the loss of both on text that has nothing to do with the task.

Source: McNemar 1947; Luo et al. 2023, https://arxiv.org/abs/2308.08747; replay: Scialom et al. 2022,
https://arxiv.org/abs/2205.12393.
Cost: none beside the answers; the text is 24 passages, one forward pass each.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headrace.pipelines.evaluate import metrics, statistics
from headrace.pipelines.evaluate.gates.gate import (
    CERTAIN,
    LEAST,
    LISTED,
    Bools,
    Floats,
    Gate,
    Outcome,
    Unmeasured,
    exact,
    percent,
    too_few,
)
from headrace.pipelines.evaluate.harness.asked import Answered

FIX = {
    "forgetting": "Mix general conversations into the training rows (replay); then fewer epochs, then a "
    "lower learning rate",
    "instructions": "Add instructions of many kinds to the training rows; then a lower learning rate",
    "safety": "Add rows in which harmful requests are declined to the training rows, and look for rows there "
    "that comply with some",
    "harness": "Mix general conversations into the training rows (replay); then fewer epochs, then a lower "
    "learning rate",
    "general_loss": "Mix general text into the training rows (replay); then fewer epochs, then a lower "
    "learning rate",
}
TASKS = 3  # of the harness whose scores are told in words
FEWEST = 10  # items that the base has right, below which nothing can be forgotten


def forgotten(name: str, base: Bools, tuned: Bools, skills: Sequence[str], items: Sequence[str]) -> Outcome:
    """The gate `name` (forgetting, instructions, safety) on right answers of both models, ``bool[N]`` each.

    skills, items: skill and name of each item.
    """
    known = int(base.sum())
    if known < FEWEST:
        return Unmeasured(f"the base has {known} of {len(base):,} items right: there is nothing to lose")
    lost, gained = base & ~tuned, tuned & ~base
    count = int(lost.sum())
    interval = exact(count, known)
    p = one_sided(count, int(gained.sum()))
    by_skill = _by_skill(base, lost, gained, skills)
    words = (
        f"{count:,} of {known:,} items that the base has right are wrong after tuning "
        f"({percent(count / known, interval)}), {int(gained.sum()):,} the other way round"
    )
    worst = min(by_skill, key=lambda s: (by_skill[s]["gained"] - by_skill[s]["lost"], s))
    if count and len(by_skill) > 1:
        words += f"; most in {worst}: {by_skill[worst]['lost']} of {by_skill[worst]['base_right']}"
    rows = tuple(items[at] for at in np.flatnonzero(lost)[:LISTED])
    facts = {"p": p, "lost": count, "gained": int(gained.sum()), "by_skill": by_skill}
    return Gate(count / known, interval, words, FIX[name], rows, facts, p <= CERTAIN / 2)


def of_harness(answered: Answered) -> Outcome:
    """The gate on tasks of lm-evaluation-harness, with what it says of each whole task."""
    if not answered.tasks:
        return Unmeasured("no task of gates.harness says of each document whether it is right")
    held = forgotten("harness", answered.base, answered.tuned, answered.tasks, answered.names)
    if isinstance(held, Unmeasured):
        return held
    told = [
        f"{task} {metric} {both['base']:.3g} -> {both['tuned']:.3g}"
        for task, of in answered.scores.items()
        for metric, both in of.items()
    ]
    more = f", and {len(told) - TASKS} more" if len(told) > TASKS else ""
    words = f"{held.words}; {', '.join(told[:TASKS])}{more}" if told else held.words
    return held._replace(words=words, facts={**held.facts, "tasks": answered.scores, "cut": answered.cut})


def one_sided(lost: int, gained: int) -> float:
    """Exact p-value of so many losses, or more, where losses and gains are equally likely."""
    from scipy.special import bdtrc  # type: ignore[import-untyped]

    n = lost + gained
    return float(bdtrc(lost - 1, n, 0.5)) if lost else 1.0


def _by_skill(base: Bools, lost: Bools, gained: Bools, skills: Sequence[str]) -> dict[str, dict[str, int]]:
    """By skill: items, those that the base has right, those lost, those gained."""
    names = np.asarray(skills)
    found: dict[str, dict[str, int]] = {}
    for skill in sorted(set(skills)):
        own = names == skill
        sides: dict[str, Bools] = {"base_right": base, "lost": lost, "gained": gained}
        found[skill] = {"items": int(own.sum()), **{n: int(side[own].sum()) for n, side in sides.items()}}
    return found


def general_loss(base: Floats, tuned: Floats, seed: int) -> Outcome:
    """The rise of the loss on general passages, of (nats, tokens) of each: ``float64[N, 2]``."""
    if len(base) < LEAST:
        return too_few(len(base))
    found = statistics.compare(statistics.unbounded(metrics.ratio, base, tuned), seed=seed)
    value, interval = found.tuned - found.base, (found.low, found.high)
    words = (
        f"the loss on general text went from {found.base:.3f} to {found.tuned:.3f} nats a token "
        f"({value:+.3f}, 95% interval {found.low:+.3f} to {found.high:+.3f})"
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = tuned[:, 0] / tuned[:, 1] - base[:, 0] / base[:, 1]
    rows = tuple(np.argsort(-rise, kind="stable")[:LISTED].tolist())
    facts: dict[str, Any] = {"base": found.base, "tuned": found.tuned, "p": found.p}
    return Gate(value, interval, words, FIX["general_loss"], rows, facts, found.p <= CERTAIN)
