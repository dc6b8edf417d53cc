"""Conversations as packed samples, by a tokenizer that has a token a byte and a chat template."""

from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headrace.pipelines.train.watch.samples import Sample

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<turn>' + message['role'] + '\\n' + message['content'] + '<end>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn>assistant\\n' }}{% endif %}"
)
START = "<turn>assistant\n"


def tokenizer(template: str | None = TEMPLATE) -> Any:
    """A byte a token, and the marks of turns."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="<end>")
    made.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    made.chat_template = template
    return made


def ids(tokens: Any, text: str) -> list[int]:
    return list(tokens(text, add_special_tokens=False).input_ids)


def chat(tokens: Any, *turns: str, system: str = "", row_id: int = 0) -> Sample:
    """A conversation of user and assistant by turns, with loss on what the assistant says."""
    roles = ("user", "assistant")
    said = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    said = [{"role": "system", "content": system}, *said] if system else said
    whole = str(tokens.apply_chat_template(said, tokenize=False))
    found: list[int] = []
    labels: list[int] = []
    for number, part in enumerate(whole.split(START)):
        answer, mark, rest = part.partition("<end>\n") if number else ("", "", part)
        for text, learned in ((START if number else "", False), (answer, True), (mark[:-1], True)):
            found += ids(tokens, text)
            labels += ids(tokens, text) if learned else [-100] * len(ids(tokens, text))
        behind = mark[-1:] + rest
        found += ids(tokens, behind)
        labels += [-100] * len(ids(tokens, behind))
    assert tokens.decode(found) == whole
    return Sample(np.array(found), np.array(labels), row_id)


def plain(tokens: Any, prompt: str, answer: str, row_id: int = 0) -> Sample:
    """A prompt and its answer without turns, behind the start token."""
    before, after = [tokens.bos_token_id, *ids(tokens, prompt)], [*ids(tokens, answer), tokens.eos_token_id]
    return Sample(np.array(before + after), np.array([-100] * len(before) + after), row_id)


def text(tokens: Any, sample: Sample) -> str:
    return str(tokens.decode(sample.ids))
