"""What the adapter of a run and the exported thing are both asked: held-out samples, texts and conversations.

What: up to `PROMPTS` samples of packed/test, or packed/validation where nothing is held out for the test,
drawn by the recipe's seed; their texts and some of our own, to be encoded; conversations of our own, to be
rendered. The request holds text of packed/, which is masked: it lies in a private directory while it is
asked, no longer.
"""

from typing import Any

import numpy as np
import torch

from headrace.cluster import storage
from headrace.cluster.errors import SourceError
from headrace.pipelines.commands.export import reload
from headrace.pipelines.commands.export.tuned import Tuned
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import batches
from headrace.pipelines.train.running import forward
from headrace.pipelines.train.watch.samples import Sample, drawn

PROMPTS = 50
NEW_TOKENS = 64  # of each answer
MOST_LOGITS = 2**26  # numbers whose logits are compared one by one: 256 MiB of float32
FEWEST = 2  # tokens of a prompt: one alone is the tokenizer's start token

TEXTS = (
    "Plain words, 12.50 euros and a date: 2024-07-26.",
    "  leading and trailing white space \t\n\n",
    "def area(r):\n    return 3.14159 * r ** 2\n",
    "Füße, naïve, пример, 例文, مثال, 👍🏽 and a \u200b zero width space",
    '{"key": ["value", 1, null], "nested": {"a": true}}',
)
ASKED = {"role": "user", "content": "What is the capital of Norway?"}
SAID = {"role": "assistant", "content": "Oslo is the capital of Norway."}
RULED = {"role": "system", "content": "Answer in one sentence."}
AGAIN = {"role": "user", "content": "  And of Sweden? \n"}
CHATS = (
    {"messages": [ASKED], "generation": True},
    {"messages": [ASKED, SAID], "generation": False},
    {"messages": [RULED, ASKED, SAID], "generation": False},
    {"messages": [RULED, ASKED, SAID, AGAIN], "generation": True},
    {"messages": [ASKED, SAID, AGAIN, SAID], "generation": False},
)


def request(tuned: Tuned, tokenizer: Any, context: float, vocabulary: int) -> reload.Request:
    """What is asked, but for what is to be loaded; context: tokens that the model takes at most.

    Raises: SourceError where nothing is held out, StorageError.
    """
    split, drawn = _drawn(tuned)
    fitting = [s for s in drawn if len(s.ids) <= context] or drawn[:0]
    if not fitting:
        raise SourceError(f"no sample of packed/{split} fits the model's context of {context:g} tokens")
    each = max(1, MOST_LOGITS // (vocabulary * len(fitting)))
    samples = []
    for sample in fitting:
        places = [int(p) - 1 for p in np.flatnonzero(sample.labels != IGNORE) if p > 0]
        kept = np.unique(np.linspace(0, len(places) - 1, min(each, len(places))).round().astype(int))
        start = sample.span()[0]
        prompt = start if FEWEST <= start < context else 0
        samples.append(
            {"ids": sample.ids.tolist(), "places": places, "kept": kept.tolist(), "prompt": prompt}
        )
    texts = [tokenizer.decode(s["ids"], skip_special_tokens=False) for s in samples]
    return {
        "split": split,
        "samples": samples,
        "texts": [*texts, *TEXTS],
        "chats": list(CHATS),
        "template_variables": dict(tuned.recipe.tokenise.chat_template_kwargs),
        "new_tokens": NEW_TOKENS if context > 2 * NEW_TOKENS else max(1, int(context) // 2),
    }


def _drawn(tuned: Tuned) -> tuple[str, list[Sample]]:
    for split in ("test", "validation"):
        shelf = batches.shelf(tuned.run, split)
        if shelf.rows:
            return split, drawn(shelf, PROMPTS, tuned.recipe.seed)
    where = storage.join(tuned.run, "packed")
    raise SourceError(
        f"{where} holds no held-out row to hold the export against; give split.test or split.validation a "
        "share"
    )


def headrace_logits(model: Any, ids: list[int], places: list[int], *, packed: bool) -> torch.Tensor:
    """Logits at `places` of one sample as training and evaluation make them, ``float32[K, V]``.

    packed: as a packed row of one sample, by headrace's mask; otherwise as a sample apart.
    """
    length = len(ids)
    labels = np.full(length, IGNORE)
    labels[np.array(places) + 1] = np.array(ids)[np.array(places) + 1]
    batch = {
        "input_ids": np.array(ids)[None],
        "labels": labels[None],
        "attention_mask": np.ones((1, length), np.int64),
    }
    if packed:
        del batch["attention_mask"]
        batch |= {"position_ids": np.arange(length)[None], "segment_ids": np.ones((1, length), np.int64)}
    with torch.no_grad():
        return forward.target_logits(model, forward.tensors(batch, model.device))[0][0]


def stops(base: Any, tokenizer: Any, asked: reload.Request) -> list[int]:
    """Tokens that end an answer: those of model and tokenizer, and added ones that end targets."""
    configured = base.generation_config.eos_token_id
    known = {*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id} - {None}
    ends = {s["ids"][s["places"][-1] + 1] for s in asked["samples"] if s["places"]}
    return sorted(known | (ends & {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}))


def ends(tokenizer: Any, asked: reload.Request) -> set[int]:
    """Special tokens that the targets end with: what an answer was trained to stop on."""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return {s["ids"][s["places"][-1] + 1] for s in asked["samples"] if s["places"]} & special
