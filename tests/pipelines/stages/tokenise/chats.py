"""Chat templates written after real models', and tokenizers that use them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Core
from transformers import PreTrainedTokenizerFast

from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.encoder import Engine
from headrace.pipelines.stages.tokenise.pretrained import SHIPPED
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer
from tests.builders import table

FOLDER = Path(__file__).parent / "templates"
TEMPLATES = {path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.jinja"))}
SPECIALS = {
    "chatml": ["<|im_start|>", "<|im_end|>"],
    "default_system": ["<|im_start|>", "<|im_end|>"],
    "llama3": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "gemma": ["<start_of_turn>", "<end_of_turn>"],
    "gemma_folds": ["<start_of_turn>", "<end_of_turn>"],
    "qwen3": ["<|im_start|>", "<|im_end|>"],
    "mistral": ["[INST]", "[/INST]"],
    "deepseek": ["<|User|>", "<|Assistant|>", "<|end|>"],
}

Make = Callable[..., Tokenizer]


def build(
    folder: Path, name: str, engine: Engine = "auto", template: str = "", specials: Sequence[Any] = ()
) -> Tokenizer:
    """The shipped vocabulary under a template; `<s>` and `</s>` special, `<think>` added but not special."""
    core = Core.from_file(str(SHIPPED / "tokenizer.json"))
    core.add_special_tokens(["<s>", "</s>", *SPECIALS.get(name, []), *specials])
    core.add_tokens([AddedToken(t, special=False) for t in ("<think>", "</think>")])
    fast = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    fast.chat_template = template or TEMPLATES[name]
    fast.save_pretrained(folder)
    return Tokenizer(str(folder), engine)


def tokens(
    chat: Tokenizer, *conversations: list[tuple[str, str]], loss: str = "assistant"
) -> list[dict[str, Any]]:
    """Samples of `conversations`, none of which may be marked."""
    config = tokenise.Config(max_length=4096)
    marked, samples = tokenise.apply(table(*conversations), config, chat, {"s": loss})
    assert marked["drop"].null_count == marked["error"].null_count == len(conversations), marked["detail"]
    found: list[dict[str, Any]] = samples.to_pylist()
    return found


def spans(chat: Tokenizer, sample: dict[str, Any]) -> list[str]:
    """Decoded runs of tokens that carry loss."""
    runs: list[list[int]] = [[]]
    for token, label in zip(sample["input_ids"], sample["labels"], strict=True):
        assert label in (-100, token)
        if label >= 0:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [chat.hf.decode(run, skip_special_tokens=False) for run in runs if run]


def native(chat: Tokenizer, conversation: list[tuple[str, str]]) -> list[int]:
    """Ids by Hugging Face's own way, strings of special tokens as text."""
    messages = [{"role": r, "content": c} for r, c in conversation]
    found = chat.hf.apply_chat_template(messages, tokenize=True, return_dict=False)
    return list(found)
