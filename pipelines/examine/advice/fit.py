"""Does it fit? Bytes of a training by the shapes of a model, beside the memory of a GPU.

What: weights, adapter with its gradients and AdamW's two moments (float32, 16 bytes a parameter), activations
that the backward pass needs, what it needs for itself in one layer, hidden states at targets with the logits
of a chunk of them (`train.loss`), the mask of attention that needs one, and what a driver and fragments take.
On a CPU also what the heap keeps of pieces that were freed: tensors of up to 32 MiB share it and leave gaps,
larger ones have pages of their own.

Activations of one token and layer are counted by the tensors that a layer of Llama's kind keeps under an
adapter: the inputs of norms and of adapters, queries, keys, values, attention's output, gate, its activation
and up. A test compares them with what PyTorch keeps. With `gradient_checkpointing` only a layer's input
stays, and one layer at a time is computed again; selective: of every second layer.

Source: Korthikanti et al. 2022 (counting by tensors), https://arxiv.org/abs/2205.05198; sizes and speeds of
GPUs: data sheets of NVIDIA (dense bfloat16, without sparsity) as of 2026-11.
"""

from itertools import pairwise
from typing import Any, NamedTuple

GIB = 2**30
DATE = "2026-11"
LINEAR = ("q", "k", "v", "o", "gate", "up", "down")  # linear layers of a layer
INPUT_OF = {"k": "q", "v": "q", "up": "gate"}  # layers that are given what another is
# Logits that the loss makes at once, and the fewest tokens that it makes them of.
CHUNK = {"cpu": 2**23, "cuda": 2**26}
LEAST = 64
# The heap on a CPU, measured (tests/benchmarks/memory_told.py): the share of what is made and freed layer by
# layer, copies of the output layer that oneDNN makes in half precision, and GiB that PyTorch takes with its
# first step. Blocks beyond `MAPPED` bytes are not of the heap (glibc's M_MMAP_THRESHOLD at its most).
HEAP_FREED, HEAP_COPIES, HEAP_FIRST = 1.35, 3.8, 0.033
MAPPED = 32 * 2**20
# Kinds of models that norm queries and keys, and say so by no key.
NORMED = ("qwen3", "qwen3_moe", "gemma3", "gemma3_text", "olmo2", "olmo3", "exaone4")


class Gpu(NamedTuple):
    """memory: GiB; tflops: dense bfloat16 (float16 on T4); bandwidth: TB/s; half: computes in bfloat16."""

    memory: float
    tflops: float
    bandwidth: float
    half: bool = True


GPUS: dict[str, Gpu] = {
    "t4-16g": Gpu(15, 65, 0.32, half=False),
    "l4-24g": Gpu(22.5, 121, 0.3),
    "a10-24g": Gpu(22.5, 125, 0.6),
    "rtx3090-24g": Gpu(24, 71, 0.94),
    "rtx4090-24g": Gpu(24, 165, 1.01),
    "rtx5090-32g": Gpu(32, 209, 1.79),
    "l40s-48g": Gpu(45, 362, 0.86),
    "a100-40g": Gpu(40, 312, 1.56),
    "a100-80g": Gpu(80, 312, 2.04),
    "h100-80g": Gpu(80, 989, 3.35),
    "h200-141g": Gpu(140, 989, 4.8),
    "b200-180g": Gpu(179, 2250, 8.0),
}


def known(name: str) -> Gpu | None:
    """The GPU that a driver calls `name` ("NVIDIA H200"), None where the table has none such."""
    words = name.lower().replace("-", " ").split()
    names = {*words, *(a + b for a, b in pairwise(words))}
    return next((gpu for key, gpu in GPUS.items() if key.partition("-")[0] in names), None)


class Shapes(NamedTuple):
    """A model's sizes. query, key: width of all query heads, of all key heads; normed: whether these have
    norms of their own.
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    query: int
    key: int
    vocabulary: int
    tied: bool
    experts: int = 1
    normed: bool = False

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a layer's linear layers, by `LINEAR`."""
        h, inner = self.hidden, self.intermediate
        attention = [(h, self.query), (h, self.key), (h, self.key), (self.query, h)]
        return dict(zip(LINEAR, [*attention, (h, inner), (h, inner), (inner, h)], strict=True))

    @property
    def parameters(self) -> int:
        """Weights, norms and routers left out."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2) + self.layers * (
            2 * self.hidden * (self.query + self.key) + 3 * self.hidden * self.intermediate * self.experts
        )

    def adapter(self, rank: int, trained: "Trained | None" = None) -> int:
        """Parameters of an adapter, by default on all linear layers but the output."""
        taken = trained or LORA
        adapted = [self.linear[name] for name in taken.adapted]
        lengths = sum(wide for _, wide in adapted) if taken.dora else 0
        return self.layers * (rank * sum(n + wide for n, wide in adapted) + lengths)


class Trained(NamedTuple):
    """What a training trains. adapted: linear layers under an adapter, by `LINEAR`; dora: with a trained
    length of each of their outputs; saved: embedding and output that are trained beside it; whole: every
    weight instead; paired: answers in pairs, beside the base; batches: of a rank's step; ranks: how many.
    """

    adapted: tuple[str, ...] = LINEAR
    dora: bool = False
    saved: int = 0
    whole: bool = False
    paired: bool = False
    batches: int = 1
    ranks: int = 1


LORA = Trained()


# Usual sizes, by the config.json that their makers publish.
USUAL = (
    Shapes("0.5B (as Qwen2.5-0.5B)", 24, 896, 4_864, 896, 128, 151_936, tied=True),
    Shapes("1B (as Llama-3.2-1B)", 16, 2_048, 8_192, 2_048, 512, 128_256, tied=True),
    Shapes("3B (as Llama-3.2-3B)", 28, 3_072, 8_192, 3_072, 1_024, 128_256, tied=True),
    Shapes("8B (as Llama-3.1-8B)", 32, 4_096, 14_336, 4_096, 1_024, 128_256, tied=False),
    Shapes("14B (as Qwen2.5-14B)", 48, 5_120, 13_824, 5_120, 1_024, 152_064, tied=False),
    Shapes("32B (as Qwen2.5-32B)", 64, 5_120, 27_648, 5_120, 1_024, 152_064, tied=False),
    Shapes("70B (as Llama-3.1-70B)", 80, 8_192, 28_672, 8_192, 1_024, 128_256, tied=False),
)
TYPICAL = USUAL[3]  # where no model is named


def of_config(name: str, config: Any) -> Shapes | None:
    """Shapes by a model's configuration (of transformers); None where it has none of this kind."""
    text = config.get_text_config()

    def number(*keys: str) -> int:
        found = (getattr(text, key, None) for key in keys)
        return next((int(n) for n in found if isinstance(n, int) and n > 0), 0)

    hidden, heads = number("hidden_size", "n_embd"), number("num_attention_heads", "n_head")
    layers = number("num_hidden_layers", "n_layer")
    if not (hidden and heads and layers):
        return None
    width = number("head_dim") or hidden // heads
    experts = number("num_local_experts", "num_experts", "n_routed_experts") or 1
    inner = number("moe_intermediate_size") if experts > 1 else 0
    return Shapes(
        name,
        layers,
        hidden,
        inner or number("intermediate_size", "n_inner") or 4 * hidden,
        heads * width,
        (number("num_key_value_heads") or heads) * width,
        number("vocab_size"),
        bool(getattr(config, "tie_word_embeddings", False)),
        experts,
        text.model_type in NORMED or bool(getattr(text, "use_qk_norm", False)),
    )


def activations(shapes: Shapes, rank: int, size: int, trained: Trained = LORA) -> int:
    """Bytes that a token leaves in a layer for the backward pass; `size`: bytes of a number."""
    normed = shapes.query + shapes.key if shapes.normed else 0
    norms = (4 + size * trained.whole) * (2 * shapes.hidden + normed)  # of them the inputs in float32
    attention, inner = 2 * (shapes.query + shapes.key), 3 * shapes.intermediate
    if trained.whole:
        return norms + size * (_inputs(shapes, LINEAR) + attention + inner)
    adapted = sum(shapes.linear[name][1] for name in trained.adapted)
    adapters = len(trained.adapted) * rank + 2 * adapted * trained.dora
    return norms + size * (_inputs(shapes, trained.adapted) + attention + inner + adapters)


def _inputs(shapes: Shapes, names: tuple[str, ...]) -> int:
    """Numbers of the inputs of some linear layers; those of queries, keys and values are one, and so on."""
    sharing = {INPUT_OF.get(name, name) for name in names}
    return sum(shapes.linear[name][0] for name in sharing)


def _layers(
    shapes: Shapes, rank: int, size: int, checkpointing: bool | str, trained: Trained = LORA
) -> float:
    """Bytes that a token leaves in all layers for the backward pass, of one that is computed again too."""
    each = activations(shapes, rank, size, trained)
    if checkpointing == "selective":
        return shapes.layers / 2 * (each + shapes.hidden * size) + each
    return shapes.layers * shapes.hidden * size + each if checkpointing else shapes.layers * each


def memory(
    shapes: Shapes,
    rank: int,
    length: int,
    batch: int,
    *,
    size: int = 2,
    checkpointing: bool | str = False,
    masked: bool = False,
    gpu: bool = True,
    trained: Trained = LORA,
) -> dict[str, float]:
    """GiB of each part of a training. length: tokens of a packed row; batch: rows at once; size: bytes of a
    number; masked: whether attention needs a mask.
    """
    tokens = length * batch
    chunk = min(tokens, max(LEAST, CHUNK["cuda" if gpu else "cpu"] // shapes.vocabulary))
    activations = tokens * _layers(shapes, rank, size, checkpointing, trained)
    parts = {
        "model": shapes.parameters * size,
        **(
            _whole(shapes, size, activations, trained)
            if trained.whole
            else _adapter(shapes, rank, size, trained)
        ),
        "activations": activations,
        "backward": tokens * size * (4 * shapes.intermediate + 2 * shapes.hidden),
        "logits": chunk * shapes.vocabulary * (4 + size) + tokens * shapes.hidden * size * 2,
        "mask": batch * length * length * size if masked else 0,
    }
    if trained.paired or trained.saved:  # by autograd: their logarithms, too, and the gradients of both
        parts["logits"] += chunk * shapes.vocabulary * 8
    if not gpu:
        parts["heap"] = _heap(shapes, rank, tokens, size, parts, trained)
    held = sum(parts.values())
    fixed = 1.0 if gpu else 0.5
    return {name: n / GIB for name, n in parts.items()} | {"overhead": fixed + 0.05 * held / GIB}


def _adapter(shapes: Shapes, rank: int, size: int, trained: Trained) -> dict[str, float]:
    """Bytes of an adapter with its gradients, and of its optimizer."""
    adapter = shapes.adapter(rank, trained)
    saved = trained.saved * shapes.vocabulary * shapes.hidden * size
    return {
        "adapter": adapter * (8 if size == 4 else 8 + size) + 2 * saved,  # and a copy that is computed with
        "optimizer": adapter * 8 + 2 * saved,
    }


def _whole(shapes: Shapes, size: int, activations: float, trained: Trained) -> dict[str, float]:
    """Bytes of the gradients of all weights, and of the optimizer.

    They come while activations go, so that of one batch only those count that are beyond them; at first the
    output layer's, twice. Several ranks sum a copy of them, behind both.
    """
    all_of_them = shapes.parameters * size
    first = 2 * 4 * shapes.vocabulary * shapes.hidden
    if trained.batches > 1:
        gradients = all_of_them + max(first, (trained.ranks > 1) * all_of_them - activations)
    else:
        gradients = max(first, (1 + (trained.ranks > 1)) * all_of_them - activations)
    return {"gradients": gradients, "optimizer": 2 * all_of_them}


def _heap(
    shapes: Shapes, rank: int, tokens: int, size: int, parts: dict[str, float], trained: Trained
) -> float:
    """Bytes of the heap that hold nothing: what was made and freed layer by layer leaves gaps."""
    freed = parts["backward"] + parts["logits"] + tokens * activations(shapes, rank, size, trained)
    if tokens * shapes.intermediate * size > MAPPED:  # four of them in a layer, and four on the way back
        freed -= 8 * tokens * shapes.intermediate * size
    if trained.dora:  # lengths of outputs are those of the weights with the adapter in them
        wide = [shapes.linear[name] for name in trained.adapted]
        freed += max((4 * n * (n + 3 * to) for n, to in wide), default=0)
    copies = HEAP_COPIES * shapes.vocabulary * shapes.hidden * size if size < 4 else 0
    return HEAP_FREED * freed + copies + HEAP_FIRST * GIB


class Fitted(NamedTuple):
    """How a training fits into some memory: its batch, with or without checkpointing, its parts."""

    batch: int
    checkpointing: bool
    parts: dict[str, float]  # GiB

    @property
    def whole(self) -> float:
        """GiB of all."""
        return sum(self.parts.values())


def fitted(
    shapes: Shapes, room: float, rank: int, length: int, batch: int, size: int = 2, *, gpu: bool = True
) -> Fitted | None:
    """The largest batch that fits into `room` GiB, without checkpointing if it goes; None: none does.

    gpu: whether that is a GPU's memory. The batch divides `batch`, so that a step is of batches of one size.
    """
    for checkpointing in (False, True):
        for rows in (n for n in range(batch, 0, -1) if batch % n == 0):
            parts = memory(shapes, rank, length, rows, size=size, checkpointing=checkpointing, gpu=gpu)
            if sum(parts.values()) <= room:
                return Fitted(rows, checkpointing, parts)
    return None


def largest(room: float, rank: int, length: int, size: int, *, gpu: bool = True) -> Shapes | None:
    """The largest of the usual sizes that trains in `room` GiB, one row at a time."""
    fit = [shapes for shapes in USUAL if fitted(shapes, room, rank, length, 1, size, gpu=gpu) is not None]
    return fit[-1] if fit else None
