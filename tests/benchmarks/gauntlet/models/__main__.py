"""Faults planted into trainings of tiny models, and which alarms ring; beside them clean trainings.

    python -m tests.benchmarks.gauntlet.models [--seeds N] [--clean N] [--made N] [--first SEED]
                                               [--only PLANT] [--base FOLDER] [--out FILE]

A base of two layers learns a small language (`world`); adapters are trained on it by `train`, evaluated by
`evaluate` with all gates, and what the gates, the watch and the diagnosis say is held against what was
planted (`plants`). Exports are broken before they are loaded again (`exports`), and gates on what tiny models
do not have are held against made answers (`made`).

Writes a CSV: plant, alarm, by (model, export, made), runs, rang, share. Of plants whose name begins with
"clean" what rang is false; `any` is that anything did. `diagnosis` is how often it was right. The goal is a
recall of .95 at false alarms of 2%. Takes some fifteen minutes on one core.
"""

import argparse
import csv
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import torch

from headrace.pipelines.evaluate.gates import gate
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.evaluate.gates.gate import Gate
from tests.benchmarks.gauntlet.models import exports, made, plants, trial, world

HERE = Path(__file__).resolve().parent
CLEAN, ANY, DIAGNOSIS = "clean", "any", "diagnosis"
Key = tuple[str, str, str]  # plant, alarm, by


class Tally:
    """How often each alarm was to be judged, and rang."""

    def __init__(self) -> None:
        self.runs: Counter[Key] = Counter()
        self.rang: Counter[Key] = Counter()

    def note(self, plant: str, alarm: str, by: str, *, rang: bool) -> None:
        """One alarm of one run."""
        self.runs[plant, alarm, by] += 1
        self.rang[plant, alarm, by] += rang

    def lines(self) -> list[tuple[str, str, str, int, int, float]]:
        """The table."""
        return [
            (*key, n, self.rang[key], round(self.rang[key] / n, 4)) for key, n in sorted(self.runs.items())
        ]

    def share(self, *, clean: bool, alarm: str | None = None) -> tuple[int, int]:
        """Of clean plants or of others: how often what is named rang, of how many; left out: each alarm."""
        own = [
            key for key in self.runs
            if key[0].startswith(CLEAN) == clean
            and (key[1] == alarm if alarm else key[1] not in (ANY, DIAGNOSIS))
        ]  # fmt: skip
        return sum(self.rang[key] for key in own), sum(self.runs[key] for key in own)


def of_model(tally: Tally, given: world.World, name: str, seed: int) -> str:
    """One training, noted; returns what to print of it."""
    plant = plants.PLANTS[name]
    said = trial.tried(given, plant, name, seed)
    for alarm in plant.must:
        tally.note(name, alarm, "model", rang=bool({*alarm.split("|")} & said.rang))
    if not plant.must:
        tally.note(name, ANY, "model", rang=bool(said.rang))
        for alarm in sorted({*said.measured} & {*THRESHOLDS} | said.rang):
            tally.note(name, alarm, "model", rang=alarm in said.rang)
    tally.note(name, DIAGNOSIS, "model", rang=said.diagnosis in plant.named)
    missed = [alarm for alarm in plant.must if not {*alarm.split("|")} & said.rang]
    return f"{name} {seed}: {sorted(said.rang)}, {said.diagnosis}, {said.decision}; missed {missed}"


def of_exports(tally: Tally, seeds: range, only: str) -> None:
    """Exports of some seeds, each with every fault and with none."""
    for name, (fault, words) in exports.FAULTS.items():
        for seed in seeds if only in name else ():
            why = exports.refused(fault, seed)
            if fault is None:
                tally.note(name, ANY, "export", rang=bool(why))
            tally.note(name, "export.equality", "export", rang=bool(why) and words in why)


def of_made(tally: Tally, seeds: range) -> None:
    """Made answers of some seeds."""
    for seed in seeds:
        for plant, name, found in made.drawn(seed):
            assert isinstance(found, Gate), found
            tally.note(plant, name, "made", rang=gate.rings(name, found, THRESHOLDS[name].value))


def main(arguments: list[str] | None = None) -> Tally:
    """Train, hold against the gates, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clean", type=int, default=10, help="trainings of each of the clean ones")
    parser.add_argument("--made", type=int, default=200, help="draws of made answers")
    parser.add_argument("--first", type=int, default=0, help="seed: others than those that thresholds saw")
    parser.add_argument(
        "--base", type=Path, help="folder of a base that is taught once; left out: taught anew"
    )
    parser.add_argument("--only", default="", help="plants whose name holds this")
    parser.add_argument("--out", type=Path, default=HERE / "models.csv")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)  # of transformers
    tally = Tally()
    first: int = given.first
    of_made(tally, range(first, first + (given.made if not given.only else 0)))
    of_exports(tally, range(first, first + given.seeds), given.only)
    with tempfile.TemporaryDirectory(prefix="gauntlet-") as folder:
        there = world.made(given.base or Path(folder), 1)
        for seed in range(max(given.seeds, given.clean)):
            for name, plant in plants.PLANTS.items():
                if given.only in name and seed < (given.seeds if plant.must else given.clean):
                    print(of_model(tally, there, name, first + seed), flush=True)
            write(given.out, tally)
    for words, found in (
        ("recall", tally.share(clean=False)),
        ("false alarms of gates", tally.share(clean=True)),
        ("clean runs with any alarm", tally.share(clean=True, alarm=ANY)),
        ("diagnoses of faults right", tally.share(clean=False, alarm=DIAGNOSIS)),
    ):
        print(f"{words}: {found[0]} of {found[1]}", flush=True)
    return tally


def write(path: Path, tally: Tally) -> None:
    """The table so far."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("plant", "alarm", "by", "runs", "rang", "share"), *tally.lines()])


if __name__ == "__main__":
    main()
