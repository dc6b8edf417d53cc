"""One conversation through `tokenise`, and by Hugging Face."""

from typing import Any

import pyarrow as pa

from headrace.pipelines import schema
from headrace.pipelines.stages.read import mappers, shapes
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "tells it", "parameters": {}}}]


def marked_of(
    chat: Tokenizer, messages: list[dict[str, Any]], tools: Any = None
) -> tuple[pa.Table, pa.Table]:
    """A record as `tokenise` marks it, and its samples."""
    read = mappers.mapper("messages", shapes.complete("messages", shapes.Columns()))
    turns = read({"messages": messages, **({"tools": tools} if tools else {})})
    row = {"row_id": 0, "n_records": 1, "source": "s", "file": "", "place": ""}
    rows = schema.from_rows([{**row, "messages": [{"role": r, "content": c} for r, c in turns]}])
    return tokenise.apply(rows, tokenise.Config(max_length=8192), chat, {})


def tokenised(
    chat: Tokenizer, messages: list[dict[str, Any]], tools: Any = None
) -> tuple[dict[str, Any] | None, dict[str, int]]:
    """The sample of a record (None where it gives none), and what was counted."""
    marked, samples = marked_of(chat, messages, tools)
    changes = schema.changes(marked)
    told = dict(zip(changes["kind"].to_pylist(), changes["n"].to_pylist(), strict=True))
    return (samples.to_pylist() or [None])[0], {kind.partition(".")[2]: n for kind, n in told.items()}


def rendered(chat: Tokenizer, messages: list[dict[str, Any]], tools: Any = None) -> list[int] | None:
    """Ids by Hugging Face, or None where the template refuses the conversation."""
    try:
        return list(chat.hf.apply_chat_template(messages, tools=tools, return_dict=False))
    except Exception:  # noqa: BLE001  whatever a template raises
        return None


def same(chat: Tokenizer, sample: dict[str, Any], wanted: list[int] | None) -> bool:
    ids = sample["input_ids"]
    return wanted is not None and ids in (wanted, [*wanted, chat.eos_id])
