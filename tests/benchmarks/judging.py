"""Whether the right rows went: the truth of all pairs, and what a tool's removals are worth beside it.

A pair's truth is its measured similarity, in one of two spaces: that of headrace's own verifier (8-byte
windows of the folded text; texts with too few are partners only if equal), or word 3-grams, as most other
tools count. A removal is right if the kept row that it names is a partner above the threshold; of a tool
that names none, if any partner above the threshold stays. Pairs within `MARGIN` of the threshold are
reported but not scored. A pair above that is missed where both its rows stay.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from labelled import similarity, windows, word_3grams
from numpy.typing import NDArray

from headrace import kernels
from headrace.pipelines.stages.dedup import config as dedup_config
from headrace.pipelines.stages.dedup import in_memory
from headrace.pipelines.stages.fingerprint import stage as fingerprint

THRESHOLD, MARGIN = dedup_config.Config().threshold, 0.05
BANDS = ((0.70, 0.75), (0.75, 0.80), (0.80, 0.85), (0.85, 0.90), (0.90, 0.95), (0.95, 1.01))
Truth = NDArray[np.float32]


class Removals(NamedTuple):
    """Rows that a tool removed, and for each the row that it says stays in its place (None: it says not)."""

    removed: NDArray[np.int64]
    kept: NDArray[np.int64] | None


class Counts(NamedTuple):
    """What is counted over one set of texts; sets of texts add up."""

    right: int  # removals
    wrong: int
    unscored: int  # removals whose partner lies within MARGIN of the threshold
    found: int  # pairs above the threshold and its margin
    missed: int
    pairs: NDArray[np.int64]  # by band
    gone: NDArray[np.int64]  # of these, with a row removed

    def __add__(self, other: "Counts") -> "Counts":  # type: ignore[override]
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def scores(self) -> tuple[float, float, float]:
        """Precision, recall, F1 (1 where nothing could be wrong or missed)."""
        precision = self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0
        recall = self.found / (self.found + self.missed) if self.found + self.missed else 1.0
        return precision, recall, 2 * precision * recall / max(1e-12, precision + recall)


def truth_of_windows(texts: list[str]) -> Truth:
    """All pairs as the verifier defines it, ``float32[N, N]``: 1 or 0 for texts too short, else Jaccard."""
    table = fingerprint.apply(in_memory.as_rows(pa.array(texts)), fingerprint.Config())
    pairs = np.stack(np.triu_indices(len(texts), 1), axis=1)
    folded = pa.array([text + " " for text in kernels.fold(texts).to_pylist()], pa.large_string())
    long = table["answer_features"].to_numpy() >= dedup_config.Config().min_features
    keys = table["answer_key"].to_numpy()
    equal = ~long[pairs].any(axis=1) & (keys[pairs[:, 0]] == keys[pairs[:, 1]])
    return _square(len(texts), np.where(long[pairs].all(axis=1), kernels.jaccard(folded, pairs), equal))


def truth_of(texts: list[str], features: Callable[[str], set[Any]]) -> Truth:
    """All pairs by the Jaccard similarity of sets, ``float32[N, N]``."""
    sets = [features(text) for text in texts]
    measured = [similarity(sets[i], sets[j]) for i in range(len(sets)) for j in range(i + 1, len(sets))]
    return _square(len(texts), np.array(measured))


def _square(n: int, measured: NDArray[np.float64]) -> Truth:
    found = np.ones((n, n), np.float32)
    found[np.triu_indices(n, 1)] = measured
    return np.minimum(found, found.T)


TRUTHS: dict[str, Callable[[list[str]], Truth]] = {
    "windows": truth_of_windows,
    "word 3-grams": lambda texts: truth_of(texts, word_3grams),
}


def short_pairs(texts: list[str]) -> int:
    """Pairs above the threshold and its margin by their windows that the rule for short texts tells apart."""
    bare, ruled = truth_of(texts, windows), truth_of_windows(texts)
    return int(np.triu((bare > THRESHOLD + MARGIN) & (ruled < THRESHOLD), 1).sum())


def judge(removals: Removals, truth: Truth) -> Counts:
    """Count what was right, wrong and missed."""
    stays = np.ones(len(truth), np.bool_)
    stays[removals.removed] = False
    if removals.kept is None:
        partner = truth[np.ix_(removals.removed, stays)].max(axis=1, initial=0)
    else:
        assert stays[removals.kept].all(), "a row that is named as kept was removed"
        partner = truth[removals.removed, removals.kept]
    right, wrong = int((partner > THRESHOLD + MARGIN).sum()), int((partner < THRESHOLD - MARGIN).sum())
    first, second = np.triu_indices(len(truth), 1)
    measured, gone = truth[first, second], ~(stays[first] & stays[second])
    true = measured > THRESHOLD + MARGIN
    within = [(measured >= low) & (measured < high) for low, high in BANDS]
    return Counts(
        right,
        wrong,
        len(partner) - right - wrong,
        int((true & gone).sum()),
        int((true & ~gone).sum()),
        np.array([band.sum() for band in within]),
        np.array([(band & gone).sum() for band in within]),
    )


def headrace(texts: list[str] | pa.Array) -> Removals:
    """Our own removals."""
    table = in_memory.duplicates(texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string()))
    return Removals(table["removed"].to_numpy().astype(np.int64), table["kept"].to_numpy().astype(np.int64))
