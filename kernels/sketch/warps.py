"""Triton code of the sketches: a thread walks a chunk of 128 places of a text, eight windows at a time.

Everything is elementwise, so that threads never wait for each other: chunks begin at multiples of eight
bytes (words are loaded whole, windows cut out of two or three of them by constant shifts), counters are
bit planes in registers (carry-save adders: some eight instructions a feature), and bins are kept in
device memory, where an atomic minimum is paid only by a hash below what its bin was seen to hold.

Planes leave a thread as ``uint64[width, chunks]``: bit b of plane p is bit p of the count of bit b. The
chunks of a row are then added pairwise in place, a level a launch, into its first chunk.

Source: Harley & Seal's carry-save adders as in Mula, Kurz & Lemire 2018, https://arxiv.org/abs/1611.07612.
"""

import triton
import triton.language as tl

from headrace.kernels.sketch import reference

CHUNK = 128  # places a thread
PLANES = 8  # counts up to CHUNK
BLOCK = 128  # threads a program

M1, M2 = tl.constexpr(reference.M1), tl.constexpr(reference.M2)
M3, M4 = tl.constexpr(reference.M3), tl.constexpr(reference.M4)
EMPTY = tl.constexpr(reference.EMPTY)
PLACES = tl.constexpr(CHUNK)


@triton.jit
def _mix(word, multiplier: tl.constexpr):  # type: ignore[no-untyped-def]
    word = word * multiplier
    return word ^ (word >> 32)


@triton.jit
def _cut(first, second, third, at: tl.constexpr):  # type: ignore[no-untyped-def]
    """The 8 bytes at byte `at`, 0 to 15, of three consecutive words."""
    if at == 0:
        word = first
    elif at < 8:
        word = (first >> (8 * at)) | (second << (64 - 8 * at))
    elif at == 8:
        word = second
    else:
        word = (second >> (8 * at - 64)) | (third << (128 - 8 * at))
    return word


@triton.jit
def _feature(first, second, third, low, high, at: tl.constexpr, ngram: tl.constexpr):  # type: ignore[no-untyped-def]
    """Hash of the window at `at`, once for counts and once for bins: nothing where there is no window."""
    if ngram > 8:
        word = _cut(first, second, third, at + ngram - 8) ^ _mix(_cut(first, second, third, at), M3)
    else:
        word = _cut(first, second, third, at)
        if ngram < 8:
            word = word & ((1 << (8 * ngram)) - 1)
    value = _mix(_mix(word, M1), M2)
    inside = (low <= at) & (at < high)
    return tl.where(inside, value, 0), tl.where(inside, value, EMPTY)


@triton.jit
def _add(a, b, c):  # type: ignore[no-untyped-def]
    """Full adder: (sum, carry)."""
    half = a ^ b
    return half ^ c, (a & b) | (half & c)


@triton.jit
def _add_eight(planes, words):  # type: ignore[no-untyped-def]
    """Count the bits of eight words into the planes."""
    ones, a = _add(planes[0], words[0], words[1])
    ones, b = _add(ones, words[2], words[3])
    ones, c = _add(ones, words[4], words[5])
    ones, d = _add(ones, words[6], words[7])
    twos, a = _add(planes[1], a, b)
    twos, b = _add(twos, c, d)
    fours, carry = _add(planes[2], a, b)
    counted = ones, twos, fours
    for p in tl.static_range(3, 8):
        counted += (planes[p] ^ carry,)  # type: ignore[assignment]
        carry = planes[p] & carry
    return counted


@triton.jit
def count_chunks(  # type: ignore[no-untyped-def]
    words,
    starts,
    stops,
    ends,
    rows,
    least,
    planes,
    n,
    chunks,
    ngram: tl.constexpr,
    bins: tl.constexpr,
    shift: tl.constexpr,
    upper: tl.constexpr,
    block: tl.constexpr,
):
    """Write the planes of each chunk, and lower the bins of its row.

    words uint64[ceil(bytes / 8)], starts and stops int64[n], ends int64[n] (running sum of the rows'
    chunks), rows int32[chunks] (`n` for a chunk that is none), least uint64[n, bins], planes
    uint64[>= 8, chunks]. `shift` is 64 - log2(bins); `bins` 0 leaves `least` alone. `upper` counts for
    the second word of a 128-bit signature.
    """
    chunk = tl.program_id(0) * block + tl.arange(0, block)
    row = tl.load(rows + chunk, mask=chunk < chunks, other=n)
    live = row < n
    row = tl.where(live, row, 0).to(tl.int64)
    start, stop = tl.load(starts + row), tl.load(stops + row)
    before = tl.load(ends + row - 1, mask=row > 0, other=0)
    base = start - (start & 7) + (chunk - before) * PLACES
    # Places of this chunk that begin a window, and words of this row, from where the chunk begins.
    low = tl.maximum(start - base, 0).to(tl.int32)
    high = tl.where(live, tl.minimum(stop - base - (ngram - 1), PLACES), 0).to(tl.int32)
    left = tl.where(live, tl.minimum((stop - base + 7) >> 3, PLACES // 8 + 2), 0).to(tl.int32)
    text, held = words + (base >> 3), least + row * bins
    first = tl.load(text, mask=left > 0, other=0)
    second = tl.load(text + 1, mask=left > 1, other=0)
    third = second
    zero = tl.zeros((block,), tl.uint64)
    counts = (zero, zero, zero, zero, zero, zero, zero, zero)
    for at in range(0, tl.max(high, 0), 8):
        ahead = at // 8 + 2
        third = tl.load(text + ahead, mask=ahead < left, other=0)
        counted, binned, seen = (), (), ()
        for k in tl.static_range(8):
            value, mark = _feature(first, second, third, low - at, high - at, k, ngram)
            counted += (_mix(value, M4) if upper else value,)  # type: ignore[assignment]
            binned += (mark,)  # type: ignore[assignment]
            if bins > 0:
                # Past the first-level cache, which would go on showing what has long been lowered.
                place = held + (mark >> shift).to(tl.int64)
                seen += (tl.load(place, cache_modifier=".cg"),)  # type: ignore[assignment]
        if bins > 0:
            for k in tl.static_range(8):
                place = held + (binned[k] >> shift).to(tl.int64)
                tl.atomic_min(place, binned[k], mask=binned[k] < seen[k], sem="relaxed")
        counts = _add_eight(counts, counted)
        first, second = second, third
    for p in tl.static_range(8):
        tl.store(planes + chunk, counts[p], mask=chunk < chunks)
        planes += chunks


@triton.jit
def join_chunks(planes, ends, rows, n, chunks, step, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Add chunk ``i + step`` of a row to chunk i, a multiple of ``2 * step``: one plane more than `width`."""
    chunk = tl.program_id(0) * block + tl.arange(0, block)
    row = tl.load(rows + chunk, mask=chunk < chunks, other=n)
    live = row < n
    row = tl.where(live, row, 0)
    before = tl.load(ends + row - 1, mask=row > 0, other=0)
    takes = live & (((chunk - before) & (2 * step - 1)) == 0)
    gives = takes & (chunk + step < tl.load(ends + row))
    carry = tl.zeros((block,), tl.uint64)
    plane = planes + chunk
    for _ in range(width):
        ours, theirs = tl.load(plane, mask=gives, other=0), tl.load(plane + step, mask=gives, other=0)
        total, carry = _add(carry, ours, theirs)
        tl.store(plane, total, mask=gives)
        plane += chunks
    tl.store(plane, carry, mask=takes)


@triton.jit
def majority(  # type: ignore[no-untyped-def]
    planes, starts, stops, ends, signatures, n, chunks, width, ngram: tl.constexpr, block: tl.constexpr
):
    """Set the bits that more than half of a row's windows have set: ``signatures[n]``."""
    row = tl.program_id(0) * block + tl.arange(0, block)
    live = row < n
    begin = tl.load(ends + row - 1, mask=live & (row > 0), other=0)
    windows = (
        tl.load(stops + row, mask=live, other=0) - tl.load(starts + row, mask=live, other=0) - (ngram - 1)
    )
    some = live & (windows > 0)
    half = tl.where(some, windows, 0) >> 1
    # From the lowest plane up: a word is more than the threshold if it is so in its highest differing bit.
    more = tl.zeros((block,), tl.uint64)
    plane = planes + begin
    for p in range(width):
        word = tl.load(plane, mask=some, other=0)
        more = tl.where(((half >> p) & 1) != 0, more & word, more | word)
        plane += chunks
    tl.store(signatures + row, more, mask=live)


@triton.jit
def densify(least, filled, dense, total, bins: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Let empty bins borrow: least and dense uint64[n, bins], filled uint8[n] (whether any bin is)."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    row, place = at // bins, (at % bins).to(tl.uint64)
    some = tl.load(filled + row, mask=at < total, other=0) != 0
    held = least + row * bins
    value = tl.load(least + at, mask=some, other=0)
    attempt = 0
    while tl.max((value == EMPTY).to(tl.int32), 0) > 0:
        attempt += 1
        lender = _mix(_mix((place << 32) | attempt, M1), M2) & (bins - 1)
        missing = value == EMPTY
        value = tl.where(missing, tl.load(held + lender.to(tl.int64), mask=missing, other=0), value)
    tl.store(dense + at, value, mask=at < total)


@triton.jit
def band_keys(  # type: ignore[no-untyped-def]
    dense, filled, keys, total, bins: tl.constexpr, bands: tl.constexpr, block: tl.constexpr
):
    """Key of each band of each row: dense uint64[n, bins], filled uint8[n], keys uint64[n, bands]."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    row, band = at // bands, at % bands
    some = tl.load(filled + row, mask=at < total, other=0) != 0
    key = (band + 1).to(tl.uint64)
    for j in range(bins // bands):
        key = _mix((key * M3) ^ tl.load(dense + at * (bins // bands) + j, mask=some, other=0), M1)
    tl.store(keys + at, tl.where(some, key, 0), mask=at < total)
