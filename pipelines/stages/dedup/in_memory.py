"""Duplicates among texts in memory, by the same steps and with the same answer as pass 2."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.kernels.dispatch import threads
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import candidates, decide, signatures, verify
from headrace.pipelines.stages.dedup.blocks import (
    SIGNATURE,
    Rows,
    band_columns,
    candidate_pairs,
    exact_copies,
    short_equal,
)
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.dedup.stage import removed_table, rule_of_copies
from headrace.pipelines.stages.fingerprint import stage as fingerprint


def duplicates(texts: pa.Array, config: Config | None = None) -> pa.Table:
    """Duplicates among texts in memory: which go, for which, and why.

    texts: Arrow string or large_string array; a null is no text and never a duplicate. Returns a table
    `removed, kept` (row numbers), `distance, similarity, rule`, sorted by `removed`: the same answer as
    the pass gives on the same rows.
    """
    return removed(fingerprint.apply(as_rows(texts), fingerprint.Config()), config or Config())


def removed(table: pa.Table, config: Config, last: Sequence[str] = ()) -> pa.Table:
    """The same among the fingerprinted rows of `table`, by their ids; last: sources of which the last answer
    of a row alone is learned."""
    rows, matches = matched(table, config, last)
    verdict = decide.decide(rows.n, matches, config.threshold, rule_of_copies(config))
    return removed_table(rows["row_id"], rows["simhash"], verdict)


def matched(table: pa.Table, config: Config, last: Sequence[str] = ()) -> tuple[Rows, decide.Matches]:
    """All that is alike among the fingerprinted rows of `table`, and the rows by rank."""
    rows = Rows(table)
    exact, representative = exact_copies(rows)
    pairs = all_candidates(rows, representative, config)
    concerned, local = np.unique(pairs, return_inverse=True)
    place = pa.array(rows.place[concerned])
    ends = pc.is_in(table["source"].take(place), pa.array(last, pa.string())).to_numpy() if last else None
    measured = verify.similarities(
        table.select(verify.COLUMNS).take(place),
        local.reshape(-1, 2),
        min_features=config.min_features,
        ngram=fingerprint.Config().ngram,
        last=ends,
    )
    equal = short_equal(rows, representative, config)
    rule = np.where(measured.alike, decide.ALIKE, decide.NEAR).astype(np.int8)
    return rows, decide.Matches.of(exact, equal, pairs, measured.similarity, rule)


def all_candidates(rows: Rows, representative: NDArray[np.bool_], config: Config) -> decide.Pairs:
    """Pairs worth verifying, by bands, SimHash or both, each once."""
    pairs = candidate_pairs(rows, representative, config)
    if not signatures.wanted(config):
        return pairs
    return candidates.unique(chain([pairs], near_signatures(rows, representative, config)))


def near_signatures(rows: Rows, representative: NDArray[np.bool_], config: Config) -> Iterator[decide.Pairs]:
    """Candidate pairs of each table of signatures; as many tables at a time as there are cores."""
    ranks = np.flatnonzero(representative)
    held = {name: rows.at(name, ranks) for name in band_columns(SIGNATURE)}
    found = signatures.distinct(signatures.signed(held, ranks, config))
    masks = signatures.tables(len(found.words), config)
    with ThreadPoolExecutor(threads()) as pool:
        yield from pool.map(lambda table: signatures.pairs(found, masks, table, config), range(len(masks)))


def as_rows(texts: pa.Array) -> pa.Table:
    """Rows of one message of role `text` each; nulls are left out, so `row_id` is the text's number."""
    flat = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    valid = flat.is_valid().to_numpy(zero_copy_only=False)
    flat = (flat if valid.all() else flat.drop_null()).cast(pa.large_string())
    n = len(flat)
    message = pa.StructArray.from_arrays([pa.repeat("text", n), flat], fields=list(schema.MESSAGE))
    offsets = pa.array(np.arange(n + 1), pa.int32())
    return pa.table(
        {
            "row_id": pa.array(np.flatnonzero(valid), pa.uint64()),
            "messages": pa.ListArray.from_arrays(offsets, message, type=schema.MESSAGES),
            "drop": pa.nulls(n, pa.string()),
            "error": pa.nulls(n, pa.string()),
        }
    )
