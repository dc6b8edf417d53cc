"""How fast the tuned model answers beside its base, with the adapter beside the weights and merged into them.

Cost: none; whoever measures gives seconds and tokens of several rounds.
"""

import math
from collections.abc import Sequence

import numpy as np

from headrace.pipelines.evaluate.gates.gate import Gate, Outcome, Unmeasured, beyond, sentence

FIX = "Merge the adapter (`headrace export --merge`), or serve it by an engine that batches adapters"
ROUNDS = 3  # least number of rounds


def speed(base: Sequence[float], tuned: Sequence[float], threshold: float) -> Outcome:
    """Tokens a second of the tuned model for each one of the base, of rounds measured in turn."""
    n = len(base)
    if n < ROUNDS or len(tuned) != n:
        return Unmeasured(f"{n} rounds were measured, and fewer than {ROUNDS} show nothing")
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    ratios = np.log(np.asarray(tuned) / np.asarray(base))
    error = float(ratios.std(ddof=1) / math.sqrt(n) * stdtrit(n - 1, 0.975))
    value = float(np.exp(ratios.mean()))
    interval = (value * math.exp(-error), value * math.exp(error))
    rings = beyond("speed", interval, threshold)
    words = f"{value:.2f} of the base's tokens a second (95% interval {interval[0]:.2f} to {interval[1]:.2f})"
    return Gate(value, interval, threshold, rings, sentence(words, FIX, rings))
