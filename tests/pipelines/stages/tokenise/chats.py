"""Chat templates written after real models', and tokenizers that use them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Core
from transformers import PreTrainedTokenizerFast

from headrace.pipelines.stages.tokenise.encoder import Engine
from headrace.pipelines.stages.tokenise.tokenizer import SHIPPED, Tokenizer

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
