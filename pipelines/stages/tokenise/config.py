"""The config of `tokenise`, apart from its code."""

from typing import Literal

from pydantic import Field

from headrace.pipelines.section import Section

Engine = Literal["auto", "gigatoken", "tokenizers"]


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

    engine: Engine = "auto"
    """gigatoken, tokenizers, or auto: gigatoken where it gives the same ids on a sample."""
