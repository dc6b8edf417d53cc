"""The door for notebooks: plain functions, which `import headrace` gives (`headrace/__init__.py` names them).

Tables are Polars data frames, for they show well in a notebook; `.to_arrow()` makes Arrow of one without a
copy. What is read from a run is read whole: `polars.scan_parquet` over the folders of the run directory
takes what is larger than memory.
"""

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl
import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines import flow, rundir, schema
from headrace.pipelines import recipe as recipes
from headrace.pipelines.commands import check as checks
from headrace.pipelines.console import Mode, choose
from headrace.pipelines.passes import summary
from headrace.pipelines.passes.prepare_worker import rejected
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.schema import SPLITS
from headrace.pipelines.stages.dedup import stage as dedup

Given: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Recipe


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


def evaluate(recipe: Given, *, baseline: bool = False, quiet: bool = True) -> dict[str, Any]:
    """Score the base model beside the tuned one on the held-out split; the base alone where nothing is
    trained yet, or `baseline` asks for it.

    Takes and returns what `run` does.

    Raises: OutputError where nothing is prepared, GateError, and what `run` raises.
    """
    return flow.evaluate(_prepared(recipe), _mode(quiet), baseline=baseline)


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
    from headrace.pipelines.commands.verify import look as verifying  # PyTorch, for checkpoints

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
    "evaluate",
    "open",
    "prepare",
    "run",
    "train",
    "verify",
]
