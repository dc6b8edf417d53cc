"""Both sketches on a GPU: batches of rows on streams of their own, so that copying hides behind computing.

Texts go through pinned memory (those that are pinned already are copied from where they lie). Rows of any
length share the work evenly, for its unit is not the row but the chunk of 128 windows (see `warps`).

Cost: some two bytes of device memory moved a byte of text, and ``40 * bins`` a row; the host waits for
nothing but the oldest of three batches.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import triton
from numpy.typing import NDArray

from headrace.kernels.arrow import Spans
from headrace.kernels.device import device, pinned, staged, streams, view
from headrace.kernels.sketch import warps

BATCH = 1 << 27  # bytes of text: two milliseconds on the wire, well above what starting a batch costs
HELD = 1 << 25  # bins of a batch, 8 bytes each
STREAMS = 3  # one copies in, one computes, one copies out


Results = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # signatures, keys (int64) and features (int32)


@dataclass(frozen=True)
class _Batch:
    """Rows ``first:last`` under way, and the pinned memory in which what is found of them arrives."""

    stream: torch.cuda.Stream | None
    first: int
    last: int
    results: list[torch.Tensor]


def sketch(
    texts: Spans,
    ngram: int,
    bins: int,
    signatures: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    features: NDArray[np.uint32],
) -> None:
    """Fill ``signatures[N, words]``, ``keys[N, bands]`` (untouched if bands is 0) and ``features[N]``."""
    shape = ngram, signatures.shape[1], bins, keys.shape[1]
    # As tensors, for PyTorch copies on many threads: at 200 bytes a row results are a third of the text.
    outputs = [torch.from_numpy(array.view(np.int64)) for array in (signatures, keys)]
    outputs.append(torch.from_numpy(features.view(np.int32)))
    available = streams(STREAMS)
    under_way: deque[_Batch] = deque()

    def finish() -> None:
        batch = under_way.popleft()
        if batch.stream is not None:
            batch.stream.synchronize()
        for output, result in zip(outputs, batch.results, strict=True):
            output[batch.first : batch.last].copy_(result)

    for turn, (first, last) in enumerate(_batches(texts, bins)):
        if len(under_way) == STREAMS:
            finish()
        stream = available[turn % STREAMS]
        with torch.cuda.stream(stream):
            under_way.append(_Batch(stream, first, last, _send(texts, first, last, *shape)))
    while under_way:
        finish()


def sketch_tensors(
    data: torch.Tensor,
    offsets: torch.Tensor,
    *,
    ngram: int = 8,
    bits: int = 64,
    bins: int = 32,
    bands: int = 8,
) -> Results:
    """`kernels.fingerprint` of texts that lie on the device, on the current stream.

    data uint8[bytes], offsets int64[N + 1], ascending within it ``-> (simhash uint64[N, bits // 64], bands
    uint64[N, bands], features uint32[N])`` on the device. With `bins` and `bands` 0 the SimHash alone.
    `data` is copied first unless it begins and ends at a multiple of 8 bytes. Scratch memory: about 0.7
    bytes a byte of text, ``16 * bins + 200`` a row.
    """
    if data.numel() % 8 or data.data_ptr() % 8:
        whole = _room(data.numel(), data.device)
        whole[: data.numel()].copy_(data)
        data = whole
    starts, stops = offsets[:-1], offsets[1:]
    longest = int((stops - starts).max()) if len(starts) else 0
    signatures, keys, features = _rows(data, starts, stops, longest, ngram, bits // 64, bins, bands)
    return signatures.view(torch.uint64), keys.view(torch.uint64), features.view(torch.uint32)


def _batches(texts: Spans, bins: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows of at most `BATCH` bytes (or one row) and `HELD` bins."""
    first, most = 0, max(1, HELD // max(bins, 32))
    while first < len(texts):
        last = int(np.searchsorted(texts.stops, texts.starts[first] + BATCH, "right"))
        last = min(max(last, first + 1), first + most, len(texts))
        yield first, last
        first = last


def _room(size: int, where: torch.device) -> torch.Tensor:
    """``uint8``, whole words: kernels read eight bytes at a time."""
    return torch.empty(-(-size // 8) * 8, dtype=torch.uint8, device=where)


def _send(
    texts: Spans, first: int, last: int, ngram: int, words: int, bins: int, bands: int
) -> list[torch.Tensor]:
    """Queue a batch on the current stream: copy in, compute, copy out. Returns `Results` in pinned memory."""
    begin, end = int(texts.starts[first]), int(texts.stops[last - 1])
    data = _room(end - begin, device())
    data[: end - begin].copy_(staged(view(texts.data[begin:end])), non_blocking=True)
    edges = pinned((2, last - first), torch.int64)
    for edge, given in zip(edges, (texts.starts, texts.stops), strict=True):
        edge.copy_(view(given[first:last]).view(torch.int64))
    starts, stops = edges.to(device(), non_blocking=True) - begin
    longest = int(np.max(texts.stops[first:last] - texts.starts[first:last]))
    results = _rows(data, starts, stops, longest, ngram, words, bins, bands)
    return [pinned(tuple(result.shape), result.dtype).copy_(result, non_blocking=True) for result in results]


def _rows(
    data: torch.Tensor,
    starts: torch.Tensor,
    stops: torch.Tensor,
    longest: int,
    ngram: int,
    words: int,
    bins: int,
    bands: int,
) -> Results:
    """Signatures int64[N, words], keys int64[N, bands], features int32[N]; no row has more than `longest`."""
    n, where = len(starts), data.device
    signatures = torch.empty((n, words), dtype=torch.int64, device=where)
    keys = torch.empty((n, bands), dtype=torch.int64, device=where)
    windows = (stops - starts - (ngram - 1)).clamp(min=0)
    features = windows.to(torch.int32)
    if n == 0:
        return signatures, keys, features
    spread = ((starts & 7) + windows + (warps.CHUNK - 1)) // warps.CHUNK
    ends = torch.where(windows > 0, spread, 0).cumsum(0)
    # As many as there can be, so that the host need not wait for how many there are.
    chunks = data.numel() // warps.CHUNK + n + n // 16 + 1
    rows = torch.searchsorted(ends, torch.arange(chunks, device=where), right=True, out_int32=True)
    levels = (-(-(longest + 7) // warps.CHUNK) - 1).bit_length() if longest else 0
    planes = torch.empty((warps.PLANES + levels, chunks), dtype=torch.int64, device=where).view(torch.uint64)
    least = torch.full((n, bins), -1, dtype=torch.int64, device=where)
    text, held, block = data.view(torch.uint64), least.view(torch.uint64), warps.BLOCK
    grid = (triton.cdiv(chunks, block),)
    for word in range(words):
        counted = 0 if word else bins
        warps.count_chunks[grid](
            text, starts, stops, ends, rows, held, planes, n, chunks,
            ngram=ngram, bins=counted, shift=65 - bins.bit_length(), upper=word == 1, block=block,
        )  # fmt: skip
        for level in range(levels):
            warps.join_chunks[grid](
                planes, ends, rows, n, chunks, 1 << level, warps.PLANES + level, block=block
            )
        signature = torch.empty(n, dtype=torch.int64, device=where)
        warps.majority[(triton.cdiv(n, block),)](
            planes, starts, stops, ends, signature.view(torch.uint64), n, chunks, warps.PLANES + levels,
            ngram=ngram, block=block,
        )  # fmt: skip
        signatures[:, word] = signature
    if bands:
        filled = (least != -1).any(dim=1).view(torch.uint8)
        dense, key = torch.empty_like(held), keys.view(torch.uint64)
        warps.densify[(triton.cdiv(n * bins, block),)](held, filled, dense, n * bins, bins=bins, block=block)
        warps.band_keys[(triton.cdiv(n * bands, block),)](
            dense, filled, key, n * bands, bins=bins, bands=bands, block=block
        )
    return signatures, keys, features
