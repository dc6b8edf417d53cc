"""The config of `tokenise`, apart from its code."""

import json
from typing import Any, Literal

from pydantic import Field, field_validator

from headrace.pipelines.section import Section

Engine = Literal["auto", "gigatoken", "tokenizers"]

# What is told of the conversations that were tokenised, by kind of change.
TOLD = {
    "tokenise.calls_lost": "calls of tools left out: the chat template has no form for them",
    "tokenise.reasoning_empty": "empty blocks of reasoning that carry no loss",
    "tokenise.reasoning_kept": "turns of assistants whose reasoning is learned",
    "tokenise.reasoning_lost": "turns of assistants whose reasoning the chat template leaves out",
    "tokenise.tools_lost": "rows whose tools are left out: the chat template has no form for them",
    "tokenise.unended": "turns of assistants that end without a token to stop on: the template writes none",
}


class Config(Section):
    """How rows become tokens."""

    max_length: int = Field(default=2048, ge=8)
    """Most tokens that a sample may have; longer rows go by `overlong`."""

    overlong: Literal["split", "truncate", "drop"] = "split"
    """Rows over `max_length`. split: conversations between exchanges, each piece led by the system
    turn, plain texts every `max_length` tokens; truncate: cut off the end; drop: leave the row out.
    No cut goes through a value that PII found, nor through what stands for one."""

    add_eos: bool = True
    """End plain texts, and conversations whose template has no end-of-turn token, by the end token."""

    reasoning: Literal["keep", "as_template"] = "keep"
    """Reasoning that the chat template leaves out of assistants' turns (of all but the last, say). keep: put
    it back as the model says it, and put no loss on empty blocks of it; as_template: as the template does."""

    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """What the chat template is told besides (`{enable_thinking: false}`)."""

    engine: Engine = "auto"
    """gigatoken, tokenizers, or auto: gigatoken where it gives the same ids on a sample."""

    @field_validator("chat_template_kwargs")
    @classmethod
    def _free(cls, given: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(given.keys() & {"messages", "tools", "documents", "add_generation_prompt"})
        if taken:
            raise ValueError(f"{', '.join(taken)}: rows say that, and no recipe")
        return given

    @property
    def variables(self) -> str:
        """`chat_template_kwargs` as JSON."""
        return json.dumps(self.chat_template_kwargs, sort_keys=True)
