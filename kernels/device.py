"""The GPU as PyTorch shows it, or the CPU where Triton interprets its kernels (``TRITON_INTERPRET=1``).

For `gpu.py` files, which are imported when they are first asked for and not before.
"""

import ctypes
from typing import Any

import torch
import triton
from numpy.typing import NDArray

# What Triton itself asks when a kernel is defined; later changes of the environment change nothing.
INTERPRETED: bool = triton.knobs.runtime.interpret


def device() -> torch.device:
    """Where kernels find their tensors."""
    return torch.device("cpu") if INTERPRETED else torch.device("cuda", torch.cuda.current_device())


def streams(count: int) -> list[torch.cuda.Stream | None]:
    """Streams of their own; None, which is as good as the current one, where there are none."""
    return [None if INTERPRETED else torch.cuda.Stream() for _ in range(count)]


def view(array: NDArray[Any]) -> torch.Tensor:
    """Bytes of `array`, ``uint8[nbytes]``, without a copy: to be read, and only while the array lives."""
    if not array.nbytes:
        return torch.empty(0, dtype=torch.uint8)
    # By address, for torch warns of every array that must not be written.
    held = (ctypes.c_uint8 * array.nbytes).from_address(array.ctypes.data)
    return torch.frombuffer(held, dtype=torch.uint8)


def pinned(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Memory of the host that a GPU copies from and to by itself, from PyTorch's cache of it."""
    return torch.empty(shape, dtype=dtype, pin_memory=not INTERPRETED)


def staged(source: torch.Tensor) -> torch.Tensor:
    """`source` if it is pinned, else a pinned copy of it."""
    if INTERPRETED or source.is_pinned():
        return source
    return pinned(tuple(source.shape), source.dtype).copy_(source)
