"""What of the training rows a model says again or knows by heart.

What: answers that are a training answer as a whole, or hold 30 words in a row of one that do not stand in
their own prompt nor in many training answers; held-out references are counted the same way, because some
answers are said again rightly. Membership: how well the fall of the loss from base to tuned model tells
trained rows from held-out ones (area under the ROC curve). Canaries: the exposure of planted texts among
others of their form that were never trained on.

A run of words is found by its n-grams of `SIZE` words, each of which stands in some training answer: that all
of them are of one answer is not looked at, and is so for nearly all.

Source: Carlini et al. 2021, https://arxiv.org/abs/2012.07805 (verbatim), 2019, https://arxiv.org/abs/1802.08232
(exposure), 2022, https://arxiv.org/abs/2202.07646 (what a training prompt brings back); Newcombe 1998
(interval of a difference); Mireshghallah et al. 2022, https://arxiv.org/abs/2203.03929 (loss against a
reference model); Hanley and McNeil 1982 (interval of the area).
Cost: a second for ten million training words; memory for one part of them at a time.
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
    LISTED,
    Bools,
    Floats,
    Gate,
    Interval,
    Outcome,
    Unmeasured,
    exact,
    of_pairs,
    points,
    too_few,
    where,
)

SIZE = 10  # words of an n-gram
LONG = 30  # words in a row that are no accident
WHOLE = 8  # words of an answer that is no accident as a whole
COMMON = 16, 2000  # more training answers than this, and than one in so many, make an n-gram a template's
FACTOR = np.uint64(grams.FACTOR)
VARIED = "More and more varied rows, no repeated ones (dedup); then fewer epochs or a smaller rank"
FIX = {
    "memorised": VARIED,
    "recited": VARIED,
    "membership": VARIED,
    "canaries": "Fewer epochs, no repeated rows; what must not be said again must not be trained on (pii)",
}


class Repeats:
    """What of some texts stands in training answers, which are shown a part at a time.

    Runs that stand in a text's own prompt, or in many training answers, do not count. Memory: that of the
    texts, and of one part.
    """

    def __init__(self, texts: Sequence[str], prompts: Sequence[str] | None = None) -> None:
        self._folded = [metrics.normalise(text) for text in texts]
        self._own, self._hashes = _hashed(texts)
        self._asked = _hashed(prompts) if prompts is not None else None
        self._sought = np.unique(self._hashes)
        self.held = np.zeros(len(self._sought), np.int64)  # training answers that hold each n-gram
        self.copies: Counter[str] = Counter(dict.fromkeys(self._folded, 0))
        self.answers = 0

    def look(self, training: Sequence[str]) -> None:
        """Show some training answers."""
        self.answers += len(training)
        for text in map(metrics.normalise, training):
            if text in self.copies:
                self.copies[text] += 1
        rows, hashes = _hashed(training)
        if not len(self._sought) or not len(hashes):
            return
        at = np.searchsorted(self._sought, hashes) % len(self._sought)
        there = self._sought[at] == hashes
        each = np.unique(np.stack([at[there], rows[there]]), axis=1)[0]
        self.held += np.bincount(each, minlength=len(self.held))

    def add(self, other: "Repeats") -> None:
        """What another of the same texts was shown."""
        self.answers, self.held = self.answers + other.answers, self.held + other.held
        self.copies.update(other.copies)

    def whole(self) -> Bools:
        """Which texts of `WHOLE` words or more are a training answer, and not one of many: ``bool[N]``."""
        found = [len(t.split()) >= WHOLE and 0 < self.copies[t] <= self._often() for t in self._folded]
        return np.array(found, np.bool_)

    def runs(self) -> NDArray[np.int64]:
        """Words of the longest run of each text that stands in training, 0 under `SIZE`: ``int64[N]``."""
        known = self._sought[(self.held > 0) & (self.held <= self._often())]
        found = np.isin(self._hashes, known)
        if self._asked is not None:
            mixed = [_mixed(*side) for side in ((self._own, self._hashes), self._asked)]
            found &= ~np.isin(mixed[0], mixed[1])
        longest = np.zeros(len(self._folded), np.int64)
        if not len(found):
            return longest
        # Where a run of n-grams begins and ends; one never goes on into the next text.
        begins = found & ~np.concatenate([[False], found[:-1] & (self._own[1:] == self._own[:-1])])
        number = np.cumsum(begins) - 1
        sizes = np.bincount(number[found], minlength=int(begins.sum()))
        np.maximum.at(longest, self._own[begins], sizes + SIZE - 1)
        return longest

    def _often(self) -> int:
        """Training answers beyond which an n-gram, or an answer, is a template's."""
        return max(COMMON[0], self.answers // COMMON[1])


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


def memorised(found: Repeats, n: int) -> Outcome:
    """Share of answers that say a training answer again, over the same share of the references.

    found: of ``n`` answers, and their references behind them.
    """
    runs = found.runs()
    again = (runs >= LONG) | found.whole()
    facts = {
        "longest_run": int(runs[:n].max(initial=0)),
        "longest_run_of_references": int(runs[n:].max(initial=0)),
        "in_training": int(again[:n].sum()),
        "training_rows": found.answers,
    }
    what = "answers repeat a training answer"
    return of_pairs(again[n:], again[:n], what, "of the references", FIX["memorised"], facts)


def recited(trained: Bools, held: Bools) -> Outcome:
    """Share of training prompts that are answered word for word as in training, over that of held-out ones.

    trained, held: whether each answer is the row's own, of rows whose answer has `WHOLE` words or more:
    ``bool[N]``, ``bool[M]``. A task with one right answer has both alike.
    """
    n, m = len(trained), len(held)
    if min(n, m) < LEAST:
        return Unmeasured(
            f"{min(n, m)} rows with answers of {WHOLE} words or more, and fewer than {LEAST} show nothing"
        )
    value, interval = _difference(int(trained.sum()), n, int(held.sum()), m)
    words = (
        f"{int(trained.sum()):,} of {n:,} training answers are said again word for word, and "
        f"{int(held.sum()):,} of {m:,} held-out ones (difference {points(value, interval)})"
    )
    return Gate(value, interval, words, FIX["recited"], where(trained), {"held_out": float(held.mean())})


def _difference(a: int, n: int, b: int, m: int) -> tuple[float, Interval]:
    """a/n - b/m with its 95% interval (Newcombe's, of the two exact ones)."""
    first, second = a / n, b / m
    (low, high), (least, most) = exact(a, n), exact(b, m)
    value = first - second
    return value, (
        value - math.hypot(first - low, most - second),
        value + math.hypot(high - first, second - least),
    )


def membership(trained: Floats, held: Floats) -> Outcome:
    """How well the fall of the loss tells trained rows from held-out ones.

    trained, held: loss of base and tuned model in nats a token, ``float64[N, 2]`` and ``float64[M, 2]``.
    """
    if min(len(trained), len(held)) < LEAST:
        return too_few(min(len(trained), len(held)))
    falls = [side[:, 0] - side[:, 1] for side in (trained, held)]
    area, interval = _area(falls[0], falls[1])
    gap = float(held[:, 1].mean() - trained[:, 1].mean() - held[:, 0].mean() + trained[:, 0].mean())
    words = (
        f"a trained row is told from a held-out one by its loss in {area:.0%} of pairs (95% interval "
        f"{interval[0]:.0%} to {interval[1]:.0%}); the gap between them grew by {gap:+.3f} nats a token"
    )
    facts = {"gap": gap, "trained": float(trained[:, 1].mean()), "held_out": float(held[:, 1].mean())}
    rows = tuple(np.argsort(-falls[0], kind="stable")[:20].tolist())
    return Gate(area, interval, words, FIX["membership"], rows, facts)


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


def exposure(planted: Floats, others: Floats) -> Floats:
    """Exposure of each canary in bits, of losses ``float64[C]``, among ``float64[C, K]`` of its form.

    log2 of how many texts there are, less log2 of the canary's rank: 0 for the last, most for the first.
    """
    rank = 1 + (others < planted[:, None]).sum(1)
    return np.asarray(np.log2(others.shape[1] + 1) - np.log2(rank), np.float64)


def canaries(planted: Floats, others: Floats) -> Outcome:
    """Mean exposure of planted canaries. planted, others: losses, ``float64[C]`` and ``float64[C, K]``.

    Of texts that were not learned exposures are exponential with a mean of 1.44 bits; the interval is that of
    such a mean.
    """
    most = others.shape[1]
    if len(planted) < 5 or most < 100:
        return Unmeasured(f"{len(planted)} canaries among {most} others; 5 and 100 show something")
    from scipy.special import gammaincinv  # type: ignore[import-untyped]

    found = exposure(planted, others)
    n, total = len(found), float(found.sum())
    highest = math.log2(most + 1)  # more cannot be seen beside so few others
    ends = (total / float(gammaincinv(n, share)) for share in (0.975, 0.025))
    low, high = (min(end, highest) for end in ends)
    interval = (low, high)
    words = (
        f"{n} canaries have a mean exposure of {total / n:.1f} bits (95% interval {low:.1f} to "
        f"{high:.1f}; 1.4 if not learned, {highest:.1f} at the most)"
    )
    facts = {"greatest": float(found.max()), "most": highest}
    rows = tuple(np.argsort(-found, kind="stable")[:LISTED].tolist())
    return Gate(total / n, interval, words, FIX["canaries"], rows, facts)
