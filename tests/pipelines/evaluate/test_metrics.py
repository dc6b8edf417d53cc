"""Scores against known values."""

import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

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
    ("said", "answer"),
    [
        ("It is 4.", "It is 4."),
        ("<think>\n\n</think>\n\nIt is 4.", "It is 4."),
        ("<think>Two and two.</think>It is 4.", "It is 4."),
        ("Two and two.\n</think>\n\nIt is 4.", "It is 4."),
        ("<|channel|>analysis<|message|>Sum.<|end|><|start|>assistant<|channel|>final<|message|>4", "4"),
        ("[THINK]Sum.[/THINK]4", "4"),
        ("<seed:think>Sum.</seed:think>4", "4"),
        ("<think>Two and two and", ""),
        ("I think it is 4.", "I think it is 4."),
    ],
)
def test_reasoning_stands_apart_from_the_answer(said: str, answer: str) -> None:
    assert scores.apart(said)[1] == answer
