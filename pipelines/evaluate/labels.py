"""Answers that are labels: precision, recall and F1 by label, their mean, and what is taken for what.

What: references are labels where they are few and short and each comes more than once. An answer that is no
label counts as missed for its reference and as false for nobody.

Macro F1 is a function of counts summed over samples (right, said, wanted by label), so the test and the
interval of the other metrics serve it too. Labels without a sample in a draw are left out of its mean.
Source: https://aclanthology.org/2020.coling-main.1 (what macro F1 is the mean of)

Cost: three counts a label and sample.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate.metrics import normalise

Floats = NDArray[np.float64]

MOST = 500  # labels
LONGEST = 60  # characters of a label
CONFUSIONS = 20  # that are told


@dataclass(frozen=True)
class Table:
    """One model's counts by label, ``int64[L]`` each; confused: wanted, said ("" for no label) and how often,
    the most frequent first.
    """

    labels: tuple[str, ...]
    right: NDArray[np.int64]
    said: NDArray[np.int64]
    wanted: NDArray[np.int64]
    confused: tuple[tuple[str, str, int], ...]


def told(references: Sequence[str]) -> tuple[str, ...]:
    """The labels that references are, sorted; empty where they are none."""
    counts = Counter(normalise(reference) for reference in references)
    few = 2 <= len(counts) <= min(MOST, len(references) // 2)
    short = all(0 < len(label) <= LONGEST for label in counts)
    return tuple(sorted(counts)) if few and short else ()


def counts(answers: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> Floats:
    """Right, said and wanted of each sample by label: ``float64[N, 3 L]``, label by label."""
    place = {label: number for number, label in enumerate(labels)}
    found = np.zeros((len(answers), len(labels), 3))
    for row, (answer, reference) in enumerate(zip(answers, references, strict=True)):
        said, wanted = place.get(normalise(answer)), place.get(normalise(reference))
        if said is not None:
            found[row, said, 1] = 1
            found[row, said, 0] = said == wanted
        if wanted is not None:
            found[row, wanted, 2] = 1
    return found.reshape(len(answers), -1)


def macro_f1(sums: Floats) -> Floats:
    """Mean F1 over the labels that were said or wanted: ``float64[..., 3 L] -> float64[...]``."""
    by_label = sums.reshape(*sums.shape[:-1], -1, 3)
    total = by_label[..., 1] + by_label[..., 2]
    there = total > 0
    f1 = np.divide(2 * by_label[..., 0], total, out=np.zeros_like(total), where=there)
    return np.asarray(f1.sum(-1) / np.maximum(1, there.sum(-1)), np.float64)


def bounds(base: Floats, tuned: Floats) -> tuple[Floats, Floats]:
    """Counts of one sample more, spread over the labels as they are wanted: all wrong, and all right."""
    wanted = ((base + tuned) / 2).reshape(len(base), -1, 3)[..., 2].mean(0)
    spread = np.roll(wanted, 1)  # what is said instead, as often
    worst = np.stack([np.zeros_like(wanted), spread, wanted], -1)
    best = np.stack([wanted, wanted, wanted], -1)
    return worst.reshape(-1), best.reshape(-1)


def table(answers: Sequence[str], references: Sequence[str], labels: Sequence[str]) -> Table:
    """What one model makes of each label."""
    summed = counts(answers, references, labels).sum(0).reshape(-1, 3).astype(np.int64)
    known = set(labels)
    pairs = ((normalise(r), normalise(a)) for a, r in zip(answers, references, strict=True))
    wrong = Counter((wanted, said if said in known else "") for wanted, said in pairs if wanted != said)
    order = sorted(wrong.items(), key=lambda pair: (-pair[1], pair[0]))[:CONFUSIONS]
    confused = tuple((wanted, said, count) for (wanted, said), count in order)
    return Table(tuple(labels), summed[:, 0], summed[:, 1], summed[:, 2], confused)


def scores(one: Table) -> list[dict[str, float]]:
    """Precision, recall and F1 of each label; 0 where nothing was said or wanted."""
    right, said, wanted = (a.astype(np.float64) for a in (one.right, one.said, one.wanted))
    precision = np.divide(right, said, out=np.zeros_like(right), where=said > 0)
    recall = np.divide(right, wanted, out=np.zeros_like(right), where=wanted > 0)
    both = said + wanted
    f1 = np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)
    rows = zip(precision.tolist(), recall.tolist(), f1.tolist(), strict=True)
    return [{"precision": p, "recall": r, "f1": f} for p, r, f in rows]
