"""What pii finds of labelled personal data, with our recognisers and without them (plain Presidio).

Gold: the spans of presidio-research (generated_large, generated_small) and the slots of multidogo. Counter
examples: gsm8k, whose sums are no telephone numbers.

Criterion: a finding counts from score 0.4. A gold span is found if findings of an entity that stands for
its type (`STANDS`) cover at least half of its characters that are letters or digits; a finding is right if
at least half of its own lie in gold spans of a type that it stands for. Recall is of gold spans, precision of
findings: what is of no labelled type is wrong, even where it is some number that the corpus does not label.
Left out are dates that stand in a sentence's template itself: they are dates, but only what was filled in
is labelled.
`micro` is over all gold types but ORGANIZATION, TITLE and PREFIX, which neither side looks for.

Findable: gold spans that patterns can know of, by rules of this file's own (`findable`): all numbers,
e-mails, sites, accounts and dates (no bare years and weekdays); names that the words right before or
behind announce; addresses in a block that has a number and beside it a unit, a box, a kind of street, a
postal code with its state, or a word for "zip". Sides of the corpus: patterns were written while looking at
the even rows of generated_large (`seen`); the odd ones and generated_small are `held out`, and those of their
sentence templates that no seen row has are `new templates`.

    python tests/benchmarks/bench_pii_quality.py [--out FILE]

writes a CSV with a line a figure: corpus, side, engine, entity, figure, value, date, commit, processor and
load. Speeds are CPU seconds with warm automata and no remembered numbers and words. A minute or two.
"""

import argparse
import csv
import gc
import gzip
import io
import json
import re
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from bench_stages import DATA, HERE, gpteacher, gsm8k, multidogo, place, seconds, sgd

sys.path.insert(0, str(HERE.parents[1]))

from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.own_scanner import own_scanner
from headrace.pipelines.stages.pii.presidio.scanner import scanner
from headrace.pipelines.stages.pii.search import findings_in

Figure = tuple[str, str, str, str, str, float]
HEADER = ["corpus", "side", "engine", "entity", "figure", "value", "date", "commit", "cpu", "load"]
THRESHOLD = 0.4
ENGINES = {"presidio": Config(recognizers="presidio"), "all": Config()}
STANDS = {
    "ADDRESS": {"STREET_ADDRESS"},
    "CREDIT_CARD": {"CREDIT_CARD"},
    "DATE_TIME": {"DATE_TIME"},
    "DOMAIN_NAME": {"URL"},
    "EMAIL_ADDRESS": {"EMAIL_ADDRESS"},
    "IBAN_CODE": {"IBAN_CODE"},
    "IP_ADDRESS": {"IP_ADDRESS"},
    "LOCATION": {"LOCATION", "STREET_ADDRESS"},  # towns and countries of an address are labelled apart
    "PERSON": {"PERSON"},
    "PHONE_NUMBER": {"PHONE_NUMBER"},
    "US_DRIVER_LICENSE": {"US_DRIVER_LICENSE"},
    "US_SSN": {"US_SSN"},
}
TYPES = {entity: {kind for kind, found in STANDS.items() if entity in found} for entity in {
    one for found in STANDS.values() for one in found
}}  # fmt: skip
SLOTS = {
    "ssn": {"US_SSN"},
    "card_number": {"CREDIT_CARD"},
    "email_address": {"EMAIL_ADDRESS"},
    "phone_number": {"PHONE_NUMBER"},
    "phonenumber": {"PHONE_NUMBER"},
    "password": {"PASSWORD"},
    "account_number": {"US_BANK_NUMBER"},
    "address": {"STREET_ADDRESS", "LOCATION"},
    "name": {"PERSON"},
}
STREETS = re.compile(
    r"(?i)(?:street|avenue|road|drive|lane|square|rua|rue|via|calle|avenida|\bul\b|trg|straße|strasse|weg|"
    r"gasse|gata|laan|straat|"
    r"vägen|\b(?:st|ave|rd|dr|blvd)\b)"
)
PARTS = re.compile(r"(?i)\b(?:apt|suite|unit \d+ box|p\.?o\.? box|psc \d+)\b")
STATE = re.compile(r"\b[A-Z]{2} \d{5}\b")
BEFORE = re.compile(
    r"(?i)(?:\b(?:name is|my name|i'm|i am|hi|hello|dear|mr\.?|mrs\.?|ms\.?|miss|dr\.?|this is(?: \w+\.)?|"
    r"named him|call me)"
    r"|\bname:) *$"
)
WRITTEN = re.compile(r"\d{1,2} [A-Z][a-z]+ \d{4}")
WEEKDAY = re.compile(r"(?i)(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:1[6-9]|20)\d\d")


class Span(NamedTuple):
    """Characters ``start:end`` of a text and what they are."""

    start: int
    end: int
    kind: str


class Row(NamedTuple):
    """A text, its gold spans, and the sentence it was made from."""

    text: str
    gold: list[Span]
    template: str


def research(name: str) -> list[Row]:
    """Sentences of presidio-research."""
    raw = (DATA / "pii/presidio-research" / name).read_bytes()
    read = json.loads(gzip.decompress(raw) if name.endswith(".gz") else raw)
    return [
        Row(
            row["full_text"],
            [Span(s["start_position"], s["end_position"], s["entity_type"]) for s in row["spans"]],
            row["masked"],
        )
        for row in read
    ]


def slots() -> list[Row]:
    """Turns of multidogo with their labelled slots; records that do not fit together are left out."""
    archive = next((DATA / "dialogue/multidogo").glob("*.tar*"))
    rows: list[Row] = []
    with tarfile.open(archive) as members:
        for member in members:
            stream = members.extractfile(member)
            if stream is None or not member.name.endswith(".tsv"):
                continue
            head, *read = csv.reader(io.TextIOWrapper(stream, encoding="utf-8"), delimiter="\t")
            records = (dict(zip(head, one, strict=True)) for one in read if len(one) == len(head))
            rows += [_labelled(row["utterance"], row["slot-labels"].split(" ")) for row in records]
    return rows


def _labelled(text: str, labels: list[str]) -> Row:
    tokens = [match.span() for match in re.finditer(r"[^ ]+", text)]
    gold: list[Span] = []
    last = "O"
    for (start, end), label in zip(tokens, labels, strict=False):
        if label in SLOTS and label == last:
            gold[-1] = gold[-1]._replace(end=end)
        elif label in SLOTS:
            gold.append(Span(start, end, label))
        last = label
    return Row(text, gold, "")


def findable(row: Row, span: Span) -> bool:
    """Whether patterns can know of a gold span (see the module)."""
    said, ahead = row.text[span.start : span.end], row.text[max(0, span.start - 25) : span.start]
    if span.kind == "DATE_TIME":
        return not WEEKDAY.fullmatch(said)
    if span.kind == "PERSON":
        return bool(BEFORE.search(ahead)) and said[:1].isalpha() and not said.endswith(".")
    if span.kind == "ADDRESS":
        if re.search(r"(?i)zip(?: code is|:) *$", ahead):
            return True
        block = _block(row, span)
        marked = STREETS.search(block) or PARTS.search(block) or STATE.search(block)
        return bool(re.search(r"\d", block) and marked)
    return span.kind in STANDS and span.kind != "LOCATION"


def _block(row: Row, span: Span) -> str:
    """The text of the parts of an address that stand side by side."""
    start, end = span.start, span.end
    parts = sorted(one for one in row.gold if one.kind in ("ADDRESS", "LOCATION"))
    for one in [*parts, *reversed(parts)]:
        if one.start >= end and not row.text[end : one.start].strip(" \n,>?"):
            end = one.end
        if one.end <= start and not row.text[one.end : start].strip(" \n,>?"):
            start = one.start
    return row.text[start:end]


def found(rows: list[Row], config: Config) -> list[list[Span]]:
    """Findings of each text at the default threshold."""
    spans: list[list[Span]] = [[] for _ in rows]
    table = pii.find(pa.array([row.text for row in rows], pa.large_string()), config)
    for one in table.to_pylist():
        if one["score"] >= THRESHOLD:
            spans[one["row"]].append(Span(one["start"], one["end"], one["entity"]))
    return spans


def covered(text: str, one: Span, others: Iterable[Span], least: float = 0.5) -> bool:
    """Whether at least that share of the letters and digits of `one` lies in `others`."""
    marks = {at for at in range(one.start, one.end) if text[at].isalnum()}
    inside = {at for other in others for at in range(max(one.start, other.start), min(one.end, other.end))}
    return bool(marks) and len(marks & inside) >= least * len(marks)


class Tally:
    """Counts by entity."""

    def __init__(self) -> None:
        self.gold: dict[str, list[bool]] = defaultdict(list)
        self.findable: dict[str, list[bool]] = defaultdict(list)
        self.whole: list[bool] = []
        self.made: dict[str, list[bool]] = defaultdict(list)

    def add(self, row: Row, spans: list[Span]) -> None:
        """Count one text."""
        for gold in row.gold:
            if gold.kind not in STANDS:
                continue
            hit = covered(row.text, gold, (s for s in spans if s.kind in STANDS[gold.kind]))
            self.gold[gold.kind].append(hit)
            self.whole.append(covered(row.text, gold, (s for s in spans if s.kind in STANDS[gold.kind]), 1.0))
            if findable(row, gold):
                self.findable[gold.kind].append(hit)
        for one in spans:
            said = row.text[one.start : one.end]
            if one.kind == "DATE_TIME" and WRITTEN.fullmatch(said) and said in row.template:
                continue
            kinds = TYPES.get(one.kind, set())
            self.made[one.kind].append(
                covered(row.text, one, (gold for gold in row.gold if gold.kind in kinds))
            )

    def figures(self) -> Iterator[tuple[str, str, float]]:
        """(entity, figure, value): by gold type, then over all."""
        for kind in STANDS:
            yield from self._of(kind, self.gold[kind], [hit for e in STANDS[kind] for hit in self.made[e]])
            yield kind, "findable spans", float(len(self.findable[kind]))
            yield kind, "recall of findable", share(self.findable[kind])
        hits = [hit for kind in STANDS for hit in self.gold[kind]]
        yield from self._of("micro", hits, [hit for made in self.made.values() for hit in made])
        some = [hit for kind in STANDS for hit in self.findable[kind]]
        yield "micro", "recall of whole spans", share(self.whole)
        yield "micro", "findable spans", float(len(some))
        yield "micro", "recall of findable", share(some)

    def _of(self, kind: str, gold: list[bool], made: list[bool]) -> Iterator[tuple[str, str, float]]:
        recall, precision = share(gold), share(made)
        yield kind, "spans", float(len(gold))
        yield kind, "findings", float(len(made))
        yield kind, "recall", recall
        yield kind, "precision", precision
        yield kind, "f1", 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def share(hits: list[bool]) -> float:
    """Share that is true; 0 of none."""
    return sum(hits) / len(hits) if hits else 0.0


def measure_research() -> Iterator[Figure]:
    """By side and engine."""
    large = research("generated_large.json.gz")
    seen, rest = large[::2], large[1::2] + research("generated_small.json")
    known = {row.template for row in seen}
    sides = {"seen": seen, "held out": rest, "new templates": [r for r in rest if r.template not in known]}
    for side, rows in {**sides, "all": seen + rest}.items():
        for engine, config in ENGINES.items():
            tally = Tally()
            for row, spans in zip(rows, found(rows, config), strict=True):
                tally.add(row, spans)
            for entity, figure, value in tally.figures():
                yield "presidio-research", side, engine, entity, figure, value


def measure_slots() -> Iterator[Figure]:
    """Recall of multidogo's slots by turn, by the right entity and by any; long: seven letters up."""
    rows = [row for row in slots() if row.gold]
    for engine, config in ENGINES.items():
        hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for row, spans in zip(rows, found(rows, config), strict=True):
            for gold in row.gold:
                right = covered(row.text, gold, (s for s in spans if s.kind in SLOTS[gold.kind]))
                some = covered(row.text, gold, spans)
                size = "long" if sum(c.isalnum() for c in row.text[gold.start : gold.end]) > 6 else "short"
                hits[gold.kind, "recall"].append(right)
                hits[gold.kind, "recall by any entity"].append(some)
                hits[gold.kind, f"recall of {size}"].append(right)
        for (kind, figure), made in hits.items():
            yield "multidogo", "turns", engine, kind, figure, share(made)
            yield "multidogo", "turns", engine, kind, figure.replace("recall", "spans", 1), float(len(made))


def measure_sums() -> Iterator[Figure]:
    """Share of gsm8k's rows (question and answer) in which something is found, by entity."""
    rows: list[list[str]] = []
    for part in ("train.jsonl.gz", "test.jsonl"):
        raw = (DATA / "instruct/gsm8k" / part).read_bytes()
        lines = (gzip.decompress(raw) if part.endswith(".gz") else raw).splitlines()
        rows += [[row["question"], row["answer"]] for row in map(json.loads, lines)]
    texts = [text for row in rows for text in row]
    owners = [at for at, row in enumerate(rows) for _ in row]
    for engine, config in ENGINES.items():
        hits: dict[tuple[str, str], set[int]] = defaultdict(set)
        for one in pii.find(pa.array(texts, pa.large_string()), config).to_pylist():
            due = one["score"] >= THRESHOLD
            for name in ("any", one["entity"]):
                hits[name, "share of rows, any score"].add(owners[one["row"]])
                if due:
                    hits[name, "share of rows"].add(owners[one["row"]])
            if due and one["entity"] not in ("PERSON", "DATE_TIME", "URL"):
                hits["numbers and the like", "share of rows"].add(owners[one["row"]])
        for (name, figure), owned in sorted(hits.items()):
            yield "gsm8k", "rows", engine, name, figure, len(owned) / len(rows)


def measure_speed() -> Iterator[Figure]:
    """MB/s on single turns with and without ours, and how many states ours have learned."""
    pa.set_cpu_count(1)
    for corpus in (sgd, gsm8k, gpteacher, multidogo):
        said = [text for talk in islice(corpus(), 6000) for _, text in talk]
        texts = pa.array(said, pa.large_string())
        size = sum(len(text.encode()) for text in said) / 1e6
        for engine, config in ENGINES.items():
            findings_in(texts, config)
            scanner(config.context).forget()
            gc.collect()
            taken = seconds(lambda config=config, texts=texts: findings_in(texts, config), 1)  # type: ignore[misc]
            yield corpus.__name__, "turns", engine, "all", "MB/s", size / taken
        states = int(own_scanner(frozenset()).machine.states.used[0])
        yield corpus.__name__, "turns", "all", "all", "states of ours so far", float(states)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "pii_quality.csv")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    for part in (measure_research(), measure_slots(), measure_sums(), measure_speed()):
        figures += list(part)
    show(figures)
    with chosen.out.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows([*one[:5], f"{one[5]:.4g}", *place()] for one in figures)


def show(figures: list[Figure]) -> None:
    """Both engines side by side."""
    lines: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for corpus, side, engine, entity, figure, value in figures:
        lines[corpus, side, entity, figure][engine] = value
    for key, values in lines.items():
        pair = "".join(f"{values.get(engine, 0):12.4f}" for engine in ENGINES)
        print(f"{key[0]:18} {key[1]:14} {key[2]:22} {key[3]:24}{pair}")


if __name__ == "__main__":
    main()
