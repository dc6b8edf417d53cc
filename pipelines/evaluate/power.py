"""How small a gain can be told with so many held-out samples, said before anything is trained.

What: the gain that a paired test at 5% finds in four of five runs. For answers that are right or wrong, it
hangs on how often one model alone is right (`DISAGREE` until it has been measured); for a mean, on how much
the samples' differences scatter.

Source: Connor 1987, https://doi.org/10.2307/2531961 (sample size for McNemar's test), without its correction.
"""

import math

DISAGREE = 0.2  # share of samples that one model alone has right: as tunings of small models show
Z_TEST = 1.959964  # two-sided, 5%
Z_POWER = 0.841621  # four of five


def smallest_gain(n: int, disagree: float = DISAGREE) -> float:
    """The least gain in the share of right answers that can be told of `n` samples, at most 1."""
    if n < 1 or disagree <= 0:
        return 1.0
    gain = disagree
    for _ in range(60):  # gain = (z1 sqrt(d) + z2 sqrt(d - gain^2)) / sqrt(n), falling to its solution
        spread = math.sqrt(max(0.0, disagree - gain * gain))
        gain = min(1.0, (Z_TEST * math.sqrt(disagree) + Z_POWER * spread) / math.sqrt(n))
    return gain


def smallest_change(n: int, deviation: float) -> float:
    """The least change of a mean that can be told of `n` samples whose differences scatter by `deviation`."""
    return (Z_TEST + Z_POWER) * deviation / math.sqrt(n) if n else math.inf


def words(n: int) -> str:
    """What `n` held-out samples can tell, as a sentence."""
    gain, held = smallest_gain(n), "1 held-out sample" if n == 1 else f"{n:,} held-out samples"
    if gain > DISAGREE:
        return f"with {held} no usual gain of right answers can be told from chance: hold out more"
    points = f"{100 * gain:.1f} points of right answers"
    return f"with {held} a gain of less than {points} cannot be told"
