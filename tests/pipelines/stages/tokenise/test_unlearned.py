"""Answers from which nothing is to be learned: they stand in the conversation and carry no loss."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.pipelines import books, schema, structure
from headrace.pipelines.stages.read.mappers import mapper
from headrace.pipelines.stages.read.shapes import Columns, complete
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.config import Config
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer

SHOP = {"id": "c", "type": "function", "function": {"name": "shop", "arguments": {"n": 1}}}


def table_of(turns: list[tuple[str, str]]) -> pa.Table:
    """A row of these turns."""
    messages = [{"role": role, "content": content} for role, content in turns]
    row = {"row_id": 0, "n_records": 1, "source": "s", "file": "", "place": "", "messages": messages}
    return schema.from_rows([row])


def learned(turns: list[tuple[str, str]], loss: str = "assistant", **config: Any) -> tuple[list[str], int]:
    """What of a row carries loss, piece by piece, and how many turns its row says carry none."""
    tokenizer = Tokenizer()
    table, samples = tokenise.apply(table_of(turns), Config(**config), tokenizer, {"s": loss})
    found = []
    for sample in samples.to_pylist():
        labels = np.array(sample["labels"])
        edges = [0, *(np.flatnonzero(np.diff(labels == schema.IGNORE)) + 1).tolist(), len(labels)]
        for start, stop in pairwise(edges):
            if labels[start] != schema.IGNORE:
                found.append(tokenizer.decode(sample["input_ids"][start:stop]))
    return found, books.changed(schema.changes(table), {}).get("tokenise.unlearned", 0)


def read(turns: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return mapper("messages", complete("messages", Columns()))({"messages": turns})


def said(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """Two questions with their answers, and more keys of these."""
    turns = []
    for asked, answer, keys in zip(("One?", "Two?"), ("First.", "Second."), more, strict=True):
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer, **keys}]
    return turns


@pytest.mark.parametrize("keys", [{"weight": 0}, {"weight": 0.0}, {"loss": False}, {"train": False}])
def test_an_answer_that_is_not_to_be_learned_carries_no_loss(keys: dict[str, Any]) -> None:
    turns = read(said(keys, {"weight": 1, "loss": True}))
    assert [structure.text(content) for _, content in turns] == ["One?", "First.", "Two?", "Second."]
    assert learned(turns) == (["Second.<|im_end|>"], 1)
    all_of_it, _ = learned(turns, loss="all")
    assert all_of_it == ["One?<|im_end|>", "Two?<|im_end|>", "Second.<|im_end|>"]


@pytest.mark.parametrize("keys", [{}, {"weight": None}, {"weight": 1}, {"loss": True}, {"train": None}])
def test_any_other_answer_does(keys: dict[str, Any]) -> None:
    turns = read(said(keys, {}))
    assert turns == read(said({}, {}))
    assert learned(turns) == (["First.<|im_end|>", "Second.<|im_end|>"], 0)


def test_what_a_user_says_has_no_weight() -> None:
    turns = said({}, {})
    turns[0]["weight"] = 0
    assert read(turns) == read(said({}, {}))


def test_the_last_answer_alone() -> None:
    turns = read([*said({}, {}), {"role": "user", "content": "Three?"}])
    assert learned(turns, loss="last") == (["Second.<|im_end|>"], 0)
    assert learned(turns[:2], loss="last") == (["First.<|im_end|>"], 0)
    assert learned(read(said({}, {"weight": 0})), loss="last") == ([], 1)
    assert learned([("text", "Plain text.")], loss="last") == learned([("text", "Plain text.")])


def test_the_last_answer_keeps_what_fits_before_it() -> None:
    turns = [("system", "Be kind.")]
    for n in range(6):
        turns += [("user", f"Question {n}?"), ("assistant", f"Answer {n}.")]
    tokenizer = Tokenizer()
    _, whole = tokenise.apply(table_of(turns), Config(), tokenizer, {"s": "last"})
    size = len(whole["input_ids"][0])
    config = Config(max_length=size * 2 // 3, overlong="split")
    table, samples = tokenise.apply(table_of(turns), config, tokenizer, {"s": "last"})
    said = tokenizer.decode(samples["input_ids"][0].as_py())
    assert samples.num_rows == 1
    assert "Be kind." in said
    assert [n for n in range(6) if f"Answer {n}." in said] == [3, 4, 5]
    assert learned(turns, loss="last", max_length=size * 2 // 3, overlong="split")[0] == [
        "Answer 5.<|im_end|>"
    ]
    assert table["shortened"].to_pylist() == [True]
    assert len(learned(turns, max_length=size * 2 // 3, overlong="split")[0]) == 6


def test_answers_before_the_last_are_counted_as_such() -> None:
    rows = [*read(said({}, {})), *read(said({}, {}))]
    table, _ = tokenise.apply(table_of(rows), Config(), Tokenizer(), {"s": "last"})
    assert books.changed(schema.changes(table), {}) == {"tokenise.earlier": 3}


def test_a_row_without_anything_to_learn_gives_no_sample() -> None:
    turns = read(said({"weight": 0}, {"weight": 0}))
    table, samples = tokenise.apply(table_of(turns), Config(), Tokenizer(), {})
    assert (table["drop"].to_pylist(), samples.num_rows) == (["tokenise.no_target"], 0)


def test_a_call_that_is_not_to_be_learned_stays_a_call() -> None:
    turns = read(said({"tool_calls": [SHOP], "weight": 0}, {}))
    assert structure.unsealed(*turns[1])[1] == {"tool_calls": [SHOP], "learned": False}


def test_a_long_row_is_split_between_exchanges_and_its_pieces_keep_what_is_learned() -> None:
    turns = read(said({"weight": 0}, {}) + said({}, {"weight": 0}))
    pieces, told = learned(turns, max_length=24, overlong="split")
    assert (pieces, told) == (["Second.<|im_end|>", "First.<|im_end|>"], 2)
