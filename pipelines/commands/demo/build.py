"""The demo: made-up tickets, a tiny model built on the spot, one run, and base beside tuned.

What: writes the sample, trains a byte-level BPE tokenizer and a tiny Llama on text in the same
words, then runs an ordinary recipe over the messy files through the ordinary command.

Why: `make demo` shows the whole way on a machine without network or GPU. The base model is
briefly pre-trained on bare tickets, on tickets answered by a mere receipt, and on triage notes
without their tickets. So it is a sane language model that knows the words and the form of a
chat, and answers a ticket politely, but has never seen a ticket beside its triage: what the
tuned model is better at, it learned from the packed dataset.

Cost: about 40 s of pre-training on two cores, then the run. A smaller sample is pre-trained on less, and
its run takes a share of the time; it shows the way and not how good the end is.
"""

import json
import os
from typing import Any

import numpy as np
import torch
import typer
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from headrace.cluster import storage
from headrace.cluster.errors import GateError
from headrace.pipelines.commands.demo import sample

SEED = 17
TICKETS = 2400  # of the whole demo
LEAST = 0.4  # share of documents and steps below which the base would not know the words
DOCUMENTS = 6000
VOCABULARY = 1024
LENGTH = 512  # tokens of a packed row, and the model's context
STEPS = 200
WINDOW = 128  # tokens of a pre-training window
ROWS = 32  # windows a step
LEARNING_RATE = 3e-3

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def build(directory: str, tickets: int = TICKETS) -> str:
    """Write the sample, a tiny model and a recipe below a local `directory`; returns the recipe's path.

    `tickets` are made up; below a whole demo's number the model is pre-trained less, too. What a
    directory holds already stays, whatever its size.
    """
    path = os.path.join(directory, "recipe.yaml")
    if not storage.exists(path):  # written last: a demo that was killed goes on with the same files
        share = min(1.0, max(LEAST, tickets / TICKETS))
        typer.echo(f"demo: made-up support tickets in {os.path.join(directory, 'sample')}")
        sample.write(os.path.join(directory, "sample"), seed=SEED, tickets=tickets)
        model = os.path.join(directory, "model")
        typer.echo(f"demo: a tiny model made from nothing in {model}; this takes about {40 * share:.0f} s")
        texts = sample.documents(SEED + 1, round(DOCUMENTS * share))
        build_model(model, texts, SEED, steps=round(STEPS * share))
        storage.put(path, recipe(directory).encode())
    return path


def recipe(directory: str) -> str:
    """The demo's recipe, as YAML, with all paths below `directory`."""
    data = os.path.join(directory, "sample")
    turns = {"role": "speaker", "content": "text", "roles": {"customer": "user", "agent": "assistant"}}
    return yaml.safe_dump(
        {
            "output": os.path.join(directory, "run"),
            "sources": [
                {"name": "chat", "path": os.path.join(data, "chat"), "shape": "messages"},
                {"name": "forms", "path": os.path.join(data, "forms"), "shape": "question_answer"},
                {"name": "archive", "path": os.path.join(data, "archive.json"), "shape": "question_answer"},
                {
                    "name": "turns",
                    "path": os.path.join(data, "turns"),
                    "shape": "messages",
                    "columns": turns,
                    "group_by": "conversation",
                    "order_by": "turn",
                },
            ],
            "model": os.path.join(directory, "model"),
            "seed": SEED,
            "fragment_size": "128KiB",
            "tokenise": {"max_length": LENGTH, "overlong": "drop"},
            # A model this small learns by steps far longer than a large one bears.
            "train": {"rank": 16, "learning_rate": 5e-3, "warmup": 0.1, "epochs": 4, "batch_size": 4},
        },
        sort_keys=False,
    )


def compare(run: str) -> None:
    """Print what run.json says of base and tuned.

    Raises: GateError unless the tuned model is clearly better in held-out loss and, of a whole demo, in exact
    match; a smaller sample teaches too little for answers that are right to the letter.
    """
    books = json.loads(storage.read_bytes(storage.join(run, "run.json")))
    scores: dict[str, dict[str, Any]] = books["evaluate"]
    typer.echo(f"\n{'held-out metric':<20}{'base':>14}{'tuned':>14}")
    for metric, score in scores.items():
        typer.echo(f"{metric:<20}{_figure(score['base']):>14}{_figure(score['tuned']):>14}")
    typer.echo(f"\nreport: {storage.join(run, 'report.html')}")
    exact, whole = scores["exact_match"], books["rows"]["in"] >= TICKETS
    measured = exact["base"] is not None and exact["tuned"] is not None
    gained = measured and exact["tuned"] > exact["base"]
    if scores["loss"]["verdict"] != "better" or (whole and not gained):
        why = "" if measured or not whole else " (exact_match could not be measured)"
        raise GateError(f"demo: the tuned model is not better than its base{why}; see {run}/report.html")


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def build_model(directory: str, texts: list[str], seed: int = SEED, steps: int = STEPS) -> float:
    """Build a tokenizer and a tiny causal LM from `texts` and save both in `directory`.

    The directory is an ordinary Hugging Face one: `AutoTokenizer` and `AutoModelForCausalLM`
    load it. Returns the loss (nats a token) of the last ten pre-training steps.
    """
    tokenizer = build_tokenizer(texts)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=LENGTH,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    loss = _pretrain(model, _stream(tokenizer, texts), seed, steps)
    transformers_logging.disable_progress_bar()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return loss


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `texts` with a ChatML template."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        model_max_length=LENGTH,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
    )


def _stream(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> np.ndarray:
    """All `texts` as one run of token ids, ``int64[N]``, with an end token after each."""
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return np.concatenate([np.array([*row, tokenizer.eos_token_id], np.int64) for row in rows])


def _pretrain(model: Any, stream: np.ndarray, seed: int, steps: int) -> float:
    """Train all weights on random windows of `stream`; returns the mean loss of the last ten steps."""
    draw = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    model.train()
    losses = []
    for _ in range(steps):
        starts = draw.integers(0, len(stream) - WINDOW, ROWS)
        batch = torch.from_numpy(stream[starts[:, None] + np.arange(WINDOW)])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses[-10:]))
