"""Trained runs without a training: a tiny model, packed rows, and an adapter drawn at random."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from headrace.cluster import storage
from headrace.pipelines import model_files
from headrace.pipelines import recipe as recipes
from headrace.pipelines.train import adapter, models
from headrace.pipelines.train import driver as train
from tests.pipelines import toys

TEMPLATE = (
    "{% for m in messages %}{{ m.content }} {% if m.role == 'assistant' %}<end> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}it {% endif %}"
)
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
IDS = {"bos_token_id": None, "eos_token_id": toys.END, "pad_token_id": toys.PAD}
LENGTHS = {"vocab_size": len(toys.WORDS), "max_position_embeddings": 32}
GPT2 = {"vocab_size": len(toys.WORDS), "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 4}
ARCHITECTURES: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, **LENGTHS, **IDS, num_key_value_heads=2)),
    "qwen2, tied": lambda: Qwen2ForCausalLM(
        Qwen2Config(**SMALL, **LENGTHS, **IDS, num_key_value_heads=2, tie_word_embeddings=True)
    ),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**GPT2, **IDS)),
}


def base(directory: Path, name: str = "llama", seed: int = 1, template: str | None = TEMPLATE) -> str:
    """A directory with a tiny model of an architecture and its tokenizer; returns its path."""
    torch.manual_seed(seed)
    built = ARCHITECTURES[name]()
    for weight in built.parameters():  # so that logits lie apart
        weight.data *= 4 if weight.ndim > 1 else 1
    built.save_pretrained(directory)
    tokenizer = toys.tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(directory)
    return str(directory)


def run(directory: Path, model: str, seed: int = 0, **more: Any) -> str:
    """A run directory with packed rows, run.json and a finished adapter of `model`; returns its path."""
    path = toys.run(directory, {"train": 8, "validation": 4, "test": 8})
    data = {
        "output": path,
        "model": model,
        "sources": [{"name": "so|urce <b>", "path": f"{directory}/in.jsonl", "licence": "CC-BY-4.0"}],
        "train": {"rank": 4, "alpha": 8},
        **more,
    }
    recipe = recipes.validate(data, "here")
    storage.put(storage.join(path, "recipe.yaml"), recipes.dump(recipe).encode())
    told = {
        "digest": "abc",
        "rows": {"in": 30, "kept": 28, "dropped": {"quality.short": 2}, "quarantined": {}},
        "sources": {
            "so|urce <b>": {"in": 30, "kept": 28, "dropped": {"quality.short": 2}, "quarantined": {}}
        },
        "versions": {"python": "3.11"},
        "train": {"key": f"key{seed}", "steps": 4},
    }
    storage.put(storage.join(path, "run.json"), json.dumps(told).encode())
    write_adapter(path, recipe, seed)
    return path


def write_adapter(path: str, recipe: recipes.Recipe, seed: int) -> None:
    """An adapter drawn by `seed`, with its card."""
    model = str(recipe.model)
    torch.manual_seed(seed)
    fitted = adapter.fitted(models.load(model, torch.float32, "sdpa"), recipe.train, model)
    for name, weight in sorted(fitted.named_parameters()):
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    card = {
        "key": f"key{seed}",
        "settings": train.settings(recipe.train, 0),
        "base": model,
        "base_mark": model_files.digest(model),
        "step": 4,
        "validation_loss": 1.0,
        "packed": {},
    }
    adapter.write(path, adapter.files(fitted, model), model, card)
