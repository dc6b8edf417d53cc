"""What is put into a prompt changes nothing of the sample that it is put into."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.evaluate.arms import prompts
from headrace.pipelines.evaluate.arms.prompts import Room
from headrace.pipelines.train.watch.samples import Sample
from tests.pipelines.evaluate.arms import chats

TOKENS = chats.tokenizer()


@given(st.integers(2, 20), st.integers(1, 10), st.integers(0, 15), st.data())
def test_tokens_and_targets_stay_as_they_were(
    before: int, answer: int, more: int, data: st.DataObject
) -> None:
    ids = np.arange(before + answer)
    sample = Sample(ids, np.where(ids < before, -100, ids), 3)
    at = data.draw(st.integers(0, before))
    found = prompts.with_more(sample, at, np.full(more, 99))
    assert found.ids.tolist() == [*range(at), *[99] * more, *range(at, before + answer)]
    assert found.labels[found.labels != -100].tolist() == list(range(before, before + answer))
    assert found.span() == (before + more, before + more + answer)
    assert found.row_id == 3


@given(st.integers(2, 20), st.integers(1, 10), st.integers(0, 15), st.integers(1, 10), st.integers(1, 60))
def test_what_fits_leaves_room_for_reference_and_answer(
    before: int, answer: int, more: int, longest: int, context: int
) -> None:
    ids = np.arange(before + answer)
    sample = Sample(ids, np.where(ids < before, -100, ids))
    fits = Room(context, longest).fits(sample, more)
    assert fits == (before + more + max(answer, longest) <= context)


def test_text_begins_behind_the_start_token() -> None:
    sample = chats.chat(TOKENS, "a", "b")
    assert prompts.start(sample, TOKENS) == 1
    assert prompts.start(Sample(sample.ids[1:], sample.labels[1:]), TOKENS) == 0
    without = chats.tokenizer()
    without.bos_token = None
    assert prompts.start(sample, without) == 0


def test_plain_text_has_no_prompt() -> None:
    ids = np.arange(5)
    assert not prompts.has_prompt(Sample(ids, ids))
    assert not prompts.has_prompt(Sample(ids, np.array([-100, 1, 2, 3, 4]))), "one token is the start token"
    assert prompts.has_prompt(Sample(ids, np.array([-100, -100, 2, 3, 4])))
