"""Texts as the buffers they already are: a view of Arrow string arrays that jitted code can walk.

No byte of text is copied for string, large_string, binary and large_binary arrays (32-bit
offsets are widened, 8 bytes a row); anything else is converted to large_string first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_PLAIN = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view, as arrays are that came by Ray or Arrow: jitted code is compiled anew where that
    differs."""
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True)
class Spans:
    """Row `i` is ``data[starts[i]:stops[i]]``; a null row is empty and has ``valid[i] == False``.

    data uint8[bytes], starts and stops int64[N], valid bool[N] or None where no row is null.
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    valid: NDArray[np.bool_] | None

    def __post_init__(self) -> None:
        for name in ("data", "starts", "stops"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.starts)


Texts: TypeAlias = Spans | pa.Array | pa.ChunkedArray | NDArray[Any] | Sequence[str | None]


def spans(texts: Texts) -> list[Spans]:
    """View of `texts`, one `Spans` a chunk, in order.

    `texts`: `Spans`; or an Arrow array or chunked array of strings or binaries, sliced or not, with nulls or
    not; or a NumPy array or sequence of str and None, which is converted.

    Raises: TypeError for an Arrow type that holds no text.
    """
    if isinstance(texts, Spans):
        return [texts]
    if isinstance(texts, pa.ChunkedArray):
        return [_span(chunk) for chunk in texts.chunks]
    if isinstance(texts, pa.Array):
        return [_span(texts)]
    values = texts.tolist() if isinstance(texts, np.ndarray) else list(texts)
    return [_span(pa.array(values, pa.large_string()))]


def one_span(texts: Texts) -> Spans:
    """`spans` as one: chunks are concatenated (a copy) where there are several."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks() if texts.num_chunks != 1 else texts.chunk(0)
    return spans(texts)[0]


def strings(data: NDArray[np.uint8], offsets: NDArray[np.int64], valid: NDArray[np.bool_] | None) -> pa.Array:
    """``large_string[N]`` over `data` without a copy, null where `valid` says so."""
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)


def _span(array: pa.Array) -> Spans:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if not any(check(array.type) for check in _PLAIN):
        texty = (pa.types.is_string_view, pa.types.is_binary_view, pa.types.is_dictionary, pa.types.is_null)
        if not any(check(array.type) for check in texty):
            raise TypeError(f"texts must be an array of strings or binaries, got {array.type}")
        binary = pa.types.is_binary_view(array.type)
        array = array.cast(pa.large_binary() if binary else pa.large_string())
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offset_buffer, data_buffer = array.buffers()
    empty = data_buffer is None or data_buffer.size == 0
    data = np.zeros(0, np.uint8) if empty else np.frombuffer(data_buffer, np.uint8)
    if len(array) == 0:
        return Spans(data, np.zeros(0, np.int64), np.zeros(0, np.int64), None)
    stored = np.frombuffer(offset_buffer, np.int64 if wide else np.int32)
    stored = stored[array.offset : array.offset + len(array) + 1]
    offsets: NDArray[np.int64] = stored.astype(np.int64, copy=False)
    starts, stops = offsets[:-1], offsets[1:]
    if array.null_count == 0:
        return Spans(data, starts, stops, None)
    valid = pc.is_valid(array).to_numpy(zero_copy_only=False)
    return Spans(data, starts, np.where(valid, stops, starts), valid)
