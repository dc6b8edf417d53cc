"""Made-up run directories for the tests of the report, and a page taken apart."""

import html.parser
import json
import random
from pathlib import Path
from typing import Any

from headrace.cluster import storage
from headrace.pipelines import books as counting
from headrace.pipelines import flow
from headrace.pipelines.report import page as report
from tests.builders import table
from tests.pipelines.report.lists import write_pairs

HOSTILE = "<script>alert('x')</script><img src=http://evil.example/x onerror=alert(1)>&amp;\"'"
EDGES = counting.DOUBLINGS
LOG = "At 09:14 the sync job stopped, and every night since then it has stopped at the same step. " * 6
TICKETS = [
    (
        "The invoice <INVOICE> arrived twice this month.\nPlease cancel one and write to <EMAIL_ADDRESS>.",
        "category: billing\npriority: high",
    ),
    (
        "The invoice <INVOICE> arrived three times this month.\nPlease cancel two, write to <EMAIL_ADDRESS>.",
        "category: billing\npriority: high",
    ),
    (f"Sync fails on the tablet. {LOG}Since the update, nothing helps.", "category: sync\npriority: low"),
    (f"Sync fails on the phone. {LOG}Since the last update, nothing helps!", "category: sync\npriority: low"),
    ("التطبيق لا يفتح منذ الأمس", "category: crash\npriority: high"),
    ("  التطبيق لا يفتح منذ الأمس", "category: crash\npriority: high"),
    ("アプリが昨日から開きません。再起動もだめです。", "category: crash\npriority: high"),
    ("アプリが今日から開きません。再起動でもだめです。", "category: crash\npriority: high"),
    (HOSTILE, "category: other"),
    (HOSTILE + " again", "category: other"),
]


def books(came: int, dropped: dict[str, int], quarantined: dict[str, int]) -> dict[str, Any]:
    kept = came - sum(dropped.values()) - sum(quarantined.values())
    return {"in": came, "kept": kept, "dropped": dropped, "quarantined": quarantined}


def bell(centre: int, rows: int) -> list[int]:
    return [
        int(rows * 2 ** -abs(k - centre) / 3) if abs(k - centre) < 6 else 0 for k in range(len(EDGES) - 1)
    ]


def prepared_run() -> dict[str, Any]:
    """run.json as passes 1 to 3 leave it."""
    first = books(
        48210,
        {"clean.empty": 412, "quality.too_short": 1630, "quality.repetition": 288, "quality.too_long": 61},
        {"read.malformed_json": 201, "read.wrong_type": 60, "read.undecodable": 31},
    )
    last = books(
        first["kept"],
        {"dedup.exact": 2960, "dedup.near": 1412, "split.bridge": 3, "tokenise.no_target": 148},
        {},
    )
    whole = books(48210, {**first["dropped"], **last["dropped"]}, first["quarantined"])
    points = ((0.7, 2300), (0.75, 1412), (0.8, 1320), (0.85, 1190), (0.9, 700), (0.95, 420))
    tickets = {"quality.too_short": 1200, "dedup.exact": 2900, "dedup.near": 1100}
    chats = {"clean.empty": 412, "dedup.exact": 60, "dedup.near": 312}
    return {
        "rows": whole,
        "packed": {
            "train": {"rows": 5120, "samples": 36100, "tokens": 2603008, "fill": 0.993},
            "validation": {"rows": 301, "samples": 2200, "tokens": 151700, "fill": 0.984},
            "test": {"rows": 298, "samples": 2104, "tokens": 150200, "fill": 0.9844},
        },
        "stages": {
            "read": {"seconds": 1.9, "rows": 48210, "bytes": 31_200_000},
            "clean": {"seconds": 0.8, "rows": 47918, "bytes": 31_100_000},
            "quality": {"seconds": 0.6, "rows": 47506, "bytes": 31_000_000},
            "pii": {"seconds": 6.1, "rows": 45527, "bytes": 30_800_000},
            "fingerprint": {"seconds": 0.3, "rows": 45527, "bytes": 30_700_000},
            "dedup": {"seconds": 0.9, "rows": 45527, "bytes": 30_700_000},
            "tokenise": {"seconds": 1.4, "rows": 41152, "bytes": 27_000_000},
            "pack": {"seconds": 0.2, "rows": 40404, "bytes": 0},
        },
        "digest": "5d1c7a0be63f4f0f9a4bd0c1c0ffee42",
        "versions": {"python": "3.11.7", "headrace": "0.1.0", "ray": "2.60.0", "torch": "2.13.0"},
        "sources": {
            "tickets": books(30000, tickets, {"read.malformed_json": 201}),
            "chats": books(18210, chats, {"read.wrong_type": 60}),
        },
        "passes": {"prepare": first, "pack": last},
        "histograms": {
            "characters.in": {"edges": EDGES, "counts": bell(9, 48000)},
            "characters.kept": {"edges": EDGES, "counts": bell(9, 41000)},
            "tokens": {"edges": EDGES, "counts": bell(7, 40000)},
        },
        "pii": {"EMAIL_ADDRESS": 2210, "PHONE_NUMBER": 904, "IBAN_CODE": 55, "CREDIT_CARD": 12},
        "duplicates": {
            "exact": 2960,
            "near": 1412,
            "borderline": 307,
            "by_source": {"tickets": {"rows": 1000, "removed": 620}, "forms": {"rows": 9, "removed": 1}},
            "clusters": [{"rows": n, "kept": kept} for n, kept in ((804, 2), (97, (1 << 32) | 5), (31, 77))],
            "thresholds": [{"threshold": t, "rows": r} for t, r in points],
        },
        "splits": {
            "train": {"rows": 36300, "records": 37000},
            "validation": {"rows": 2240, "records": 2300},
            "test": {"rows": 2146, "records": 2200},
            "assignment": {"clusters": 33000},
        },
        "bytes_lost": 12288,
        "shortened": 37,
        "memory": {"driver": 412_000_000, "worker": 655_000_000},
        "tokenizer": {"engine": ["gigatoken"]},
        "fragments": 42,
    }


def trained_run() -> dict[str, Any]:
    """What training and evaluation add to run.json."""
    dice = random.Random(3)
    measured = {
        "loss": (3.912, 0.944, [-3.1, -2.85]),
        "perplexity": (50.0, 2.57, [-55.0, -41.0]),
        "token_accuracy": (0.21, 0.84, [0.6, 0.66]),
        "exact_match": (0.0, 0.613, [0.571, 0.655]),
        "rouge1": (0.12, 0.83, [0.69, 0.75]),
        "rougeL": (0.112, 0.831, [0.69, 0.75]),
        "bleu": (2.14, 61.7, [55.2, 63.9]),
    }
    train = history(
        [3.6 * 0.985**k + 0.7 + 0.1 * dice.random() for k in range(240)],
        {step: 3.4 * 0.985**step + 0.85 for step in range(40, 241, 40)},
    )
    scores = {name: score(*values, primary=name == "loss") for name, values in measured.items()}
    return {"train": train, "evaluate": scores}


def history(loss: list[float], validation: dict[int, float]) -> dict[str, Any]:
    """`train` of run.json: loss by step, and validation loss at some steps."""
    best = min(validation, key=lambda step: validation[step]) if validation else len(loss)
    return {
        "steps": len(loss),
        "epochs": 3,
        "loss": loss,
        "learning_rate": [2e-4 * min(1, k / 20) for k in range(len(loss))],
        "validation": list(validation.values()),
        "validation_steps": list(validation),
        "best_step": best,
        "best_validation": validation.get(best),
        "tokens": 91_000,
        "seconds": 81.5,
        "tokens_per_second": 1116.6,
    }


def score(
    base: float | None,
    tuned: float | None,
    interval: list[float | None],
    verdict: str = "better",
    primary: bool = False,
) -> dict[str, Any]:
    """A metric as `evaluate` of run.json holds it."""
    told = {"verdict": verdict, "n": 200, "p": 0.0005, "primary": primary}
    return {"base": base, "tuned": tuned, "interval": interval, **told}


SHOTS = {"value": 2.5, "interval": [-2.0, -1.0], "verdict": "better", "n": 200}


def whole_run() -> dict[str, Any]:
    """A run with everything that is optional in its evaluation."""
    run = {**prepared_run(), **trained_run()}
    loss = run["evaluate"]["loss"]
    loss |= {"few_shot": 2.5, "test": "bootstrap", "clean": {**score(3.9, 1.0, [-3.1, -2.7]), "n": 180}}
    loss["arms"] = {
        "shots_4_alike": SHOTS,
        "shots_4_random": {**SHOTS, "value": 3.0},
        "retrieval": {**SHOTS, "n": 5},
    }
    run["evaluate"]["bleu"]["arms"] = {"larger": {**SHOTS, "value": 40.0, "verdict": "no clear difference"}}
    run["seeds"] = {"metric": "loss", "values": [0.944, 0.951], "spread": 0.007}
    run["review"] = {"wins": 30, "losses": 10, "ties": 5, "agreement": 0.811, "words": "30 won, 10 lost"}
    run["judge"] = {"wins": 3, "losses": 1, "ties": 0, "words": "3 won, 0 alike, 1 lost."}
    run["diagnosis"] = {
        "code": "forgetting",
        "words": "It forgets. Mix general rows in",
        "evidence": ["loss rose"],
    }
    return run


def write_run(path: str, run: dict[str, Any], *, rows: bool = True) -> str:
    """A run directory at `path` (local or s3://) with everything that the report can read."""
    storage.put(storage.join(path, "run.json"), json.dumps(run).encode())
    storage.put(
        storage.join(path, "recipe.yaml"),
        b"output: out\nsources:\n- name: tickets\ndedup:\n  threshold: 0.75\n  alarm: 0.5\n",
    )
    if rows:
        write_rows(path)
    if "evaluate" in run:
        samples = [
            {
                "prompt": TICKETS[k][0],
                "reference": TICKETS[k][1],
                "base": "The the the",
                "tuned": TICKETS[k][1] + HOSTILE * (k == 4),
            }
            for k in range(0, 10, 2)
        ]
        storage.put(
            storage.join(path, "evaluation", "samples.json"), json.dumps({"samples": samples}).encode()
        )
    return path


def write_rows(path: str) -> None:
    """Two fragments of `prepared/` with the tickets, and the lists of `duplicates/`."""
    for ordinal in (0, 1):
        numbers = list(range(ordinal, len(TICKETS), 2))
        rows = table(
            *[[("user", TICKETS[k][0]), ("assistant", TICKETS[k][1])] for k in numbers],
            row_id=[(ordinal << 32) | k for k in numbers],
            source="tickets",
            file=f"part-{ordinal}.jsonl",
            place=[f"line {k + 1}" for k in numbers],
        ).drop_columns(["drop", "error", "detail", "bytes_lost"])
        storage.write_table(storage.join(path, f"prepared/part-{ordinal:08d}.parquet"), rows)
    removed = [((1 << 32) | k + 1, k, 3 * k, 0.76 + 0.02 * k, "near") for k in (0, 2, 6, 8)]
    removed.append(((1 << 32) | 5, 4, 0, 1.0, "exact"))
    removed.append((99 << 32, 2, 1, 0.9, "near"))  # its fragment is gone
    write_pairs(path, "removed", removed)
    write_pairs(path, "borderline", [((1 << 32) | 3, 0, 20, 0.71, "near")])


class Page(html.parser.HTMLParser):
    """A page taken apart: tags with attributes, visible text, and whether tags nest properly."""

    INLINE = ("b", "code", "del", "ins", "strong")
    VOID = ("meta", "br", "img", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.words.append("" if tag in self.INLINE else " ")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def shown(path: Path, run: dict[str, Any], *, rows: bool = True) -> Page:
    """The page of a run, written to a directory of its own below `path`."""
    return Page(report.render(write_run(str(path / "run"), run, rows=rows), flow.STAGES))
