"""How often two equal models are told apart by who looks at wins and losses after every answer.

    python -m tests.benchmarks.peeking

Beside `judged.tally`'s test stands the usual exact one, looked at as often: why a review does not use that.
"""

import numpy as np
from scipy.special import betaln
from scipy.stats import binom  # type: ignore[import-untyped]

from headrace.pipelines.evaluate.judged import tally
from headrace.pipelines.evaluate.statistics import ALPHA

TRIALS, LOOKS, AT_ONCE = 20_000, 2_000, 1_000
RATES = (0.6, 0.65, 0.7, 0.75)
TRUE = 0.7


def main() -> None:
    """Print shares of trials, and of better models after how many answers it is clear."""
    n = np.arange(1, LOOKS + 1)
    even, usual = 0, np.zeros(3)
    looks = (50, 200, LOOKS)
    for start in range(0, TRIALS, AT_ONCE):
        wins = np.cumsum(np.random.default_rng(start).random((AT_ONCE, LOOKS)) < 0.5, axis=1)
        even += int((evidence(wins, n).max(1) >= np.log(1 / ALPHA)).sum())
        rang = 2 * binom.cdf(np.minimum(wins, n - wins), n, 0.5) <= ALPHA
        usual += [rang[:, :most].any(1).sum() for most in looks]
    print(f"equal models, looked at after each of {LOOKS} answers: {even / TRIALS:.4f} told apart")
    for most, share in zip(looks, usual / TRIALS, strict=True):
        print(f"by the exact test, looked at after each of {most}: {share:.3f}")
    for rate in RATES:
        wins = np.cumsum(np.random.default_rng(7).random((AT_ONCE, LOOKS)) < rate, axis=1)
        clear = evidence(wins, n) >= np.log(1 / ALPHA)
        after = np.where(clear.any(1), clear.argmax(1) + 1, LOOKS)
        half, most = np.median(after), np.quantile(after, 0.9)
        print(f"won {rate:.0%}: clear after {half:.0f} answers (half), {most:.0f} (nine of ten)")
    many = LOOKS // 10
    low, high = np.transpose([tally.interval(wins, many - wins) for wins in range(many + 1)])
    drawn = np.random.default_rng(3).binomial(many, TRUE, TRIALS)
    held = np.mean((low[drawn] <= TRUE) & (high[drawn] >= TRUE))
    print(f"interval after {many} answers, won {TRUE:.0%}: holds the rate in {held:.4f}")


def evidence(wins: np.ndarray, n: np.ndarray) -> np.ndarray:
    """`tally.evidence` against an even rate, of many at once."""
    return np.asarray(betaln(wins + 1, n - wins + 1) + n * np.log(2))


if __name__ == "__main__":
    main()
