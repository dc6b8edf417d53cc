"""Findings and speed of pii beside plain Presidio, on one core.

Nothing is timed before it is right: on a sample of each corpus, and on seeded made-up identifiers, findings
equal those of Presidio's own engine, to the last score. Both sides have the same pinned list of suffixes.
Corpora (from HEADRACE_TEST_DATA, default ../shared/data) are taken as single turns and as conversations of
one text, with live context words and without. `dense` is presidio-research, `digits` dolma-tests with its
digits in another script; the cases after them are single texts of 20 KB of one kind (`odd`).

    python tests/benchmarks/bench_pii.py [--out FILE] [--sample BYTES] [--fuzz COUNT] [--seed N]
        [--everything --cache DIR]

writes a CSV with a line a measurement: case, length (turn, conversation), context, figure, unit, date,
commit, processor and load. MB are UTF-8 bytes, seconds CPU seconds. Ours is timed on the whole corpus, with
all states of the automaton known but no number and no word (`Scanner.forget`); Presidio on the sample.
`windows` is the share of characters in which a pattern is tried. `--sample 0` compares all texts.
`--everything` times nothing, but compares all texts of the corpora at both lengths, the made-up ones, then
all strings in all files there (`--sample` bytes a file); what plain Presidio finds is kept in DIR
(`pii_equality`), which it takes an hour to fill; `pii_equality.csv` is such a run, with `--sample 0 --fuzz
1000000 --seed 20261121`. The default run takes about four minutes.
"""

import argparse
import bz2
import csv
import gc
import gzip
import io
import json
import os
import random
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from bench_stages import DATA, HERE, gpteacher, gsm8k, multidogo, place, sgd

sys.path.insert(0, str(HERE.parents[1]))

from pii_equality import MODES, Compared

from headrace.cluster.process import settle
from headrace.pipelines.stages.pii.presidio.scanner import Scanner, scanner
from tests.pipelines.identifiers import fuzz, plain

Figure = tuple[str, str, bool, str, float, str]
HEADER = ["case", "length", "context", "figure", "value", "unit", "date", "commit", "cpu", "load"]
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
ODD = 20_000  # characters of a text of `odd`
LONGEST = 20_000  # characters of a text of `everything`


def dense() -> list[str]:
    """Sentences full of identifiers."""
    folder = DATA / "pii/presidio-research"
    rows = json.loads(gzip.decompress((folder / "generated_large.json.gz").read_bytes()))
    rows += json.loads((folder / "generated_small.json").read_text())
    return [row["full_text"] for row in rows]


def digits() -> list[str]:
    """Pages of the web, each once as it is and once with other digits."""
    found: dict[str, None] = {}
    for text in strings(DATA / "web/dolma-tests/dolma_tests_data.tar"):
        if len(text) > 1000:
            found[text] = found[text.translate(ARABIC)] = None
    return list(found)


def corpora() -> Iterator[tuple[str, str, list[str]]]:
    """(case, length, texts)."""
    for corpus in (sgd, gsm8k, gpteacher, multidogo):
        talks = [[said for _, said in talk] for talk in corpus()]
        yield corpus.__name__, "turn", [said for talk in talks for said in talk]
        yield corpus.__name__, "conversation", ["\n".join(talk) for talk in talks]
    yield "dense", "turn", dense()
    yield "dense", "conversation", list(joined(dense(), 20))
    yield "digits", "conversation", digits()
    yield from ((case, "text", [text]) for case, text in odd())


def odd(seed: int = 5) -> Iterator[tuple[str, str]]:
    """(case, text): texts of one kind, in which there is much to try."""
    draw = random.Random(seed)

    def drawn(alphabet: str) -> str:
        return "".join(draw.choices(alphabet, k=ODD))

    numbers = [(draw.randint(200, 999), draw.randint(200, 999), draw.randint(0, 9999)) for _ in range(1300)]
    dialled = [f"({area}) {exchange}-{line:04d}" for area, exchange, line in numbers]
    yield "telephone numbers, a line each", "\n".join(dialled)
    yield "telephone numbers, a blank between", " ".join(dialled)
    yield "telephone numbers with a plus", "; ".join(f"+1 {a} {e} {n:04d}" for a, e, n in numbers)
    yield "numbers between commas", ",".join(str(draw.randint(0, 10 ** (at % 9 + 1))) for at in range(3400))
    yield "fractions", " ".join(f"{draw.random():.6f}" for _ in range(2200))
    yield "digits", drawn("0123456789")
    yield "digits and a blank in 31", drawn("0123456789" * 3 + " ")
    yield "digits and punctuation", drawn("0123456789" * 4 + " .-()+/")
    yield "one digit at a time", "1-" * (ODD // 2)
    yield "1x", "1x" * (ODD // 2)
    yield "a@b.", "a@b." * (ODD // 4)
    yield "a.b.", "a.b." * (ODD // 4)
    yield "hexadecimal", drawn("0123456789abcdef")
    yield "base 58", drawn("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
    yield "odd letters", drawn("ſKİıabc 12")
    yield "CJK and its digits", drawn("中文字０１２３４５６７８９ ")


def joined(texts: list[str], count: int) -> Iterator[str]:
    """Texts of `count` lines each."""
    for at in range(0, len(texts), count):
        yield "\n".join(texts[at : at + count])


def strings(path: Path) -> Iterator[str]:
    """All strings in a file: of JSON, cells of tables, else paragraphs; packed ones are opened."""
    if ".tar" in path.suffixes or path.suffix == ".tgz":
        with tarfile.open(path) as members:
            for member in members:
                stream = members.extractfile(member)
                if stream:
                    yield from inside(Path(member.name), stream.read())
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                yield from inside(Path(name), packed.read(name))
    else:
        yield from inside(path, path.read_bytes())


def inside(name: Path, raw: bytes) -> Iterator[str]:
    """All strings in the bytes of a file."""
    opened = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    opened = bz2.decompress(opened) if opened[:3] == b"BZh" else opened
    text = opened.decode("utf-8", "replace")
    if ".csv" in name.suffixes or ".tsv" in name.suffixes:
        csv.field_size_limit(1 << 24)
        rows = csv.reader(io.StringIO(text), delimiter="\t" if ".tsv" in name.suffixes else ",")
        yield from (cell for row in rows for cell in row)
        return
    try:
        yield from leaves(json.loads(text))
        return
    except ValueError:
        pass
    for line in text.splitlines() if text[:1] in "{[" else text.split("\n\n"):
        try:
            yield from leaves(json.loads(line))
        except ValueError:
            yield from (line[at : at + LONGEST] for at in range(0, len(line), LONGEST))


def leaves(value: Any) -> Iterator[str]:
    """All strings in a parsed JSON value."""
    if isinstance(value, str):
        yield from (value[at : at + LONGEST] for at in range(0, len(value), LONGEST))
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves(one)


def first(texts: Iterable[str], limit: float) -> Iterator[str]:
    """The first texts of together about `limit` bytes; all for 0."""
    size = 0
    for text in texts:
        if limit and size > limit:
            break
        yield text
        size += len(text.encode("utf-8", "replace"))


def megabytes(texts: list[str]) -> float:
    """UTF-8 bytes in millions."""
    return sum(len(text.encode()) for text in texts) / 1e6


def compare(texts: list[str], context: bool) -> tuple[int, int, float]:
    """(findings, texts whose findings differ, CPU seconds of Presidio)."""
    started = time.process_time()
    due = [plain(text, context=context) for text in texts]
    taken = time.process_time() - started
    got: list[list[Any]] = [[] for _ in texts]
    found = scanner(context).find(pa.array(texts, pa.large_string()))
    assert not found.failures
    for row, finding in zip(found.rows, found.findings, strict=True):
        got[row].append(finding)
    differ = [at for at in range(len(texts)) if due[at] != got[at]]
    for at in differ[:3]:
        print("DIFFERS", repr(texts[at][:300]), set(due[at]) ^ set(got[at]), flush=True)
    return sum(map(len, due)), len(differ), taken


def handed(engine: Scanner, texts: pa.Array) -> float:
    """Share of the characters in which a pattern is tried."""
    places = engine.places(texts)
    last, total = (-1, 0), 0
    for row, start, stop in zip(
        places.row.tolist(), places.start.tolist(), places.stop.tolist(), strict=True
    ):
        begin = max(start, last[1]) if row == last[0] else start
        total += max(0, stop - begin)
        last = (row, max(stop, begin))
    return total / max(1, int(np.sum([len(text) for text in texts.to_pylist()])))


def measure(case: str, length: str, texts: list[str], sample: float, context: bool) -> Iterator[Figure]:
    """Equality, then time."""
    engine, array = scanner(context), pa.array(texts, pa.large_string())
    some = list(first(texts, sample))
    findings, differ, taken = compare(some, context)
    engine.find(array)
    seconds = []
    for _ in range(2):
        engine.forget()
        gc.collect()  # of what Presidio left
        settle()  # as a worker does after its first part
        started = time.process_time()
        engine.find(array)
        seconds.append(time.process_time() - started)
    ours, theirs = megabytes(texts) / min(seconds), megabytes(some) / taken
    for figure, value, unit in (
        ("texts compared", len(some), "1"),
        ("findings compared", findings, "1"),
        ("texts that differ", differ, "1"),
        ("pii", ours, "MB/s"),
        ("presidio", theirs, "MB/s"),
        ("pii / presidio", ours / theirs, "1"),
        ("windows", handed(engine, array), "1"),
    ):
        yield case, length, context, figure, float(value), unit


def made_up(seed: int, count: int, context: bool) -> Iterator[Figure]:
    """Equality on seeded texts, a thousand at a time."""
    findings = differ = 0
    for block in range(0, count, 1000):
        some, wrong, _ = compare(fuzz(seed + block, min(1000, count - block)), context)
        findings, differ = findings + some, differ + wrong
    for figure, value in (("texts", count), ("findings", findings), ("texts that differ", differ)):
        yield f"made up, seed {seed}", "turn", context, figure, float(value), "1"


def everything(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Equality on the corpora, on seeded texts and on the strings of all files of the shared data."""
    compared = Compared(chosen.cache)
    blocks = range(0, chosen.fuzz, 1000)  # every fourth of long texts
    made = (
        text
        for at in blocks
        for text in fuzz(chosen.seed + at, min(1000, chosen.fuzz - at), parts=4 if at % 4000 else 9)
    )
    parts: list[tuple[str, str, Iterable[str]]] = [
        *corpora(),
        (f"made up, seed {chosen.seed}", "turn", made),
    ]
    files = [path for path in sorted(DATA.rglob("*")) if path.is_file()]
    parts += [
        (str(path.relative_to(DATA)), "turn", first(strings(path), chosen.sample))
        for path in files
        if not (path.suffix in (".md", ".txt") and path.name.isupper())
    ]
    for name, length, texts in parts:
        count = compared.compare(name, texts)
        for context in MODES:
            yield name, length, context, "texts compared", float(count.texts), "1"
            yield name, length, context, "bytes compared", float(count.bytes), "1"
            yield name, length, context, "findings compared", float(count.findings[context]), "1"
            yield name, length, context, "texts that differ", float(count.differ[context]), "1"


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """All figures that are asked for."""
    if chosen.everything:
        yield from everything(chosen)
        return
    for context in MODES:
        yield from made_up(chosen.seed, chosen.fuzz, context)
    for case, length, texts in corpora():
        for context in MODES:
            yield from measure(case, length, texts, chosen.sample, context)


def main() -> None:
    """Compare, measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "pii.csv")
    parser.add_argument("--sample", type=float, default=100_000)
    parser.add_argument("--fuzz", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--everything", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "plain-presidio")
    chosen = parser.parse_args()
    pa.set_cpu_count(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    differ = 0.0
    with chosen.out.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        for case, length, context, figure, value, unit in figures(chosen):
            differ += value if figure == "texts that differ" else 0
            writer.writerow([case, length, context, figure, f"{value:.6g}", unit, *place()])
            print(f"{case:28} {length:13} {context!s:6} {figure:20} {value:12.3f} {unit}", flush=True)
    if differ:
        raise SystemExit(f"{differ:.0f} texts differ")


if __name__ == "__main__":
    main()
