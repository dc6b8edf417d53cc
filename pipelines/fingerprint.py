"""What pass 2 needs to know of a row without its text: hashes, sketches, lengths.

A row has two parts: the *prompt* (all that is not the assistant's) and the *answer* (the
assistant's turns, or a plain text). Two rows are near-duplicates only if both parts are, so each
part is sketched by itself: eight band keys of a MinHash and the number of its features (hashed
windows of the folded text). A part with fewer features than `dedup.min_features` says too little
to be compared by them; of such a part only an exact key counts, a hash of its messages after
folding case and spaces (punctuation kept: 3.5 and 35 are different answers).

Cost: one pass of folding and one of sketching over the text, one core: see
tests/benchmarks/LOG.md. Source: `kernels.sketch`, `kernels.folding`, `kernels.content`.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

import kernels
from pipelines import schema
from pipelines.settings import Section

VERSION = 1
BANDS = 8
ANSWERS = ("assistant", "text")  # every other role belongs to the prompt

# Columns that `apply` adds; all are 0 for rows that were marked before. Band keys stand in columns
# of their own so that a task of pass 2 reads one band and not all.
PARTS = ("prompt", "answer")
COLUMNS = (
    ("exact_hi", pa.uint64()),
    ("exact_lo", pa.uint64()),
    ("simhash", pa.uint64()),
    ("size", pa.uint32()),  # bytes of content, at most 4 GiB
    *((f"{part}_key", pa.uint64()) for part in PARTS),
    *((f"{part}_features", pa.uint32()) for part in PARTS),
    *((f"{part}_band_{k}", pa.uint64()) for part in PARTS for k in range(BANDS)),
)


class Config(Section):
    """How rows are sketched."""

    ngram: int = Field(8, ge=4, le=16)
    """Bytes of a window, the feature that sketches and similarities are made of."""


class Parts(NamedTuple):
    """Folded texts of the parts of N rows; their 2N strings lie in one buffer, prompt before answer."""

    both: pa.LargeStringArray  # 2N: prompt of row 0, answer of row 0, prompt of row 1, ...
    whole: pa.LargeStringArray  # N: both parts of a row

    def part(self, number: int) -> pa.Array:
        """All prompts (0) or all answers (1)."""
        return self.both.take(pa.array(np.arange(number, len(self.both), 2)))


def parts(roles: pa.Array, rows: NDArray[np.int64], texts: pa.Array, n: int) -> Parts:
    """Fold messages and join them by row and part.

    `roles`, `rows` (ascending) and `texts` are the flat view of `schema.contents`; `n` the rows.
    """
    slot = rows * 2 + pc.is_in(roles, pa.array(ANSWERS)).to_numpy(zero_copy_only=False)
    order = np.argsort(slot, kind="stable")
    folded = kernels.fold(texts)
    if not np.array_equal(order, np.arange(len(order))):
        folded = folded.take(pa.array(order))
    # A space ends each message, so that no window spans two without saying so.
    nothing, space = (pa.scalar(t, pa.large_string()) for t in ("", " "))
    joined = pc.binary_join_element_wise(folded, nothing, space)
    counts = np.bincount(slot, minlength=2 * n)
    ends = np.concatenate([[0], np.cumsum(counts)])
    offsets = _offsets(joined)[ends]
    values = joined.buffers()[2] if len(joined) else pa.py_buffer(b"")
    both = pa.LargeStringArray.from_buffers(2 * n, pa.py_buffer(offsets), values)
    whole = pa.LargeStringArray.from_buffers(n, pa.py_buffer(np.ascontiguousarray(offsets[::2])), values)
    return Parts(both, whole)


def _offsets(texts: pa.Array) -> NDArray[np.int64]:
    if not len(texts):
        return np.zeros(1, np.int64)
    return np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]


def apply(table: pa.Table, config: Config) -> pa.Table:
    """Add the `COLUMNS` to every row; the table keeps its length."""
    live = schema.live(table).to_numpy(zero_copy_only=False)
    part = table.filter(pa.array(live))
    roles, rows, texts = schema.contents(part)
    codes = pc.index_in(roles, pa.array(schema.ROLES)).to_numpy(zero_copy_only=False)
    found = _exact(codes, rows, texts, part.num_rows)
    joined = parts(roles, rows, texts, part.num_rows)
    _, bands, features = kernels.fingerprint(joined.both, ngram=config.ngram, bands=BANDS)
    found["simhash"] = kernels.simhash(joined.whole, ngram=config.ngram)[:, 0]
    for number, name in enumerate(PARTS):
        found[f"{name}_features"] = features[number::2]
        for k in range(BANDS):
            found[f"{name}_band_{k}"] = bands[number::2, k]
    for name, kind in COLUMNS:
        values = np.zeros(table.num_rows, kind.to_pandas_dtype())
        values[live] = found[name]
        table = table.append_column(name, pa.array(values, kind))
    return table


def _exact(
    codes: NDArray[np.int64], rows: NDArray[np.int64], texts: pa.Array, n: int
) -> dict[str, NDArray[np.generic]]:
    """Hashes of (role, content) of whole rows, and of each part after folding case and spaces."""
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    hi, lo = kernels.content_hash_lists(ends, codes, texts)
    size = np.bincount(rows, weights=lengths, minlength=n) if len(rows) else np.zeros(n)
    found: dict[str, NDArray[np.generic]] = {"exact_hi": hi, "exact_lo": lo}
    found["size"] = np.minimum(size, 2**32 - 1).astype(np.uint32)
    folded = kernels.fold(texts, keep_punctuation=True)
    answers = np.isin(codes, [schema.ROLES.index(r) for r in ANSWERS])
    for name, mine in zip(PARTS, (~answers, answers), strict=True):
        ends = np.concatenate([[0], np.cumsum(np.bincount(rows[mine], minlength=n))])
        chosen = folded.filter(pa.array(mine))
        found[f"{name}_key"] = kernels.content_hash_lists(ends, codes[mine], chosen)[1]
    return found
