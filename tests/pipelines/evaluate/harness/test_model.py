"""Requests of lm-evaluation-harness as the loaded models are asked them; the harness itself stands in."""

import importlib
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.pipelines.evaluate.arms.both import Loaded
from headrace.pipelines.train.watch.samples import Sample
from tests.pipelines import toys

ROOM = 8


class Base:
    """What the harness' own class brings: nothing that is asked here."""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any]]:
    """A model with room for eight tokens, and what it was asked."""
    utils = SimpleNamespace(
        get_rolling_token_windows=lambda token_list, prefix_token, max_seq_len, context_len: [
            ([prefix_token], token_list[at : at + max_seq_len])
            for at in range(0, len(token_list), max_seq_len)
        ],
        make_disjoint_window=lambda pair: pair,
    )
    for name, more in {
        "lm_eval": {"utils": utils},
        "lm_eval.api": {},
        "lm_eval.api.model": {"TemplateLM": Base},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(more)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "headrace.pipelines.evaluate.harness.model", raising=False)
    made = importlib.import_module("headrace.pipelines.evaluate.harness.model")
    monkeypatch.delitem(sys.modules, "headrace.pipelines.evaluate.harness.model")
    asked: list[Any] = []

    def forced(what: str, some: list[Sample]) -> NDArray[np.float64]:
        """A nat a target; all are right where there are fewer than three."""
        counts = [int((sample.labels != -100).sum()) for sample in some]
        asked.append((what, [sample.ids.tolist() for sample in some], counts))
        return np.array([[n, n, n if n < 3 else n - 1] for n in counts], np.float64)

    def said(what: str, prompts: list[NDArray[np.int64]], most: int) -> tuple[list[str], list[bool]]:
        asked.append((what, [ids.tolist() for ids in prompts], most))
        return ["it is a tree ? it is" for _ in prompts], [True] * len(prompts)

    both = Loaded(toys.tokenizer(), ROOM, forced, said, nullcontext, nullcontext, lambda *_: (1.0, 1.0))  # type: ignore[arg-type]
    return made.Model(both, "{{ messages[0].content }} it"), asked


def ids(text: str) -> list[int]:
    return [toys.WORDS.index(word) for word in text.split()]


def request(*arguments: Any) -> SimpleNamespace:
    return SimpleNamespace(args=arguments)


def test_a_continuation_costs_what_it_costs_behind_its_context(model: tuple[Any, list[Any]]) -> None:
    one, asked = model
    pairs = [
        (("", ""), ids("what is"), ids("a tree")),
        (("", ""), ids("what is a"), ids("it is a tree ? it")),
    ]
    assert one._loglikelihood_tokens(pairs) == [(-2.0, True), (-6.0, False)]
    whole = ids("what is a it is a tree ? it")
    assert asked == [("harness_continuations", [ids("what is a tree"), whole[-ROOM:]], [2, 6])]
    assert one.cut == 1, "the second has nine tokens"


def test_answers_end_where_their_task_says(model: tuple[Any, list[Any]]) -> None:
    one, asked = model
    given = [
        request("what is a oak ?", {"until": ["?"], "max_gen_toks": 2}),
        request("a " * 9, {"until": "a", "max_gen_toks": 2}),
        request("it", {"max_gen_toks": 3}),
    ]
    assert one.generate_until(given) == ["it is a tree ", "it is ", "it is a tree ? it is"]
    assert asked == [
        ("harness_answers_2", [ids("what is a oak ?"), ids("a " * 6)], 2),
        ("harness_answers_3", [ids("it")], 3),
    ]
    assert one.cut == 1


def test_a_long_text_is_read_in_windows(model: tuple[Any, list[Any]]) -> None:
    one, asked = model
    assert one.loglikelihood_rolling([request("a " * 10), request("it is")]) == [-10.0, -2.0]
    assert asked[0][0] == "harness_texts"
    assert asked[0][2] == [7, 3, 2]
    assert all(window[0] == toys.END for window in asked[0][1]), "what nothing stands before"


def test_texts_begin_as_the_tokenizer_has_it(model: tuple[Any, list[Any]]) -> None:
    one, _ = model
    assert one.tok_encode("what is") == one.tok_encode("what is", add_special_tokens=False) == ids("what is")
    assert (one.eot_token_id, one.prefix_token_id, one.tokenizer_name) == (toys.END, toys.END, "")
    one._first = [toys.END]
    assert one.tok_encode("what is") == [toys.END, *ids("what is")]
    assert one.tok_encode("<end> what") == [toys.END, *ids("what")]
    assert one.tok_encode("what", add_special_tokens=False) == ids("what")
    assert one.apply_chat_template([{"role": "user", "content": "a oak"}]) == "a oak it"
