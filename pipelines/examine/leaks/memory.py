"""Leaks among texts in memory, with the same answer as a run gives."""

import os
from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa

from headrace.pipelines.examine.leaks import index, match
from headrace.pipelines.examine.leaks import items as evaluation
from headrace.pipelines.examine.leaks.config import Against, Config

Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]


def leaks(texts: Texts, items: Texts | str | os.PathLike[str], config: Config | None = None) -> pa.Table:
    """Which texts hold which evaluation items: `row, item, share, rule`, sorted by row and item.

    texts: strings; a null holds nothing. items: strings, or the path of evaluation sets, whose items are then
    numbered in the order of their files. share: how much of the item stands in the text, by its `rule`:
    whole, ngram_13, ngram_8, near_short, near or near_rare (`match`).

    Raises: SourceError, StorageError for a path.
    """
    config = config or Config()
    if isinstance(items, str | os.PathLike):
        table = evaluation.load([Against(path=os.fspath(items))])
    else:
        table = evaluation.of_texts(items)
    flat = evaluation.strings(texts)
    nothing = pa.repeat(pa.scalar("", pa.large_string()), len(flat))
    found = match.find(nothing, flat, index.build(table, config), config)
    return found.select(["row", "item", "share", "rule"])
