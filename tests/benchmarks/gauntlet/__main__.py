"""Faults planted into real sets, and how many of them the product finds; beside them what it says of the
same sets as they are.

    python -m tests.benchmarks.gauntlet [--data FOLDER] [--out FILE] [--seeds N] [--only PLANT]
                                        [--sets NAME ...] [--peers] [--soup PYTHON]

The data is not part of this repository: `--data` (or HEADRACE_TEST_DATA) names it. Writes a CSV with a line
a plant, set and seed: plant, set, seed, by, planted, found, recall, rows_clean, false_alarms,
false_alarm_rate, goal_met. `by` is headrace. The goal is a recall of .95 at false alarms on 2% of the rows.
On clean sets some of what is flagged is wrong indeed: it counts as a false alarm all the same.

`--peers` lets cleanlab, and with `--soup` Soup, look at the same rows instead, for peers.csv; PYTHON is that
of an environment with soup-cli and transformers.
"""

import argparse
import csv
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tests.benchmarks.gauntlet import alarms, peers, plants, sets
from tests.benchmarks.gauntlet.alarms import Alarm, Flags
from tests.benchmarks.gauntlet.plants import Plant, Planted
from tests.benchmarks.gauntlet.sets import Row
from tests.benchmarks.leak_plants import dressed, reworded, verbatim

HERE = Path(__file__).resolve().parent
NAMES = (
    *("plant", "set", "seed", "by", "planted", "found", "recall"),
    *("rows_clean", "false_alarms", "false_alarm_rate", "goal_met"),
)
RECALL, ALARMS = 0.95, 0.02
Line = tuple[str | int | float, ...]


class Trial(NamedTuple):
    """A fault: the sets that suit it, how it is planted, what is to notice it, and how sets are that lack it.

    clean: what makes the clean rows (left out: the rows are taken as they are); quiet: the alarm
    for these, where it is another; most: rows of a set.
    """

    sets: tuple[str, ...]
    plant: Plant
    alarm: Alarm
    clean: Plant | None = None
    quiet: Alarm | None = None
    most: int = sets.MOST


def trials(data: Path) -> dict[str, Trial]:
    """Every plant by its name."""
    told = ("gsm8k", "gpteacher", "llm-adapters", "bitext-intent", "taskmaster4")
    answered = ("gsm8k", "llm-adapters", "banking77", "bitext-intent", "gpteacher")
    labelled = ("banking77", "bitext-intent", "multidogo", "mmlu", "tatoeba")
    asked = ("gsm8k", "gpteacher", "llm-adapters", "mmlu", "crosswoz")
    formed = ("bfcl-json", "bfcl-calls", "spider", "sgd-json", "taskmaster-json")
    reasoned = ("star-1", "marco-o1", "gsm8k-work", "svamp-work", "math-work")
    private = ("gsm8k", "gpteacher", "llm-adapters", "banking77", "bitext-intent")
    foreign = ("tatoeba", "udhr", "crosswoz", "mmlu", "gpteacher")
    spoken = ("gsm8k", "gpteacher", "banking77", "sgd", "taskmaster4")
    same = ("as it is", "politeness", "case", "contractions", "question to command")
    ends = {
        f"lost ends, template of {name}": Trial(
            spoken, plants.joined, alarms.unended(name), plants.joined, alarms.unended(None), 1000
        )
        for name in ("headings", "names")
    }
    return {
        **leaked(data, told),
        "contradictions": contradicted(answered, same),
        "contradictions, reworded": contradicted(answered, ("several",)),
        "format drift": Trial(formed, plants.drift, alarms.drift),
        "lost ends, length limit": Trial(
            spoken, plants.too_long(alarms.tokens, alarms.LIMIT), alarms.shortened, short_enough
        ),
        **ends,
        "missing traces": Trial(reasoned, plants.traceless, alarms.traces),
        "PII, numbers and addresses": Trial(
            private, plants.personal(plants.VALUES), alarms.personal(names=False)
        ),
        "PII, names": Trial(private, plants.personal(plants.NAMED), alarms.personal(names=True)),
        "mojibake": Trial(foreign, plants.mojibake, alarms.mojibake),
        "wrong labels": Trial(labelled, plants.wrong_labels, alarms.labels, most=5000),
        "rewordings": Trial(asked, plants.reworded, alarms.rewordings, most=10_000),
    }


def leaked(data: Path, of_sets: tuple[str, ...]) -> dict[str, Trial]:
    """Evaluation items in six dresses."""
    search = alarms.leaks(data)
    rewording = reworded(0.2)
    dresses = {
        "leaks, verbatim": (verbatim, 5, 10**6),
        "leaks, case and punctuation": (dressed, 5, 10**6),
        "leaks, embedded": (plants.in_prose(verbatim), 5, 10**6),
        "leaks, reworded": (rewording, plants.LONG, 10**6),
        "leaks, reworded and embedded": (plants.in_prose(rewording), plants.LONG, 10**6),
        "leaks, reworded, short": (rewording, 5, plants.LONG - 1),
    }
    return {
        name: Trial(of_sets, plants.leaks(lambda: alarms.evaluation(data)[0], dress, least, most), search)
        for name, (dress, least, most) in dresses.items()
    }


def contradicted(of_sets: tuple[str, ...], kinds: tuple[str, ...]) -> Trial:
    """Prompts that are asked twice, in one of `kinds` ways, and answered otherwise."""
    alarm = alarms.contradictions
    return Trial(of_sets, plants.contradictions(kinds), alarm, plants.consistent(kinds), most=3000)


def short_enough(rows: list[Row], draw: np.random.Generator) -> Planted:
    """Rows within the length limit, by another's count."""
    return Planted([row for row in rows if alarms.tokens(row) <= alarms.LIMIT], [], {})


def scored(planted: Planted, flags: Flags, quiet: Flags) -> Line:
    """planted, found, recall, rows_clean, false_alarms, false_alarm_rate, goal_met of flags on planted rows
    and on clean ones."""
    count, found, wrong = len(planted.places), int(flags[planted.places].sum()), int(quiet.sum())
    recall, rate = found / count, wrong / len(quiet)
    met = "yes" if recall >= RECALL and rate <= ALARMS else "no"
    return count, found, round(recall, 4), len(quiet), wrong, round(rate, 4), met


def measured(
    trial: Trial,
    rows: list[Row],
    seeds: int,
    others: Mapping[str, tuple[Alarm, Alarm]],
    instead: bool = False,
    own: int = 0,
) -> Iterator[Line]:
    """A line for each seed and each that looks: seed, by, figures.

    others: who looks beside the product, or `instead` of it; own: what else the draws hang on.
    """
    clean = trial.clean(rows, np.random.default_rng(0)).rows if trial.clean else rows
    looking = {**({} if instead else {"headrace": (trial.alarm, trial.quiet or trial.alarm)}), **others}
    quiet = {by: of_clean(clean) for by, (_, of_clean) in looking.items()}
    for seed in range(seeds):
        planted = trial.plant(rows, np.random.default_rng([seed, own]))
        for by, (alarm, _) in looking.items():
            yield seed, by, *scored(planted, alarm(planted.rows, planted.truth or None), quiet[by])


def main() -> None:
    """Measure, and write the table line by line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("HEADRACE_TEST_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", help="plants whose name begins so")
    parser.add_argument("--sets", nargs="+", choices=[*sets.SETS])
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--soup", help="Python of an environment with soup-cli")
    options = parser.parse_args()
    pa.set_cpu_count(1)
    out = options.out or HERE / ("peers.csv" if options.peers else "gauntlet.csv")
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(NAMES)
        for name, trial in trials(options.data).items():
            others = peers.of(name, options.soup, options.data) if options.peers else {}
            for of_set in trial.sets if name.startswith(options.only or "") else ():
                if options.sets and of_set not in options.sets:
                    continue
                rows = sets.read(options.data, of_set, trial.most)
                own = zlib.crc32(of_set.encode())  # so that no two sets have the same draws
                for line in measured(trial, rows, options.seeds, others, options.peers, own):
                    writer.writerow((name, of_set, *line))
                    file.flush()
                    print(name, of_set, *line, sep=", ", flush=True)


if __name__ == "__main__":
    main()
