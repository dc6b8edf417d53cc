"""How fast the tuned model answers beside its base, with the adapter beside the weights and merged into them.

What: the same prompts are answered by so many tokens each, by base, tuned and merged model in turn, some
rounds of it; the first is not counted. What is held against the threshold is the faster of the two ways in
which a tuned model is served: an adapter that is slow beside the weights is merged.

Why it is kept apart: seconds are measured, so the same input does not give the same bytes.
Cost: (`ROUNDS` + 1) x 3 short generations.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headrace.pipelines.evaluate.gates.gate import Gate, Interval, Outcome, Unmeasured

FIX = "Serve it by an engine that batches adapters, or tune by a method whose weights can be merged"
ROUNDS = 5
LEAST_ROUNDS = 3
TOKENS, PROMPTS = 24, 4  # of an answer; that are answered at once


def ratio(base: Sequence[float], other: Sequence[float]) -> tuple[float, Interval]:
    """Tokens a second of another model for each one of the base, of rounds measured in turn, with its
    interval.
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    n = len(base)
    ratios = np.log(np.asarray(other) / np.asarray(base))
    error = float(ratios.std(ddof=1) / math.sqrt(n) * stdtrit(n - 1, 0.975))
    value = float(np.exp(ratios.mean()))
    return value, (value * math.exp(-error), value * math.exp(error))


def speed(rates: Mapping[str, Sequence[float]], gib: Mapping[str, float]) -> Outcome:
    """rates: tokens a second by round of "base", "tuned" and, where it can be merged, "merged"; gib: memory
    of each.
    """
    rounds = {len(values) for values in rates.values()}
    if not rates or rounds != {max(rounds)} or max(rounds) < LEAST_ROUNDS:
        return Unmeasured(f"fewer than {LEAST_ROUNDS} rounds were measured, which show nothing")
    found = {name: ratio(rates["base"], rates[name]) for name in rates if name != "base"}
    value, interval = max(found.values())
    parts = [
        f"{name} {one[0]:.2f} (95% interval {one[1][0]:.2f} to {one[1][1]:.2f})"
        for name, one in found.items()
    ]
    facts: dict[str, Any] = {
        "tokens_per_second": {name: round(float(np.median(values)), 1) for name, values in rates.items()},
        "memory_gib": {name: round(value, 4) for name, value in gib.items()},
    }
    return Gate(value, interval, f"of the base's tokens a second: {', '.join(parts)}", FIX, (), facts)
