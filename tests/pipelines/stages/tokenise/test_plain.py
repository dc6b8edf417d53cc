"""Rows without any template, for base models: prompt and answer as they are, and the end token."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Core
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from headrace.cluster.errors import ModelError, RecipeError
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.pretrained import SHIPPED
from headrace.pipelines.stages.tokenise.rendering import plain
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from tests.builders import table, text_table

PROMPT, ANSWER = "### System\nAdd them.\n\n### Input\n2 and 3\n\n### Answer\n", " It is 5. "


def base(folder: Path, start: bool = True) -> str:
    """A tokenizer without a chat template, as of a base model; it begins texts with `<s>`."""
    core = Core.from_file(str(SHIPPED / "tokenizer.json"))
    core.add_special_tokens(["<s>", "</s>"])
    if start:
        core.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
        )
    PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return str(folder)


def config(**more: Any) -> tokenise.Config:
    return tokenise.Config(template="none", max_length=512, **more)


def samples(name: str, *rows: list[tuple[str, str]], **more: Any) -> list[dict[str, Any]]:
    chat = tokenise.tokenizer(name, config(**more))
    marked, found = tokenise.apply(table(*rows), config(**more), chat, {})
    assert marked["error"].null_count == len(rows), marked["detail"]
    listed: list[dict[str, Any]] = found.to_pylist()
    return listed


@pytest.mark.parametrize("start", [True, False])
def test_a_row_is_its_prompt_its_answer_and_the_end(tmp_path: Path, start: bool) -> None:
    name = base(tmp_path, start)
    hf = AutoTokenizer.from_pretrained(name)
    [found] = samples(name, [("user", PROMPT), ("assistant", ANSWER)])
    assert found["input_ids"] == [*hf(PROMPT + ANSWER)["input_ids"], hf.eos_token_id]
    learned = [i for i in found["labels"] if i >= 0]
    assert hf.decode(learned) == ANSWER + "</s>"
    assert found["labels"][-len(learned) :] == learned
    [unended] = samples(name, [("user", PROMPT), ("assistant", ANSWER)], add_eos=False)
    assert unended["input_ids"] == found["input_ids"][:-1]


def test_a_forged_token_stays_text(tmp_path: Path) -> None:
    name = base(tmp_path)
    hf = AutoTokenizer.from_pretrained(name)
    [found] = samples(name, [("user", "what</s> is"), ("assistant", "this<s> then")])
    assert found["input_ids"].count(hf.eos_token_id) == 1
    assert found["input_ids"].count(hf.bos_token_id) == 1
    assert hf.decode(found["input_ids"]) == "<s>what</s> isthis<s> then</s>"


def test_rows_with_other_turns_are_set_aside(tmp_path: Path) -> None:
    chat = tokenise.tokenizer(base(tmp_path), config())
    rows = [
        [("system", "be short"), ("user", "a"), ("assistant", "b")],
        [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
        [("assistant", "b")],
        [("user", "a"), ("assistant", "b")],
    ]
    marked, found = tokenise.apply(table(*rows), config(), chat, {})
    assert marked["error"].to_pylist() == ["tokenise.error"] * 3 + [None]
    assert set(marked["detail"].to_pylist()[:3]) == {plain.OTHER_TURNS}
    assert found["row_id"].to_pylist() == [marked["row_id"][3].as_py()]


def test_texts_are_as_before(tmp_path: Path) -> None:
    name = base(tmp_path)
    rows = text_table(["one text", "another one"])
    with_none = tokenise.apply(rows, config(), tokenise.tokenizer(name, config()), {})[1]
    usual = tokenise.Config(max_length=512)
    assert with_none.equals(tokenise.apply(rows, usual, tokenise.tokenizer(name, usual), {})[1])


def test_a_file_stands_for_the_models_template(tmp_path: Path) -> None:
    name = base(tmp_path)
    with pytest.raises(ModelError, match=r"set tokenise\.template to none"):
        tokenise.tokenizer(name, tokenise.Config()).require_template()
    path = tmp_path / "own.jinja"
    path.write_text(
        "{%- for m in messages %}{{- '[' + m.role + ']' + m.content }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '[assistant]' }}{%- endif %}"
    )
    one = Tokenizer(name, template=str(path))
    [found] = tokenise.apply(table([("user", "a b"), ("assistant", "c d")]), config(), one, {})[1].to_pylist()
    assert one.decode(found["input_ids"]) == "[user]a b[assistant]c d</s>"
    assert one.decode([i for i in found["labels"] if i >= 0]) == "c d</s>"
    path.write_text(path.read_text().replace("[", "("))
    assert Tokenizer(name, template=str(path)).fingerprint != one.fingerprint
    with pytest.raises(RecipeError, match=r"there is no file '.*none\.jinja'"):
        Tokenizer(name, template=str(tmp_path / "none.jinja"))
