"""Do the alarms of a training ring where something is wrong, and only there?

    python -m tests.benchmarks.watch_alarms [--clean N] [--steps N] [--out FILE]

A small language model is first taught sentences, and how answers look but not which is right, by a few
hundred steps of ordinary training: a base that knows something. Then adapters are trained on it by
`train.worker`, in this process: `N` clean trainings (seeds, rates, ranks, sizes of a step, sets of rows, with
and without validation rows), and trainings with a planted fault each: a row that gives no number, or every
row, and steps left out; a gradient that is infinite, that points the wrong way, that grows, that is gone;
rates 10, 30 and 100 times too high, of 1e4 and 1e30; a rate too low to move anything; answers drawn at
random; validation rows of another rule; a few rows learnt by heart; steps that lead nowhere after a third;
few rows, and no validation rows. Every line says which alarms rang and whether that is right; at last it is
said which codes of the watch no plant has rung. `metric_flat` and `forgetting` have none here: they need
a language that is read, as the gauntlet's models have.

Writes a CSV with a line a training: fault, what was to ring, what rang. Takes some minutes.
"""

import argparse
import csv
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from headrace.cluster import storage
from headrace.cluster.errors import GateError
from headrace.pipelines.train import checkpoints, driver, steps, worker
from headrace.pipelines.train.config import Config, Watch
from headrace.pipelines.train.steps import Rank
from headrace.pipelines.train.watch import alarms, watched
from tests.pipelines import toys

HERE = Path(__file__).resolve().parent
ALONE = Rank(0, 1, torch.device("cpu"))
NAMES = ("training", "fault", "wanted", "rang", "stopped", "right", "seed", "rate", "steps")
WORDS, ANSWERS = 400, 16
LENGTH = 64
SAMPLE = 16  # tokens


class Case(NamedTuple):
    """A training. wanted: alarms of which one must ring; none at all where it is clean."""

    name: str
    fault: str
    wanted: tuple[str, ...]
    config: Config
    seed: int
    rows: int = 360
    validation: int = 60


SMALL = {"no_validation", "few_rows"}  # codes of trainings that are small on purpose, too
OTHER = 1000  # seed of a world with another rule
GROWS, GONE = 1.15, 25  # how a planted gradient grows with each step, and the step behind which there is none


class World:
    """A made-up language: each word is followed by few others; a task maps words to answers by a rule."""

    def __init__(self, seed: int) -> None:
        drawn = np.random.default_rng(seed)
        self.next = drawn.integers(2, WORDS, (WORDS, 3))
        self.rule = drawn.integers(2, 2 + ANSWERS, WORDS)

    def sentence(self, drawn: np.random.Generator) -> list[int]:
        """A walk through the language."""
        ids = [int(drawn.integers(2, WORDS))]
        while len(ids) < SAMPLE:
            ids.append(int(self.next[ids[-1], drawn.integers(0, 3)]))
        return ids

    def task(self, drawn: np.random.Generator, *, noise: bool, words: int = 60) -> toys.Sample:
        """Words, and the answer that the rule (or chance) gives to each. words: how many there are to ask."""
        asked = [int(word) for word in drawn.integers(20, 20 + words, SAMPLE // 2)]
        said = [int(word) for word in drawn.integers(2, 2 + ANSWERS, len(asked))]
        answers = said if noise else [int(self.rule[word]) for word in asked]
        ids = [token for pair in zip(asked, answers, strict=True) for token in pair]
        return ids, [token if place % 2 else -100 for place, token in enumerate(ids)]


def base(directory: Path, world: World, taught: int) -> str:
    """A small model that has learnt the language, and how answers look, but not which is right."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=WORDS, max_position_embeddings=LENGTH, num_key_value_heads=2, **sizes)
    )
    drawn = np.random.default_rng(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(taught):
        sentences = [world.sentence(drawn) for _ in range(16)]
        tasks = [world.task(drawn, noise=True, words=WORDS - 20)[0] for _ in range(16)]
        ids = torch.tensor(sentences + tasks)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(directory)
    toys.tokenizer().save_pretrained(directory)
    return str(directory)


def packed(directory: Path, world: World, case: Case) -> str:
    """A run directory with packed rows of a case."""
    noise = case.fault == "answers at random"
    for side, count, seed in (("train", case.rows, 2), ("validation", case.validation, 3)):
        drawn = np.random.default_rng([case.seed, seed])
        words = WORDS - 20 if case.fault == "few rows by heart" else 60
        of = World(OTHER) if case.fault == "validation of another rule" and side != "train" else world
        samples = [of.task(drawn, noise=noise, words=words) for _ in range(count)]
        if count:
            path = storage.join(str(directory), "packed", side, "part-00000000.parquet")
            storage.write_table(path, toys.pack(samples, list(range(count)), LENGTH), row_group=8)
    return str(directory)


def cases(clean: int, most: int, seed: int) -> Iterator[Case]:
    """Clean trainings, then planted faults; another seed draws others of both."""
    usual = Config(
        learning_rate=5e-3, rank=4, alpha=8, rows_per_step=8, batch_size=8, max_steps=most, warmup=0.05
    )
    for number in range(clean):
        drawn = np.random.default_rng([6 + seed, number])
        update = {
            "learning_rate": float(drawn.choice([2e-3, 5e-3, 1e-2])),
            "rank": int(drawn.choice([2, 4, 8])),
            "rows_per_step": int(drawn.choice([4, 8, 16])),
            "schedule": str(drawn.choice(["cosine", "constant"])),
            "dropout": float(drawn.choice([0.0, 0.1])),
        }
        sides = (int(drawn.choice([240, 360, 600])), 0 if number % 5 == 4 else 60)
        yield Case(
            f"clean {number}", "", (), usual.model_copy(update=update), 100 * (seed - 1) + number, *sides
        )

    def fault(name: str, *wanted: str, rows: int = 360, validation: int = 60, **update: Any) -> Case:
        config = usual.model_copy(update=update)
        return Case(name, name, wanted, config, seed, rows, validation)

    yield fault("no number", "bad_step")
    yield fault("no number anywhere", "bad_steps", watch=Watch(forgetting=False, on_bad_step="skip"))
    yield fault("infinite gradient", "bad_step")
    yield fault("gradient of the wrong way", "diverging", learning_rate=2e-3, smoke=0.0)
    yield fault("growing gradient", "exploding", max_grad_norm=0.0)
    yield fault("gradient that is gone", "frozen", validation=0)
    too_long = ("exploding", "diverging", "bad_step", "frozen", "guessing")
    for rate in (10, 30, 100):
        too_high = {"learning_rate": 1e-2 * rate, "max_grad_norm": 0.0, "schedule": "constant"}
        yield fault(f"rate {rate} x too high", *too_long, **too_high)
    yield fault("rate 1e4", "diverging", "bad_step", "frozen", "flat", "validation", learning_rate=1e4)
    yield fault("rate 1e30", "bad_step", "frozen", "diverging", learning_rate=1e30, max_grad_norm=0.0)
    yield fault("rate too low", "flat", learning_rate=1e-9)
    yield fault("answers at random", "no_signal", "flat", "overfitting", "plateau", "guessing")
    by_heart = {"learning_rate": 2e-2, "rank": 16, "alpha": 64.0, "schedule": "constant"}
    yield fault("few rows by heart", "overfitting", "no_signal", rows=32, **by_heart)
    yield fault("validation of another rule", "no_signal")
    yield fault("still after a third", "plateau", learning_rate=2e-3, schedule="constant")
    yield fault("few rows", "few_rows", rows=40)
    yield fault("no validation rows", "no_validation", validation=0)


def poison(fault: str, run: str) -> Any:
    """What stands for `steps.loss_sum` where a packed row is bad, its loss no number, or its gradient; or
    where all gradients are.
    """
    honest = steps.loss_sum
    path = storage.join(run, "packed", "train", "part-00000000.parquet")
    bad = torch.tensor(storage.read_table(path)["input_ids"][5].as_py())
    made = 0
    factors = {
        "gradient of the wrong way": lambda: -1.0,
        "growing gradient": lambda: GROWS**made,
        "gradient that is gone": lambda: float(made <= GONE),
        "still after a third": lambda: 1.0 if made <= 3 * GONE // 5 else 1e-3,
    }

    def loss_sum(model: Any, batch: Any) -> Any:
        nonlocal made
        total = honest(model, batch)
        made += total.requires_grad
        if fault in factors:
            return total.detach() + (total - total.detach()) * factors[fault]()
        if fault == "no number anywhere" and total.requires_grad:
            return total * float("nan")
        if not bool((batch["input_ids"].reshape(-1, LENGTH) == bad).all(1).any()):
            return total
        if fault == "no number":
            return total * float("nan")
        if fault == "infinite gradient" and total.requires_grad:
            total.register_hook(lambda grad: grad * float("inf"))
        return total

    return loss_sum


def codes() -> list[str]:
    """Every code that a training's watch has."""
    sources = [Path(module.__file__ or "").read_text() for module in (alarms, watched)]
    found = re.findall(r'Alarm\(\s*"(\w+)"|_stopped\("(\w+)"', "".join(sources))
    return sorted({code for pair in found for code in pair if code})


def line(case: Case, directory: Path, model: str, world: World) -> list[Any]:
    """Train a case, and say what rang."""
    run = packed(directory, world, case)
    watch = case.config.watch.model_copy(update={"forgetting": False})
    config = case.config.model_copy(update={"watch": watch, "patience": None})
    job = driver.plan(run, model, config, case.seed, {})
    honest, stopped = steps.loss_sum, ""
    if case.fault:
        steps.loss_sum = poison(case.fault, run)
    try:
        worker.train(job, ALONE, lambda step: None)
    except GateError:
        written = storage.read_object(storage.join(job.home, checkpoints.STOPPED)) or {}
        stopped = str(written.get("reason", ""))
    finally:
        steps.loss_sum = honest
    newest = checkpoints.newest(job.home, job.key)
    history = newest["history"] if newest else checkpoints.history()
    rang = {warning["code"] for warning in history["warnings"]} | ({stopped} if stopped else set())
    rang -= SMALL - set(case.wanted)
    right = bool(rang & set(case.wanted)) if case.wanted else not rang
    told = (len(history["loss"]), job.steps)
    return [
        *(case.name, case.fault, "|".join(case.wanted), "|".join(sorted(rang)), stopped, right, case.seed),
        *(f"{case.config.learning_rate:g}", f"{told[0]} of {told[1]}"),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clean", type=int, default=24)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="of language, base, rows and clean settings")
    parser.add_argument("--taught", type=int, default=300, help="steps that the base is taught the language")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--out", type=Path, default=HERE / "watch_alarms.csv")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore", FutureWarning)  # of transformers
    world = World(given.seed - 1)
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        model = base(Path(scratch) / "model", world, given.taught)
        for case in cases(given.clean, given.steps, given.seed):
            if given.only in case.name:
                lines.append(line(case, Path(scratch) / case.name, model, world))
                print(", ".join(f"{n} {v}" for n, v in zip(NAMES, lines[-1], strict=True)), flush=True)
    planted = [one for one in lines if one[1]]
    clean = [one for one in lines if not one[1]]
    print(f"recall {sum(o[5] for o in planted)} of {len(planted)}, ", end="")
    print(f"false alarms {sum(not o[5] for o in clean)} of {len(clean)}", flush=True)
    rung = {code for one in planted if one[5] for code in one[3].split("|")}
    print(f"codes that no plant has rung: {', '.join(sorted(set(codes()) - rung)) or 'none'}")
    with given.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([NAMES, *lines])


if __name__ == "__main__":
    main(sys.argv[1:])
