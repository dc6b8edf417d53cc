"""Small models of many kinds, trained for three steps beside the plainest loop: what the zoo stands on."""

import copy
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peft
import torch
import transformers
from torch.nn import functional

from headrace.pipelines.train import adapter, models, steps
from headrace.pipelines.train.config import Config
from headrace.pipelines.train.running import forward, ways
from headrace.pipelines.train.running.ways import Way
from headrace.pipelines.train.steps import Rank
from tests.pipelines import toys

ALONE = Rank(0, 1, torch.device("cpu"))
LENGTH = 24
SIZES = [[9, 6, 9], [13, 11], [5, 7, 4, 8]]  # samples of each packed row
TINY = {
    "vocab_size": len(toys.WORDS),
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}
STATE = {"n_mamba_heads": 2, "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}


class Outcome(NamedTuple):
    """way: that was taken; difference: of a step's loss and the plain loop's, relative, the greatest;
    reloaded: whether peft alone gives the same logits; bare: kinds of layers without an adapter.
    """

    way: Way
    losses: list[float]
    difference: float
    reloaded: bool
    bare: list[str]


def described(kind: str, **more: Any) -> Any:
    """The configuration of a tiny model; `more` with a value of `...` leaves a size to the kind itself."""
    given = {**TINY, **more}
    return getattr(transformers, kind)(**{k: v for k, v in given.items() if v is not ...})


def batch() -> dict[str, np.ndarray[Any, Any]]:
    """Three packed rows, with loss on the second half of each sample."""
    draw = np.random.default_rng(5)
    names = ("input_ids", "labels", "position_ids", "segment_ids")
    made = {n: np.zeros((len(SIZES), LENGTH), np.int64) for n in names}
    made["labels"][:] = -100
    for row, sizes in enumerate(SIZES):
        at = 0
        for segment, size in enumerate(sizes, start=1):
            cut, behind = slice(at, at + size), slice(at + size // 2, at + size)
            made["input_ids"][row, cut] = draw.integers(2, len(toys.WORDS), size)
            made["labels"][row, behind] = made["input_ids"][row, behind]
            made["position_ids"][row, cut], made["segment_ids"][row, cut] = np.arange(size), segment
            at += size
    return made


def built(config: Any, wanted: Config) -> tuple[Any, Way]:
    """The model, and the way that is proved for it. Raises: ModelError."""
    possible = ways.of_config(wanted)
    kinds = models.kinds(config, config.model_type, (way.attention for way in possible))
    torch.manual_seed(1)
    model = models.prepared(models.from_config(config, kinds[0], torch.float32))
    return model, ways.proved(model, [way for way in possible if way.attention in kinds], config.model_type)


def trained(config: Any, count: int = 3) -> Outcome:
    """Train a model by `steps.step` and by a plain loop over samples alone. Raises: ModelError."""
    wanted = Config(rank=4, alpha=8)
    base, way = built(config, wanted)
    torch.manual_seed(2)
    model = adapter.fitted(copy.deepcopy(base), wanted, config.model_type)
    with (
        torch.no_grad()
    ):  # an adapter that is drawn adds nothing at first, and its first matrix gets no gradient
        for name, weight in sorted(model.named_parameters()):
            if "lora_B" in name:
                weight += torch.randn_like(weight) * 0.05
    plain = copy.deepcopy(model)
    plain.get_base_model().set_attn_implementation("eager")
    micro = [forward.tensors(part, ALONE.device) for part in way.inputs(batch())]
    optimizer = _optimizer(model)
    losses = [steps.step(model, optimizer, micro, ALONE, 1e-2, 0.0)[0] for _ in range(count)]
    beside = _plain(plain, count)
    difference = max(abs(a - b) / b for a, b in zip(losses, beside, strict=True))
    bare = adapter.without(model)
    return Outcome(way, losses, difference, _reloaded(base, model), bare)


def _optimizer(model: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)


def _plain(model: Any, count: int) -> list[float]:
    """Losses of `count` steps, each over every sample alone, as `transformers` computes it."""
    rows, optimizer, losses = batch(), _optimizer(model), []
    model.train()
    for _ in range(count):
        loss, targets = torch.zeros(()), 0
        for row in range(len(SIZES)):
            for segment in range(1, len(SIZES[row]) + 1):
                own = rows["segment_ids"][row] == segment
                ids, labels = (torch.from_numpy(rows[n][row][own]) for n in ("input_ids", "labels"))
                logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
                loss = loss + functional.cross_entropy(logits, labels[1:], reduction="sum")
                targets += int((labels[1:] != -100).sum())
        (loss / targets).backward()
        losses.append(float(loss.detach()) / targets)
        optimizer.step()
        optimizer.zero_grad()
    return losses


def _reloaded(base: Any, model: Any) -> bool:
    """Whether peft alone makes of the files what was trained."""
    ids = torch.from_numpy(batch()["input_ids"][:1, :9])
    for one in (base, model.get_base_model()):
        one.set_attn_implementation("eager")
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for file, data in adapter.files(model, "base").items():
            Path(folder, file).write_bytes(data)
        again = peft.PeftModel.from_pretrained(base, folder).eval()
        return torch.equal(again(input_ids=ids).logits, model.eval()(input_ids=ids).logits)
