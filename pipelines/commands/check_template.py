"""What the model's chat template does with five kinds of conversation, told before any row is read."""

import json
from typing import Any

from headrace.pipelines import schema, structure
from headrace.pipelines.console import Mode, say
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.stages.tokenise.config import TOLD

ASK, SAY = (
    {"role": "user", "content": "What is two and two?"},
    {"role": "assistant", "content": "It is four."},
)
MORE, THEN = {"role": "user", "content": "And three?"}, {"role": "assistant", "content": "It is six."}
MUSED = {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\nIt is four."}
CALL = {
    "id": "abcdefgh1",
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Rome"}},
}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "which city"}},
    "required": ["city"],
}
OFFERED = {"name": "weather", "description": "tells the weather", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": OFFERED}]


def _beside(role: str, text: str, **held: Any) -> dict[str, str]:
    return {"role": role, "content": str(structure.sealed(text, held))}


KINDS = {
    "multi-turn": [ASK, SAY, MORE, THEN],
    "system": [{"role": "system", "content": "You are terse."}, ASK, SAY],
    "tools": [
        _beside("system", "", tools=TOOLS),
        {"role": "user", "content": "How warm is it in Rome?"},
        _beside("assistant", "", tool_calls=[CALL], content=None),
        _beside("tool", "measured: 20", name="weather", tool_call_id="abcdefgh1"),
        {"role": "assistant", "content": "It is 20 degrees."},
    ],
    "reasoning": [ASK, MUSED, MORE, THEN],
    "empty": [ASK, {"role": "assistant", "content": "<think>\n\n</think>\n\nIt is four."}],
}


def say_template(recipe: Recipe, mode: Mode) -> None:
    """A line for each kind: whether ids are Hugging Face's, whether the loss is right, what is lost."""
    from headrace.pipelines.stages.tokenise import stage as tokenise  # transformers takes a second

    tokenizer = tokenise.tokenizer(recipe.model, recipe.tokenise)
    if tokenizer.template is None:
        return
    for kind, turns in KINDS.items():
        seen = look(turns, recipe.tokenise, tokenizer)
        fine = seen["equal"] is not False and seen["mask"] is not False
        say(
            mode,
            "template" if fine else "warning",
            f"chat template, {kind}: {_words(seen)}",
            conversation=kind,
            **seen,
        )


def look(turns: list[dict[str, str]], config: Any, tokenizer: Any) -> dict[str, Any]:
    """What becomes of one conversation: `refused` (the template's words, or null), `equal` (ids are Hugging
    Face's; null where reasoning was put back, or a turn has a sample of its own), `mask` (loss on all that
    assistants say, with an end, and on nothing else), `told` (counts by kind).
    """
    from headrace.pipelines.stages.tokenise import stage as tokenise
    from headrace.pipelines.stages.tokenise import whole
    from headrace.pipelines.stages.tokenise.template import FAILURES, Refusal

    row = {"row_id": 0, "n_records": 1, "source": "s", "file": "", "place": "", "messages": turns}
    marked, samples = tokenise.apply(
        schema.from_rows([row]), config.model_copy(update={"max_length": 1 << 20}), tokenizer, {}
    )
    changes = schema.changes(marked)
    told = dict(zip(changes["kind"].to_pylist(), changes["n"].to_pylist(), strict=True))
    if not samples.num_rows:
        words = marked["detail"][0].as_py() or "nothing in it carries loss"
        return {"refused": words, "equal": None, "mask": None, "told": told}
    ids, labels = (
        [token for of_sample in samples[name].to_pylist() for token in of_sample]
        for name in ("input_ids", "labels")
    )
    try:
        spoken = whole.spoken(turns, tokenizer)
        wanted = tokenizer.hf.apply_chat_template(
            spoken.messages(), tools=spoken.tools, return_dict=False, **json.loads(config.variables)
        )
    except (Refusal, *FAILURES):
        wanted = None
    same = wanted is not None and ids in (list(wanted), [*wanted, tokenizer.eos_id])
    put_back = not same and told.get("tokenise.reasoning_kept", 0) > 0
    mask = _mask(turns, tokenizer, ids, labels) and not told.get("tokenise.unended")
    return {"refused": None, "equal": None if put_back else same, "mask": mask, "told": told}


def _mask(turns: list[dict[str, str]], tokenizer: Any, ids: list[int], labels: list[int]) -> bool:
    """Whether all that assistants say carries loss, and nothing of what others say."""
    learned = tokenizer.decode([i for i, label in zip(ids, labels, strict=True) if label >= 0]).casefold()
    rest = tokenizer.decode([i for i, label in zip(ids, labels, strict=True) if label < 0]).casefold()
    for turn in turns:
        text, _ = structure.unsealed(turn["role"], turn["content"])
        said = text.rpartition("</think>")[2].strip().casefold()
        if turn["role"] == "assistant":
            if said not in learned:
                return False
        elif said and (said in learned or said not in rest):
            return False
    return True


def _words(seen: dict[str, Any]) -> str:
    if seen["refused"] is not None:
        return f"refused ({seen['refused']}); such rows are quarantined"
    equal = {
        True: "ids are apply_chat_template's",
        False: "ids are NOT apply_chat_template's",
        None: "reasoning is learned where the template leaves it out, too",
    }[seen["equal"]]
    mask = (
        "loss on all that the assistant says"
        if seen["mask"]
        else "loss is NOT on all that the assistant says"
    )
    told = [f"{n} {TOLD[kind]}" for kind, n in seen["told"].items() if kind in TOLD]
    return "; ".join([equal, mask, *told])
