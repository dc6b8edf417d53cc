"""Scores against known values."""

import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from headrace.pipelines.evaluate import metrics as scores

words = st.text("abc de", max_size=30)


def test_exact_match_folds_case_width_and_space_and_nothing_else() -> None:
    answers = ["  The  Answer\n", "ＡＢＣ", "-3", "yes.", ""]
    references = ["the answer", "abc", "3", "yes", ""]
    assert list(scores.exact_match(answers, references)) == [1, 1, 0, 0, 1]


def test_rouge_of_known_pairs() -> None:
    found = scores.rouge(
        ["the cat sat on the mat", "a b c d", ""], ["the cat was on the mat", "d c b a", "x"]
    )
    assert found["rouge1"] == pytest.approx([5 / 6, 1.0, 0.0])
    assert found["rougeL"] == pytest.approx([5 / 6, 0.25, 0.0])


def test_rouge_counts_words_of_any_script() -> None:
    answers = ["привет мир", "我喜欢猫", "Straße heiß"]
    references = ["привет друг", "我喜欢狗", "STRASSE HEISS"]
    assert scores.rouge(answers, references)["rouge1"] == pytest.approx([0.5, 0.75, 1.0])


@settings(max_examples=30)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=6))
def test_bleu_of_summed_counts_is_sacrebleu_of_the_corpus(pairs: list[tuple[str, str]]) -> None:
    answers, references = [a for a, _ in pairs], [r for _, r in pairs]
    summed = scores.bleu(scores.bleu_counts(answers, references).sum(0))
    assert float(summed) == pytest.approx(sacrebleu.corpus_bleu(answers, [references]).score)


def test_bleu_of_a_known_corpus() -> None:
    answers = ["the quick brown fox jumps over the lazy dog", "it is a guide to action"]
    counts = scores.bleu_counts(answers, answers)
    assert counts.shape == (2, 10)
    assert float(scores.bleu(counts.sum(0))) == pytest.approx(100.0)


def test_perplexity_is_exp_of_nats_a_token() -> None:
    assert float(scores.perplexity(np.array([10 * math.log(7), 10.0]))) == pytest.approx(7)
    assert np.isinf(scores.perplexity(np.array([1e6, 1.0])))


@pytest.mark.parametrize(
    ("folds", "answer", "reference", "same"),
    [
        ((), "1,200", "1200", False),
        (("numbers",), "It is 1,200.50!", "it is 1200.5!", True),
        (("numbers",), "+3", "3", True),
        (("numbers",), "-3", "3", False),
        (("numbers",), "1,2", "12", False),  # a list of two
        (("numbers",), "v1.20", "v1.2", False),  # no number of its own
        (("units",), "$1,200", "1200 dollars", True),
        (("units",), "12 km/h", "12", True),
        (("units",), "12 %", "12", True),
        (("units",), "12 of 13", "12 of 14", False),
        (("articles",), "the answer", "an answer", True),
        (("punctuation",), "Yes, it is -1.5.", "yes it is -1.5", True),
        (("punctuation",), "-1.5", "1.5", False),
    ],
)
def test_numbers_and_units_are_folded_where_that_is_asked(
    folds: tuple[scores.Fold, ...], answer: str, reference: str, same: bool
) -> None:
    assert scores.exact_match([answer], [reference], folds).tolist() == [float(same)]


def test_words_that_are_shared_count_as_often_as_they_stand() -> None:
    found = scores.token_f1(["a b b", "", "x", ""], ["b b c", "", "y", "z"])
    assert found.tolist() == pytest.approx([2 / 3, 1.0, 0.0, 0.0])


def test_chrf_and_meteor_are_those_of_their_libraries() -> None:
    said, wanted = ["the cats sat", "nothing alike", ""], ["the cat sat down", "else", "word"]
    chrf = [sacrebleu.sentence_chrf(a, [r]).score / 100 for a, r in zip(said, wanted, strict=True)]
    assert scores.chrf(said, wanted).tolist() == pytest.approx(chrf)
    # Three of four words match, one by its stem, in one chunk.
    precision, recall = 3 / 3, 3 / 4
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    assert scores.meteor(said, wanted).tolist() == pytest.approx([mean * (1 - 0.5 * (1 / 3) ** 3), 0, 0])


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_longest_subsequence_is_the_longest(first: list[str], second: list[str]) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert scores.subsequence(first, second) == table[-1][-1]


@given(words, words)
def test_rouge_l_is_that_of_rouge_score(answer: str, reference: str) -> None:
    scorer = RougeScorer(["rougeL"], tokenizer=scores._Words())
    wanted = scorer.score(reference, answer)["rougeL"].fmeasure
    assert scores.rouge([answer], [reference])["rougeL"].tolist() == [wanted]


def test_answers_of_thousands_of_words_are_scored() -> None:
    answer = " ".join(f"word{at % 700}" for at in range(5000))
    found = scores.rouge([answer], [f"{answer} and one more"])
    assert found["rougeL"].tolist() == pytest.approx([2 * 5000 / 10003])
