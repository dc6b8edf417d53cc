"""Other models on the same samples: a larger base, which has a tokenizer of its own, and an earlier adapter.

What: a larger base is asked what a sample asks in its own words: by its chat template, from the row's turns,
where the last of these is what the sample learns; by the bare text where no template sets turns apart. A
sample that can be asked neither way is left out of its comparison. An earlier adapter is put into the
recipe's base and is asked the same tokens.

Cost: each model is loaded once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headrace.cluster import storage
from headrace.cluster.errors import ModelError
from headrace.pipelines import structure
from headrace.pipelines.evaluate.arms import prompts
from headrace.pipelines.evaluate.arms.prompts import Ids
from headrace.pipelines.evaluate.metrics import normalise
from headrace.pipelines.train import adapter, models, parents
from headrace.pipelines.train.watch.samples import Sample

LARGER, EARLIER = "evaluate.larger", "evaluate.earlier"
CHAT = {"system", "user", "assistant"}

Turns = Sequence[Mapping[str, Any]]


def earlier(path: str, base: Any, model: str) -> Any:
    """`base` with the adapter of a run or of peft. Raises: ModelError, StorageError."""
    parent = parents.found(path, EARLIER)
    parents.check(parent, model)
    models.widened(base, adapter.tokens_of(storage.join(parent.folder, adapter.CONFIG)))
    return parents.fitted(base, parent, 0.0, model).eval()


def same_rows(path: str, packed: Mapping[str, str]) -> bool:
    """Whether an earlier adapter was trained on these packed rows, by its card: of others, what is held out
    here may be what it has learned. Raises: ModelError, StorageError.
    """
    return (parents.found(path, EARLIER).card or {}).get("packed") == dict(packed)


def asked_anew(
    samples: Sequence[Sample],
    references: Sequence[str],
    turns: Mapping[int, Turns],
    own: Any,
    other: Any,
) -> list[Ids | None]:
    """What each sample asks, in the tokens of another tokenizer; None where that cannot be said.

    turns: of the samples' rows, by row_id. own: the tokenizer of the samples.
    """
    found: list[Ids | None] = []
    for sample, reference in zip(samples, references, strict=True):
        text = _by_template(turns.get(sample.row_id, ()), reference, other)
        if text is not None:
            found.append(np.array(other(text, add_special_tokens=False).input_ids, np.int64))
            continue
        plain = _plain(sample, own)
        found.append(None if plain is None else np.array(other(plain).input_ids, np.int64))
    return found


def refused(model: str) -> ModelError:
    """What to say where a larger base can be asked nothing."""
    return ModelError(
        f"{LARGER}: {model!r} can be asked none of the samples: they are conversations, and its tokenizer "
        "has no chat template that takes them; name a model with one, or leave the key out"
    )


def _by_template(turns: Turns, reference: str, tokenizer: Any) -> str | None:
    """A row's turns up to the last answer, as a chat template writes them; None where there is none, or the
    last answer is not what the sample learns.
    """
    if not getattr(tokenizer, "chat_template", None) or len(turns) < 2:
        return None
    if not all(_is_said(turn) for turn in turns) or turns[-1]["role"] != "assistant":
        return None
    if not normalise(turns[-1]["content"]).endswith(normalise(reference)):
        return None
    before = [{"role": turn["role"], "content": turn["content"]} for turn in turns[:-1]]
    try:
        return str(tokenizer.apply_chat_template(before, tokenize=False, add_generation_prompt=True))
    except Exception:  # noqa: BLE001  what a template's own code says of turns that it does not take
        return None


def _is_said(turn: Mapping[str, Any]) -> bool:
    """Whether a turn is words of somebody in a chat and nothing else, as calls of tools are."""
    return turn["role"] in CHAT and bool(turn["content"]) and structure.OPEN not in turn["content"]


def _plain(sample: Sample, tokenizer: Any) -> str | None:
    """A prompt as bare text; None where a template sets turns apart in it."""
    ids = sample.ids[prompts.start(sample, tokenizer) : sample.span()[0]]
    if set(ids.tolist()) & set(prompts.marks(tokenizer)):
        return None
    return str(tokenizer.decode(ids))
