"""Labels: told from texts, and scored as scikit-learn scores them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support

from headrace.pipelines.evaluate import labels, statistics

KINDS = ("bill", "login", "sync")
said = st.sampled_from((*KINDS, "something else"))


def test_labels_are_few_short_and_come_again() -> None:
    assert labels.told(["Yes", "no", "yes ", "NO"]) == ("no", "yes")
    assert labels.told([f"answer {n}" for n in range(100)]) == ()
    assert labels.told(["yes"] * 10) == ()
    assert labels.told(["x" * 61, "y"] * 10) == ()
    assert labels.told(["", "y"] * 10) == ()


@given(st.lists(st.tuples(said, st.sampled_from(KINDS)), min_size=1, max_size=30))
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    answers, references = [a for a, _ in pairs], [r for _, r in pairs]
    known = [k for k in KINDS if k in {*answers, *references}]
    wanted = f1_score(references, answers, labels=known, average="macro", zero_division=0)
    assert float(labels.macro_f1(labels.counts(answers, references, KINDS).sum(0))) == pytest.approx(wanted)
    by_label = precision_recall_fscore_support(references, answers, labels=list(KINDS), zero_division=0)
    found = labels.scores(labels.table(answers, references, KINDS))
    for number, kind in enumerate(("precision", "recall", "f1")):
        assert [row[kind] for row in found] == pytest.approx(by_label[number].tolist())


def test_what_is_taken_for_what_is_told_most_frequent_first() -> None:
    answers, references = ["login", "Login", "?", "sync"], ["bill", "bill", "sync", "sync"]
    found = labels.table(answers, references, KINDS)
    assert found.confused == (("bill", "login", 2), ("sync", "", 1))
    assert (found.right.tolist(), found.said.tolist(), found.wanted.tolist()) == (
        [0, 0, 1],
        [0, 2, 1],
        [2, 0, 2],
    )


def test_the_interval_of_macro_f1_holds_the_truth() -> None:
    """Two models of known accuracy over three labels: 60 draws of 60 samples."""
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(60):
        wanted = generator.integers(0, 3, 60)
        sides = []
        for right in (0.5, 0.7):
            other = (wanted + generator.integers(1, 3, 60)) % 3
            sides.append(np.where(generator.random(60) < right, wanted, other))
        base, tuned = (
            labels.counts([KINDS[n] for n in side], [KINDS[n] for n in wanted], KINDS) for side in sides
        )
        paired = statistics.bounded(labels.macro_f1, base, tuned, *labels.bounds(base, tuned))
        found = statistics.compare(paired, seed=seed)
        held += found.low <= 0.2 <= found.high
    assert held >= 53  # of 57 that 95% would be
