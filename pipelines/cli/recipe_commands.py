"""Commands that work on a recipe, or say what is to be known before."""

import json
import sys
from functools import partial
from typing import Annotated, Literal

import typer

from headrace.cluster.errors import OutputError, SourceError
from headrace.pipelines.cli.arguments import (
    Json,
    Overrides,
    Quiet,
    RecipePath,
    app,
    load,
    prepared_of,
    with_recipe,
)
from headrace.pipelines.console import choose, say


@app.command()
def run(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Prepare, train, evaluate, report: the whole way."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    flow.run(with_recipe(recipe, overrides, mode, training=True), mode)


@app.command()
def prepare(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Passes 1 to 3: raw shards to packed token shards, with a report."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    flow.prepare(with_recipe(recipe, overrides, mode, training=False), mode)


@app.command()
def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Only tell whether the rows teach: a short training at a low rate."),
    ] = False,
    curve: Annotated[
        bool,
        typer.Option("--curve", help="Only tell whether more rows would help: trainings on 5 to 100%."),
    ] = False,
    json_lines: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a LoRA adapter on what `prepare` has packed."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    prepared = prepared_of(recipe, overrides)
    if probe:
        flow.tried(prepared, mode, "probe")
    if curve:
        flow.tried(prepared, mode, "learning_curve")
    if not (probe or curve):
        flow.train(prepared, mode)


@app.command()
def evaluate(
    recipe: RecipePath,
    overrides: Overrides = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="All but the tuned model; so too where nothing is trained yet.")
    ] = False,
    json_lines: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score the tuned model beside its base and other arms on the held-out split."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    flow.evaluate(prepared_of(recipe, overrides), mode, baseline=baseline)


@app.command()
def sweep(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Train many times in search of better settings, and write a recipe of the best."""
    from headrace.pipelines import flow

    mode = choose(json_lines=json_lines, quiet=quiet)
    flow.sweep(prepared_of(recipe, overrides), mode)


@app.command()
def report(
    recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False, quiet: Quiet = False
) -> None:
    """Write report.html anew from what the run holds."""
    from headrace.pipelines import flow

    flow.report(prepared_of(recipe, overrides), choose(json_lines=json_lines, quiet=quiet))


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
    mode, loaded = choose(json_lines=json_lines), load(recipe, overrides)
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
    from headrace.pipelines.commands.advise import gather, lines

    mode, loaded = choose(json_lines=json_lines), load(recipe, overrides)
    found = gather.gathered(loaded, flow.ROW_STAGES, sample)
    for line in lines.lines(loaded, found, gpu, whole=everything):
        say(mode, "advice", line.text, **line.fields)


@app.command()
def status(recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False) -> None:
    """How far a run is, from its ledger."""
    from headrace.pipelines import rundir
    from headrace.pipelines.commands import status as states

    loaded = load(recipe, overrides)
    rundir.reachable(loaded)
    mode = choose(json_lines=json_lines)
    for line in states.status(loaded.output):
        say(mode, "status", line.text, **line.fields)


@app.command()
def gates(recipe: RecipePath, overrides: Overrides = None, json_lines: Json = False) -> None:
    """Every gate that a run is held against: its threshold, its state, and what was seen."""
    from headrace.pipelines.commands import gates as listed

    mode, loaded = choose(json_lines=json_lines), load(recipe, overrides)
    for line in listed.lines(loaded):
        say(mode, "gate", line.text, **line.fields)


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


@app.command("import")
def import_(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A YAML file of Axolotl or LLaMA-Factory.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where to write the recipe; - for the screen.")
    ] = "-",
    tool: Annotated[
        Literal["axolotl", "llamafactory"] | None,
        typer.Option("--from", help="Whose file it is; left out: told by its keys."),
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that it is meant for.")] = 1,
    data: Annotated[str, typer.Option(help="Folder of LLaMA-Factory's dataset_info.json.")] = "",
    json_lines: Json = False,
) -> None:
    """Write the recipe that another trainer's file stands for; list what has no counterpart."""
    from headrace.cluster import storage
    from headrace.pipelines.commands.imported import file

    storage.probe(path)
    made = file.imported(path, tool, gpus, data)
    if output == "-":
        sys.stdout.write(made.text)
    elif not storage.put_new(output, made.text.encode()):
        raise OutputError(f"{output!r} exists; name another file, or remove it")
    for line in made.lines if output != "-" else ():
        say(choose(json_lines=json_lines), "import", line.text, **line.fields)


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
