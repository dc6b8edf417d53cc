"""The door for notebooks: plain functions, which `import headrace` gives (`headrace/__init__.py` names them).

Tables are Polars data frames, for they show well in a notebook; `.to_arrow()` makes Arrow of one without a
copy. What is read from a run is read whole: `polars.scan_parquet` over the folders of the run directory
takes what is larger than memory.
"""

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines import flow, rundir, schema
from headrace.pipelines import recipe as recipes
from headrace.pipelines.commands import check as checks
from headrace.pipelines.console import Mode, choose
from headrace.pipelines.examine.config import Config as Examine
from headrace.pipelines.examine.leaks.config import Config as Decontaminate
from headrace.pipelines.passes import summary
from headrace.pipelines.passes.prepare_worker import rejected
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.section import Section
from headrace.pipelines.stages.dedup import in_memory
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup.config import Config as Dedup
from headrace.pipelines.stages.pii import search as pii_search
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config as Pii

Given: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Recipe
Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]
C = TypeVar("C", bound=Section)


def run(recipe: Given, *, quiet: bool = True) -> dict[str, Any]:
    """Prepare, train, evaluate, report: the whole way, as `headrace run` goes it.

    recipe: path of a file (local or s3://), a mapping as the file would hold it, or a `Recipe`. `quiet`:
    print warnings only. Returns run.json.

    Raises: a UserError of `headrace.cluster.errors` that says what to mend; GateError where the work is done
    and a gate says no.
    """
    mode = _mode(quiet)
    return flow.run(_checked(recipe, training=True, mode=mode), mode)


def prepare(recipe: Given, *, quiet: bool = True) -> dict[str, Any]:
    """Passes 1 to 3: raw shards to packed token shards, with report.html.

    Takes, returns and raises what `run` does.
    """
    mode = _mode(quiet)
    return flow.prepare(_checked(recipe, training=False, mode=mode), mode)


def train(recipe: Given, *, quiet: bool = True) -> dict[str, Any]:
    """Train a LoRA adapter on what `prepare` has packed.

    Takes and returns what `run` does.

    Raises: OutputError where nothing is prepared, ModelError, and what `run` raises.
    """
    return flow.train(_prepared(recipe), _mode(quiet))


def evaluate(recipe: Given, *, quiet: bool = True) -> dict[str, Any]:
    """Score the base model beside the tuned one on the held-out split.

    Takes and returns what `run` does.

    Raises: OutputError where nothing is prepared, GateError, and what `run` raises.
    """
    return flow.evaluate(_prepared(recipe), _mode(quiet))


def check(recipe: Given, *, quiet: bool = True) -> None:
    """Look at recipe, sources, credentials, model, tokenizer and disk; do no work.

    Takes what `run` does. Raises: the UserError of the first thing that is wrong.
    """
    _checked(recipe, training=True, mode=_mode(quiet), ahead=False)


def verify(run_directory: str | os.PathLike[str], *, deep: bool = False) -> list[dict[str, Any]]:
    """Whether what a run says stands: files, books, packed rows, digest; with `deep`, removals by their
    texts.

    Returns everything that does not stand, each with `check`, `path` and `text`; empty where all stands.

    Raises: OutputError where the directory is no run; StorageError.
    """
    from headrace.pipelines.commands import verify as verifying  # PyTorch, for checkpoints

    path = os.fspath(run_directory)
    storage.probe(path)
    return [finding._asdict() for finding in verifying.look(path, deep=deep).findings]


def open(run_directory: str | os.PathLike[str]) -> "Run":
    """The prepared run in a directory, local or s3://.

    Raises: OutputError where nothing is prepared there; StorageError.
    """
    path = os.fspath(run_directory)
    storage.probe(path)
    summary.require_prepared(path)
    return Run(path)


@dataclass(frozen=True)
class Run:
    """A prepared run. Every property reads the run directory anew, and whole."""

    path: str
    """The run directory."""

    @property
    def report(self) -> dict[str, Any]:
        """run.json: what the run did, in numbers."""
        return summary.read(self.path)

    @property
    def kept(self) -> pl.DataFrame:
        """Rows that were kept, masked: those of prepared/ that no later pass set aside.

        Columns as in `headrace.pipelines.schema.ROW`, then what the stages add. Passages that dedup cut
        from a text are still in it.
        """
        rows = self._below("prepared", schema.ROW)
        gone = pl.concat([self.rejected["row_id"], self.removed["removed"]])
        return rows.filter(~pl.col("row_id").is_in(gone.implode()))

    @property
    def removed(self) -> pl.DataFrame:
        """Duplicates: `removed`, `kept` (row_ids), `distance`, `similarity`, `rule`, and an earlier `run`."""
        return self._below("duplicates/removed.parquet", dedup.REMOVED)

    @property
    def rejected(self) -> pl.DataFrame:
        """Rows that were not kept, with why in `reason` (dropped) or `error` (quarantined)."""
        return self._below("rejected", rejected(schema.ROW.empty_table(), withhold=()).schema)

    def packed(self, split: str = "train") -> pl.DataFrame:
        """Packed rows of "train", "validation" or "test": input_ids, labels, position_ids, segment_ids, ...

        Raises: ValueError for another name.
        """
        if split not in SPLITS:
            raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
        return self._below(f"packed/{split}", pa.schema([]))

    def _below(self, name: str, empty: pa.Schema) -> pl.DataFrame:
        """All tables at or below `name`, one after the other; one without rows where there is none."""
        path = storage.join(self.path, name)
        single = name.endswith(".parquet")
        if single:
            paths = [path] if storage.exists(path) else []
        else:
            paths = [e.path for e in storage.listing(path) if e.path.endswith(".parquet")]
        frames = [pl.DataFrame(storage.read_table(p)) for p in paths]
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame(empty.empty_table())

    def _repr_html_(self) -> str:
        """The run at a glance, for notebooks; all that is read is escaped."""
        report = self.report
        rows = report.get("rows", {})
        facts: list[tuple[str, object]] = [("run", self.path)]
        facts += [(f"records {name}", rows.get(name)) for name in ("in", "kept")]
        for kind in ("dropped", "quarantined"):
            counts = sorted(rows.get(kind, {}).items(), key=lambda pair: (-pair[1], pair[0]))
            facts += [(f"{kind}: {reason}", count) for reason, count in counts]
        facts += [
            (f"packed {split}: samples", counts.get("samples"))
            for split, counts in report.get("packed", {}).items()
        ]
        facts.append(("digest", report.get("digest")))
        lines = (f"<tr><th>{_escaped(name)}</th><td>{_escaped(value)}</td></tr>" for name, value in facts)
        return f"<table>{''.join(lines)}</table>"


def _escaped(value: object) -> str:
    return html.escape(f"{value:,}" if isinstance(value, int) else str(value))


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


def _recipe(given: Given) -> Recipe:
    if isinstance(given, Recipe):
        return given
    if isinstance(given, Mapping):
        return recipes.validate(dict(given), "recipe")
    return recipes.load(os.fspath(given))


def _checked(given: Given, *, training: bool, mode: Mode, ahead: bool = True) -> Recipe:
    """The recipe, once all that the work leans on is known to be there."""
    loaded = _recipe(given)
    checks.check(loaded, mode, training=training, ahead=ahead)
    return loaded


def _prepared(given: Given) -> Recipe:
    """The recipe of a run that has been prepared. Raises: OutputError where it has not."""
    loaded = _recipe(given)
    rundir.reachable(loaded)
    summary.require_prepared(loaded.output)
    return loaded


def _mode(quiet: bool) -> Mode:
    return choose(quiet=quiet)


__all__ = [
    "Run",
    "check",
    "contradictions",
    "duplicates",
    "effective",
    "evaluate",
    "find_pii",
    "formats",
    "label_noise",
    "leaks",
    "mask",
    "open",
    "prepare",
    "run",
    "train",
    "verify",
]
