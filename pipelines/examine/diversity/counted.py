"""The effective number of prompts where one cluster outweighs all others.

What: entropy takes one cluster of half the rows for the loss of all others: 6,000 different questions beside
it are some 150 "effective" ones. They are still there: so each large cluster is counted as one prompt, and
the rest as if it stood alone.
"""

import math
from collections.abc import Sequence

LARGE = 0.05  # share of the rows above which a cluster counts as one


def once(number: float, shares: Sequence[float]) -> float:
    """Effective number with each large cluster counted as one.

    number: that of all; shares: of the large ones.
    Of the entropy H over all shares, those without the large ones have
    ``(H + sum(p log p over large)) / rest + log(rest)``.
    """
    if number <= 0:
        return number
    rest = 1 - sum(shares)
    if not shares or rest < 1e-3:
        return max(number, float(len(shares)))
    entropy = math.log(number) + sum(p * math.log(p) for p in shares)
    return max(number, len(shares) + math.exp(max(entropy, 0) / rest + math.log(rest)))
