"""Packed rows: exact bytes, isolation of segments, and the same loss as the samples alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from headrace.cluster.errors import RecipeError
from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.train.running.attention import additive, block_causal_mask

PAD = 9


def samples(*lengths: int) -> pa.Table:
    """Samples of those lengths: tokens 100, 101, ..., loss on all but the first two of each."""
    rows = []
    for number, size in enumerate(lengths):
        ids = [100 * (number + 1) + i for i in range(size)]
        labels = [-100, *ids[1:]] if size < 3 else [-100, -100, *ids[2:]]
        rows.append({"row_id": number << 32, "piece": number % 3, "input_ids": ids, "labels": labels[:size]})
    return pa.Table.from_pylist(rows, schema=tokenise.SAMPLES)


def packed(table: pa.Table, length: int) -> pa.Table:
    return pack.apply(table, pack.Config(), tokenise.Config(max_length=length), pad_id=PAD)


def test_exact_columns() -> None:
    rows = packed(samples(3, 7, 4), 8).to_pylist()
    assert rows == [
        {
            "input_ids": [100, 101, 102, 300, 301, 302, 303, PAD],
            "labels": [-100, -100, 102, -100, -100, 302, 303, -100],
            "position_ids": [0, 1, 2, 0, 1, 2, 3, 0],
            "segment_ids": [1, 1, 1, 2, 2, 2, 2, 0],
            "row_ids": [0, 2 << 32],
            "pieces": [0, 2],
        },
        {
            "input_ids": [200, 201, 202, 203, 204, 205, 206, PAD],
            "labels": [-100, -100, 202, 203, 204, 205, 206, -100],
            "position_ids": [0, 1, 2, 3, 4, 5, 6, 0],
            "segment_ids": [1, 1, 1, 1, 1, 1, 1, 0],
            "row_ids": [1 << 32],
            "pieces": [1],
        },
    ]


def test_the_first_token_of_a_segment_carries_no_loss_whatever_its_sample_says() -> None:
    ids = [[5, 6], [7, 8]]
    rows = [{"row_id": i, "piece": 0, "input_ids": t, "labels": t} for i, t in enumerate(ids)]
    (row,) = packed(pa.Table.from_pylist(rows, schema=tokenise.SAMPLES), 8).to_pylist()
    assert row["labels"][:4] == [-100, 6, -100, 8]


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 16), max_size=40), chunks=st.integers(1, 3))
def test_every_sample_stands_once_and_whole(lengths: list[int], chunks: int) -> None:
    table = samples(*lengths)
    parts = [
        table.slice(i, -(-len(lengths) // chunks))
        for i in range(0, len(lengths), -(-len(lengths) // chunks) or 1)
    ]
    found = packed(pa.concat_tables(parts) if parts else table, 16)
    assert found.schema == pack.PACKED
    seen = {}
    for row in found.to_pylist():
        segments = np.array(row["segment_ids"])
        assert all(len(row[name]) == 16 for name in pack.DIGEST_COLUMNS)
        assert len(row["row_ids"]) == len(row["pieces"]) == segments.max()
        assert row["row_ids"] == sorted(row["row_ids"])
        for number, row_id in enumerate(row["row_ids"], 1):
            at = np.flatnonzero(segments == number)
            assert at.tolist() == list(range(at[0], at[-1] + 1))
            assert [row["position_ids"][i] for i in at] == list(range(len(at)))
            seen[row_id] = ([row["input_ids"][i] for i in at], [row["labels"][i] for i in at])
        rest = np.flatnonzero(segments == 0)
        assert all(row["input_ids"][i] == PAD and row["labels"][i] == -100 for i in rest)
    assert seen == {r["row_id"]: (r["input_ids"], r["labels"]) for r in table.to_pylist()}
    firsts = [row[0] for row in found["row_ids"].to_pylist()]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_groups_of_rows_are_the_rows_cut(rows: int) -> None:
    table = samples(3, 7, 4, 8, 1, 1, 6).append_column("weight", pa.array([k / 2 for k in range(7)]))
    whole = packed(table, 8)
    given = table, pack.Config(), tokenise.Config(max_length=8)
    parts = list(pack.groups(*given, pad_id=PAD, rows=rows))
    assert [part.num_rows for part in parts] == [
        min(rows, whole.num_rows - first) for first in range(0, whole.num_rows, rows)
    ]
    assert pa.concat_tables(parts).equals(whole)
    assert whole.schema == pack.packed(table)
    weights = dict(zip(table["row_id"].to_pylist(), table["weight"].to_pylist(), strict=True))
    for row in whole.select(["row_ids", "weights"]).to_pylist():
        assert row["weights"] == [weights[row_id] for row_id in row["row_ids"]]


def test_a_row_shorter_than_samples_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"pack\.length is 64, less than tokenise\.max_length 128"):
        pack.length(pack.Config(length=64), tokenise.Config(max_length=128))
    assert pack.length(pack.Config(), tokenise.Config(max_length=128)) == 128
    assert pack.length(pack.Config(length=256), tokenise.Config(max_length=128)) == 256


def test_row_hashes_are_of_little_endian_int32_row_by_row() -> None:
    rows = packed(samples(3, 7, 4), 8)
    wanted = b""
    for row in rows.to_pylist():
        raw = b"".join(np.array(row[name], "<i4").tobytes() for name in pack.DIGEST_COLUMNS)
        wanted += xxhash.xxh3_128_digest(raw)
    assert pack.row_hashes(rows) == wanted
    assert pack.row_hashes(rows.slice(1)) == wanted[16:]
    assert pack.row_hashes(rows.slice(0, 0)) == b""


def test_row_hashes_see_a_moved_label() -> None:
    rows = packed(samples(3, 4), 8)
    labels = rows["labels"].to_pylist()
    labels[0][1], labels[0][2] = labels[0][2], labels[0][1]
    place = rows.schema.get_field_index("labels")
    field = pack.PACKED.field("labels")
    moved = rows.set_column(place, field, pa.array(labels, field.type))
    assert pack.row_hashes(moved) != pack.row_hashes(rows)


def test_readable_by_datasets(tmp_path: Path) -> None:
    import datasets  # type: ignore[import-untyped]

    rows = packed(samples(3, 7, 4), 8)
    pq.write_table(rows, tmp_path / "part-0.parquet")
    found = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert found.column_names == pack.PACKED.names
    assert list(found) == rows.to_pylist()
    assert found.with_format("torch")[:2]["input_ids"].shape == (2, 8)


# The loss of packed rows


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config).eval()


def learnable(seed: int, count: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        ids = generator.integers(10, 64, generator.integers(2, 14)).tolist()
        start = generator.integers(1, len(ids))
        labels = [-100] * int(start) + ids[start:]
        rows.append({"row_id": number, "piece": 0, "input_ids": ids, "labels": labels})
    return pa.Table.from_pylist(rows, schema=tokenise.SAMPLES)


def losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Loss of each token, shifted as models shift; 0 where there is none."""
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none"
    )


def batch(rows: pa.Table) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(rows[name].to_pylist()) for name in pack.DIGEST_COLUMNS}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_packed_loss_is_the_loss_of_the_samples(model: LlamaForCausalLM, attention: str) -> None:
    model.set_attn_implementation(attention)
    table = learnable(1, 20)
    alone = {}
    for row in table.to_pylist():
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        alone[row["row_id"]] = losses(model(input_ids=ids).logits, labels).sum()
    rows = packed(table, 32)
    columns = batch(rows)
    assert int(columns["segment_ids"].max()) > 1
    mask = block_causal_mask(columns["segment_ids"])
    given: Any = mask if attention == "sdpa" else additive(mask, torch.float32)
    logits = model(
        input_ids=columns["input_ids"], position_ids=columns["position_ids"], attention_mask=given
    ).logits
    assert torch.isfinite(logits).all()
    each = losses(logits, columns["labels"])
    for number, row_ids in enumerate(rows["row_ids"].to_pylist()):
        for segment, row_id in enumerate(row_ids, 1):
            mine = columns["segment_ids"][number, 1:] == segment
            assert abs(each[number][mine].sum() - alone[row_id]) < 1e-4
    tokens = (columns["labels"] != -100).sum()
    mean = model(
        **{k: columns[k] for k in ("input_ids", "position_ids", "labels")}, attention_mask=given
    ).loss
    assert abs(mean - sum(alone.values()) / tokens) < 1e-4


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_without_a_mask_a_neighbour_is_seen(model: LlamaForCausalLM, attention: str) -> None:
    """What the mask is for: plain causal attention over a packed row leaks."""
    model.set_attn_implementation(attention)
    columns = batch(packed(learnable(2, 20), 32))
    ones = torch.ones_like(columns["input_ids"])
    plain = model(input_ids=columns["input_ids"], position_ids=columns["position_ids"], attention_mask=ones)
    mask = block_causal_mask(columns["segment_ids"])
    given: Any = mask if attention == "sdpa" else additive(mask, torch.float32)
    right = model(input_ids=columns["input_ids"], position_ids=columns["position_ids"], attention_mask=given)
    later = columns["segment_ids"] > 1
    assert (plain.logits - right.logits)[later].abs().max() > 1e-2


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_position_ids_alone_isolate_where_no_mask_is_given(model: LlamaForCausalLM, attention: str) -> None:
    """transformers finds segments in position_ids only where it gets no mask and makes no cache."""
    model.set_attn_implementation(attention)
    columns = batch(packed(learnable(3, 20), 32))
    mask = block_causal_mask(columns["segment_ids"])
    given: Any = mask if attention == "sdpa" else additive(mask, torch.float32)
    kept = {k: columns[k] for k in ("input_ids", "position_ids")}
    right = model(**kept, attention_mask=given, use_cache=False).logits
    found = model(**kept, use_cache=False).logits
    real = columns["segment_ids"] > 0
    torch.testing.assert_close(found[real], right[real], atol=1e-5, rtol=1e-4)
    cached = model(**kept, use_cache=True).logits  # the default of a model's forward
    assert (cached - right)[real].abs().max() > 1e-2


def test_mask_is_causal_within_segments_and_never_empty() -> None:
    mask = block_causal_mask(torch.tensor([[1, 1, 2, 0, 0]]))[0, 0].int().tolist()
    assert mask == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]
