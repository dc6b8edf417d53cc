"""Which decoded messages stand in the shards as `pii` left them in `prepared/`, word for word.

Why: the stage has looked through what it left with the same recognisers, until nothing was to be replaced;
the same text gives the same findings. So the gate asks recognisers only about messages that are another text
now: cut, joined, decoded to other letters, planted. One unchanged message in `SAMPLE` is looked through all
the same, so that a stage that does not look is noticed.

A message is known by 64 bits of its text's hash, mixed with its row and role.

Cost: reading the messages of the window's parts, and hashing both, at about 1 GB/s.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.kernels.content import content_hash
from headrace.pipelines import schema
from headrace.pipelines.passes import outputs
from headrace.pipelines.passes.parts import Window
from headrace.pipelines.schema import ROLES

SAMPLE = 64
ROW, ROLE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # odd numbers with mixed bits
CODES = {"": 0, **{role: at + 1 for at, role in enumerate(ROLES)}}
CODES["rejected"] = CODES["assistant"]  # which the chat template makes of it


def known(run: str, window: Window) -> NDArray[np.uint64]:
    """Keys of the window's prepared messages, sorted: each by its role, and as if that were not known.

    Raises: DamagedError for a part of `prepared/` that is not what was written.
    """
    columns = ["row_id", "messages"]
    parts = [outputs.read(run, path, xxh3, columns) for path, xxh3 in window.parts]
    if not parts:
        return np.empty(0, np.uint64)
    table = pa.concat_tables(parts)
    roles, rows, texts = schema.contents(table)
    row_ids = table["row_id"].to_numpy().astype(np.uint64)[rows]
    spoken = roles.dictionary_encode()
    by_role = np.array([CODES[role] for role in spoken.dictionary.to_pylist()] or [0], np.uint64)
    unspoken = _keys(texts, row_ids, np.zeros(len(rows), np.uint64))
    return np.sort(np.concatenate([unspoken, unspoken + by_role[spoken.indices.to_numpy()] * ROLE]))


def changed(
    known: NDArray[np.uint64], texts: pa.Array, roles: pa.DictionaryArray, row_ids: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Numbers of the messages that are looked through: those that are not `known`, and some of the others.

    texts: large_string[N]; roles: of each, "" where it is not known, which then any role of its row may be.
    """
    codes = np.array([CODES[role] for role in roles.dictionary.to_pylist()] or [0], np.uint64)
    keys = _keys(texts, row_ids, codes[roles.indices.to_numpy()])
    new = np.ones(len(keys), np.bool_)
    if len(known):
        order = np.argsort(keys)  # looked up in order they stay in the processor's caches
        ordered = keys[order]
        new[order] = known[np.minimum(np.searchsorted(known, ordered), len(known) - 1)] != ordered
    return np.flatnonzero(new | (keys % np.uint64(SAMPLE) == 0))


def _keys(texts: pa.Array, row_ids: NDArray[np.uint64], codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """What tells a message of a row and role from all others of a window."""
    keys: NDArray[np.uint64] = content_hash(texts)[0] + row_ids * ROW + codes * ROLE
    return keys
