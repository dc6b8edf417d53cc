"""More kinds of models than the tests train: how each is trained, and whether it is trained right.

    python -m tests.benchmarks.zoo [--out FILE] [KIND ...]

Each is built tiny from its configuration, trained for three steps beside a plain loop over samples alone, and
its adapter loaded again by peft. Shown: the way (packed rows or samples apart, by which attention), the
greatest relative difference of a step's loss, whether the adapter gives the same logits again, layers without
an adapter; or why it is refused. Writes a CSV. Takes two minutes.
"""

import argparse
import csv
import sys
import warnings
from pathlib import Path
from typing import Any

import transformers

from headrace.cluster.errors import ModelError
from tests.pipelines.train import small

HERE = Path(__file__).resolve().parent
NAMES = ("kind", "way", "losses", "difference", "reloaded", "without adapter")
OLD = dict.fromkeys(("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"), ...)
OLD |= dict.fromkeys(("num_key_value_heads", "max_position_embeddings"), ...)
LINEAR = {
    "head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
MAMBA = {
    "mamba_n_heads": 4,
    "mamba_d_head": 8,
    "mamba_d_state": 4,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
NEMOTRON = {
    "mamba_num_heads": 4,
    "mamba_head_dim": 8,
    "ssm_state_size": 4,
    "n_groups": 1,
    "chunk_size": 8,
    "head_dim": 8,
    "num_hidden_layers": ...,
    "layers_block_type": ["mamba", "attention", "moe"],
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "moe_latent_size": None,
}
NEMOTRON |= {"moe_shared_expert_intermediate_size": 8, "n_group": 1, "topk_group": 1}
JAMBA = {
    "num_experts": 2,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "mamba_d_state": 4,
    "mamba_dt_rank": 4,
    "use_mamba_kernels": False,
}
LLAMA4 = {
    "head_dim": 8,
    "num_local_experts": 2,
    "intermediate_size_mlp": 24,
    "attention_chunk_size": 8,
    "layer_types": ["chunked_attention", "full_attention"],
    "no_rope_layers": [1, 0],
}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("Qwen3NextConfig", {**LINEAR, **MOE, "shared_expert_intermediate_size": 8}),
    ("Qwen3_5TextConfig", LINEAR),
    ("Qwen2MoeConfig", {**MOE, "shared_expert_intermediate_size": 8}),
    ("Qwen3MoeConfig", {**MOE, "head_dim": 8}),
    (
        "GraniteMoeHybridConfig",
        {
            **MAMBA,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "shared_intermediate_size": 8,
            "layer_types": ["mamba", "attention"],
        },
    ),
    ("NemotronHConfig", NEMOTRON),
    ("Lfm2Config", {"layer_types": ["conv", "full_attention"]}),
    ("JambaConfig", JAMBA),
    ("MambaConfig", {**OLD, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}),
    (
        "Mamba2Config",
        {
            **OLD,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "state_size": 4,
            "num_heads": 4,
            "head_dim": 8,
            "n_groups": 1,
            "chunk_size": 8,
        },
    ),
    ("MptConfig", {**OLD, "d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 64}),
    ("GPTJConfig", {**OLD, "n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": 64, "rotary_dim": 4}),
    ("GPTNeoXConfig", {"num_key_value_heads": ...}),
    ("Llama4TextConfig", LLAMA4),
    ("FalconConfig", {**OLD, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}),
    (
        "FalconConfig",
        {**OLD, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "alibi": True},
    ),
    ("StableLmConfig", {}),
    ("CohereConfig", {}),
    ("OlmoeConfig", {"num_experts": 4, "num_experts_per_tok": 2}),
    ("PhimoeConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    ("GraniteMoeConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    ("SmolLM3Config", {}),
    ("Glm4Config", {"head_dim": 8}),
    (
        "OPTConfig",
        {
            "num_key_value_heads": ...,
            "ffn_dim": 24,
            "word_embed_proj_dim": 16,
            "dropout": 0.0,
            "intermediate_size": ...,
        },
    ),
]


def line(kind: str, more: dict[str, Any]) -> list[Any]:
    """What became of one kind."""
    name = kind + (" (alibi)" if more.get("alibi") else "")
    if not hasattr(transformers, kind):
        return [name, "not in this transformers", "", "", "", ""]
    try:
        found = small.trained(small.described(kind, **more))
    except ModelError as error:
        return [name, f"refused: {error}", "", "", "", ""]
    except Exception as error:  # noqa: BLE001  sizes that do not go together: that is to be seen
        return [name, f"failed: {type(error).__name__}: {str(error)[:100]}", "", "", "", ""]
    way = f"{'packed' if found.way.packed else 'apart'}, {found.way.attention}"
    losses = " ".join(f"{loss:.4f}" for loss in found.losses)
    return [name, way, losses, f"{found.difference:.1e}", found.reloaded, " ".join(found.bare)]


def main(arguments: list[str] | None = None) -> None:
    """Train each and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", help="all unless named")
    parser.add_argument("--out", type=Path, default=HERE / "zoo.csv")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    lines = []
    for kind, more in KINDS:
        if not given.kinds or kind in given.kinds:
            lines.append(line(kind, more))
            print(", ".join(f"{n} {v}" for n, v in zip(NAMES, lines[-1], strict=True) if v != ""), flush=True)
    with given.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([NAMES, *lines])


if __name__ == "__main__":
    main(sys.argv[1:])
