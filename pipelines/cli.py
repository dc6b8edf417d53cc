"""The command `headrace`: reads arguments, calls the flow, turns errors into exit codes.

Exit codes: 0 done, 1 fault (ours), 2 user error, 3 gate failed.
"""

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import typer

from headrace.cluster.errors import AGAIN, INTERRUPTED, HeadraceError, OutputError, SourceError, place
from headrace.pipelines.console import Mode, choose, say

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


def _with_recipe(path: str, overrides: list[str] | None, mode: Mode, *, training: bool) -> Any:
    """Load and check: a bad recipe fails before any work."""
    loaded = _load(path, overrides)
    from headrace.pipelines.commands import check as checks  # heavy imports, not needed for a wrong recipe

    checks.check(loaded, "quiet" if mode != "json" else mode, training=training, ahead=True)
    return loaded


def _load(path: str, overrides: list[str] | None) -> Any:
    """The recipe in a file, or that of a run directory, whose output is that directory."""
    from headrace.pipelines import recipe  # heavy imports, not needed for --help

    return recipe.load_of(path, overrides or ())


def _run_of(path: str) -> str:
    """The run directory itself, or the output of a recipe; known to answer. Raises: UserError."""
    from headrace.cluster import storage

    storage.probe(path)
    if path.endswith((".yaml", ".yml")) or (not storage.is_remote(path) and os.path.isfile(path)):
        path = _load(path, None).output
        storage.probe(path)
    return path


@app.command()
def run(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Prepare, train, evaluate, report: the whole way."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    flow.run(_with_recipe(recipe, overrides, mode, training=True), mode)


@app.command()
def prepare(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Passes 1 to 3: raw shards to packed token shards, with a report."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    flow.prepare(_with_recipe(recipe, overrides, mode, training=False), mode)


@app.command()
def train(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Train a LoRA adapter on what `prepare` has packed."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    flow.train(_prepared(recipe, overrides), mode)


@app.command()
def evaluate(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Score the base model beside the tuned one on the held-out split."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    flow.evaluate(_prepared(recipe, overrides), mode)


@app.command()
def report(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Write report.html anew from what the run holds."""
    from headrace.pipelines import flow

    flow.report(_prepared(recipe, overrides), choose(json_lines=json_lines, quiet=quiet))


def _prepared(path: str, overrides: list[str] | None) -> Any:
    """The recipe of a run that has been prepared. Raises: OutputError where it has not."""
    from headrace.pipelines import rundir

    loaded = _load(path, overrides)
    rundir.reachable(loaded)
    from headrace.pipelines.passes import summary

    summary.require_prepared(loaded.output)
    return loaded


@app.command()
def check(
    recipe: RecipePath,
    overrides: Overrides = None,
    sample: Annotated[
        int,
        typer.Option(min=0, help="Records of every file to take through reading and masking; 0 for none."),
    ] = 200,
    json_lines: Json = False,
) -> None:
    """Validate recipe, sources, credentials, model, tokenizer and disk; say what the first records become."""
    mode, loaded = choose(json_lines=json_lines), _load(recipe, overrides)
    from headrace.pipelines import flow
    from headrace.pipelines.commands import check as checks  # as above

    resolved = checks.check(loaded, mode, training=True)
    say(mode, "done", checks.sample(resolved, mode, flow.ROW_STAGES[:-1], sample))


@app.command()
def advise(
    recipe: RecipePath,
    overrides: Overrides = None,
    gpu: Annotated[str | None, typer.Option(help="The GPU to train on, such as h100-80g.")] = None,
    sample: Annotated[
        int,
        typer.Option(min=1, help="Records of every source to look at, where the recipe has not been run."),
    ] = 20_000,
    everything: Annotated[
        bool, typer.Option("--all", help="Say what tuning takes, even where the advice is not to tune.")
    ] = False,
    json_lines: Json = False,
) -> None:
    """Tune or not: one verdict with its reasons, values to start with, memory and cost."""
    from headrace.pipelines import flow
    from headrace.pipelines.commands.advise import (
        gather,
        lines,
    )  # heavy imports, not needed for a wrong recipe

    mode, loaded = choose(json_lines=json_lines), _load(recipe, overrides)
    found = gather.gathered(loaded, flow.ROW_STAGES, sample)
    for line in lines.lines(loaded, found, gpu, whole=everything):
        say(mode, "advice", line.text, **line.fields)


@app.command()
def status(recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False) -> None:
    """How far a run is, from its ledger."""
    from headrace.pipelines import rundir
    from headrace.pipelines.commands import status as states

    loaded = _load(recipe, overrides)
    rundir.reachable(loaded)
    mode = choose(json_lines=json_lines)
    for line in states.status(loaded.output):
        say(mode, "status", line.text, **line.fields)


@app.command()
def init(
    path: Annotated[str, typer.Argument(metavar="PATH_OR_GLOB", help="Data to look at, local or s3://.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where to write the recipe; - for the screen.")
    ] = "-",
) -> None:
    """Look at data and write a commented starter recipe."""
    from headrace.cluster import storage
    from headrace.pipelines.commands import init as starter

    storage.probe(path)
    found = starter.look(path)
    for words in found.lines:
        (sys.stderr if output == "-" else sys.stdout).write(f"{words}\n")
    if output == "-":
        sys.stdout.write(found.text)
    elif not storage.put_new(output, found.text.encode()):
        raise OutputError(f"{output!r} exists; name another file, or remove it")
    if found.problem:
        raise SourceError(f"no shape was found, the recipe must name one: {found.problem}")


@app.command()
def submit(
    recipe: RecipePath,
    overrides: Overrides = None,
    address: Annotated[
        str,
        typer.Option(
            envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard, such as http://HEAD:8265."
        ),
    ] = "http://127.0.0.1:8265",
    command: Annotated[
        Literal["run", "prepare", "train", "evaluate", "report", "check"],
        typer.Option(help="What the cluster is to do with the recipe."),
    ] = "run",
    detach: Annotated[bool, typer.Option("--detach", help="Print the job's id and leave it.")] = False,
) -> None:
    """Run a recipe on a Ray cluster that is already there, and show what it prints."""
    from headrace.cluster import jobs
    from headrace.pipelines.commands import submit as submission

    sent, overrides = submission.sendable(recipe, overrides or ())  # a bad recipe fails here, not there
    job = jobs.submit(address, sent, command, overrides)
    if detach:
        sys.stdout.write(job + "\n")
        return
    say("plain", "submitted", f"job {job} on {address}; `ray job stop --address {address} {job}` ends it")
    for text in jobs.follow(address, job):
        sys.stdout.write(text)
        sys.stdout.flush()
    if code := jobs.exit_code(address, job):
        raise typer.Exit(code)


@app.command()
def duplicates(
    run_path: RunPath,
    pairs: Annotated[int, typer.Option(min=0, help="Removed rows to show beside what stays.")] = 5,
    borderline: Annotated[int, typer.Option(min=0, help="Pairs just under the threshold to show.")] = 3,
    json_lines: Json = False,
) -> None:
    """What went as duplicates, what would go at other thresholds, and pairs to look at."""
    from headrace.pipelines.commands import duplicates as removals

    run_path = _run_of(run_path)
    for line in removals.lines(run_path, pairs=pairs, borderline=borderline):
        say(choose(json_lines=json_lines), "duplicates", line.text, **line.fields)


@app.command()
def explain(
    run_path: RunPath,
    row: Annotated[
        str,
        typer.Argument(
            metavar="ROW", help='Its id, as in rejected/ or row_ids, or its place: "chat/0.jsonl, line 12".'
        ),
    ],
    json_lines: Json = False,
) -> None:
    """The whole story of one row: each stage's verdict, its duplicate, the tokens it became."""
    from headrace.pipelines import flow
    from headrace.pipelines.commands import explain as story

    run_path = _run_of(run_path)
    for line in story.lines(run_path, story.row_id(run_path, row), flow.STAGES):
        say(choose(json_lines=json_lines), "explain", line.text, **line.fields)


@app.command()
def lookup(
    run_path: RunPath,
    text: Annotated[str, typer.Argument(metavar="TEXT|FILE", help="A text, or a file that holds one.")],
    count: Annotated[int, typer.Option(min=1, help="Most rows to show.")] = 5,
    least: Annotated[float, typer.Option(min=0, max=1, help="Least similarity of a row shown.")] = 0.3,
    distance: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=64,
            help="Rows whose SimHash lies so many bits away at most, instead of by `least`.",
        ),
    ] = None,
    literal: Annotated[
        bool, typer.Option("--text", help="The argument is a text, whatever it looks like.")
    ] = False,
    json_lines: Json = False,
) -> None:
    """Is this text, or one like it, among the rows that a run kept?"""
    from headrace.cluster import here
    from headrace.pipelines.commands import lookup as looking

    run_path = _run_of(run_path)
    mode = choose(json_lines=json_lines)
    asked = text if literal else looking.read(text)
    if distance is None:
        hits = looking.lookup(run_path, asked, count=count, least=least, each=here.each)
    else:
        hits = looking.within(run_path, asked, distance=distance, count=count, each=here.each)
    for line in looking.lines(hits):
        say(mode, "lookup", line.text, **line.fields)
    if not hits:
        how = f"is like it by {least:g} or more" if distance is None else f"lies within {distance} bits of it"
        say(mode, "lookup", f"no row {how}")


@app.command()
def contamination(
    run_path: RunPath,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Evaluation sets: files, folders, globs, s3://.")
    ],
    json_lines: Json = False,
) -> None:
    """Which rows of a prepared run hold items of evaluation sets, without a word of either."""
    from headrace.pipelines.commands.examiner import contamination as leaks

    mode = choose(json_lines=json_lines)
    for line in leaks.contamination(_run_of(run_path), paths):
        say(mode, "contamination", line)


@app.command()
def fingerprints(
    run_path: RunPath,
    directory: Annotated[str, typer.Argument(help="Where to write them, local or s3://.")],
    json_lines: Json = False,
) -> None:
    """Write a run's fingerprints, without any text, for another run's dedup.against."""
    from headrace.cluster import storage
    from headrace.pipelines.commands import fingerprints

    run_path = _run_of(run_path)
    storage.probe(directory)
    line = fingerprints.export(run_path, directory)
    say(choose(json_lines=json_lines), "fingerprints", line.text, **line.fields)


@app.command()
def digest(run_path: RunPath) -> None:
    """One hash of the content of packed/, whatever files it lies in."""
    from headrace.pipelines.commands import digest

    sys.stdout.write(digest.digest(_run_of(run_path)) + "\n")


@app.command()
def rejected(
    run_path: RunPath,
    reason: Annotated[
        str | None, typer.Option(help="Of this reason, such as read.unknown_role, or stage, such as read.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Of this source.")] = None,
    count: Annotated[int, typer.Option(min=0, help="Most rows to show.")] = 10,
    json_lines: Json = False,
) -> None:
    """Rows that were not kept, as text: why, from which file and place."""
    from headrace.pipelines import flow
    from headrace.pipelines.commands import rejected as away

    mode, stages = choose(json_lines=json_lines), flow.STAGES[1 : 1 + len(flow.ROW_STAGES)]
    for line in away.lines(_run_of(run_path), stages, reason=reason, source=source, count=count):
        say(mode, "rejected", line.text, **line.fields)


@app.command()
def sample(
    run_path: RunPath,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Rows to draw.")] = 200,
    seed: Annotated[int | None, typer.Option(help="For another draw; left out: the recipe's.")] = None,
    out: Annotated[
        str, typer.Option(help="Folder for sheet.html and sheet.csv; left out: spot_check/ of the run.")
    ] = "",
    label_studio: Annotated[
        str, typer.Option(metavar="FILE", help="Write the rows as tasks of Label Studio too (.json).")
    ] = "",
    ratings: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Take ratings back instead: CSV of the sheet, or Label Studio's JSON; once a file.",
        ),
    ] = None,
    json_lines: Json = False,
) -> None:
    """Draw rows for people to rate, as a sheet to open in a browser; --import takes their ratings back."""
    from headrace.cluster import storage
    from headrace.pipelines.commands.draw import sample as drawing

    run_path = _run_of(run_path)
    for path in filter(None, (out, label_studio, *(ratings or ()))):
        storage.probe(path)
    lines = (
        drawing.take(run_path, ratings) if ratings else drawing.draw(run_path, count, seed, out, label_studio)
    )
    for line in lines:
        say(choose(json_lines=json_lines), "sample", line.text, **line.fields)


@app.command()
def select(
    run_path: RunPath,
    count: Annotated[int, typer.Option("-n", "--n", min=1, help="Rows to take.")] = 1000,
    out: Annotated[str, typer.Option(help="Folder to write; left out: select/ of the run.")] = "",
    form: Annotated[
        Literal["jsonl", "parquet"], typer.Option("--format", help="Of the files of rows.")
    ] = "jsonl",
    seed: Annotated[int | None, typer.Option(help="For another random draw; left out: the recipe's.")] = None,
    json_lines: Json = False,
) -> None:
    """The N best training rows by score, and beside them N at random of the same mix; a recipe to train each.

    Published ways to choose rows seldom beat chance: train both, and compare.
    In the folder that is written `headrace run best.yaml` trains on the one,
    `headrace run random.yaml` on the other; the held-out rows are the same.
    """
    from headrace.cluster import storage
    from headrace.pipelines.commands.draw import select as selection

    run_path = _run_of(run_path)
    if out:
        storage.probe(out)
    for line in selection.select(run_path, count, seed, out, form):
        say(choose(json_lines=json_lines), "select", line.text, **line.fields)


@app.command()
def verify(
    run_path: RunPath,
    deep: Annotated[
        bool, typer.Option("--deep", help="Measure removed duplicates again, text against text.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove damaged outputs; the next prepare makes them again.")
    ] = False,
    json_lines: Json = False,
) -> None:
    """Does what a run says stand? Files, books, packed rows, digest; exit 3 where not."""
    from headrace.pipelines.commands import verify

    for line in verify.lines(_run_of(run_path), deep=deep, remove=remove):
        say(choose(json_lines=json_lines), "verify", line.text, **line.fields)


@app.command()
def demo(
    directory: Annotated[str, typer.Argument(help="Where to write sample, model and run.")] = "demo",
    rows: Annotated[int, typer.Option(min=600, help="Made-up tickets; fewer are done sooner.")] = 2400,
) -> None:
    """Make a messy sample and a tiny model, and take them the whole way."""
    from headrace.pipelines.commands.demo import build

    path = build.build(directory, rows)
    say("plain", "demo", f"demo: headrace run {path}")
    if code := main(["run", path]):
        raise typer.Exit(code)
    build.compare(os.path.join(directory, "run"))


@app.command()
def warm(json_lines: Json = False, quiet: Quiet = False) -> None:
    """Compile all kernels ahead of the first run: for an image, or a fresh checkout."""
    from headrace.pipelines.passes import compiling

    mode = choose(json_lines=json_lines, quiet=quiet)
    compiled = compiling.warm(partial(compiling.say_compiling, mode))
    say(
        mode,
        "done",
        f"kernels: {compiled} modules compiled" if compiled else "kernels: all were compiled before",
    )


@app.command()
def schema() -> None:
    """The JSON schema of a recipe, for editors."""
    from headrace.pipelines.recipe import Recipe

    sys.stdout.write(json.dumps(Recipe.model_json_schema(), indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    call: Callable[..., Any] = typer.main.get_command(app)
    mode: Mode = "json" if "--json" in (arguments or sys.argv[1:]) else "plain"
    # Inside transformers, of its own attributes: nothing that a user could act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        call(args=list(arguments) if arguments is not None else None)
    except SystemExit as ended:  # how typer ends, after telling of a wrong argument itself
        if ended.code == 130:  # what typer makes of Ctrl-C
            return _interrupted(mode)
        if ended.code == signal.SIGTERM:  # how Ray ends a process that is asked to end
            say(mode, "error", INTERRUPTED)
            return 128 + signal.SIGTERM
        return ended.code if isinstance(ended.code, int) else 0
    except KeyboardInterrupt:
        return _interrupted(mode)
    except HeadraceError as error:
        say(mode, "error", f"error: {error}", exit_code=error.exit_code)
        if os.environ.get("HEADRACE_DEBUG"):
            traceback.print_exception(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence
        say(mode, "error", _fault(error), exit_code=1)
        return 1
    return 0


def _interrupted(mode: Mode) -> int:
    """By Ctrl-C, or because Ray was lost where nobody explained it."""
    watch = sys.modules.get("headrace.cluster.watch")
    if watch is not None and watch.lost():
        say(mode, "error", f"error: {watch.lost()}", exit_code=1)
        return 1
    say(mode, "error", INTERRUPTED)
    return 130


def _fault(error: Exception) -> str:
    """An unforeseen error without its message, which may quote what was read."""
    if os.environ.get("HEADRACE_DEBUG"):
        return "".join(traceback.format_exception(error))
    return f"fault: {place(error)}. {AGAIN}"
