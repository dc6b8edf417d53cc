"""A tiny model, its tokenizer and packed rows, made on the spot: what the tests of training stand on."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from headrace.cluster import storage

KINDS = {"apple": "fruit", "plum": "fruit", "oak": "tree", "elm": "tree", "carp": "fish", "pike": "fish"}
WORDS = ["<pad>", "<end>", "what", "is", "a", "?", "it", *KINDS, *sorted(set(KINDS.values()))]
PAD, END = 0, 1
LENGTH = 32

Sample = tuple[list[int], list[int]]  # tokens, labels


def tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, split at white space."""
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<pad>")


def model(directory: Path, seed: int = 1) -> str:
    """A directory with a Llama of two layers and its tokenizer; returns its path."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    built = LlamaForCausalLM(config)
    built.lm_head.weight.data *= 10  # so that an adapter below it can be sure of a token
    built.save_pretrained(directory)
    tokenizer().save_pretrained(directory)
    return str(directory)


def sample(thing: str) -> Sample:
    """A question with loss on its answer alone."""
    ids = [WORDS.index(w) for w in f"what is a {thing} ? it is a {KINDS[thing]} <end>".split()]
    return ids, [-100] * 5 + ids[5:]


def samples(count: int, seed: int = 0) -> list[Sample]:
    """Questions about things drawn at random."""
    drawn = np.random.default_rng(seed).choice(sorted(KINDS), count)
    return [sample(str(thing)) for thing in drawn]


def pack(given: list[Sample], row_ids: list[int], length: int = LENGTH) -> pa.Table:
    """Packed rows, filled in order, as a table of the contract."""
    rows: list[list[int]] = [[]]
    for i, (ids, _) in enumerate(given):
        if sum(len(given[j][0]) for j in rows[-1]) + len(ids) > length:
            rows.append([])
        rows[-1].append(i)
    columns: dict[str, list[NDArray[np.int32]]] = {
        n: [] for n in ("input_ids", "labels", "position_ids", "segment_ids")
    }
    for row in rows:
        filled = {n: np.zeros(length, np.int32) for n in columns}
        filled["labels"][:] = -100
        at = 0
        for segment, i in enumerate(row, start=1):
            ids, labels = given[i]
            cut = slice(at, at + len(ids))
            filled["input_ids"][cut], filled["labels"][cut] = ids, [-100, *labels[1:]]
            filled["position_ids"][cut], filled["segment_ids"][cut] = np.arange(len(ids)), segment
            at += len(ids)
        for name, value in filled.items():
            columns[name].append(value)
    typed = {n: pa.array([v.tolist() for v in c], pa.list_(pa.int32())) for n, c in columns.items()}
    of_rows = pa.array([[row_ids[i] for i in row] for row in rows], pa.list_(pa.uint64()))
    return pa.table({**typed, "row_ids": of_rows})


def run(directory: Path | str, counts: dict[str, int], parts: int = 2) -> str:
    """A run directory with `counts` samples packed in each split, over some parts; returns its path.

    Part p holds row_ids of the fragment with ordinal p.
    """
    for seed, (split, count) in enumerate(counts.items()):
        for part in range(parts):
            given = samples(count // parts, seed=seed * 100 + part)
            ids = [part << 32 | i for i in range(len(given))]
            path = storage.join(str(directory), "packed", split, f"part-{part:08d}.parquet")
            storage.write_table(path, pack(given, ids), row_group=4)
    return str(directory)
