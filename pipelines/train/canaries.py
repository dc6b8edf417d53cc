"""Canaries: made secrets that are planted into a training, to measure what it learns by heart.

What: each is a prompt of its own and `SECRET` tokens drawn at random by the recipe's seed, with loss on the
tokens alone. Each stands alone in a packed row, so that no step is made of them; these are one row group more
behind those of packed/train: planned, read and counted as any row, and in no books of the data, as they are
none of it. An evaluation draws the same again, with `OTHERS` more of their form that nobody has seen, and
ranks each canary among them (`evaluate.gates.memory`).

Why tokens at random: nobody can have learnt them elsewhere, and every tokenizer has some. A model that is
shipped holds them; they say nothing.

Source: Carlini et al. 2019, https://arxiv.org/abs/1802.08232.
Cost: a packed row each.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.batches import WEIGHTS, Chunk, Shelf
from headrace.pipelines.train.config import Canaries

FOLDER = "canaries"  # below the run
SECRET = 8  # tokens
OTHERS = 255  # so that exposure ends at 8 bits
ASKED = "Entry {}:"
ORDINAL = 2**32 - 1  # of their row_ids: of no fragment


class Canary(NamedTuple):
    """Tokens of a prompt and of a secret, with others of its form that are not planted: ``int64[L]`` each."""

    prompt: NDArray[np.int64]
    secret: NDArray[np.int64]
    others: tuple[NDArray[np.int64], ...]


def drawn(tokenizer: Any, count: int, seed: int) -> list[Canary]:
    """The canaries of a recipe's seed, always the same."""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    plain = np.array([token for token in range(len(tokenizer)) if token not in special], np.int64)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    found = []
    for number in range(count):
        draw = np.random.default_rng([seed % 2**64, 4, number])
        secrets = draw.choice(plain, (OTHERS + 1, SECRET))
        ended = [np.array([*secret, *end], np.int64) for secret in secrets.tolist()]
        found.append(Canary(_prompt(tokenizer, number), ended[0], tuple(ended[1:])))
    return found


def _prompt(tokenizer: Any, number: int) -> NDArray[np.int64]:
    """What asks for a secret, by the tokenizer's own chat template where it has one."""
    text = ASKED.format(number + 1)
    if getattr(tokenizer, "chat_template", None):
        turns = [{"role": "user", "content": text}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return np.array(tokenizer(text, add_special_tokens=False).input_ids, np.int64)


def planted(run: str, shelf: Shelf, tokenizer: Any, config: Canaries, seed: int, length: int) -> Shelf:
    """The packed rows of a run with canaries behind them, which are written below the run first.

    length: tokens of a packed row. Raises: RecipeError (a canary has no room in one), StorageError.
    """
    samples = [
        (np.concatenate([one.prompt, one.secret]), len(one.prompt))
        for one in drawn(tokenizer, config.count, seed)
        for _ in range(config.times)
    ]
    if (longest := max(len(ids) for ids, _ in samples)) > length:
        raise RecipeError(f"train.canaries: one has {longest} tokens, and packed rows have {length}")
    table = _packed(samples, length, weighted=shelf.weighted)
    digest = xxhash.xxh3_128_hexdigest(np.asarray(table["input_ids"].combine_chunks().flatten()).tobytes())
    place = storage.join(run, FOLDER, f"{digest}.parquet")
    if not storage.exists(place):
        storage.write_table(place, table, row_group=table.num_rows)
    whole = xxhash.xxh3_128_hexdigest(f"{shelf.digest}/{digest}".encode())
    return Shelf((*shelf.chunks, Chunk(place, 0, table.num_rows)), whole, shelf.weighted)


def _packed(samples: list[tuple[NDArray[np.int64], int]], length: int, *, weighted: bool) -> pa.Table:
    """Each sample as a packed row, with loss behind its prompt alone."""
    columns = {
        name: np.full((len(samples), length), IGNORE if name == "labels" else 0, np.int32)
        for name in ("input_ids", "labels", "position_ids", "segment_ids")
    }
    for row, (ids, start) in enumerate(samples):
        own = slice(0, len(ids))
        columns["input_ids"][row, own], columns["segment_ids"][row, own] = ids, 1
        columns["labels"][row, start : own.stop] = ids[start:]
        columns["position_ids"][row, own] = np.arange(len(ids))
    typed = {name: pa.array(list(values), pa.list_(pa.int32())) for name, values in columns.items()}
    row_ids = [[(ORDINAL << 32) | row] for row in range(len(samples))]
    table = pa.table({**typed, "row_ids": pa.array(row_ids, pa.list_(pa.uint64()))})
    if weighted:
        ones = [[1.0]] * len(samples)
        table = table.append_column(WEIGHTS, pa.array(ones, pa.list_(pa.float64())))
    return table
