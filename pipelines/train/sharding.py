"""A base model that is spread over the ranks: each holds a part of every layer (FSDP2).

What: the layers' weights are not trained, so they are split by rows over the ranks and gathered a layer at a
time, forwards and backwards. The adapter is small: every rank has all of it, as without sharding, so its
gradients, its optimizer and its checkpoints are what they are without. Embeddings and output layer stay
whole.

How: the model is built on no device, split, and each rank reads its own rows of the safetensors files. A
checkpoint whose names are not the model's (those that transformers converts as it reads) is read whole by
each rank, into the machine's memory, and split there.

Every layer is a collective: all ranks run the model as often as each other (`missing`).

Cost: weights / ranks of memory, and two gatherings of the weights a micro-batch (three with checkpointing).
Source: https://arxiv.org/abs/2304.11277
"""

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from headrace.cluster.errors import ModelError, RecipeError
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.running import forward

if TYPE_CHECKING:
    from headrace.pipelines.train.config import Config
    from headrace.pipelines.train.steps import Rank

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
EMPTY = 8  # tokens of a batch without a target
FULL = 0.6  # of a GPU's memory: weights that take more leave too little for a batch


def wanted(config: "Config", rank: "Rank", weights: int) -> bool:
    """Whether the base model is spread over the ranks. weights: its bytes.

    Raises: RecipeError where the recipe asks for it and its method cannot have it.
    """
    asked = config.shard == "fsdp" or config.offload
    if config.method not in ("lora", "rslora") or config.modules_to_save:
        if asked:
            raise RecipeError(
                "train.shard: fsdp and train.offload spread weights that are not trained; method: "
                f"{config.method}{' with modules_to_save' if config.modules_to_save else ''} trains or packs "
                "them: take lora or rslora, or leave those keys out"
            )
        return False
    if config.best != "validation_loss":
        if asked:
            raise RecipeError(
                f"train.best: {config.best} is told by answers, which a rank writes alone, and train.shard: "
                "fsdp and train.offload let no rank run alone: take validation_loss, or leave those keys out"
            )
        return False
    if asked or config.shard == "none" or rank.count == 1 or rank.device.type != "cuda":
        return asked
    return bool(weights > FULL * torch.cuda.get_device_properties(rank.device).total_memory)


def spread(model: Any, rank: "Rank", *, offload: bool = False) -> None:
    """Split the layers of a model, on no device or on the CPU, over the ranks."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard

    _joined(rank)
    mesh = init_device_mesh(rank.device.type, (rank.count,))
    held = CPUOffloadPolicy() if offload and rank.device.type == "cuda" else OffloadPolicy()
    for layer in layers(model):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True, offload_policy=held)


def _joined(rank: "Rank") -> None:
    """One rank alone is a group, too: offloading goes by it."""
    if not dist.is_initialized():
        backend = "nccl" if rank.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=rank.number, world_size=rank.count)


def layers(model: Any) -> list[nn.Module]:
    """The layers of a model, one after the other. Raises: ModelError where it has none."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        raise ModelError("the model has no list of layers to work on one by one")
    size = max(sum(p.numel() for p in one.parameters()) for one in lists)
    return list(next(one for one in lists if sum(p.numel() for p in one.parameters()) == size))


def load(
    directory: str, build: Callable[[], Any], whole: Callable[[], Any], rank: "Rank", *, offload: bool = False
) -> Any:
    """A model spread over the ranks, of which each has read its part alone.

    build: makes it without weights and with its buffers; whole: with all weights on the CPU, which is used
    where the files of `directory` hold other names than the model. Every weight is frozen.
    """
    model = build().requires_grad_(False)
    files = _files(directory)
    names = {n for n, _ in model.named_parameters()}
    if not names or not names <= files.keys():
        model = whole().requires_grad_(False)
        spread(model, rank, offload=offload)
        return _placed(model, rank)
    spread(model, rank, offload=offload)
    state = {name: _read(files[name], name, p, rank, offload=offload) for name, p in model.named_parameters()}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    return _placed(model, rank)


def _read(path: str, name: str, parameter: Any, rank: "Rank", *, offload: bool) -> torch.Tensor:
    """A weight from its file: of a split one this rank's rows."""
    with safe_open(path, "pt") as file:
        if not isinstance(parameter, DTensor):
            return cast(torch.Tensor, file.get_tensor(name).to(rank.device, parameter.dtype))
        mesh, placements = parameter.device_mesh, parameter.placements
        shape, offset = compute_local_shape_and_global_offset(parameter.shape, mesh, placements)
        rows = file.get_slice(name)[offset[0] : offset[0] + shape[0]].to(parameter.dtype).clone()
    local = rows if offload else rows.to(rank.device)
    return DTensor.from_local(
        local, mesh, placements, run_check=False, shape=parameter.shape, stride=parameter.stride()
    )


def _placed(model: Any, rank: "Rank") -> Any:
    """What is not split goes to the rank's device."""
    for parameter in model.parameters():
        if not isinstance(parameter, DTensor):
            parameter.data = parameter.data.to(rank.device)
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = buffer.to(rank.device)
    return model.eval()


def _files(directory: str) -> dict[str, str]:
    """The safetensors file of each weight, by its name."""
    index = os.path.join(directory, INDEX)
    if os.path.exists(index):
        with open(index) as file:
            return {n: os.path.join(directory, f) for n, f in json.load(file)["weight_map"].items()}
    single = os.path.join(directory, SINGLE)
    if not os.path.exists(single):
        return {}
    with safe_open(single, "pt") as opened:
        return dict.fromkeys(opened.keys(), single)


def missing(batches: int, model: Any, rank: "Rank") -> int:
    """How many batches without a target (`nothing`) a rank runs after its `batches`, to run as many as any.

    Of a model that is not spread none.
    """
    if rank.count == 1 or not is_spread(model):
        return 0
    most = torch.tensor([batches], device=rank.device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return int(most) - batches


def is_spread(model: Any) -> bool:
    """Whether a model is split over the ranks."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def nothing(device: torch.device) -> dict[str, torch.Tensor]:
    """A batch of one row without a target."""
    ids = np.zeros((1, EMPTY), np.int64)
    columns = {"input_ids": ids, "labels": ids + IGNORE, "position_ids": ids + np.arange(EMPTY)}
    return forward.tensors({**columns, "segment_ids": ids + 1}, device)
