"""The door for notebooks, over texts in memory: stages and checks as functions. No Ray, no run directory.

Tables are Polars data frames, as those of `python`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from headrace.pipelines import recipe as recipes
from headrace.pipelines import schema
from headrace.pipelines.examine.config import Config as Examine
from headrace.pipelines.examine.leaks.config import Config as Decontaminate
from headrace.pipelines.section import Section
from headrace.pipelines.stages.dedup import in_memory
from headrace.pipelines.stages.dedup.config import Config as Dedup
from headrace.pipelines.stages.pii import search as pii_search
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config as Pii

Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]
C = TypeVar("C", bound=Section)


def duplicates(texts: Texts, config: Mapping[str, Any] | Dedup | None = None) -> pl.DataFrame:
    """Duplicates among texts in memory: which go, for which, and why. No Ray, no files.

    texts: any sequence of str and None, or an Arrow string array; None is no text. config: what a recipe's
    `dedup` would hold. Returns `removed`, `kept` (uint64, places in `texts`), `distance` int32 (of the
    SimHashes), `similarity` float64, `rule` ("exact", "near"), by `removed`.

    Raises: RecipeError for a key or a value that `dedup` cannot have.
    """
    return pl.DataFrame(in_memory.duplicates(_array(texts), _config("dedup", Dedup, config)))


def find_pii(texts: Texts, config: Mapping[str, Any] | Pii | None = None) -> pl.DataFrame:
    """Personal data in texts, whatever its score: `mask` replaces from `threshold` on. No Ray, no files.

    texts: as for `duplicates`. config: what a recipe's `pii` would hold. Returns `text` int64 (place in
    `texts`), `start`, `end` int64 (characters), `entity` string, `score` float64, by place.

    Raises: RecipeError for a key, a value or an entity that `pii` cannot have;
    `headrace.pipelines.stages.pii.stage.UnexaminedError` where a text could not be looked through.
    """
    settings = _pii(config)
    array = _array(texts)
    found = pii.find(array, settings) if settings.enabled else pii.FINDINGS.empty_table()
    return pl.DataFrame(found).select(pl.col("row").alias("text"), "start", "end", "entity", "score")


def mask(texts: Texts, config: Mapping[str, Any] | Pii | None = None) -> pa.Array:
    """Texts with stand-ins such as `<EMAIL_ADDRESS_1>` for personal data. No Ray, no files.

    Each text is a conversation of its own: stand-ins are numbered within it. texts, config: as for
    `find_pii`. Returns ``large_string[N]``, null where the text is None.

    Raises: what `find_pii` raises; RecipeError where `hash` or `surrogate` has no key.
    """
    settings = _pii(config)
    settings.require_key()
    array = _array(texts)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    if not valid.any():
        return array
    masked = pii.apply(_rows(array.drop_null()), settings)
    failed = masked["error"].is_valid().to_numpy()
    if failed.any():
        causes = masked["detail"].to_pylist()
        places = np.flatnonzero(valid)
        raise pii.UnexaminedError({int(places[at]): causes[at] for at in np.flatnonzero(failed)})
    _, _, contents = schema.contents(masked)
    return contents.take(pa.array(np.cumsum(valid) - 1, mask=~valid))


def leaks(
    texts: Texts, items: Texts | str | os.PathLike[str], config: Mapping[str, Any] | None = None
) -> pl.DataFrame:
    """Which texts hold which evaluation items. No Ray, no files but the items'.

    texts: as for `duplicates`. items: texts, or the path of evaluation sets. config: what a recipe's
    `decontaminate` would hold. Returns `row` (place in `texts`), `item`, `share` (of the item that stands in
    the text), `rule`, by row and item.

    Raises: RecipeError for a key or a value that `decontaminate` cannot have; SourceError, StorageError.
    """
    from headrace.pipelines.examine.leaks import memory

    given = items if isinstance(items, str | os.PathLike) else _array(items)
    return pl.DataFrame(memory.leaks(_array(texts), given, _config("decontaminate", Decontaminate, config)))


def effective(prompts: Texts, config: Mapping[str, Any] | None = None) -> float:
    """How many different things prompts ask: the exponential of the entropy of clusters of alike ones.

    prompts: as `texts` for `duplicates`. config: what a recipe's `examine.diversity` would hold.

    Raises: RecipeError for a key or a value that it cannot have.
    """
    from headrace.pipelines.examine.diversity import measure

    return measure.effective(_array(prompts), _examine(config, "diversity").diversity)


def contradictions(prompts: Texts, answers: Texts, config: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Rows that ask the same and whose answers cannot both be right.

    prompts, answers: as `texts` for `duplicates`, as many of one as of the other. config: what a recipe's
    `examine.contradictions` would hold. Returns `row`, `partner`, `prompt_similarity`, `answer_similarity`.

    Raises: RecipeError for a key or a value that it cannot have; ValueError for different lengths.
    """
    from headrace.pipelines.examine.contradictions import compare

    settings = _examine(config, "contradictions").contradictions
    return pl.DataFrame(compare.contradictions(_array(prompts), _array(answers), settings))


def label_noise(texts: Texts, labels: Texts, config: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Rows whose label is likely wrong.

    texts, labels: as `texts` for `duplicates`, as many of one as of the other. config: what a recipe's
    `examine.label_noise` would hold. Returns `row`, `label`, `suggested`, `score`, `rule`.

    Raises: RecipeError for a key or a value that it cannot have; ValueError for different lengths.
    """
    from headrace.pipelines.examine.label_noise import judge

    settings = _examine(config, "label_noise").label_noise
    return pl.DataFrame(judge.label_noise(_array(texts), _array(labels), settings))


def formats(answers: Texts, config: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Answers that begin as JSON, XML, YAML, a call, a fence, SQL or CSV, parsed to their end.

    answers: as `texts` for `duplicates`. config: what a recipe's `examine.formats` would hold. Returns `row`,
    `format`, `valid_head`, `valid`, `breaks_at` (the character where it breaks; null where it is valid).

    Raises: RecipeError for a key or a value that it cannot have.
    """
    from headrace.pipelines.examine.formats import run as parsing

    return pl.DataFrame(parsing.formats(_array(answers), _examine(config, "formats").formats))


def _examine(config: Mapping[str, Any] | None, check: str) -> Examine:
    """The section `examine` with one check's. Raises: RecipeError."""
    return _config("examine", Examine, None if config is None else {check: dict(config)})


def _rows(texts: pa.Array) -> pa.Table:
    """A row of `schema.ROW` a text (no nulls), of one message of role `text`."""
    n, table = len(texts), in_memory.as_rows(texts)
    filled = {
        **{name: table[name].combine_chunks() for name in ("row_id", "messages")},
        "n_records": pa.array(np.ones(n), pa.uint32()),
        **{name: pa.repeat("", n) for name in ("source", "file", "place")},
    }
    columns = [filled.get(field.name, pa.nulls(n, field.type)) for field in schema.ROW]
    return pa.Table.from_arrays(columns, schema=schema.ROW)


def _array(texts: Texts) -> pa.Array:
    """``large_string[N]``. Raises: TypeError for what is no text."""
    if isinstance(texts, str):
        raise TypeError("texts: one str was given; write [text] for a single text")
    given = (
        texts if isinstance(texts, pa.Array | pa.ChunkedArray) else pa.array(list(texts), pa.large_string())
    )
    if isinstance(given, pa.ChunkedArray):
        given = given.combine_chunks()
    return given.cast(pa.large_string())


def _pii(config: Mapping[str, Any] | Pii | None) -> Pii:
    settings = _config("pii", Pii, config)
    pii_search.require_known(settings)
    return settings


def _config(name: str, kind: type[C], given: Mapping[str, Any] | C | None) -> C:
    """The section `name` of a recipe. Raises: RecipeError, in the words of a whole recipe."""
    if isinstance(given, kind):
        return given
    section = dict(given) if isinstance(given, Mapping) else {} if given is None else given
    whole = recipes.validate({"output": "-", "sources": [{"path": "-"}], name: section}, "config")
    config = getattr(whole, name)
    assert isinstance(config, kind)
    return config


__all__ = [
    "contradictions",
    "duplicates",
    "effective",
    "find_pii",
    "formats",
    "label_noise",
    "leaks",
    "mask",
]
