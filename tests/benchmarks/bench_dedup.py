"""Near-duplicates: first whether the right rows go, then how fast, in the same run.

All texts are made from a seed. Quality: for each kind of text and edit some hundred rows, half of them edits
of earlier ones; the truth of a pair is its measured Jaccard over all pairs, never its kind. A removal is
right if the kept row that it names is a partner at the threshold; pairs within .05 of it are not scored;
two kept rows above are a miss. Templates that differ in one slot have a line of their own, without a floor.
Speed: documents of 1 to 2 KB with a tenth near-duplicates, texts in memory to decided removals.

    python tests/benchmarks/bench_dedup.py [--out FILE] [--documents N ...] [--threads N]

writes a CSV with a line a measurement: measure, case, figure, unit, date, commit, processor, threads, load.
The default run takes about a minute; `--documents 20000 100000 1000000` some minutes and 8 GB.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from bench_kernels import commit, processor
from numpy.typing import NDArray

import kernels
from pipelines import dedup, fingerprint

HERE = Path(__file__).resolve().parent
THRESHOLD, MARGIN = dedup.Config().threshold, 0.05
FLOOR = 0.995
Figure = tuple[str, str, float, str]
Words = list[str]
Generator = np.random.Generator

LETTERS = {
    "latin": "etaoinshrdlucmfwypvbgkjqxz",
    "chinese": "".join(map(chr, range(0x4E00, 0x5200))),
    "arabic": "".join(map(chr, range(0x0627, 0x063B))),
    "hindi": "".join(map(chr, range(0x0915, 0x093A))),
}


def vocabulary(rng: Generator, script: str, size: int = 20_000) -> Words:
    """Distinct words by falling frequency, the short ones first."""
    letters = list(LETTERS[script])
    words: dict[str, None] = {}
    longest = 3 if script == "chinese" else 11
    while len(words) < size:
        length = 1 + int(rng.integers(1, longest) * min(1, 0.2 + len(words) / 500))
        words["".join(rng.choice(letters, length))] = None
    return list(words)


def draw(rng: Generator, words: Words, count: int) -> Words:
    """`count` words, the r-th most frequent about 1 / r as often as the first."""
    ranks = len(words) ** rng.random(count)
    return [words[int(r) - 1] for r in ranks]


def change_words(rng: Generator, text: Words, share: float, fresh: Callable[[int], Words]) -> Words:
    out = list(text)
    for at in rng.choice(len(out), max(1, int(len(out) * share)), replace=False):
        out[at] = fresh(1)[0]
    return out


def insert(rng: Generator, text: Words, share: float, fresh: Callable[[int], Words]) -> Words:
    at = int(rng.integers(len(text)))
    return text[:at] + fresh(max(1, int(2 * share * len(text)))) + text[at:]


def reorder(rng: Generator, text: Words, share: float, fresh: Callable[[int], Words]) -> Words:
    cuts = np.sort(rng.choice(len(text), min(len(text), 2 + int(share * 30)), replace=False))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [word for place in rng.permutation(len(pieces)) for word in pieces[place]]


def truncate(rng: Generator, text: Words, share: float, fresh: Callable[[int], Words]) -> Words:
    return text[: max(12, int(len(text) * (1 - 2 * share)))]


def change_numbers(rng: Generator, text: Words, share: float, fresh: Callable[[int], Words]) -> Words:
    """Dates and names: some places get a number or a capitalised word."""
    out = list(text)
    for at in rng.choice(len(out), max(1, int(len(out) * share)), replace=False):
        out[at] = str(rng.integers(1900, 2100)) if rng.random() < 0.5 else fresh(1)[0].capitalize()
    return out


Edit = Callable[[Generator, Words, float, Callable[[int], Words]], Words]
# kind: script, words of a text, edit, separator
KINDS: dict[str, tuple[str, tuple[int, int], Edit, str]] = {
    "word edits": ("latin", (150, 300), change_words, " "),
    "insertions": ("latin", (150, 300), insert, " "),
    "reordering": ("latin", (150, 300), reorder, " "),
    "truncation": ("latin", (150, 300), truncate, " "),
    "dates and names": ("latin", (150, 300), change_numbers, " "),
    "chinese": ("chinese", (100, 300), change_words, ""),
    "arabic": ("arabic", (80, 200), change_words, " "),
    "hindi": ("hindi", (80, 200), insert, " "),
    "code": ("latin", (100, 200), change_words, "(x);\n    "),
    "short": ("latin", (13, 40), change_words, " "),
}


def family(kind: str, rows: int, seed: int) -> list[str]:
    """Texts of one kind, half of them edits of an earlier one (so chains form), sorted by nothing."""
    script, (least, most), edit, separator = KINDS[kind]
    rng = np.random.default_rng(seed)
    words = vocabulary(rng, script, 4000)

    def fresh(count: int) -> Words:
        return draw(rng, words, count)

    found: list[Words] = []
    for _ in range(rows):
        if found and rng.random() < 0.5:
            share = float(rng.choice([0.002, 0.01, 0.03, 0.06, 0.15]))
            found.append(edit(rng, found[int(rng.integers(len(found)))], share, fresh))
        else:
            found.append(fresh(int(rng.integers(least, most))))
    return [separator.join(text) for text in found]


def templates(rows: int, seed: int) -> list[str]:
    """One form letter with one slot of one to three words."""
    rng = np.random.default_rng(seed)
    words = vocabulary(rng, "latin", 4000)
    head, tail = " ".join(draw(rng, words, 40)), " ".join(draw(rng, words, 40))
    return [f"{head} {' '.join(draw(rng, words, int(rng.integers(1, 4))))} {tail}" for _ in range(rows)]


def truth_of(texts: list[str]) -> NDArray[np.float64]:
    """Similarity of all pairs, by definition: 1 or 0 for short texts, else Jaccard of their windows."""
    table = fingerprint.apply(dedup.as_rows(pa.array(texts)), fingerprint.Config())
    pairs = np.stack(np.triu_indices(len(texts), 1), axis=1)
    folded = pa.array([text + " " for text in kernels.fold(texts).to_pylist()], pa.large_string())
    long = table["answer_features"].to_numpy() >= dedup.Config().min_features
    keys = table["answer_key"].to_numpy()
    measured = np.where(
        long[pairs].all(axis=1),
        kernels.jaccard(folded, pairs),
        ~long[pairs].any(axis=1) & (keys[pairs[:, 0]] == keys[pairs[:, 1]]),
    )
    found = np.ones((len(texts), len(texts)))
    found[pairs[:, 0], pairs[:, 1]] = found[pairs[:, 1], pairs[:, 0]] = measured
    return found


def judge(texts: list[str], truth: NDArray[np.float64]) -> tuple[float, float, float]:
    """Precision, recall, F1 of the removals, leaving out what is within `MARGIN` of the threshold."""
    table = dedup.duplicates(pa.array(texts))
    gone, kept = table["removed"].to_numpy().astype(int), table["kept"].to_numpy().astype(int)
    similarity = truth[gone, kept]
    assert np.allclose(table["similarity"].to_numpy(), similarity)
    assert not set(kept) & set(gone)
    right, wrong = (similarity > THRESHOLD + MARGIN).sum(), (similarity < THRESHOLD - MARGIN).sum()
    left = np.setdiff1d(np.arange(len(texts)), gone)
    missed = np.triu(truth[np.ix_(left, left)] > THRESHOLD + MARGIN, 1).sum()
    precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
    return float(precision), float(recall), float(2 * precision * recall / (precision + recall))


def measure_quality(rows: int) -> Iterator[Figure]:
    """Precision, recall and F1 by kind; the share of true pairs that are looked at, by Jaccard band."""
    every: list[tuple[float, bool]] = []
    for seed, kind in enumerate(KINDS):
        texts = family(kind, rows, seed)
        truth = truth_of(texts)
        for name, value in zip(("precision", "recall", "F1"), judge(texts, truth), strict=True):
            yield name, kind, value, "share"
            assert value >= FLOOR, (kind, name, value)
        every += _looked_at(texts, truth)
    texts = templates(rows, 99)
    for name, value in zip(("precision", "recall", "F1"), judge(texts, truth_of(texts)), strict=True):
        yield name, "templates, one slot", value, "share"
    similarity, seen = np.array([s for s, _ in every]), np.array([s for _, s in every])
    for low, high in ((0.7, 0.75), (0.75, 0.8), (0.8, 0.85), (0.85, 0.9), (0.9, 1.0)):
        band = (similarity >= low) & (similarity < high)
        yield "pairs looked at", f"Jaccard {low:.2f} to {high:.2f}", float(seen[band].mean()), "share"


def _looked_at(texts: list[str], truth: NDArray[np.float64]) -> list[tuple[float, bool]]:
    """Similarity of each pair from .7 up, and whether it is a candidate (with the sketch's cut at .65)."""
    config = dedup.Config(threshold=0.7)
    table = fingerprint.apply(dedup.as_rows(pa.array(texts)), fingerprint.Config())
    rows = dedup.Rows(table)
    _, representative = dedup.exact_copies(rows)
    pairs = rows.place[dedup.candidate_pairs(rows, representative, config)]
    found = {(int(a), int(b)) for a, b in np.sort(pairs, axis=1)}
    best = np.zeros(len(texts), np.bool_)  # copies are decided before near pairs are looked for
    best[rows.place[representative]] = True
    firsts, seconds = np.nonzero(np.triu((truth >= 0.7) & (truth < 1) & best & best[:, None], 1))
    return [(float(truth[a, b]), (int(a), int(b)) in found) for a, b in zip(firsts, seconds, strict=True)]


def make_documents(count: int, seed: int) -> tuple[pa.Array, NDArray[np.int64]]:
    """Texts of 1 to 2 KB, a tenth of them edits of another; and (original, edit) of those, int64[M, 2]."""
    rng = np.random.default_rng(seed)
    words = vocabulary(rng, "latin")
    edits: list[Edit] = [change_words, insert, reorder, truncate, change_numbers]
    near = count // 10
    lengths = rng.integers(190, 350, count - near)
    running = draw(rng, words, int(lengths.sum()))
    ends = np.cumsum(lengths)
    texts = [running[end - size : end] for end, size in zip(ends, lengths, strict=True)]
    chosen = rng.choice(len(texts), near, replace=False)
    for original in chosen:
        edit = edits[int(rng.integers(len(edits)))]
        texts.append(edit(rng, texts[original], 0.02, lambda n: draw(rng, words, n)))
    order = rng.permutation(count)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    mixed = pa.array([" ".join(texts[i]) for i in order], pa.large_string())
    return mixed, np.stack([place[chosen], place[count - near :]], axis=1)


def measure_speed(count: int) -> Iterator[Figure]:
    """MB/s of the whole pass and of fingerprinting, after a look at what was removed."""
    documents, planted = make_documents(count, count)
    megabytes = documents.nbytes / 1e6
    folded = pa.array([t + " " for t in kernels.fold(documents.take(pa.array(planted.ravel()))).to_pylist()])
    truth = kernels.jaccard(folded, np.arange(planted.size).reshape(-1, 2))
    case = f"{count:,} documents"
    table, *whole = timed(lambda: dedup.duplicates(documents), 3 if count <= 100_000 else 1)
    gone = set(table["removed"].to_pylist())
    wanted = planted[truth > THRESHOLD + MARGIN]
    found = sum(int(a) in gone or int(b) in gone for a, b in wanted) / len(wanted)
    yield "planted pairs found", case, found, "share"
    assert found >= FLOOR, found
    assert min(table["similarity"].to_pylist()) >= THRESHOLD
    rows = dedup.as_rows(documents)
    _, *sketched = timed(lambda: fingerprint.apply(rows, fingerprint.Config()), 3)
    for name, (wall, processor_time) in (("whole pass", whole), ("fingerprint", sketched)):
        yield name, case, megabytes / wall, "MB/s"
        yield f"{name}, CPU time", case, megabytes / processor_time, "MB/s a core"


def timed(function: Callable[[], pa.Table], repeats: int) -> tuple[pa.Table, float, float]:
    """What it returns, and the least seconds by the clock and of the processor (others may be at work)."""
    clock, processor_time = [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        table = function()
        clock.append(time.perf_counter() - started[0])
        processor_time.append(time.process_time() - started[1])
    return table, min(clock), min(processor_time)


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "dedup.csv")
    parser.add_argument("--documents", type=int, nargs="+", default=[20_000])
    parser.add_argument("--rows", type=int, default=400, help="rows of each kind")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    load = f"{os.getloadavg()[0]:.1f}"  # others on the machine slow what is timed by the clock
    place = (datetime.now(UTC).date(), commit(), processor(), options.threads, load)
    kernels.warm()
    figures = list(measure_quality(options.rows))
    for count in options.documents:
        figures += measure_speed(count)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["measure", "case", "figure", "unit", "date", "commit", "cpu", "threads", "load"])
        for measure, case, value, unit in figures:
            writer.writerow([measure, case, f"{value:.4g}", unit, *place])
            print(f"{measure:20} {case:24} {value:10.4g} {unit}")


if __name__ == "__main__":
    main()
