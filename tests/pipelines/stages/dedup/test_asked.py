"""What rows ask themselves decides whether they are alike, not what many share beside it."""

import numpy as np
import pyarrow as pa
import pytest

from headrace import kernels
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import against, asked, in_memory, verify
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from tests import builders

Turns = list[tuple[str, str]]
# Lines of a long preamble; each of its own words.
PREAMBLE = [builders.story(9_000 + k, 40) for k in range(6)]
STOCK = "Thank you for writing to us. A colleague will look at this within two days and come back to you."
COUNT = 40


def table(rows: list[Turns]) -> pa.Table:
    found: pa.Table = fingerprint.apply(builders.table(*rows), fingerprint.Config())
    return found


def removed(rows: list[Turns]) -> list[int]:
    return [int(row) for row in in_memory.removed(table(rows), Config())["removed"].to_pylist()]


def question(seed: int) -> str:
    return builders.story(seed, 9)


def dressed(dress: str, at: int, said: str, answer: str) -> Turns:
    """A question under a preamble: a system turn, one that names somebody, or lines before it in its turn."""
    if dress == "system":
        return [("system", " ".join(PREAMBLE)), ("user", said), ("assistant", answer)]
    if dress == "named":
        return [
            ("system", f"The customer is number {at}. " + " ".join(PREAMBLE)),
            ("user", said),
            ("assistant", answer),
        ]
    return [("user", "\n".join([*PREAMBLE, said])), ("assistant", answer)]


DRESSES = pytest.mark.parametrize("dress", ["system", "named", "turn"])


@DRESSES
def test_different_questions_with_a_stock_answer_stay(dress: str) -> None:
    assert removed([dressed(dress, at, question(at), STOCK) for at in range(COUNT)]) == []


@DRESSES
def test_different_questions_with_one_label_are_not_even_alike(dress: str) -> None:
    rows = table([dressed(dress, at, question(at), "true") for at in range(COUNT)])
    _, matches = in_memory.matched(rows, Config())
    assert not (matches.similarity >= 0.7).any()


@DRESSES
def test_questions_of_a_word_are_questions(dress: str) -> None:
    rows = table([dressed(dress, at, f"w{at}", "true") for at in range(COUNT)])
    _, matches = in_memory.matched(rows, Config())
    assert not (matches.similarity >= 0.7).any()


@DRESSES
def test_the_same_question_goes(dress: str) -> None:
    rows = [dressed(dress, at, question(at), STOCK) for at in range(COUNT)]
    again = dressed(dress, COUNT, question(3), STOCK)
    assert len(removed([*rows, again])) == 1


@DRESSES
def test_a_reworded_question_with_its_own_answer_goes(dress: str) -> None:
    answers = [builders.story(5_000 + at, 25) for at in range(COUNT)]
    rows = [dressed(dress, at, question(at), answers[at]) for at in range(COUNT)]
    again = dressed(dress, COUNT, f"please: {question(3)}", answers[3])
    gone = removed([*rows, again])
    assert gone in ([3], [COUNT])


def test_without_a_preamble_nothing_is_left_out() -> None:
    found = asked.of(table([[("user", question(1)), ("assistant", "yes")], [("assistant", "no")]]), 8)
    assert found.shortened.tolist() == [False, False]
    assert found.share.tolist() == [1.0, 0.0]


def test_a_system_turn_alone_is_what_is_asked() -> None:
    alone = [[("system", PREAMBLE[0]), ("assistant", STOCK)] for _ in range(9)]
    assert not asked.of(table(alone), 8).shortened.any()


def test_what_is_left_is_counted_as_a_prompt_is() -> None:
    rows = [dressed("system", at, question(at), STOCK) for at in range(COUNT)]
    plain = table([turns[1:] for turns in rows])
    found = asked.of(table(rows), 8)
    assert found.shortened.all()
    # A message ends with a space in the fingerprint, so that it has one window more.
    assert (found.features + 1).tolist() == plain["prompt_features"].to_pylist()
    words = np.array([len(question(at).split()) for at in range(COUNT)])
    assert found.share == pytest.approx(words / (words + 240))


def test_against_a_sketch_the_difference_counts_for_what_is_asked() -> None:
    ours = table([dressed("system", at, question(at), STOCK) for at in range(COUNT)])
    theirs = table([dressed("system", 99, question(99), STOCK), dressed("system", 3, question(3), STOCK)])
    sketches = theirs
    for name, column in zip(fingerprint.PARTS, bottoms(theirs), strict=True):
        sketches = sketches.append_column(f"{name}_bottom", column)
    pairs = np.array([[0, 3], [1, 3]])
    found = verify.estimates(ours, sketches, pairs, min_features=160, ngram=8, k=against.K)
    assert found.similarity[0] < 0.5
    assert found.similarity[1] == 1


def bottoms(rows: pa.Table) -> list[pa.Array]:
    """Sketches of prompts and of answers."""
    both = fingerprint.parts(*schema.contents(rows), rows.num_rows).both
    offsets, values = kernels.bottom_sketches(both, k=against.K, ngram=8)
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))
    return [lists.take(pa.array(np.arange(part, len(lists), 2))) for part in range(2)]
