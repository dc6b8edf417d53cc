"""Pass 2b, seen from the driver: what looks at the whole set, a check a unit.

Each check has a record of its own, so that to change one does not do the others again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.cluster import ledger, storage
from headrace.cluster.errors import GateError
from headrace.pipelines.console import Mode, say
from headrace.pipelines.examine import checks
from headrace.pipelines.examine import rows as examined
from headrace.pipelines.passes import dedup, outputs, parts
from headrace.pipelines.passes.units import (
    Pass,
    Records,
    config_key,
    each_measured,
    resume,
    versions,
    workers,
)
from headrace.pipelines.recipe import Recipe, learned_last
from headrace.pipelines.rundir import Run
from headrace.pipelines.section import Section
from headrace.pipelines.stages.tokenise import stage as tokenise

PASS = Pass(
    parts.EXAMINE,
    number="check",
    unit=lambda record: str(record["name"]),
    outputs=("findings/",),
)


def configs(recipe: Recipe) -> dict[str, Section]:
    """The config of each check that is on."""
    every = {"leaks": recipe.decontaminate, **dict(recipe.examine)}
    return {name: every[name] for name in checks.CHECKS if getattr(every[name], "enabled", True)}


def examine(
    run: Run, records: Sequence[ledger.Record], duplicates: ledger.Record, mode: Mode
) -> list[ledger.Record]:
    """Pass 2b: every check that is on, in order; their commit records."""
    inputs = [[r["ordinal"], r["part"], r["outputs"][0]["xxh3"]] for r in records]
    removed = sorted(duplicates["marks"]["removed"].items())
    held = sorted(ordinal for ordinal, side in dedup.fixed_sides(run, records).items() if side)
    keys = {
        checks.CHECKS.index(name): ledger.key(inputs, removed, held, _own_key(run.recipe, name, config))
        for name, config in configs(run.recipe).items()
    }
    prepared = [storage.join(run.path, r["outputs"][0]["path"]) for r in records if r["rows"]["kept"]]
    work = partial(_examined, run=run, records=records, prepared=prepared, held=held, keys=keys)
    done = resume(run, PASS, keys, work, sizes=dict.fromkeys(keys, 0), mode=mode)
    # What pass 3 reads pieces of.
    drops = {checks.path(name, "drops") for name in checks.CHECKS}
    outputs.require(run, [o for r in done for o in r["outputs"] if o["path"] in drops], workers(run))
    return done


def _own_key(recipe: Recipe, name: str, config: Section) -> list[Any]:
    """What of the recipe, of files that it names, and of libraries decides what a check finds."""
    module = checks.module(name)
    marks = module.marks(config) if hasattr(module, "marks") else []
    libraries = getattr(module, "LIBRARIES", ("pyarrow", "numba", "polars"))
    # Reasoning is held against the model's chat template, the length of answers against its samples.
    held = name in ("reasoning", "formats")
    reads = [recipe.model, config_key(tokenise, recipe.tokenise), learned_last(recipe)] if held else []
    return [config_key(module, config), marks, versions(tuple(libraries)), reads]


def _examined(
    todo: Sequence[int],
    done: Mapping[int, Records],
    *,
    run: Run,
    records: Sequence[ledger.Record],
    prepared: Sequence[str],
    held: Sequence[int],
    keys: Mapping[int, str],
) -> Iterator[ledger.Record]:
    """The records of some checks, one after the other: each has the whole cluster."""
    outputs.require(run, [r["outputs"][0] for r in records if r["rows"]["kept"]], workers(run))
    rows = sum(r["rows"]["kept"] for r in records)
    size = sum(r["stages"]["fingerprint"]["bytes"] for r in records)
    on = configs(run.recipe)
    looked, seconds = _looked([checks.CHECKS[number] for number in todo], run, prepared)
    for number in todo:
        name = checks.CHECKS[number]
        for kind in ("", "drops"):
            storage.delete(storage.join(run.path, checks.path(name, kind)))
        spent = seconds[name]
        each = partial(each_measured, workers=workers(run), spent=spent)
        seen = {"looked": looked.pop(name)} if name in looked else {}
        report = checks.module(name).run(prepared, run.path, on[name], each, **seen)
        marks = {}
        if storage.listing(storage.join(run.path, checks.path(name, "drops"))):
            mark = "error" if getattr(on[name], "policy", "") == "quarantine" else "drop"
            settle = partial(_settled, run=run.path, held=np.array(held, np.uint64), mark=mark)
            report["rows_gone"], marks = next(iter(each(settle, [name], name="marks")))
        described = outputs.described(run.path, (f"findings/{name}.",), workers(run))
        record = {
            "check": number,
            "name": name,
            "key": keys[number],
            "stages": {"examine": {"seconds": sum(spent), "rows": rows, "bytes": size}},
            "rows": rows,
            "outputs": described,
            "report": report,
            "marks": marks,
        }
        ledger.commit(run.path, PASS.name, name, record)
        yield record


def _looked(
    names: Sequence[str], run: Run, prepared: Sequence[str]
) -> tuple[dict[str, list[Any]], dict[str, list[float]]]:
    """What those of some checks that look at every file say of the files, which are read once for all of
    these; and the CPU seconds that each took.
    """
    on, seconds = configs(run.recipe), defaultdict[str, list[float]](list)
    looks: dict[str, examined.Look] = {}
    for name in names:
        if hasattr(checks.module(name), "looking"):
            each = partial(each_measured, workers=workers(run), spent=seconds[name])
            looks[name] = checks.module(name).looking(run.path, on[name], each)
    looked: dict[str, list[Any]] = {name: [] for name in looks}
    if looks:
        each = partial(each_measured, workers=workers(run), spent=[])
        every = list(looks.values())
        for said in examined.look(every, prepared, run.path, each, name=PASS.name):
            for name, (one, took) in zip(looks, said, strict=True):
                looked[name].append(one)
                seconds[name].append(took)
    return looked, seconds


def _settled(check: str, run: str, held: NDArray[np.uint64], mark: str) -> tuple[int, dict[str, str]]:
    """How many rows go by a check, and a hash of those of each fragment, by ordinal."""
    found = checks.settle(run, check, held, mark)
    return found.num_rows, parts.hashed(found, found["row_id"])


def dropping(records: Sequence[ledger.Record]) -> dict[str, dict[str, str]]:
    """Checks by which rows go, with a hash of those of each ordinal."""
    return {r["name"]: r["marks"] for r in records if r["marks"]}


def reports(records: Sequence[ledger.Record]) -> dict[str, Any]:
    """What run.json says of each check."""
    return {r["name"]: r["report"] for r in records}


def judge(records: Sequence[ledger.Record], mode: Mode) -> None:
    """Say what the checks found. Raises: GateError where the recipe asks a check to stop the run."""
    for record in records:
        report = record["report"]
        for words in checks.sentences(report):
            say(mode, "finding", f"examine: {record['name']}: {words}", check=record["name"])
        if report.get("alarm"):
            text = f"examine.{record['name']}: {'; '.join(checks.sentences(report))}"
            where = f"examine.{record['name']}.policy"
            fix = f"to go on, set {where} to warn, or mend the rows that findings/ names"
            raise GateError(f"{text}. {fix}").at(f"examine.{record['name']}")
