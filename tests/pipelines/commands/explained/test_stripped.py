"""What `explain` says of the reasoning in a row."""

from typing import Any

import pytest

from headrace.pipelines.commands.explained import stripped
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from tests.pipelines.stages.tokenise import zoo
from tests.pipelines.stages.tokenise.zoo import FAMILIES

ASK = {"role": "user", "content": "ask"}
MUSED = {"role": "assistant", "content": "<think>\nmuse  1\n</think>\n\nsay 1"}
EMPTY = {"role": "assistant", "content": "<think>\n\n</think>\n\nsay 2"}
OTHER = {"role": "assistant", "content": "<thinking>muse 3</thinking>say 3"}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return zoo.build(tmp_path_factory.mktemp("zoo"), FAMILIES["qwen3"])


def lines(
    chat: Tokenizer, monkeypatch: pytest.MonkeyPatch, messages: list[dict[str, Any]], **reasoning: str
) -> list[str]:
    monkeypatch.setattr(tokenise, "tokenizer", lambda *_: chat)
    data = {"output": "x", "sources": [{"path": "x"}], "tokenise": {"reasoning": reasoning}}
    return [line.text for line in stripped.lines(Recipe.model_validate(data), messages)]


def test_what_the_template_strips_is_shown_with_what_becomes_of_it(
    qwen: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = [ASK, MUSED, ASK, EMPTY, ASK, OTHER]
    strips = "  turn 2: the chat template strips 6 characters of reasoning ('muse 1'): "
    empty = "  turn 4: the chat template strips its empty block of reasoning"
    put_back = "put back, and learned; later turns are learned behind it (tokenise.reasoning: keep)"
    assert lines(qwen, monkeypatch, row) == [strips + put_back, empty]
    by_turn = lines(qwen, monkeypatch, row, earlier="by_turn", style="own")
    assert by_turn == [
        "  turn 6: reasoning in <thinking> gets the model's own form",
        f"{strips}learned in a sample that ends with this turn, and not there in those of later turns "
        "(tokenise.reasoning: by_turn)",
        empty,
    ]
    assert lines(qwen, monkeypatch, row, earlier="as_template")[0].startswith(f"{strips}not learned")


def test_a_row_without_reasoning_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    row = [ASK, {"role": "assistant", "content": "a `<think>` opens it"}]
    assert lines(None, monkeypatch, row) == []  # type: ignore[arg-type]
    assert lines(None, monkeypatch, [{"role": "text", "content": MUSED["content"]}]) == []  # type: ignore[arg-type]
