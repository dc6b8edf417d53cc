"""Is a row's label likely wrong? Three rules over the texts and labels of one set.

Five times, a linear classifier over hashed words, word pairs and pieces of words learns from four fifths of
the rows and says for the other fifth how likely each label is; it does not learn from rows with the same
words as one that it is asked about, in any order (two texts that are compared, either first), as it would
know their label by heart. *estimate*: labels with the least chance are
suspect, as many as it takes that no more of them are right than `precision` lets be. How low wrong labels
come out is seen of all labels that rows do not bear; so the share of rows under a chance tells how many of
all labels are wrong (`Judged.noise`), and what is over them is right. *odds*: a label is suspect where its
chance is less than `odds` of that of the best label: it finds labels that were mistaken for one that is much
like them, which the estimate, made for any other label, sees less of. *neighbours*: the nearest rows,
weighted by the square of their similarity, give less than 5% to the label, and more than 70% to another.

Confident learning as cleanlab has it, over the same chances, is the rule *cleanlab*: it counts rows that are
more likely of another label, class by class, and takes so many. tests/benchmarks/examine.csv and
gauntlet/peers.csv compare the rules with planted wrong labels.

Where the classifier tells labels hardly better than chance does, nothing is suspect: the texts do not tell
the label, and every guess would be noise. That is said by `Judged.told`. A line that many texts share beside
what they say, such as a system prompt, counts as one word (see `pipelines.preambles`).

Cost: bounded by the sample and `WORK`: some 10 s for 13,000 short texts with 77 labels. scikit-learn and
cleanlab are imported when a set is judged.
Source: Northcutt et al. 2021 (confident learning), https://arxiv.org/abs/1911.00068.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.pipelines.examine import by_line, vectors
from headrace.pipelines.examine.label_noise.config import Config

FOLDS = 5  # and the fewest rows of a label that is judged
LEAST_KAPPA = 0.4  # agreement with labels beyond chance that a classifier needs to be believed
SURE = 4.5  # log odds of the best label over the second, where all labels are told
WORK = 2_000_000  # most rows times labels
CAUGHT = (
    0.5,
    0.975,
)  # shares of wrong labels under a chance: least that tells their number, most that is asked
ALARMS = 0.02  # share of the right labels, at most so many are suspect
OWN, OTHER = 0.05, 0.7  # share of neighbours that bear the label, and that bear the suggested one
FEW, SHARE, EACH = 100, 0.9, 10  # rows of a labelled set; its share with a label; rows a label
SHORT = 64  # bytes of a label


class Judged(NamedTuple):
    """What is known of the label of each of N rows."""

    label: NDArray[np.int64]
    suggested: NDArray[np.int64]  # -1 where the label has too few rows to be judged
    # Chance of the label over that of the suggested one, or its share of neighbours.
    score: NDArray[np.float64]
    rules: dict[str, NDArray[np.bool_]]  # which rows each rule suspects
    kappa: float  # agreement of classifier and labels beyond chance (Cohen)
    chances: NDArray[np.float64]  # [R, K]: of each label, for the R rows whose label is judged
    noise: float = 0.0  # share of all labels that are wrong, as estimated

    @property
    def told(self) -> bool:
        """Whether the texts tell the labels at all."""
        return self.kappa >= LEAST_KAPPA


def label_noise(
    texts: pa.Array | Sequence[str], labels: pa.Array | Sequence[str], config: Config | None = None
) -> pa.Table:
    """Rows whose label is likely wrong, by `config.rule`.

    Returns a table sorted by row: ``row int64, label string, suggested string, score double, rule string``;
    score is the label's chance over that of the suggested one (rule neighbours alone: its share among the
    nearest rows), rule names those that suspect it, joined by "+". A row without text or label is left out;
    so is one whose label has fewer than five rows. Nothing is judged beyond `config.sample` rows.

    Raises: ValueError for texts and labels of different length.
    """
    return looked_at(texts, labels, config or Config())[0]


def looked_at(
    texts: pa.Array | Sequence[str], labels: pa.Array | Sequence[str], config: Config
) -> tuple[pa.Table, bool]:
    """The table of `label_noise`, and whether the texts tell the labels at all."""
    given = [a if isinstance(a, pa.Array | pa.ChunkedArray) else pa.array(a) for a in (texts, labels)]
    table = pa.table({"text": given[0].cast(pa.large_string()), "label": given[1].cast(pa.large_string())})
    table = table.append_column("row", pa.array(np.arange(table.num_rows))).drop_null().combine_chunks()
    named = table["label"].combine_chunks().dictionary_encode()
    names, codes = named.dictionary, named.indices.to_numpy().astype(np.int64)
    chosen = drawn(table["row"].to_numpy().astype(np.uint64), len(names), config)
    judged = judge(table["text"].combine_chunks().take(pa.array(chosen)), codes[chosen], config)
    at = np.flatnonzero(suspects(judged, config))
    found = pa.table(
        {
            "row": table["row"].to_numpy()[chosen[at]],
            "label": names.take(pa.array(judged.label[at])).cast(pa.string()),
            "suggested": names.take(pa.array(judged.suggested[at])).cast(pa.string()),
            "score": judged.score[at],
            "rule": named_rules(judged, at),
        }
    )
    return found, judged.told


def drawn(row_ids: NDArray[np.uint64], labels: int, config: Config) -> NDArray[np.int64]:
    """Places of the rows that are judged, ascending: all, or a fixed draw that bounds the work."""
    most = min(config.sample, WORK // max(labels, 1))
    if len(row_ids) <= most:
        return np.arange(len(row_ids))
    return np.sort(np.argsort(vectors.spread_ids(row_ids), kind="stable")[:most])


def judge(texts: pa.Array, codes: NDArray[np.int64], config: Config) -> Judged:
    """Judge labels (int64[N], of any values) by texts (large_string[N])."""
    n = len(codes)
    _, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[place] >= FOLDS)
    values, first, own = np.unique(codes[rows], return_index=True, return_inverse=True)
    # Labels by where they first stand: what numbers they go by must make no difference.
    order = np.argsort(first)
    values, own = values[order], np.argsort(order)[own]
    suggested, score = np.full(n, -1, np.int64), np.ones(n)
    rules = {name: np.zeros(n, np.bool_) for name in ("estimate", "odds", "neighbours", "cleanlab")}
    if len(values) < 2:
        return Judged(codes, suggested, score, rules, 0.0, np.zeros((0, 0)))
    part = texts.take(pa.array(rows))
    matrix = vectors.weighted(by_line.terms(part, pairs=True), alone=False)
    chances = _chances(matrix, own, _twins(part))
    at, best = np.arange(len(rows)), chances.argmax(1)
    kappa = _kappa(own, best, len(values))
    if kappa < LEAST_KAPPA:
        return Judged(codes, suggested, score, rules, kappa, chances)
    odds = (chances[at, own] / chances[at, best]) ** _sharpness(chances, own, best, kappa)
    near = _neighbours(
        vectors.weighted(by_line.terms(part), alone=False), own, len(values), config.neighbours
    )
    nearest = near.argmax(1)
    low, noise = lowest(chances, own, config.precision)
    rules["estimate"][rows] = low & (best != own)
    rules["odds"][rows] = (odds < config.odds) & (best != own)
    rules["neighbours"][rows] = (near[at, own] < OWN) & (near[at, nearest] > OTHER)
    if config.rule == "cleanlab":
        rules["cleanlab"][rows] = cleanlab_issues(own, chances, "low_self_confidence")
    alone = rules["neighbours"][rows] & ~rules["odds"][rows] & ~rules["estimate"][rows]
    suggested[rows] = values[np.where(alone, nearest, best)]
    score[rows] = np.where(alone, near[at, own], odds)
    return Judged(codes, suggested, score, rules, kappa, chances, noise)


def lowest(
    chances: NDArray[np.float64], own: NDArray[np.int64], precision: float
) -> tuple[NDArray[np.bool_], float]:
    """Which rows' labels have so little chance that `precision` of them are wrong, and the share of all that
    are, both as estimated.

    Under a chance stand ``noise * caught + (1 - noise) * right`` of the rows, where `caught` of the wrong
    labels come out under it. Under low ones hardly a right one does, so the least of rows over `caught` is
    the noise.
    """
    n, labels = chances.shape
    said = chances[np.arange(n), own]
    others = np.sort(chances[np.arange(labels) != own[:, None]])
    ordered = np.sort(said)
    flagged = np.arange(1, n + 1) / n
    caught = np.searchsorted(others, ordered, side="right") / len(others)
    telling = caught >= CAUGHT[0]
    noise = float(min((flagged[telling] / caught[telling]).min(initial=1.0), 1.0))
    right = flagged - noise * caught
    fits = (right <= (1 - precision) * flagged) & (right <= ALARMS * (1 - noise)) & (caught <= CAUGHT[1])
    taken = np.flatnonzero(fits)
    return said <= (ordered[taken[-1]] if len(taken) else -1.0), noise


def suspects(judged: Judged, config: Config) -> NDArray[np.bool_]:
    """Rows that the recipe's rule suspects."""
    if config.rule == "either":
        return judged.rules["estimate"] | judged.rules["odds"]
    if config.rule == "both":
        return judged.rules["estimate"] & judged.rules["odds"]
    return judged.rules[config.rule]


def named_rules(judged: Judged, rows: NDArray[np.int64]) -> pa.Array:
    """Names of the rules that suspect each of some rows, joined by "+"."""
    names = sorted(judged.rules)
    combined = ["+".join(n for k, n in enumerate(names) if code >> k & 1) for code in range(2 ** len(names))]
    codes = sum(judged.rules[name][rows].astype(np.int64) << k for k, name in enumerate(names))
    return pa.array(combined, pa.string()).take(pa.array(np.asarray(codes, np.int64)))


def cleanlab_issues(own: NDArray[np.int64], chances: NDArray[np.float64], by: str) -> NDArray[np.bool_]:
    """Rows that cleanlab suspects, by its filter `by`."""
    from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]

    found: NDArray[np.bool_] = np.asarray(find_label_issues(own, chances, filter_by=by, n_jobs=1))
    return found


def _twins(texts: pa.Array) -> NDArray[np.int64]:
    """A number for each text, the same for those with the same words in whatever order: ``int64[N]``."""
    words = [" ".join(sorted(text.casefold().split())) for text in texts.fill_null("").to_pylist()]
    return np.unique(np.array(words, object), return_inverse=True)[1]


def _chances(matrix: Any, own: NDArray[np.int64], twins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chance of each label for each row, ``float64[N, K]``, by classifiers that have not seen the row, nor
    one of its `twins`, unless most rows have some."""
    from sklearn.linear_model import SGDClassifier  # type: ignore[import-untyped]
    from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

    n = len(own)
    chances = np.zeros((n, int(own.max()) + 1))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for seen, unseen in folds.split(matrix, own):
        # So many steps for small sets as well, and the same pull to zero as for 13,000 rows.
        epochs = max(8, 20_000 // n)
        apart = seen[~np.isin(twins[seen], twins[unseen])]
        seen = apart if len(apart) > len(seen) / 2 and len(np.unique(own[apart])) > 1 else seen
        model = SGDClassifier(loss="log_loss", alpha=0.4 / n, max_iter=epochs, tol=None, random_state=0)
        model.fit(matrix[seen], own[seen])
        found = model.predict_proba(matrix[unseen])
        chances[np.ix_(unseen, model.classes_)] = found
    return chances


def _sharpness(
    chances: NDArray[np.float64], own: NDArray[np.int64], best: NDArray[np.int64], kappa: float
) -> float:
    """Power that brings odds to a common scale: a classifier of few rows, or of few labels, is as right as
    one of many and much less sure. 1 where the median of its log odds is `SURE` or more times kappa squared.
    """
    two = np.partition(chances[own == best], -2, axis=1)[:, -2:]
    median = float(np.median(np.log(two[:, 1] / np.maximum(two[:, 0], 1e-12))))
    return max(1.0, SURE * kappa**2 / max(median, 1e-9))


def _kappa(own: NDArray[np.int64], best: NDArray[np.int64], labels: int) -> float:
    """Cohen's kappa of labels and classifier."""
    n = len(own)
    by_chance = float(np.bincount(own, minlength=labels) @ np.bincount(best, minlength=labels)) / n**2
    return (float(np.mean(own == best)) - by_chance) / max(1 - by_chance, 1e-9)


def _neighbours(matrix: Any, own: NDArray[np.int64], labels: int, count: int) -> NDArray[np.float64]:
    """Share of each label among the `count` nearest other rows, weighted by squared similarity."""
    n = len(own)
    count = min(count, n - 1)
    other, shares = matrix.T.tocsr(), np.zeros((n, labels))
    for first in range(0, n, 256):
        near = (matrix[first : first + 256] @ other).toarray()
        rows = np.arange(len(near))
        near[rows, rows + first] = -1
        nearest = np.argpartition(-near, count - 1, axis=1)[:, :count]
        weight = np.take_along_axis(near, nearest, 1).clip(0).astype(np.float64) ** 2
        cells = rows[:, None] * labels + own[nearest]
        summed = np.bincount(cells.ravel(), weight.ravel(), len(near) * labels).reshape(-1, labels)
        shares[first : first + 256] = summed / np.maximum(summed.sum(1, keepdims=True), 1e-9)
    return shares
