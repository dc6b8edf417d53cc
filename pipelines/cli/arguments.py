"""The command's frame: the application, what its commands take, and recipes and runs by their paths."""

import os
import sys
from typing import Annotated, Any

import typer

from headrace.pipelines.console import Mode

app = typer.Typer(
    name="headrace",
    help="Raw text shards in; clean, private, duplicate-free packed tokens and an evaluated adapter out.",
    epilog="Exit codes: 0 done, 1 fault, 2 user error, 3 gate failed.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"headrace {version('headrace')}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Raw text shards in; clean, private, duplicate-free packed tokens and an evaluated adapter out."""


RecipePath = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Recipe file, local or s3://; or the run directory of one.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Override keys of the recipe, e.g. dedup.threshold=0.85."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Warnings and errors only.")]
RunPath = Annotated[
    str, typer.Argument(metavar="RUN", help="Run directory (`output` of the recipe); or the recipe of one.")
]


def with_recipe(path: str, overrides: list[str] | None, mode: Mode, *, training: bool) -> Any:
    """Load and check: a bad recipe fails before any work."""
    loaded = load(path, overrides)
    from headrace.pipelines.commands import check as checks  # heavy imports, not needed for a wrong recipe

    checks.check(loaded, "quiet" if mode != "json" else mode, training=training, ahead=True)
    return loaded


def load(path: str, overrides: list[str] | None) -> Any:
    """The recipe in a file, or that of a run directory, whose output is that directory."""
    from headrace.pipelines import recipe  # heavy imports, not needed for --help

    return recipe.load_of(path, overrides or ())


def run_of(path: str) -> str:
    """The run directory itself, or the output of a recipe; known to answer. Raises: UserError."""
    from headrace.cluster import storage

    storage.probe(path)
    if path.endswith((".yaml", ".yml")) or (not storage.is_remote(path) and os.path.isfile(path)):
        path = load(path, None).output
        storage.probe(path)
    return path


def prepared_of(path: str, overrides: list[str] | None) -> Any:
    """The recipe of a run that has been prepared. Raises: OutputError where it has not."""
    from headrace.pipelines import rundir

    loaded = load(path, overrides)
    rundir.reachable(loaded)
    from headrace.pipelines.passes import summary

    summary.require_prepared(loaded.output)
    return loaded
