"""Inputs as people have them: what `init`, `check` and `prepare` make of each.

    python tests/benchmarks/real_life.py [DIRECTORY] [--read] [--only NAME-OR-GROUP ...]

Writes each input of `real_life_inputs` below DIRECTORY (default: a temporary one), takes it through the
three commands in this process and prints a line: right without help; right with one line that a message
told; refused clearly; told (rows that were not kept stand in the books, and what was kept is right); WRONG
(rows lost or changed in silence). Exits 1 where one is WRONG. Inputs that others have written to
DIRECTORY/shared are taken along, judged by the words that must stand in their rows. `--read` reads and
cleans instead of preparing, without Ray: the rows are those of `prepared/`.

Cost: about 5 s an input, half of one with `--read`.
"""

import argparse
import contextlib
import glob
import io
import json
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.real_life_chats import CHATS
from tests.benchmarks.real_life_folders import FOLDERS
from tests.benchmarks.real_life_inputs import INPUTS, SHARED, Expected, Input, Row
from tests.benchmarks.real_life_others import OTHERS
from tests.benchmarks.real_life_stores import STORES
from tests.benchmarks.real_life_tables import TABLES
from tests.benchmarks.real_life_texts import TEXTS

GROUPS = {
    "inputs": INPUTS,
    "texts": TEXTS,
    "chats": CHATS,
    "tables": TABLES,
    "folders": FOLDERS,
    "others": OTHERS,
    "stores": STORES,
    "shared": SHARED,
}
PLAIN = {
    "split": {"train": 1.0, "validation": 0, "test": 0},
    "pii": {"enabled": False},
}


def command(*arguments: str) -> tuple[int, str]:
    """Exit code and everything that the command prints."""
    from headrace.pipelines.cli import main as cli

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = cli.main(list(arguments))
        except SystemExit as error:
            code = int(error.code or 0)
    return code, out.getvalue()


def kept(run: Path) -> list[Row]:
    """The conversations of `prepared/`."""
    found: list[Row] = []
    for file in sorted(glob.glob(str(run / "prepared/*.parquet"))):
        listed = pq.read_table(file)["messages"].to_pylist()
        found += [tuple((m["role"], m["content"]) for m in row) for row in listed]
    return found


def read(recipe: str) -> tuple[int, str, list[Row], int]:
    """Exit code, message, rows and records of reading and cleaning what a recipe names."""
    from headrace.cluster.errors import HeadraceError
    from headrace.pipelines import books, rundir, schema
    from headrace.pipelines import recipe as recipes
    from headrace.pipelines.stages.clean import stage as clean
    from headrace.pipelines.stages.read import grouping, inputs
    from headrace.pipelines.stages.read import rows as read_rows

    rows: list[Row] = []
    came = lost = 0
    details: Counter[str] = Counter()
    try:
        loaded = rundir.resolve(recipes.load_of(recipe, ()), None)
        for source in loaded.sources:
            fragments = inputs.plan(source, loaded.fragment_size)
            sizes = {"fragment_size": loaded.fragment_size, "seed": loaded.seed}
            if source.group_by:
                whole = fragments[0]
                parts = [t for f in fragments for t in grouping.read_grouped(f, source, buckets=1, **sizes)]
                tables = [grouping.assemble(pa.concat_tables(parts), whole, source, loaded.seed)]
            else:
                tables = [t for f in fragments for t in read_rows.read(f, source, **sizes)]
            for table in tables:
                done = clean.apply(table, loaded.clean)
                live = done.filter(schema.live(done))
                came += books.records(done)
                lost += sum(books.of(done)["quarantined"].values())
                details.update(d for d in done["detail"].to_pylist() if d)
                rows += [tuple((m["role"], m["content"]) for m in r) for r in live["messages"].to_pylist()]
    except HeadraceError as error:
        return 2, str(error), [], 0
    if lost > 0.05 * came or not rows:
        return 2, f"{lost} of {came} quarantined: {dict(details)}", [], came
    return 0, "", rows, came


def prepared(recipe: str, run: Path, quick: bool) -> tuple[int, str, list[Row], int]:
    """As `read`, by `prepare` unless it is to be quick."""
    if quick:
        return read(recipe)
    code, out = command("prepare", recipe)
    if code:
        return code, out, [], 0
    return 0, out, kept(run), int(json.loads((run / "run.json").read_bytes())["rows"]["in"])


def recipe_of(folder: Path, source: dict[str, Any] | list[dict[str, Any]], name: str) -> tuple[str, Path]:
    """A recipe file for sources, and its run directory."""
    run = folder / f"run-{name}"
    sources = source if isinstance(source, list) else [source]
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"output": str(run), "sources": sources, **PLAIN}), encoding="utf-8")
    return str(path), run


def sources_of(text: str, data: Path) -> list[dict[str, Any]]:
    """The sources that `init` wrote; the plain path where it wrote none."""
    try:
        return list(yaml.safe_load(text)["sources"])
    except (yaml.YAMLError, TypeError, KeyError):
        return [{"path": str(data)}]


def judged(expected: Expected, rows: list[Row]) -> str:
    """What is right of the rows that were kept: all, some, none."""
    if expected.rows is not None:
        missing = Counter(expected.rows) - Counter(rows)
        extra = Counter(rows) - Counter(expected.rows)
    else:
        good = [r for r in rows if expected.fits(r)]
        extra = Counter(r for r in rows if not expected.fits(r))
        missing = Counter({"rows": max(0, expected.count - len(good))})
    if extra:
        return "changed"
    return "some" if sum(missing.values()) else "all"


def outcome(given: Input, folder: Path, quick: bool) -> tuple[str, str]:
    """Verdict on one input, and what was said."""
    data, starter = folder / "data", folder / "init.yaml"
    code, out = command("init", str(data), "-o", str(starter))
    said = [f"init {code}: {out}"]
    text = starter.read_text(encoding="utf-8") if starter.exists() else ""
    sources = sources_of(text, data)
    recipe, run = recipe_of(folder, sources, "first")
    code, out = command("check", recipe)
    said.append(f"check {code}: {out}")
    code, out, rows, came = prepared(recipe, run, quick)
    messages = "\n".join([*said, f"prepare {code}: {out}"])
    verdict = judged(given.expected, rows) if code == 0 else "none"
    if verdict == "all" and given.expected.count:
        told = given.line or all(word in messages for word in given.told)
        return ("right" if told else "right, NOT TOLD"), messages
    if verdict == "changed" and not given.line:
        return "WRONG", messages
    if given.line:
        changed = [{**s, **given.line} for s in sources[:1]]
        if given.whole:
            changed = [{"path": str(data), **given.line}]
        recipe, run = recipe_of(folder, changed, "second")
        again, out, rows, _ = prepared(recipe, run, quick)
        told = all(word in messages + text for word in given.told)
        messages += f"\nagain {again}: {out}"
        if again == 0 and judged(given.expected, rows) == "all":
            return ("one line" if told else "one line, NOT TOLD"), messages
    if verdict == "changed":
        return "WRONG", messages
    if code == 0:
        return ("told" if came >= given.expected.count else "WRONG"), messages
    clear = any(name in messages for name in given.named) if given.named else True
    return ("refused" if clear and code in (2, 3) else "refused, UNCLEAR"), messages


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    folder = Path(options.directory or tempfile.mkdtemp())
    if not options.read:
        start_ray()
    counts: Counter[str] = Counter()
    for group, given in ((group, one) for group, inputs in GROUPS.items() for one in inputs):
        if options.only and not {group, given.name} & {*options.only}:
            continue
        place = folder / "made" / given.name
        shutil.rmtree(place, ignore_errors=True)
        (place / "data").mkdir(parents=True)
        if given.write is None:
            shared = folder / "shared" / given.name.removeprefix("shared ")
            if not shared.exists():
                continue
            shutil.rmtree(place / "data")
            shutil.copytree(shared, place / "data")
        else:
            given.write(place / "data")
        verdict, messages = outcome(given, place, options.read)
        (place / "said.txt").write_text(messages, encoding="utf-8")
        counts[verdict] += 1
        print(f"{given.name:<34} {verdict}", flush=True)
        if options.verbose:
            print(messages, flush=True)
    print(json.dumps(dict(sorted(counts.items()))))
    return int(any(word in verdict for verdict in counts for word in ("WRONG", "NOT TOLD", "UNCLEAR")))


def start_ray() -> None:
    """One local Ray for all runs."""
    import ray

    root = str(Path(__file__).resolve().parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([os.environ.get("PYTHONPATH", root), root])
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        object_store_memory=256 * 1024 * 1024,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False


if __name__ == "__main__":
    raise SystemExit(main())
