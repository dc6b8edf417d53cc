"""One training of a plant, by the product itself: packed rows, `train`, `evaluate` with gates, and the words.

The battery and the general text are those of the small language; all else is as in any run.
"""

import contextlib
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pyarrow as pa
import torch

from headrace.cluster import storage
from headrace.cluster.errors import GateError
from headrace.pipelines import schema, trainings
from headrace.pipelines.evaluate import decision
from headrace.pipelines.evaluate import run as evaluation
from headrace.pipelines.evaluate.battery import items
from headrace.pipelines.evaluate.config import Config as Evaluate
from headrace.pipelines.evaluate.diagnosis.diagnose import diagnose
from headrace.pipelines.evaluate.gates.config import Config as Gates
from headrace.pipelines.train import driver, worker
from headrace.pipelines.train.steps import Rank
from tests.benchmarks.gauntlet.models.plants import Plant, Setting
from tests.benchmarks.gauntlet.models.world import Row, World, item, tokens
from tests.pipelines import toys

ALONE = Rank(0, 1, torch.device("cpu"))
LENGTH = 96
EVALUATE = Evaluate(samples=80, metrics=("loss", "exact_match"), primary="loss", batch_size=80, examples=0)
GATES = Gates(battery=True)
NOT_ALARMS = {"few_rows", "no_validation"}  # of a training that is small on purpose


class Said(NamedTuple):
    """What was said of a training: alarms that rang, diagnosis, decision; measured: gates' values by name,
    with each metric of base and tuned model.
    """

    rang: set[str]
    diagnosis: str
    decision: str
    measured: dict[str, float]


def tried(world: World, plant: Plant, name: str, seed: int) -> Said:
    """Train a plant and evaluate it."""
    setting = plant.make(world, random.Random(f"{name}/{seed}"))
    folder = Path(tempfile.mkdtemp(prefix="gauntlet-"))
    try:
        return in_run(world, setting, folder, seed)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _in_the_language(world: World) -> Iterator[None]:
    """The battery and the general text are of the small language."""
    asked = tuple(item(number, skill) for number, skill in enumerate(world.items))
    with (
        mock.patch.object(items, "battery", return_value=asked),
        mock.patch.object(items, "general", return_value=world.general),
    ):
        yield


def in_run(world: World, setting: Setting, run: Path, seed: int) -> Said:
    """The same of a setting, in the directory `run`, where it stays."""
    with _in_the_language(world):
        return _tried(world, setting, run, seed)


def _tried(world: World, setting: Setting, run: Path, seed: int) -> Said:
    rows, validation = setting.rows, []
    if setting.validated:  # of one kind with the training rows, as a split of them is
        rows, validation = [row for at, row in enumerate(rows) if at % 10], rows[::10]
    write(run, {"train": rows, "validation": validation, "test": setting.held}, setting.ends)
    job = driver.plan(str(run), world.base, setting.train, seed, {})
    trainings.ask(job.run, job.key)
    books: dict[str, Any] = {}
    try:
        worker.train(job, ALONE, lambda step: None)
        books["train"] = driver._publish(job, {})
        books["evaluate"] = evaluation.run(str(run), world.base, EVALUATE, seed=seed, gates=GATES)
        books["gates"] = evaluation.held(str(run), GATES).gates
        books |= {name: evaluation.written(str(run))[name] for name in ("power", "slices")}
    except GateError:
        books["train"] = driver.stopped(str(run))
    gates = books.get("gates", {})
    rang = {name for name, gate in gates.items() if gate["state"] != "pass"}
    rang |= {warning["code"] for warning in books["train"]["warnings"]}
    stopped = (books["train"].get("stopped") or {}).get("reason")
    rang |= {stopped} - {None}
    found, decided = diagnose(books) or {"code": ""}, decision.decide(books) or {"decision": ""}
    values = {name: gate["value"] for name, gate in gates.items()}
    for name, score in books.get("evaluate", {}).items():
        values |= {f"{name} of {model}": score[model] for model in ("base", "tuned")}
    return Said(rang, found["code"], decided["decision"], values)


def write(run: Path, sides: dict[str, list[Row]], ends: bool) -> None:
    """Packed rows of each side, and prepared/ with all of them. ends: whether training answers have one."""
    table, first = [], 0
    for number, (side, rows) in enumerate(sides.items()):
        given = []
        for row in rows:
            ids, start = tokens(row, ends=ends or side != "train")
            given.append((ids, [-100] * start + ids[start:]))
        row_ids = list(range(first, first + len(rows)))
        if rows:
            path = storage.join(str(run), "packed", side, f"part-{number:08d}.parquet")
            storage.write_table(path, toys.pack(given, row_ids, LENGTH), row_group=16)
        table += [
            {"row_id": at, "messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
            for at, (a, b) in zip(row_ids, rows, strict=True)
        ]
        first += len(rows)
    wanted = pa.schema([("row_id", pa.uint64()), ("messages", schema.MESSAGES)])
    prepared = storage.join(str(run), "prepared", "part-00000000.parquet")
    storage.write_table(prepared, pa.Table.from_pylist(table, schema=wanted))
