"""The config of `tokenise`, apart from its code."""

import json
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from headrace.pipelines.section import Path, Section

Engine = Literal["auto", "gigatoken", "tokenizers"]
Earlier = Literal["keep", "as_template", "by_turn"]
STYLES = {  # forms of reasoning, as they are named to people
    "think": "<think>",
    "thinking": "<thinking>",
    "reasoning": "<reasoning>",
    "thought": "<Thought>",
    "mistral": "[THINK]",
    "channel": "<|channel|>analysis",
}

# What is told of the conversations that were tokenised, by kind of change.
TOLD = {
    "tokenise.calls_lost": "calls of tools left out: the chat template has no form for them, or for several "
    "in one turn",
    "tokenise.earlier": "turns of assistants before the last one, that carry no loss, as `loss: last` says",
    "tokenise.reasoning_behind": "turns of assistants that are learned behind reasoning of earlier turns, "
    "which the chat template leaves out when the model answers (`tokenise.reasoning: by_turn`)",
    "tokenise.reasoning_empty": "empty blocks of reasoning that carry no loss",
    "tokenise.reasoning_kept": "turns of assistants whose reasoning is learned",
    "tokenise.reasoning_lost": "turns of assistants whose reasoning the chat template leaves out",
    **{
        f"tokenise.style_{form}": f"turns of assistants whose reasoning in {tag} got the model's own form"
        for form, tag in STYLES.items()
    },
    "tokenise.style_left": "turns of assistants whose reasoning stays in other tags than the model's own: it "
    "is not closed, is opened or closed twice, holds the model's own tags, or no text can hold those",
    "tokenise.texts_lost": "turns whose text the chat template leaves out (beside calls, or of a system)",
    "tokenise.tools_lost": "rows whose tools are left out: the chat template has no form for them",
    "tokenise.unended": "turns of assistants that end without a token to stop on: the template writes none",
    "tokenise.unlearned": "turns of assistants that carry no loss, as their rows say (`weight: 0`, `loss: "
    "false`, `train: false`)",
}


class Reasoning(Section):
    """What is made of the reasoning in assistants' turns."""

    earlier: Earlier = "keep"
    """Reasoning that the chat template leaves out of assistants' turns (of all but the last, say). keep:
    put it back as the model says it, and put no loss on empty blocks of it; as_template: as the template
    does; by_turn: a sample for each turn whose reasoning it leaves out later, which ends with that turn and
    has what came before as the template leaves it, which is what the model is given when it answers; each
    turn is learned once. `reasoning: by_turn` says this alone.
    """

    style: Literal["as_written", "own"] = "as_written"
    """Reasoning that a turn begins with in other tags than the model's own (`<thinking>`, `<reasoning>`,
    `<Thought>`, `[THINK]`, `<|channel|>analysis`), or that is closed and not opened. own: it is put into the
    form that the model's chat template writes or looks for, where it has one; as_written: it stays."""

    @model_validator(mode="before")
    @classmethod
    def _earlier_alone(cls, data: Any) -> Any:
        """`reasoning: keep` says what becomes of earlier turns alone."""
        return {"earlier": data} if isinstance(data, str) else data


class Config(Section):
    """How rows become tokens."""

    max_length: int = Field(default=2048, ge=8)
    """Most tokens that a sample may have, and that both samples of a preference row may have together (a
    longer one is left out, as `tokenise.pair_too_long`); other longer rows go by `overlong`."""

    overlong: Literal["split", "truncate", "drop"] = "split"
    """Rows over `max_length`. split: conversations between exchanges, each piece led by the system
    turn, plain texts every `max_length` tokens; truncate: cut off the end; drop: leave the row out.
    No cut goes through a value that PII found, nor through what stands for one."""

    add_eos: bool = True
    """End plain texts, and conversations whose template has no end-of-turn token, by the end token."""

    reasoning: Reasoning = Reasoning()

    template: Literal["chat", "none"] | Path = "chat"
    """What stands around turns. chat: the model's own chat template; none: nothing, a row is its prompt and
    its answer as they are written and the end token, for a base model; or a file with a Jinja template. It is
    written beside the adapter."""

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
