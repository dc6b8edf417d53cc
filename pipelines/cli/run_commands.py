"""Commands that look at a run, and what is drawn from it."""

import sys
from typing import Annotated, Literal

import typer

from headrace.cluster.errors import RecipeError
from headrace.pipelines.cli.arguments import Json, Quiet, RunPath, app, run_of
from headrace.pipelines.console import choose, say

LabelStudio = Annotated[
    str, typer.Option(metavar="FILE", help="Write the rows as tasks of Label Studio too (.json).")
]
Ratings = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="FILE",
        help="Take ratings back instead: CSV of the sheet, or Label Studio's JSON; once a file.",
    ),
]


@app.command()
def duplicates(
    run_path: RunPath,
    pairs: Annotated[int, typer.Option(min=0, help="Removed rows to show beside what stays.")] = 5,
    borderline: Annotated[int, typer.Option(min=0, help="Pairs just under the threshold to show.")] = 3,
    json_lines: Json = False,
) -> None:
    """What went as duplicates, what would go at other thresholds, and pairs to look at."""
    from headrace.pipelines.commands import duplicates as removals

    run_path = run_of(run_path)
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

    run_path = run_of(run_path)
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

    run_path = run_of(run_path)
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
    for line in leaks.contamination(run_of(run_path), paths):
        say(mode, "contamination", line)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...", help="Evaluated runs: the first is what the others are held against."
        ),
    ],
    show: Annotated[int, typer.Option(min=0, help="Samples won, and lost, to show with their texts.")] = 3,
    json_lines: Json = False,
) -> None:
    """Runs held against the first, sample by sample: what is better beyond chance, what was set otherwise."""
    if len(runs) < 2:
        raise RecipeError("headrace compare takes two runs or more")
    from headrace.pipelines.commands.compare import compare as comparing

    mode = choose(json_lines=json_lines)
    for line in comparing.lines([run_of(run) for run in runs], show):
        say(mode, "compare", line.text, **line.fields)


@app.command()
def export(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... DIR", help="Trained runs, then the directory to write, local or s3://."
        ),
    ],
    adapter: Annotated[
        bool, typer.Option("--adapter", help="The adapter, as peft loads it; of several runs side by side.")
    ] = False,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="The base with the adapter in its weights, as transformers loads it."),
    ] = False,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="Of merged weights; left out: the base's."),
    ] = None,
    quantise: Annotated[
        Literal["int8", "nf4"] | None, typer.Option(help="Merged weights in 8 or 4 bits, by bitsandbytes.")
    ] = None,
    gguf: Annotated[
        bool, typer.Option("--gguf", help="Merged weights as model.gguf, too, by llama.cpp's converter.")
    ] = False,
    least_agreement: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of next tokens that weights under 32 bits must have in common."
        ),
    ] = 0.98,
    json_lines: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hand the tuned model over: written, loaded again alone, and published only if it answers the same."""
    mode = choose(json_lines=json_lines, quiet=quiet)
    if len(paths) < 2:
        raise RecipeError("headrace export takes one or more runs, and then the directory to write")
    if adapter == merge:
        raise RecipeError("say what to export: --adapter or --merge")
    from headrace.pipelines.commands.export import checked, record
    from headrace.pipelines.commands.export import export as exporting

    asked = checked.Asked("adapter" if adapter else "merged", dtype, quantise, gguf, least_agreement)
    *runs, target = paths
    runs = [run_of(run) for run in runs]
    told = exporting.export(runs, target, asked, lambda text, fields: say(mode, "export", text, **fields))
    for text, fields in record.lines(told, target):
        say(mode, "export", text, **fields)


@app.command()
def fingerprints(
    run_path: RunPath,
    directory: Annotated[str, typer.Argument(help="Where to write them, local or s3://.")],
    json_lines: Json = False,
) -> None:
    """Write a run's fingerprints, without any text, for another run's dedup.against."""
    from headrace.cluster import storage
    from headrace.pipelines.commands import fingerprints

    run_path = run_of(run_path)
    storage.probe(directory)
    line = fingerprints.export(run_path, directory)
    say(choose(json_lines=json_lines), "fingerprints", line.text, **line.fields)


@app.command()
def clean(
    run_path: RunPath,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them without asking.")] = False,
    json_lines: Json = False,
) -> None:
    """Remove trainings that are superseded, after saying how much they take."""
    from headrace.pipelines.commands import clean as cleaning

    run_path, mode = run_of(run_path), choose(json_lines=json_lines)
    left = cleaning.superseded(run_path)
    for line in cleaning.lines(left):
        say(mode, "clean", line.text, **line.fields)
    if not left:
        return
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove them?")):
        say(mode, "clean", "clean: nothing was removed; --yes removes them")
        return
    cleaning.remove(run_path, left)
    say(mode, "clean", f"clean: {len(left)} removed", removed=len(left))


@app.command()
def digest(run_path: RunPath) -> None:
    """One hash of the content of packed/, whatever files it lies in."""
    from headrace.pipelines.commands import digest

    sys.stdout.write(digest.digest(run_of(run_path)) + "\n")


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
    for line in away.lines(run_of(run_path), stages, reason=reason, source=source, count=count):
        say(mode, "rejected", line.text, **line.fields)


@app.command()
def sample(
    run_path: RunPath,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Rows to draw.")] = 200,
    seed: Annotated[int | None, typer.Option(help="For another draw; left out: the recipe's.")] = None,
    out: Annotated[
        str, typer.Option(help="Folder for sheet.html and sheet.csv; left out: spot_check/ of the run.")
    ] = "",
    label_studio: LabelStudio = "",
    ratings: Ratings = None,
    json_lines: Json = False,
) -> None:
    """Draw rows for people to rate, as a sheet to open in a browser; --import takes their ratings back."""
    from headrace.cluster import storage
    from headrace.pipelines.commands.draw import sample as drawing

    run_path = run_of(run_path)
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

    run_path = run_of(run_path)
    if out:
        storage.probe(out)
    for line in selection.select(run_path, count, seed, out, form):
        say(choose(json_lines=json_lines), "select", line.text, **line.fields)


@app.command()
def review(
    run_path: RunPath,
    against: Annotated[
        str, typer.Option(metavar="RUN", help="Another evaluated run to compare with, instead of the base.")
    ] = "",
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Held-out rows to draw.")] = 100,
    seed: Annotated[int | None, typer.Option(help="For another draw; left out: the recipe's.")] = None,
    sheet: Annotated[
        str, typer.Option(metavar="DIR", help="Folder for the sheet; left out: review/sheet/ of the run.")
    ] = "",
    label_studio: LabelStudio = "",
    ratings: Ratings = None,
    json_lines: Json = False,
) -> None:
    """A blind sheet of two models' answers for people to choose from; --import takes their choices back."""
    from headrace.cluster import storage
    from headrace.pipelines.commands.review import draw as drawing
    from headrace.pipelines.commands.review import take as taking

    run_path = run_of(run_path)
    for path in filter(None, (sheet, label_studio, *(ratings or ()))):
        storage.probe(path)
    other = run_of(against) if against else None
    lines = (
        taking.take(run_path, ratings)
        if ratings
        else drawing.draw(run_path, other, count, seed, sheet, label_studio)
    )
    for line in lines:
        say(choose(json_lines=json_lines), "review", line.text, **line.fields)


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
    from headrace.pipelines.commands.verify import look as verify

    for line in verify.lines(run_of(run_path), deep=deep, remove=remove):
        say(choose(json_lines=json_lines), "verify", line.text, **line.fields)
