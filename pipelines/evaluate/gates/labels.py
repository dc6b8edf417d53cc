"""Labels: whether a model reads what it is asked, is as sure as it is right, and treats groups alike.

What: the expected calibration error, over bins of equal counts, less what a perfectly calibrated model of
the same confidences would show by chance; its interval is a bootstrap's. Swaps: rows in which only the
named group differs (made by the examiner) should be answered alike. Cohen's kappa, with a bootstrap's
interval, says whether labels hang on the prompts at all: what contradicts itself teaches how labels look, and
accuracy rises by that alone.

Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599; Brocker and Smith 2007 (chance);
Zhao et al. 2018, https://aclanthology.org/N18-2003 (swaps); Cohen 1960 (kappa).
Cost: `DRAWS` sorts of all samples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate import metrics
from headrace.pipelines.evaluate.gates.collapse import words_of
from headrace.pipelines.evaluate.gates.gate import (
    LEAST,
    Bools,
    Floats,
    Gate,
    Outcome,
    Unmeasured,
    of_pairs,
    too_few,
    where,
)
from headrace.pipelines.evaluate.labels import told

BINS = 10
DRAWS = 500
ALIKE = 0.8  # F1 of words from which on two answers are alike
FIX = {
    "calibration": "Fewer epochs, or more rows; or fit a temperature on the validation rows before "
    "confidences are used",
    "signal": "Read some rows: labels that contradict each other, or do not follow from the prompts, teach "
    "nothing (the examiner's checks `contradictions` and `label_noise` list them)",
    "swaps": "Add the exchanged rows with the same answers to the training rows "
    "(findings/bias.swaps.parquet)",
}


def error(confidence: Floats, right: Floats) -> float:
    """Expected calibration error over `BINS` bins of equal counts: ``float64[N]`` each, right 1 or 0."""
    order = np.argsort(confidence, kind="stable")
    edges = np.linspace(0, len(order), BINS + 1).astype(np.int64)
    gaps = np.add.reduceat((confidence - right)[order], edges[:-1])
    return float(np.abs(gaps).sum() / len(order))


def calibration(base: Floats, tuned: Floats, wanted: NDArray[np.int64], seed: int) -> Outcome:
    """The calibration of labels. base, tuned: nats of each label behind each prompt, ``float64[N, L]``;
    wanted: the right one, ``int64[N]``.
    """
    n = len(wanted)
    if n < 10 * BINS:
        return Unmeasured(f"{n} answers to look at, and fewer than {10 * BINS} show nothing of calibration")
    before, after = (label_confidence(side) for side in (base, tuned))
    confidence, scores = after[1], (after[0] == wanted).astype(np.float64)
    draw = np.random.default_rng([seed % 2**64, 3])
    chance = np.mean(
        [error(confidence, (draw.random(n) < confidence).astype(np.float64)) for _ in range(DRAWS)]
    )
    drawn = [error(confidence[at], scores[at]) for at in draw.integers(0, n, (DRAWS, n))]
    found = error(confidence, scores)
    value, spread = max(0.0, found - float(chance)), 1.96 * float(np.std(drawn))
    interval = max(0.0, value - spread), value + spread
    words = (
        f"confidence and share right differ by {value:.3f} on average beyond chance (95% interval "
        f"{interval[0]:.3f} to {interval[1]:.3f}); sure of {confidence.mean():.0%}, right in "
        f"{scores.mean():.0%}"
    )
    own = error(before[1], (before[0] == wanted).astype(np.float64))
    facts = {"ece": found, "by_chance": float(chance), "ece_of_base": own}
    return Gate(value, interval, words, FIX["calibration"], (), facts)


def signal(answers: Sequence[str], references: Sequence[str]) -> Outcome:
    """Whether labels hang on what is asked: Cohen's kappa of answers and references, 0 where the same answers
    in another order would be right as often.
    """
    if not told(references):
        return Unmeasured("the references are no labels")
    n = len(references)
    if n < LEAST:
        return too_few(n)
    texts = [metrics.normalise(text) for text in (*answers, *references)]
    kinds, numbers = np.unique(texts, return_inverse=True)
    said, wanted = numbers[:n], numbers[n:]
    value = _kappa(said, wanted, len(kinds))
    draw = np.random.default_rng([n, 5])
    drawn = [_kappa(said[at], wanted[at], len(kinds)) for at in draw.integers(0, n, (DRAWS, n))]
    low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
    words = (
        f"labels agree with what is asked by {value:.2f} beyond chance (kappa, 95% interval {low:.2f} to "
        f"{high:.2f}; 0: as if drawn without reading it, 1: always right)"
    )
    return Gate(value, (low, high), words, FIX["signal"], where(said != wanted), {"answers": n})


def _kappa(said: NDArray[np.int64], wanted: NDArray[np.int64], kinds: int) -> float:
    """Agreement beyond chance of two ratings as numbers under `kinds`."""
    shares = [np.bincount(side, minlength=kinds) / len(side) for side in (said, wanted)]
    chance = float(shares[0] @ shares[1])
    seen = float((said == wanted).mean())
    return (seen - chance) / (1 - chance) if chance < 1 else float(seen == 1)


def alike(first: Sequence[str], second: Sequence[str]) -> Bools:
    """Which pairs of answers are the same, or share most of their words: ``bool[N]``."""
    found = []
    for one, other in zip(words_of(first), words_of(second), strict=True):
        common = sum(min(one.count(word), other.count(word)) for word in set(one))
        found.append(one == other or 2 * common >= ALIKE * (len(one) + len(other)))
    return np.array(found, np.bool_)


def swaps(base: tuple[Sequence[str], Sequence[str]], tuned: tuple[Sequence[str], Sequence[str]]) -> Outcome:
    """Rows answered unlike where only the named group differs, over the base's share.

    base, tuned: each model's answers to the rows as they are and as exchanged.
    """
    unlike = [~alike(*answers) for answers in (base, tuned)]
    what = "rows are answered unlike where only the named group differs"
    return of_pairs(unlike[0], unlike[1], what, "by the base", FIX["swaps"], {})


def label_confidence(nats: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The likeliest label of each row and its probability among the labels, of nats: ``float64[N, L]``."""
    shifted = np.exp(-(nats - nats.min(1, keepdims=True)))
    shares = shifted / shifted.sum(1, keepdims=True)
    return shares.argmax(1), shares.max(1)
