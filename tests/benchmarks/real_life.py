"""Inputs as people have them: what `init`, `check` and `prepare` make of each.

    python tests/benchmarks/real_life.py [DIRECTORY] [--only NAME ...]

Writes each input of `inputs` below DIRECTORY (default: a temporary one), takes it through the three commands in
this process and prints a line: right without help; right with one line that a message told; refused clearly;
told (rows that were not kept stand in the books, and what was kept is right); WRONG (rows lost or changed in
silence). Exits 1 where one is WRONG. Inputs that others have written to DIRECTORY/shared are taken along, judged
by the words that must stand in their rows.

Cost: about 5 s an input.
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

import pyarrow.parquet as pq
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.real_life_inputs import INPUTS, SHARED, Expected, Input

PLAIN = {
    "split": {"train": 1.0, "validation": 0, "test": 0},
    "pii": {"enabled": False},
}


def command(*arguments: str) -> tuple[int, str]:
    """Exit code and everything that the command prints."""
    from headrace.pipelines import cli

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = cli.main(list(arguments))
        except SystemExit as error:
            code = int(error.code or 0)
    return code, out.getvalue()


def kept(run: Path) -> list[tuple[tuple[str, str], ...]]:
    """The conversations of `prepared/`."""
    found = []
    for file in sorted(glob.glob(str(run / "prepared/*.parquet"))):
        for row in pq.read_table(file)["messages"].to_pylist():
            found.append(tuple((m["role"], m["content"]) for m in row))
    return found


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


def judged(expected: Expected, run: Path) -> str:
    """What is right of the rows that were kept: all, some, none."""
    rows = kept(run)
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


def outcome(given: Input, folder: Path) -> tuple[str, str]:
    """Verdict on one input, and what was said."""
    data = folder / "data"
    starter = folder / "init.yaml"
    said = []
    code, out = command("init", str(data), "-o", str(starter))
    said.append(f"init {code}: {out}")
    text = starter.read_text(encoding="utf-8") if starter.exists() else ""
    sources = sources_of(text, data)
    recipe, run = recipe_of(folder, sources, "first")
    code_checked, out = command("check", recipe)
    said.append(f"check {code_checked}: {out}")
    code_prepared, out = command("prepare", recipe)
    said.append(f"prepare {code_prepared}: {out}")
    messages = "\n".join(said)
    verdict = judged(given.expected, run) if code_prepared == 0 else "none"
    if verdict == "all" and given.expected.count:
        return "right", messages
    if verdict == "changed":
        return "WRONG", messages
    if given.line:
        changed = [{**s, **given.line} for s in sources[:1]]
        if given.whole:
            changed = [{"path": str(data), **given.line}]
        recipe, run = recipe_of(folder, changed, "second")
        code_again, out = command("prepare", recipe)
        messages += f"\nagain {code_again}: {out}"
        told = all(word in "".join(said) + text for word in given.told)
        if code_again == 0 and judged(given.expected, run) == "all":
            return ("one line" if told else "one line, NOT TOLD"), messages
    if code_prepared == 0:
        return ("told" if _books_tell(run, given.expected) else "WRONG"), messages
    clear = any(name in messages for name in given.named) if given.named else True
    return ("refused" if clear and code_prepared in (2, 3) else f"FAULT {code_prepared}"), messages


def _books_tell(run: Path, expected: Expected) -> bool:
    """Whether the books account for every record that is not among the rows."""
    written = json.loads((run / "run.json").read_bytes())
    return int(written["rows"]["in"]) >= expected.count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    folder = Path(options.directory or tempfile.mkdtemp())
    start_ray()
    counts: Counter[str] = Counter()
    for given in [*INPUTS, *SHARED]:
        if options.only and given.name not in options.only:
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
        verdict, messages = outcome(given, place)
        (place / "said.txt").write_text(messages, encoding="utf-8")
        counts[verdict] += 1
        print(f"{given.name:<34} {verdict}", flush=True)
        if options.verbose:
            print(messages, flush=True)
    print(json.dumps(dict(sorted(counts.items()))))
    return int(any(v.isupper() or "NOT" in v or "FAULT" in v for v in counts))


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
