"""Hand over a run's adapter, or the base with it merged in: written, loaded again, compared, then published.

What: `export` looks at the runs, has what is asked for written beside the target and loaded again by a fresh
process (`checked`), and renames it to the target only where it answers as the adapter of the run does.
Otherwise it is kept as ``DIR.failed``, and the command ends with exit code 3. Figures go to
``export/equality.json`` of the directory and to `export` of run.json. The same command again says that the
export stands.

Cost: two models in memory one after the other, the first in float32, and a greedy answer of each prompt by
both.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from headrace.cluster import ledger, storage
from headrace.cluster.errors import GateError, ModelError, UserError
from headrace.pipelines import recipe as recipes
from headrace.pipelines.commands.export import (
    build,
    checked,
    equality,
    llama_cpp,
    names,
    pages,
    publish,
    record,
    tuned,
)
from headrace.pipelines.commands.export.checked import Asked
from headrace.pipelines.commands.export.tuned import Tuned

VERSION = 1
Tell = Callable[[str, dict[str, Any]], None]


def export(runs: Sequence[str], target: str, asked: Asked, tell: Tell) -> dict[str, Any]:
    """Export the adapters of `runs` to `target`, several side by side; returns the export's record.

    Raises: UserError (options that exclude each other), ModelError (no adapter, a stale or another one,
    several of different bases), OutputError (the target holds something else), SourceError (nothing held
    out), StorageError, GateError where what was exported is not equal to what the run holds.
    """
    _require_sense(runs, asked)
    target = target if storage.is_remote(target) else os.path.abspath(target)
    known = names.names(runs)
    all_of = [tuned.read(recipes.load_of(run), name) for run, name in zip(runs, known, strict=True)]
    _require_one_base(all_of)
    of = [[t.card["key"], t.card["step"], t.card["files"], t.card["base_mark"], t.base] for t in all_of]
    key = ledger.key(VERSION, asdict(asked), known, of)
    there = publish.standing(target, key)
    if there is not None:
        text = f"export: {target} stands: it holds this adapter, exported with these options"
        tell(text, {"path": target})
        return there
    with publish.beside(target) as made, tempfile.TemporaryDirectory(prefix="headrace-export-") as private:
        figures = {}
        for one in all_of:
            place = made if len(all_of) == 1 else os.path.join(made, one.name)
            os.makedirs(place, exist_ok=True)
            figures[one.name] = checked.made(checked.Work(one, asked, place, private), tell)
        pages.write(made, target, all_of, asked, figures)
        wrong = equality.words([f"{n}: {w}" for n, f in figures.items() for w in f["wrong"]])
        told = {"key": key, "version": VERSION, **asdict(asked), "passed": not wrong, "adapters": figures}
        if wrong:
            kept = publish.keep_failed(made, target, told)
            record.note({t.name: t.run for t in all_of}, target, told, wrong)
            where = f" (what was made is kept in {kept})" if kept else ""
            message = f"export: nothing was published at {target!r}: {wrong}{where}"
            raise GateError(message).at(record.GATE)
        whole = publish.publish(made, target, told)
    record.note({t.name: t.run for t in all_of}, target, whole, "")
    return whole


def _require_sense(runs: Sequence[str], asked: Asked) -> None:
    """Raises: UserError."""
    if len(runs) > 1 and asked.form == "merged":
        raise UserError("--merge takes one run: weights hold one adapter; --adapter takes several")
    if asked.form == "adapter" and (asked.quantise or asked.dtype):
        raise UserError(
            "--quantise and --dtype are of merged weights: write --merge instead of --adapter (an adapter is "
            "a few megabytes of float32)"
        )
    if asked.gguf and (asked.form == "adapter" or asked.quantise):
        raise UserError(
            "--gguf is of merged weights as they are: write it with --merge, without --quantise (llama.cpp "
            "quantises a GGUF itself, by llama-quantize)"
        )
    if asked.quantise:
        build.require_quantiser()
    if asked.gguf:
        llama_cpp.converter()


def _require_one_base(all_of: Sequence[Tuned]) -> None:
    """Raises: ModelError where adapters are of different bases: no server holds them side by side."""
    first = all_of[0]
    for one in all_of[1:]:
        if one.card["base_mark"] != first.card["base_mark"]:
            raise ModelError(
                f"the adapters of {first.run} and {one.run} are of different bases ({first.base!r}, "
                f"{one.base!r}): they cannot stand side by side; export them one by one"
            )
