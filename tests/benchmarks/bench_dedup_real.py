"""Near-duplicates in real texts: what is removed, whether it should be, and the largest cluster.

Articles with known pairs: all must be found and nothing else. The declaration of human rights and Tatoeba's
sentences in hundreds of languages: sentences whose words differ must stay; what goes is counted by what
sets it apart from the row that is kept. Instructions under heavy templates: rows removed, the largest
cluster, and whether a removed row's answer is ever another than that of the row that is kept.

    python tests/benchmarks/bench_dedup_real.py [--data FOLDER] [--out FILE] [--show]

The data is not part of this repository: `--data` (or HEADRACE_TEST_DATA) names it. Texts are shown on the
terminal alone, with `--show`.
"""

import argparse
import csv
import gzip
import json
import os
import re
import tarfile
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import numpy as np
import pyarrow as pa
from bench_kernels import commit, processor

from headrace import kernels
from headrace.pipelines import schema
from headrace.pipelines.stages.dedup import config as dedup_config
from headrace.pipelines.stages.dedup import decide, in_memory
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.fingerprint import stage as fingerprint

HERE = Path(__file__).resolve().parent
Figure = tuple[str, str, float, str]
Pairs = list[tuple[str, str]]  # texts of the removed row and of the kept one


def measure_articles(data: Path) -> Iterator[Figure]:
    """Pairs of 1,000 articles by truth: found, missed, and removals that are no pair."""
    for name in ("articles_100.train", "articles_1000.train.gz"):
        path = data / "neardup/minhash-articles" / name
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        names, texts = zip(*(line.split(" ", 1) for line in raw.decode().splitlines()), strict=True)
        truth_file = path.with_name(name.partition(".")[0] + ".truth")
        truth = {frozenset(line.split()) for line in truth_file.read_text().splitlines() if line.strip()}
        table = in_memory.duplicates(pa.array(texts, pa.large_string()))
        rows = zip(table["removed"].to_pylist(), table["kept"].to_pylist(), strict=True)
        found = {frozenset((names[r], names[k])) for r, k in rows}
        yield "true pairs found", path.stem, len(found & truth), f"of {len(truth)}"
        yield "false removals", path.stem, len(found - truth), "rows"


def declarations(data: Path) -> list[list[str]]:
    """The declaration of human rights in all its languages, by paragraph."""
    found = []
    with tarfile.open(data / "web/udhr/udhr_html.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                page = re.sub(r"(?is)<(script|style|head).*?</\1>", " ", file.read().decode("utf-8"))
                parts = re.split(r"(?i)</?(?:p|h\d|li|div|ol|ul|body|article|header|section)\b[^>]*>", page)
                texts = (" ".join(unescape(re.sub(r"<[^>]*>", "", part)).split()) for part in parts)
                found.append([text for text in texts if text])
    return found


def sentences(data: Path) -> list[str]:
    """All lines of all languages of Tatoeba."""
    with tarfile.open(data / "web/tatoeba/tatoeba_v1.tar.gz") as archive:
        files = [archive.extractfile(m) for m in archive if "README" not in m.name and m.isfile()]
        return [line for file in files if file for line in file.read().decode("utf-8").splitlines() if line]


def difference(removed: str, kept: str) -> str:
    """What sets a removed text apart from the one that is kept, the least of it."""
    if removed == kept:
        return "same bytes"
    if removed.split() == kept.split():
        return "spaces"
    if removed.casefold().split() == kept.casefold().split():
        return "case"
    a, b = (_bare(text) for text in (removed, kept))
    if a == b:
        return "punctuation"
    if a.replace(" ", "") == b.replace(" ", ""):
        return "where words end"
    if re.sub(r"\d", "0", a) == re.sub(r"\d", "0", b):
        return "digits"
    if _marks_off(a) == _marks_off(b):
        return "accents"
    return "words"


def _bare(text: str) -> str:
    """Letters, marks and digits, folded, and one space between words."""
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in text.casefold())
    return " ".join("".join(kept).split())


def _marks_off(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c)[0] != "M")


def measure_sentences(case: str, texts: list[str], show: bool) -> Iterator[Figure]:
    """Removals by what sets the two rows apart."""
    began = time.perf_counter()
    table = in_memory.duplicates(pa.array(texts, pa.large_string()))
    yield "seconds", case, time.perf_counter() - began, "s"
    yield "texts", case, len(texts), "rows"
    yield "different texts", case, len(set(texts)), "rows"
    pairs = [(texts[row["removed"]], texts[row["kept"]], row) for row in table.to_pylist()]
    kinds = Counter(f"{row['rule']}, {difference(a, b)}" for a, b, row in pairs)
    for kind, count in sorted(kinds.items()):
        yield f"removed: {kind}", case, count, "rows"
    if show:
        for a, b, row in pairs:
            if difference(a, b) not in ("same bytes", "spaces", "case", "punctuation"):
                print(f"\n[{row['rule']} {row['similarity']:.3f} {difference(a, b)}]\n- {a}\n+ {b}")


def instructions(data: Path) -> pa.Table:
    """Rows of a prompt and an answer, as the stages hand them on."""
    prompts, answers = [], []
    with tarfile.open(data / "instruct/p3-t0-50k/t0_data_per_template.tar.gz") as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            file = archive.extractfile(member)
            for line in file.read().decode().splitlines() if file else []:
                row = json.loads(line)
                prompts.append(row["prompt"])
                answers.append(row["completion"])
    n = len(prompts)
    contents = [text for pair in zip(prompts, answers, strict=True) for text in pair]
    message = pa.StructArray.from_arrays(
        [pa.array(["user", "assistant"] * n), pa.array(contents, pa.large_string())],
        fields=list(schema.MESSAGE),
    )
    offsets = pa.array(np.arange(0, 2 * n + 1, 2), pa.int32())
    return pa.table(
        {
            "row_id": pa.array(np.arange(n), pa.uint64()),
            "messages": pa.ListArray.from_arrays(offsets, message, type=schema.MESSAGES),
            "drop": pa.nulls(n, pa.string()),
            "error": pa.nulls(n, pa.string()),
        }
    )


def removals(table: pa.Table) -> tuple[pa.Table, decide.Pairs]:
    """Removed rows of a table of rows (as `in_memory.duplicates` does for texts), and all pairs of rows
    that are alike, exact and verified."""
    config = dedup_config.Config()
    table = fingerprint.apply(table, fingerprint.Config())
    rows, matches = in_memory.matched(table, config)
    verdict = decide.decide(rows.n, matches, config.threshold, dedup.rule_of_copies(config))
    near = (matches.similarity >= config.threshold) & (matches.rule != decide.ALIKE)
    alike = np.concatenate([matches.exact, matches.pairs[near]])
    return dedup.removed_table(rows["row_id"], rows["simhash"], verdict), rows.place[alike]


def measure_instructions(data: Path, show: bool) -> Iterator[Figure]:
    """Removals and the largest cluster under heavy templates."""
    table = instructions(data)
    texts = table["messages"].combine_chunks().flatten().field("content")
    began = time.perf_counter()
    removed, alike = removals(table)
    case = "p3-t0-50k"
    yield "seconds", case, time.perf_counter() - began, "s"
    yield "rows", case, table.num_rows, "rows"
    yield "text", case, texts.nbytes / 1e6, "MB"
    for rule in decide.RULES:
        yield f"removed, {rule}", case, removed["rule"].to_pylist().count(rule), "rows"
    rows = [(row, *(_both(texts, row[end]) for end in ("removed", "kept"))) for row in removed.to_pylist()]
    other = [(row, a, b) for row, a, b in rows if difference(a[1], b[1]) in ("words", "digits")]
    yield "removed, answers differ in words or digits", case, len(other), "rows"
    near = Counter(difference(a[0], b[0]) for row, a, b in rows if row["rule"] == "near")
    for kind, count in sorted(near.items()):
        yield f"removed near, prompts differ in: {kind}", case, count, "rows"
    labels = kernels.components(alike, table.num_rows)
    sizes = np.bincount(labels)
    largest = np.flatnonzero(labels == sizes.argmax())
    yield "clusters", case, int((sizes > 1).sum()), "clusters"
    yield "rows of the largest cluster", case, len(largest), "rows"
    gone = np.isin(largest, removed["removed"].to_numpy())
    yield "rows of the largest cluster that go", case, int(gone.sum()), "rows"
    yield "different rows in the largest cluster", case, len({_both(texts, r) for r in largest}), "rows"
    if show:
        for row in largest[:: max(1, len(largest) // 6)]:
            print("\n[largest cluster]", *(text[:600] for text in _both(texts, row)), sep="\n")
        for row, a, b in other[:40]:
            print(
                f"\n[{row['rule']} {row['similarity']:.3f}]", a[0][-300:], b[0][-300:], a[1], b[1], sep="\n- "
            )


def _both(texts: pa.Array, row: int) -> tuple[str, str]:
    return texts[2 * int(row)].as_py(), texts[2 * int(row) + 1].as_py()


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "dedup_real.csv")
    default = os.environ.get("HEADRACE_TEST_DATA", HERE.parents[2] / "shared/data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--show", action="store_true", help="show removed texts on the terminal")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"no data at {options.data}")
        return
    kernels.warm()
    pages = declarations(options.data)
    figures = [
        *measure_articles(options.data),
        *measure_sentences("udhr, whole", [" ".join(page) for page in pages], options.show),
        *measure_sentences("udhr, paragraphs", [text for page in pages for text in page], options.show),
        *measure_sentences("tatoeba", sentences(options.data), options.show),
        *measure_instructions(options.data, options.show),
    ]
    place = (datetime.now(UTC).date(), commit(), processor(), f"{os.getloadavg()[0]:.1f}")
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["measure", "case", "figure", "unit", "date", "commit", "cpu", "load"])
        for measure, case, value, unit in figures:
            writer.writerow([measure, case, f"{value:.4g}", unit, *place])
            print(f"{measure:48} {case:18} {value:10.6g} {unit}")


if __name__ == "__main__":
    main()
