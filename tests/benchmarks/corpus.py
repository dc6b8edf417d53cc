"""Rows for benchmarks of the whole preparation: every real set that has questions and answers or dialogues,
then rows made of them.

    python tests/benchmarks/corpus.py [--megabytes N ...]

`real` gives rows of gsm8k, gpteacher, llm-adapters, llms-from-scratch, p3-t0, star-1, marco-o1, bfcl,
spider, banking77, bitext-intent, multidogo, taskmaster4, crosswoz (both languages), sgd (all three parts) and
tatoeba: 111 MB of text. The evaluation sets are not among them, a run looks for those.

`rows` goes on with rows that are made: the real ones again, every time with other words (`changed`). All rows
of a time get the same other words, so that those that were alike stay alike and make one more set like the
real one; and nearly no row is like one of another time, as prompts of two real sets are not. Printed for the
real rows and for N MB: the share of different prompts with another one that is alike (found and verified as
`dedup` does, at a Jaccard similarity of .6), and how many of them a prompt has, by the mean of all.
"""

import argparse
import csv
import gzip
import io
import json
import random
import re
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterator
from itertools import chain, islice, takewhile
from typing import Any

import numpy as np
import pyarrow as pa
import real_run
from gauntlet import sets
from gauntlet.sets import Row, asked

from headrace.pipelines.stages.dedup import in_memory
from headrace.pipelines.stages.dedup.config import Config
from headrace.pipelines.stages.fingerprint import stage as fingerprint

FREQUENT = 200  # words that stay as they are: those of grammar
WORD = re.compile(r"[^\W\d_]{4,}|\d")
TAIL = "<|endoftext|>"  # that p3 writes behind each answer
OWN = ("banking77", "bitext-intent", "taskmaster4", "spider", "star-1", "marco-o1", "bfcl-json")
ALIKE = 0.6


def real() -> list[dict[str, Any]]:
    """All real rows as `messages`, shuffled by a fixed seed."""
    found = chain(
        instructions(),
        prompted(),
        chain.from_iterable(sets.SETS[name](real_run.DATA) for name in OWN),
        customers(),
        dialogues(),
        crosswoz(),
        translations(),
    )
    rows = [
        {"messages": [{"role": role, "content": said} for role, said in row]}
        for row in found
        if len(row) > 1 and all(said.strip() for _, said in row)
    ]
    random.Random(0).shuffle(rows)
    return rows


def instructions() -> Iterator[Row]:
    """Questions and tasks, one turn each."""
    data = real_run.DATA
    yield from sets.gsm8k(data)
    for line in sets.text(data / "instruct/gsm8k/test.jsonl").splitlines():
        record = json.loads(line)
        yield asked(record["question"], record["answer"])
    yield from sets.instructed(data, "gpteacher", "*.json.gz", "response")
    yield from sets.instructed(data, "llm-adapters", "*.json*", "output")
    yield from sets.instructed(data, "llms-from-scratch", "instruction-data.json", "output")


def prompted() -> Iterator[Row]:
    """Passages under 294 templates."""
    path = real_run.DATA / "instruct/p3-t0-50k/t0_data_per_template.tar.gz"
    for _, content in sets.members(path, ".jsonl"):
        for line in content.split("\n"):
            if line.strip():
                record = json.loads(line)
                yield asked(record["prompt"], record["completion"].replace(TAIL, ""))


def customers() -> Iterator[Row]:
    """What customers say, and what they want."""
    for _, content in sets.members(real_run.DATA / "dialogue/multidogo/multidogo_turn_level.tar.gz", ".tsv"):
        for record in csv.DictReader(io.StringIO(content, newline=""), delimiter="\t"):
            if record["intent"] and record["utterance"]:
                yield asked(record["utterance"], record["intent"])


def dialogues() -> Iterator[Row]:
    """Whole dialogues of all parts of sgd."""
    roles = {"USER": "user", "SYSTEM": "assistant"}
    for path in sorted((real_run.DATA / "dialogue/sgd").glob("*.tar.gz")):
        with gzip.open(path) as whole, tarfile.open(fileobj=whole) as archive:
            for member in archive:
                if "dialogues_" in member.name and (stream := archive.extractfile(member)):
                    for talk in json.load(stream):
                        yield [(roles[turn["speaker"]], turn["utterance"]) for turn in talk["turns"]]


def crosswoz() -> Iterator[Row]:
    """Whole dialogues, in Chinese and in English."""
    roles = {"usr": "user", "sys": "assistant"}
    for path in sorted((real_run.DATA / "dialogue/crosswoz").glob("*.zip")):
        for _, content in sets.members(path, ".json"):
            for talk in json.loads(content).values():
                yield [(roles[m["role"]], m["content"]) for m in talk["messages"]]


def translations() -> Iterator[Row]:
    """Sentences of 111 languages, and the same in English."""
    files = dict(sets.members(real_run.DATA / "web/tatoeba/tatoeba_v1.tar.gz", "tatoeba."))
    for name, content in files.items():
        if not name.endswith(".eng"):
            english = files[name.rpartition(".")[0] + ".eng"]
            for line, other in zip(content.split("\n"), english.split("\n"), strict=True):
                yield asked(line, other)


def rows() -> Iterator[dict[str, Any]]:
    """The real rows, and then made ones, without end."""
    found = real()
    yield from found
    yield from changed(found, share=1.0)


def copies(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Some rows, and then again and again with three of four words exchanged: at 37 times, each has 37 that
    are alike, as no real set has."""
    yield from found
    yield from changed(found, share=0.75)


def changed(found: list[dict[str, Any]], share: float) -> Iterator[dict[str, Any]]:
    """Some rows, again and again, with other words: this share of words of four letters and more that are not
    frequent, exchanged for others of their alphabet and length that are about as frequent, and digits for
    other digits; without end."""
    texts = (m["content"] for row in found for m in row["messages"])
    counts = Counter(word for text in texts for word in WORD.findall(text) if not word.isdigit())
    often = {word for word, _ in counts.most_common(FREQUENT)}
    alike: dict[Hashable, list[str]] = {}
    for word in sorted(counts.keys() - often):
        alike.setdefault((*alphabet(word), min(len(word), 12), counts[word].bit_length()), []).append(word)
    turn = 0
    while True:
        turn += 1
        draw = random.Random(turn)
        digits = [str(n) for n in range(10)]
        draw.shuffle(digits)
        other = dict(zip("0123456789", digits, strict=True))
        for words in alike.values():
            chosen = [word for word in words if draw.random() < share]
            other |= zip(chosen, draw.sample(chosen, len(chosen)), strict=True)
        for row in found:
            yield {"messages": [{**m, "content": exchanged(m["content"], other)} for m in row["messages"]]}


def alphabet(word: str) -> tuple[str, bool, bool]:
    """The script of a word's first letter; whether it is a capital; whether all letters are ASCII."""
    return unicodedata.name(word[0], "").partition(" ")[0], word[0].isupper(), word.isascii()


def exchanged(text: str, other: dict[str, str]) -> str:
    """`text` with other words and digits."""
    return WORD.sub(lambda found: other.get(found[0], found[0]), text)


def content(row: dict[str, Any]) -> int:
    """Bytes of a row's texts."""
    return sum(len(m["content"].encode()) for m in row["messages"])


def most(found: Iterator[dict[str, Any]], size: int) -> Iterator[dict[str, Any]]:
    """The first rows, of `size` bytes together."""
    total = 0

    def inside(row: dict[str, Any]) -> bool:
        nonlocal total
        total += content(row)
        return total <= size

    return takewhile(inside, found)


def alike(found: Iterator[dict[str, Any]]) -> tuple[int, float, float]:
    """Different prompts, the share of them that another is like, and how many are, by the mean of all."""
    prompts = {"\n".join(m["content"] for m in row["messages"][:-1]) for row in found}
    table = in_memory.as_rows(pa.array(sorted(prompts), pa.large_string()))
    config = Config(threshold=ALIKE, margin=0)
    rows, matches = in_memory.matched(fingerprint.apply(table, fingerprint.Config()), config)
    pairs = np.concatenate([matches.exact, matches.pairs[matches.similarity >= ALIKE]])
    return rows.n, len(np.unique(pairs)) / rows.n, 2 * len(pairs) / rows.n


def main() -> None:
    """Print what is alike among real rows, and among these and made ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[200])
    options = parser.parse_args()
    found = real()
    cases = {
        "real": iter(found),
        "made once": islice(changed(found, 1.0), len(found)),
        **{f"{size} MB": most(chain(found, changed(found, 1.0)), size * 10**6) for size in options.megabytes},
    }
    for name, some in cases.items():
        n, share, others = alike(some)
        print(
            f"{name:<12} {n:9,} different prompts; {share:6.1%} have one alike, {others:6.2f} by the mean",
            flush=True,
        )


if __name__ == "__main__":
    main()
