"""Wins and losses of one model over another, as a rate that may be looked at whenever one likes.

What: of the samples that a judge decided, the share that the tuned model won; ties are told beside it. The
test mixes, over every rate that could be, how much likelier the wins are than by an even coin (Robbins'
mixture with an even prior), which crosses 20 in at most one of 20 trials however often it is looked at. So
one may stop as soon as it is clear. The interval holds all rates that the same test does not refuse.

Why not the usual test: of equal models, who looks after each of 200 answers is told of a difference in 28% of
the trials, and by this one in 4% after any number (tests/benchmarks/peeking.py).

Source: Ville 1939; Robbins 1970, https://doi.org/10.1214/aoms/1177696786; Johari et al. 2015,
https://arxiv.org/abs/1512.04922.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate.statistics import ALPHA

OUTCOMES = ("win", "tie", "loss")  # of the tuned model


def evidence(wins: int, losses: int, rate: float) -> float:
    """How much likelier wins and losses are by a rate that nobody knows than by this one: its logarithm."""
    log_even = math.lgamma(wins + 1) + math.lgamma(losses + 1) - math.lgamma(wins + losses + 2)
    if (wins and rate <= 0) or (losses and rate >= 1):
        return math.inf
    return log_even - (wins * math.log(rate) if wins else 0) - (losses * math.log1p(-rate) if losses else 0)


def p_value(wins: int, losses: int) -> float:
    """p of no difference, valid however often it was looked at: at most 1."""
    return min(1.0, math.exp(-evidence(wins, losses, 0.5)))


def interval(wins: int, losses: int) -> tuple[float, float]:
    """95% interval of the rate, valid however often it was looked at; (0, 1) of none."""
    n = wins + losses
    if not n:
        return 0.0, 1.0
    rate, most = wins / n, math.log(1 / ALPHA)
    ends = []
    for outer in (0.0, 1.0):  # refused at `outer`, or there is nothing to look for; never refused at `rate`
        inside, outside = rate, outer
        if evidence(wins, losses, outer) <= most:
            inside = outer
        for _ in range(60):
            middle = (inside + outside) / 2
            if evidence(wins, losses, middle) > most:
                outside = middle
            else:
                inside = middle
        ends.append(inside)
    return ends[0], ends[1]


def tally(outcomes: Sequence[str]) -> dict[str, Any]:
    """Wins, ties and losses, the win rate of what was decided with its interval and p, and a verdict.

    outcomes: of `OUTCOMES`.
    """
    wins, ties, losses = (sum(one == kind for one in outcomes) for kind in OUTCOMES)
    decided, (low, high), p = wins + losses, interval(wins, losses), p_value(wins, losses)
    verdict = "no clear difference"
    if p <= ALPHA and (low > 0.5 or high < 0.5):
        verdict = "better" if wins > losses else "worse"
    return {
        "judged": len(outcomes),
        "wins": wins,
        "ties": ties,
        "losses": losses,
        "win_rate": round(wins / decided, 4) if decided else None,
        "interval": [round(low, 4), round(high, 4)],
        "p": float(f"{p:.4g}"),
        "verdict": verdict,
    }


def sentence(told: Mapping[str, Any]) -> str:
    """A tally in words."""
    counts = f"{told['wins']:,} won, {told['losses']:,} lost, {told['ties']:,} ties"
    if told["win_rate"] is None:
        return f"{counts}: nothing was decided"
    low, high = told["interval"]
    return (
        f"{counts}: {told['win_rate']:.1%} won of what was decided (95% interval {low:.1%} to {high:.1%}, "
        f"p {told['p']:.2g}): {told['verdict']}"
    )


def agreement(first: Sequence[str], second: Sequence[str]) -> dict[str, Any]:
    """How far two judges of the same samples agree: of both decided ones how many alike, and Cohen's kappa
    over wins, ties and losses (None where both always say the same one thing).
    """
    both = [(a, b) for a, b in zip(first, second, strict=True) if "tie" not in (a, b)]
    alike = sum(a == b for a, b in both)
    return {
        "samples": len(first),
        "decided_by_both": len(both),
        "alike": alike,
        "share": round(alike / len(both), 4) if both else None,
        "kappa": _kappa(first, second),
    }


def _kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa."""
    if not first:
        return None
    table: NDArray[np.float64] = np.zeros((len(OUTCOMES), len(OUTCOMES)))
    for a, b in zip(first, second, strict=True):
        table[OUTCOMES.index(a), OUTCOMES.index(b)] += 1
    table /= table.sum()
    chance = float((table.sum(0) * table.sum(1)).sum())
    return None if chance >= 1 else round((float(np.trace(table)) - chance) / (1 - chance), 4)
