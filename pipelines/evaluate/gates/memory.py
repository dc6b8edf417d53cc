"""What of the training rows a model says again or knows by heart.

What: answers that are a training answer as a whole, or hold 30 words in a row of one that do not stand in
their own prompt nor in many training answers; held-out references are counted the same way, because some
answers are said again rightly. Membership: how well the fall of the loss from base to tuned model tells
trained rows from held-out ones (area under the ROC curve). Canaries: the exposure of planted texts among
others of their form that were never trained on.

A run of words is found by its n-grams of `SIZE` words, each of which stands in some training answer: that all
of them are of one answer is not looked at, and is so for nearly all.

Source: Carlini et al. 2021, https://arxiv.org/abs/2012.07805 (verbatim), 2019, https://arxiv.org/abs/1802.08232
(exposure); Mireshghallah et al. 2022, https://arxiv.org/abs/2203.03929 (loss against a reference model);
Hanley and McNeil 1982 (interval of the area).
Cost: 12 bytes a training word; a second for ten million.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.kernels import grams
from headrace.pipelines import arrays
from headrace.pipelines.evaluate import metrics
from headrace.pipelines.evaluate.gates.gate import (
    LEAST,
    Floats,
    Gate,
    Outcome,
    Unmeasured,
    beyond,
    of_pairs,
    sentence,
    too_few,
    where,
)

SIZE = 10  # words of an n-gram
LONG = 30  # words in a row that are no accident
WHOLE = 8  # words of an answer that is no accident as a whole
COMMON = 16, 2000  # more training answers than this, and than one in so many, make an n-gram a template's
FACTOR = np.uint64(grams.FACTOR)
FIX = {
    "memorised": "More and more varied rows, no repeated ones (dedup); then fewer epochs or a smaller rank",
    "membership": "More and more varied rows, no repeated ones (dedup); then fewer epochs or a smaller rank",
    "canaries": "Fewer epochs, no repeated rows; what must not be said again must not be trained on (pii)",
}


def longest(
    texts: Sequence[str], training: Sequence[str], prompts: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Words of the longest run of each text that stands in `training`, 0 under `SIZE`: ``int64[N]``.

    Runs that stand in the text's own prompt, or in many training texts, do not count.
    """
    known = _known(training)
    own, hashes = _hashed(texts)
    found = np.isin(hashes, known)
    if prompts is not None:
        asked, of_prompts = _hashed(prompts)
        mixed = [_mixed(row, keys) for row, keys in ((own, hashes), (asked, of_prompts))]
        found &= ~np.isin(mixed[0], mixed[1])
    runs = np.zeros(len(texts), np.int64)
    if not len(found):
        return runs
    # Where a run of n-grams begins and ends; one never goes on into the next text.
    begins = found & ~np.concatenate([[False], found[:-1] & (own[1:] == own[:-1])])
    number = np.cumsum(begins) - 1
    sizes = np.bincount(number[found], minlength=int(begins.sum()))
    np.maximum.at(runs, own[begins], sizes + SIZE - 1)
    return runs


def _known(training: Sequence[str]) -> NDArray[np.uint64]:
    """n-grams of training texts that are not held by many of them."""
    rows, hashes = _hashed(training)
    if not len(hashes):
        return hashes
    each = np.unique(np.stack([hashes, rows.astype(np.uint64)]), axis=1)[0]
    keys, counts = np.unique(each, return_counts=True)
    least, share = COMMON
    return keys[counts <= max(least, len(training) // share)]


def _hashed(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Text and hash of every n-gram of `SIZE` words: int64[M], uint64[M]."""
    import pyarrow as pa

    words = grams.words(pa.array([metrics.normalise(text) for text in texts], pa.large_string()))
    size = np.maximum(np.diff(words.offsets) - SIZE + 1, 0)
    if not int(size.sum()):
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    rows = np.repeat(np.arange(len(texts)), size)
    first = np.repeat(words.offsets[:-1] - arrays.offsets(size)[:-1], size) + np.arange(int(size.sum()))
    value = np.zeros(len(first), np.uint64)
    for k in range(SIZE):
        value = value * FACTOR + words.hashes[first + k].astype(np.uint64) + np.uint64(1)
    return rows, value


def _mixed(rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number of a text and an n-gram."""
    return arrays.finalised(keys ^ arrays.finalised(rows.astype(np.uint64)))


def memorised(
    answers: Sequence[str],
    references: Sequence[str],
    prompts: Sequence[str],
    training: Sequence[str],
    threshold: float,
) -> Outcome:
    """Share of answers that say a training answer again, over the same share of the references."""
    counts = Counter(metrics.normalise(text) for text in training)
    rare = {text for text, count in counts.items() if count <= max(COMMON[0], len(training) // COMMON[1])}
    sides, runs = [], []
    for texts in (references, answers):
        run = longest(texts, training, prompts)
        folded = [metrics.normalise(text) for text in texts]
        whole = np.array([text in rare and len(text.split()) >= WHOLE for text in folded], np.bool_)
        sides.append((run >= LONG) | whole)
        runs.append(run)
    facts = {
        "longest_run": int(runs[1].max(initial=0)),
        "longest_run_of_references": int(runs[0].max(initial=0)),
        "in_training": int(sides[1].sum()),
    }
    what = "answers repeat a training answer; of the references"
    return of_pairs("memorised", sides[0], sides[1], threshold, what, FIX["memorised"], facts)


def membership(trained: Floats, held: Floats, threshold: float) -> Outcome:
    """How well the fall of the loss tells trained rows from held-out ones.

    trained, held: loss of base and tuned model in nats a token, ``float64[N, 2]`` and ``float64[M, 2]``.
    """
    if min(len(trained), len(held)) < LEAST:
        return too_few(min(len(trained), len(held)))
    falls = [side[:, 0] - side[:, 1] for side in (trained, held)]
    area, interval = _area(falls[0], falls[1])
    rings = beyond("membership", interval, threshold)
    gap = float(held[:, 1].mean() - trained[:, 1].mean() - held[:, 0].mean() + trained[:, 0].mean())
    words = (
        f"a trained row is told from a held-out one by its loss in {area:.0%} of pairs (95% interval "
        f"{interval[0]:.0%} to {interval[1]:.0%}); the gap between them grew by {gap:+.3f} nats a token"
    )
    facts = {"gap": gap, "trained": float(trained[:, 1].mean()), "held_out": float(held[:, 1].mean())}
    rows = tuple(np.argsort(-falls[0], kind="stable")[:20].tolist())
    return Gate(area, interval, threshold, rings, sentence(words, FIX["membership"], rings), rows, facts)


def _area(positive: Floats, negative: Floats) -> tuple[float, tuple[float, float]]:
    """Area under the ROC curve with its interval (Hanley and McNeil)."""
    n, m = len(positive), len(negative)
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    area = float(below.sum()) / (2 * n * m)
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n - 1) * (one - area**2) + (m - 1) * (two - area**2)
    error = 1.96 * math.sqrt(max(variance, 0.0) / (n * m))
    return area, (max(0.0, area - error), min(1.0, area + error))


def exposure(canaries: Floats, others: Floats) -> Floats:
    """Exposure of each canary in bits, of losses: ``float64[C]``, among those of `others` of their form.

    log2 of how many texts there are, less log2 of the canary's rank: 0 for the last, most for the first.
    """
    rank = 1 + np.searchsorted(np.sort(others), canaries, "left")
    return np.asarray(np.log2(len(others) + 1) - np.log2(rank), np.float64)


def canaries(planted: Floats, others: Floats, threshold: float) -> Outcome:
    """Mean exposure of planted canaries. planted, others: losses, ``float64[C]`` and ``float64[K]``.

    Of texts that were not learned exposures are exponential with a mean of 1.44 bits; the interval is that of
    such a mean.
    """
    if len(planted) < 5 or len(others) < 100:
        return Unmeasured(f"{len(planted)} canaries among {len(others)} others; 5 and 100 show something")
    from scipy.special import gammaincinv  # type: ignore[import-untyped]

    found = exposure(planted, others)
    n, total = len(found), float(found.sum())
    interval = (total / float(gammaincinv(n, 0.975)), total / float(gammaincinv(n, 0.025)))
    rings = beyond("canaries", interval, threshold)
    words = (
        f"{n} canaries have a mean exposure of {total / n:.1f} bits (95% interval {interval[0]:.1f} to "
        f"{interval[1]:.1f}; 1.4 if not learned, {math.log2(len(others) + 1):.1f} at the most)"
    )
    facts = {"greatest": float(found.max()), "most": math.log2(len(others) + 1)}
    rows = where(found > threshold)
    return Gate(total / n, interval, threshold, rings, sentence(words, FIX["canaries"], rings), rows, facts)
