"""What a verdict is worth: equal models called better, intervals that hold, gains that are seen.

    python tests/benchmarks/verdicts.py [TRIALS]

Two models answer the same drawn samples: some hard, some easy, long and short, most answers alike. "Before"
is what evaluation did first: a percentile bootstrap of each metric by itself, any of which might call the
tuned model better.
"""

import sys
from collections import Counter

import numpy as np

from headrace.pipelines.evaluate import metrics, statistics
from headrace.pipelines.evaluate.config import LOWER_IS_BETTER, Config
from headrace.pipelines.evaluate.statistics import Floats, Paired

EQUAL = (1, 5, 20, 100, 200)
COVERED = (5, 20, 50, 200)
GAIN = 0.1  # of nats a token, right tokens, right answers and ROUGE


def drawn(generator: np.random.Generator, n: int, gain: float, *, bleu: bool = True) -> dict[str, Paired]:
    """The metrics of two models over `n` samples, of which the second is better by `gain`."""
    tokens = np.ceil(np.exp(generator.normal(2.5, 0.7, n)))
    easy = generator.beta(0.6, 0.6, n)
    nats = generator.gamma(2.0, 0.6, n)
    moved = generator.exponential(0.3, n) - generator.exponential(0.3, n) * generator.integers(1, 3, n) / 1.5
    sides = [_answers(generator, tokens, easy, gain * model) for model in range(2)]
    forced = [np.stack([nats * tokens, tokens], 1), np.stack([(nats + moved - gain) * tokens, tokens], 1)]
    found = {
        "loss": statistics.unbounded(metrics.ratio, *forced),
        "perplexity": statistics.unbounded(metrics.perplexity, *forced),
        "token_accuracy": statistics.share(
            metrics.ratio, *(np.stack([s["right"], tokens], 1) for s in sides)
        ),
    }
    for name in ("exact_match", "rouge1"):
        found[name] = statistics.share(metrics.ratio, *(metrics.mean_of(s[name]) for s in sides))
    if bleu:
        counts = [_ngrams(generator, tokens, np.clip(easy + gain * model, 0, 1)) for model in range(2)]
        found["bleu"] = statistics.bounded(metrics.bleu, *counts, *metrics.bleu_bounds(*counts))
    return found


def _answers(generator: np.random.Generator, tokens: Floats, easy: Floats, gain: float) -> dict[str, Floats]:
    able = np.clip(easy + gain, 0, 1)
    matched = (generator.random(len(able)) < able).astype(np.float64)
    part = generator.beta(2 * able + 0.2, 2.2 - 2 * able)
    return {
        "right": generator.binomial(tokens.astype(np.int64), able).astype(np.float64),
        "exact_match": matched,
        "rouge1": np.maximum(matched, part),
    }


def _ngrams(generator: np.random.Generator, tokens: Floats, able: Floats) -> Floats:
    totals = np.maximum(tokens[:, None] - np.arange(4), 0).astype(np.int64)
    counts = generator.binomial(totals, able[:, None] ** np.arange(1, 5))
    return np.concatenate([counts, totals, tokens[:, None], tokens[:, None]], 1).astype(np.float64)


def before(paired: Paired, seed: int) -> tuple[float, float]:
    """Percentile bootstrap of tuned - base."""
    n = len(paired.base)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=1000).astype(np.float64)
    moved = paired.metric(weights @ paired.tuned) - paired.metric(weights @ paired.base)
    low, high = np.quantile(moved, [0.025, 0.975])
    return float(low), float(high)


def judged(found: dict[str, Paired], seed: int) -> tuple[str, list[str]]:
    """The verdict, and those of the other metrics, as `evaluate.run` gives them."""
    compared = {name: statistics.compare(paired, seed=seed) for name, paired in found.items()}
    primary = Config().deciding(compared)
    assert primary is not None
    p = statistics.corrected({name: c.p for name, c in compared.items() if name != primary})
    p[primary] = compared[primary].p
    verdicts = {
        name: statistics.verdict(c, p[name], lower_is_better=name in LOWER_IS_BETTER)
        for name, c in compared.items()
    }
    return verdicts.pop(primary), list(verdicts.values())


def judged_before(found: dict[str, Paired], seed: int) -> str:
    """The one word of the report as it was: better where some metric is and none is worse."""
    words = set()
    for name, paired in found.items():
        low, high = before(paired, seed)
        if low > 0 or high < 0:
            words.add("better" if (high < 0) == (name in LOWER_IS_BETTER) else "worse")
    return words.pop() if len(words) == 1 else "mixed" if words else "no clear difference"


def claims(n: int, gain: float, trials: int, *, bleu: bool = True) -> dict[str, float]:
    """How often the tuned model is called better: now, by any metric now, and before."""
    seen: Counter[str] = Counter()
    for trial in range(trials):
        found = drawn(np.random.default_rng([n, trial]), n, gain, bleu=bleu)
        word, others = judged(found, trial)
        seen["now"] += word == "better"
        seen["any metric"] += "better" in (word, *others)
        seen["before"] += judged_before(found, trial) == "better"
    return {name: seen[name] / trials for name in ("now", "any metric", "before")}


def coverage(n: int, trials: int, *, bleu: bool = True) -> dict[str, tuple[float, float]]:
    """By metric how often the interval holds the true change: now and before."""
    truth = {
        name: float(paired.metric(paired.tuned.sum(0)) - paired.metric(paired.base.sum(0)))
        for name, paired in drawn(np.random.default_rng(0), 1_000_000, GAIN, bleu=bleu).items()
    }
    held: dict[str, list[tuple[bool, bool]]] = {name: [] for name in truth}
    for trial in range(trials):
        for name, paired in drawn(np.random.default_rng([n, trial]), n, GAIN, bleu=bleu).items():
            now = statistics.compare(paired, seed=trial)
            then = before(paired, trial)
            held[name].append((now.low <= truth[name] <= now.high, then[0] <= truth[name] <= then[1]))
    return {name: (float(a), float(b)) for name, (a, b) in ((k, np.mean(v, 0)) for k, v in held.items())}


def main(trials: int) -> None:
    """Print the figures."""
    for n, gain in (*((n, 0.0) for n in EQUAL), (200, GAIN)):
        rates = ", ".join(f"{k} {v:.1%}" for k, v in claims(n, gain, trials).items())
        print(f"better by {gain}, {n} samples, called better: {rates}", flush=True)
    for n in COVERED:
        held = coverage(n, trials).items()
        shown = ", ".join(f"{name} {now:.1%} (before {then:.1%})" for name, (now, then) in held)
        print(f"95% interval, {n} samples, holds the truth: {shown}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
