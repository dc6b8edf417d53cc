"""Verification: both parts must be alike, short parts equal, whatever the candidates say."""

import numpy as np
import pyarrow as pa
import pytest

from headrace import kernels
from headrace.pipelines.stages.dedup import in_memory, results, verify
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from tests import builders

PROMPT = "Summarise the following report on the harvest of apples in the northern valleys, please."
ANSWER = "Apples did well in the north this year, as spring came early and the frost stayed away."
OTHER = "Nothing of what was planned has come to pass; the committee will meet again in December."


def similarity(left: list[tuple[str, str]], right: list[tuple[str, str]], *, min_features: int = 32) -> float:
    """How similar two rows are that may replace each other."""
    found = measured(left, right, min_features)
    assert not found.alike[0]
    return float(found.similarity[0])


def alike(left: list[tuple[str, str]], right: list[tuple[str, str]]) -> float:
    """How similar two rows are that are alike but both stay."""
    found = measured(left, right, 32)
    assert found.alike[0]
    return float(found.similarity[0])


def measured(left: list[tuple[str, str]], right: list[tuple[str, str]], min_features: int) -> verify.Measured:
    table: pa.Table = fingerprint.apply(builders.table(left, right), fingerprint.Config())
    pairs = np.array([[0, 1]])
    return verify.similarities(table, pairs, min_features=min_features, ngram=8)


def turn(prompt: str, answer: str) -> list[tuple[str, str]]:
    return [("user", prompt), ("assistant", answer)]


def test_same_prompt_with_another_answer_is_no_duplicate() -> None:
    assert similarity(turn(PROMPT, ANSWER), turn(PROMPT, OTHER)) < 0.2
    assert similarity(turn(PROMPT, ANSWER), turn(OTHER, ANSWER)) < 0.2
    assert similarity(turn(PROMPT, "Yes."), turn(PROMPT, "No.")) == 0


def test_the_lower_part_counts() -> None:
    near = ANSWER.replace("spring", "summer")
    folded = [text + " " for text in kernels.fold([ANSWER, near]).to_pylist()]
    expected = kernels.jaccard(folded, [[0, 1]])[0]
    assert similarity(turn(PROMPT, ANSWER), turn(PROMPT.upper(), near)) == pytest.approx(expected)


def test_short_parts_are_equal_or_not() -> None:
    assert similarity(turn(PROMPT, "It is 3.5"), turn(PROMPT, "it  is 3.5")) == 1
    assert similarity(turn(PROMPT, "It is 3.5"), turn(PROMPT, "It is 35")) == 0
    assert similarity([("text", "Hello there")], [("text", "hello there")]) == 1


def test_beside_a_short_equal_part_differences_count_more() -> None:
    other = PROMPT.replace("apples", "plums")
    folded = [text + " " for text in kernels.fold([PROMPT, other]).to_pylist()]
    expected = kernels.jaccard(folded, [[0, 1]])[0]
    assert 0.5 < expected < 0.9
    # The same short prompt: answers may differ, but half as much. The same short answer: both questions stay.
    assert similarity(turn("Go on.", PROMPT), turn("Go on.", other)) == pytest.approx(2 * expected - 1)
    assert alike(turn(PROMPT, "True."), turn(other, "True.")) == pytest.approx(2 * expected - 1)
    # An answer that says something: that it is the same leaves no doubt that the questions are.
    said = "The nearest free table is the one below the old lime tree in the yard."
    assert similarity(turn(PROMPT, said), turn(other, said), min_features=72) == pytest.approx(
        2 * expected - 1
    )
    # An empty part is no part: a prompt alone, or an answer alone, is compared as it is.
    assert similarity([("user", PROMPT)], [("user", other)]) == pytest.approx(expected)
    assert similarity(turn(PROMPT, "True."), turn(PROMPT.upper(), "true.")) == 1


def test_another_question_about_one_passage_with_the_same_answer_stays() -> None:
    passage = " ".join(f"In year {year} the harvest came to {year * 7 % 90} tons." for year in range(40))
    questions = [f"{passage} {question}" for question in ("Who ordered warmer water?", "Whose cup is empty?")]
    folded = [text + " " for text in kernels.fold(questions).to_pylist()]
    assert kernels.jaccard(folded, [[0, 1]])[0] > 0.9
    assert alike(turn(questions[0], "Steve"), turn(questions[1], "Steve")) > 0.8


def test_a_short_part_is_not_alike_to_a_long_one() -> None:
    assert similarity(turn(PROMPT, ANSWER), [("assistant", ANSWER)]) == 0
    assert similarity(turn(PROMPT * 5, ANSWER), [("assistant", ANSWER)]) == 0  # a long part has no key


def test_the_minimum_is_the_callers() -> None:
    near = ANSWER.replace("spring", "summer")
    assert 0 < similarity([("text", ANSWER)], [("text", near)]) < 1
    assert similarity([("text", ANSWER)], [("text", near)], min_features=200) == 0


def test_distances_count_bits() -> None:
    simhash = np.array([0, 2**64 - 1, 2**63 + 1], np.uint64)
    assert verify.distances(simhash, np.array([[0, 1], [0, 2], [1, 2]])).tolist() == [64, 2, 62]


WORKED = "First the crates that came in are counted, then those that were sold are taken away again. " * 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{WORKED}#### 23", f"{WORKED}#### 31"),
        (f"{WORKED}The answer is 23.", f"{WORKED}The answer is 31."),
        (f"{WORKED}So 23 crates are left.", f"{WORKED}So 31 crates are left."),
        (f"Yes. {WORKED}", f"No. {WORKED}"),
        (f"{WORKED}They were sold.", f"{WORKED}They were not sold."),
        (
            f"def left(a, b):\n    # {WORKED}\n    return a - b\n",
            f"def left(a, b):\n    # {WORKED}\n    return a + b\n",
        ),
        (f'{{"note": "{WORKED}", "kind": "pear"}}', f'{{"note": "{WORKED}", "kind": "plum"}}'),
    ],
)
def test_answers_that_come_to_another_result_are_no_duplicates(one: str, other: str) -> None:
    assert alike(turn(PROMPT, one), turn(PROMPT, other)) > 0.8
    assert similarity(turn(PROMPT, one), turn(PROMPT, one)) == 1
    # A text that answers nothing has no result.
    assert similarity([("text", one)], [("text", other)]) > 0.8


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{WORKED}#### 1,000", f"{WORKED}#### 1000.0"),
        (f"{WORKED}I hope that this is of help.", f"{WORKED}Hope that this is of help!"),
        (f"{WORKED}So 23 crates are left.", f"{WORKED}So 23 crates are left now."),
    ],
)
def test_the_same_result_in_other_words_is_a_duplicate(one: str, other: str) -> None:
    assert similarity(turn(PROMPT, one), turn(PROMPT, other)) > 0.8


def test_each_turn_has_a_result() -> None:
    def talk(first: int, last: int) -> list[tuple[str, str]]:
        said = [f"{WORKED}So {n} crates are left." for n in (first, last)]
        return [("user", PROMPT), ("assistant", said[0]), ("user", "And now?"), ("assistant", said[1])]

    assert alike(talk(23, 31), talk(24, 31)) > 0.8
    assert alike(talk(23, 31), talk(23, 30)) > 0.8
    assert similarity(talk(23, 31), talk(23, 31)) == 1


def test_of_equal_turns_no_result_is_asked() -> None:
    asked: list[str] = []

    def of(text: str) -> results.Result:
        asked.append(text)
        return results.of(text)

    assert not results.differ(["It is 5.", "It is 6."], ["It is 5.", "It is 6."], of)
    assert asked == []
    assert results.differ(["It is 5.", "It is 6."], ["It is 5.", "It is 7."], of)
    assert asked == ["It is 6.", "It is 7."]


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        ("Two and two. #### 4", "4"),
        (r"So \boxed{17}", "17"),
        ("THE ANSWER IS: 12.", "12"),
        ("The an\u017fwer is 12", "12"),  # a long s, which is an s whatever the case
        ("Nothing is marked here", None),
    ],
)
def test_what_is_marked_is_found_in_any_case(answer: str, final: str | None) -> None:
    assert results.marked(answer) == final


def test_a_conversation_that_goes_on_is_another_row_where_the_last_answer_is_learned() -> None:
    def talk(turns: int) -> list[tuple[str, str]]:
        said = [builders.story(at, 30) for at in range(turns)]
        return [("user" if at % 2 == 0 else "assistant", text) for at, text in enumerate(said)]

    shorter, longer = talk(20), talk(22)
    rows = fingerprint.apply(
        builders.table(shorter, longer, shorter[:-1] + longer[-1:]), fingerprint.Config()
    )
    pairs, how = np.array([[0, 1], [1, 2]]), {"min_features": 32, "ngram": 8}
    found = verify.similarities(rows, pairs, **how)
    assert (found.similarity >= 0.8).all()
    assert not found.alike.any()
    assert verify.similarities(rows, pairs, **how, last=np.array([True, False, False])).alike.tolist() == [
        True,
        False,
    ]
    assert verify.similarities(rows, pairs, **how, last=np.ones(3, np.bool_)).alike.tolist() == [True, False]
    assert not verify.similarities(rows, pairs, **how, last=np.zeros(3, np.bool_)).alike.any()
    assert in_memory.removed(rows, Config())["removed"].to_pylist() == [0, 2]
    assert in_memory.removed(rows, Config(), ["s"])["removed"].to_pylist() == [2]
