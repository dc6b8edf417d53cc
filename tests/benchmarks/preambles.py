"""Real questions under made preambles: what they ask must be told as if they stood alone.

    python -m tests.benchmarks.preambles [--rows N]

Questions of banking77, gsm8k and llm-adapters stand alone, under ten system prompts of 60 or 250 words, under
one of 500, under that one with a customer's number in it, or behind the same text in their own turn. The
text is of real answers of gpteacher. Answers are the set's own, or, for banking77, stock answers too, one a
label.

Appends to preambles.csv a line a set, answers and preamble: rows; how many of them the removal of duplicates
takes, and how many pairs that stay share a side of the split; the effective number of prompts; and for
labels, 5% of which are planted wrong, precision and recall of label noise.
"""

import argparse
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np

import headrace
from headrace.pipelines.stages.dedup import decide, in_memory
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from tests import builders
from tests.benchmarks.bench_kernels import append, commit, processor
from tests.benchmarks.gauntlet import sets
from tests.benchmarks.real_run import DATA

HERE = Path(__file__).resolve().parent
COLUMNS = (
    *(
        "date",
        "commit",
        "cpu",
        "set",
        "answers",
        "preamble",
        "rows",
        "removed",
        "alike_pairs",
        "effective_prompts",
    ),
    *("label_precision", "label_recall"),
)
Dress = Callable[[int, str], list[tuple[str, str]]]


@cache
def answers_of_others() -> list[str]:
    """Real answers of some length."""
    said = [text for row in sets.read(DATA, "gpteacher", 3000) for role, text in row if role == "assistant"]
    return [text for text in said if len(text.split()) > 60]


def written(words: int, seed: int) -> str:
    """A text of so many words, of real answers."""
    long = list(answers_of_others())
    random.Random(seed).shuffle(long)
    return " ".join(" ".join(long[: words // 60 + 1]).split()[:words])


def dresses() -> dict[str, Dress]:
    """Prompts of a question by what stands before it."""
    few, many = ([written(words, seed) for seed in range(10)] for words in (60, 250))
    one = written(500, 10)
    parts = one.split()
    lines = "\n".join(" ".join(parts[at : at + 50]) for at in range(0, len(parts), 50))
    return {
        "none": lambda at, said: [("user", said)],
        "ten systems of 60 words": lambda at, said: [("system", few[at % 10]), ("user", said)],
        "ten systems of 250 words": lambda at, said: [("system", many[at % 10]), ("user", said)],
        "one system of 500 words": lambda at, said: [("system", one), ("user", said)],
        "one system that names each customer": lambda at, said: [
            ("system", f"You write to customer {at * 7919 % 99991}. {one}"),
            ("user", said),
        ],
        "500 words in its turn": lambda at, said: [("user", f"{lines}\n\nTicket: {said}")],
    }


def stock(label: str) -> str:
    """An answer that all questions of a label have."""
    return (
        f"Thank you for getting in touch. Questions about {label.replace('_', ' ')} are answered in our help "
        "centre, and a colleague of ours will write to you within two days."
    )


def removals(rows: list[list[tuple[str, str]]]) -> tuple[int, int]:
    """Rows that go as duplicates, and pairs of others that share a side of the split."""
    fingerprinted, config = fingerprint.apply(builders.table(*rows), fingerprint.Config()), Config()
    gone = in_memory.removed(fingerprinted, config).num_rows
    _, matches = in_memory.matched(fingerprinted, config)
    alike = (matches.rule == decide.ALIKE) & (matches.similarity >= config.threshold - config.margin)
    return gone, int(alike.sum())


def wrong_labels(prompts: list[str], labels: list[str]) -> tuple[float, float]:
    """Precision and recall of label noise with 5% wrong ones."""
    draw, names = np.random.default_rng(3), sorted(set(labels))
    planted = set(draw.choice(len(labels), len(labels) // 20, replace=False).tolist())
    given = [
        draw.choice([n for n in names if n != one]) if at in planted else one for at, one in enumerate(labels)
    ]
    flagged = set(headrace.label_noise(prompts, given)["row"].to_list())
    right = len(flagged & planted)
    return round(right / max(len(flagged), 1), 3), round(right / len(planted), 3)


def lines(count: int) -> Iterator[dict[str, str | int | float]]:
    """The figures of every case."""
    ways = dresses()
    for name in ("banking77", "gsm8k", "llm-adapters"):
        rows = sets.read(DATA, name, count)
        asked, told = [row[-2][1] for row in rows], [row[-1][1] for row in rows]
        kinds = {"own": told} | ({"stock": [stock(label) for label in told]} if name == "banking77" else {})
        for kind, answers in kinds.items():
            for way, dress in ways.items():
                prompts = [dress(at, said) for at, said in enumerate(asked)]
                texts = ["\n".join(said for _, said in turns) for turns in prompts]
                pairs = zip(prompts, answers, strict=True)
                removed, alike = removals([[*turns, ("assistant", answer)] for turns, answer in pairs])
                labels = wrong_labels(texts, told) if name == "banking77" and kind == "own" else ("", "")
                yield {
                    "date": datetime.now(UTC).date().isoformat(),
                    "commit": commit(),
                    "cpu": processor(),
                    "set": name,
                    "answers": kind,
                    "preamble": way,
                    "rows": len(rows),
                    "removed": removed,
                    "alike_pairs": alike,
                    "effective_prompts": round(headrace.effective(texts)),
                    "label_precision": labels[0],
                    "label_recall": labels[1],
                }


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=6000)
    options = parser.parse_args()
    append(HERE / "preambles.csv", COLUMNS, shown(options.rows))


def shown(count: int) -> Iterator[dict[str, str | int | float]]:
    """The figures, each printed as it comes."""
    for line in lines(count):
        print(*line.values(), sep=", ", flush=True)
        yield line


if __name__ == "__main__":
    main()
