"""The report's part on the data: duplicates, repeated passages, and what the checks over the whole set found.

Rows that are shown come from `prepared/`, masked, by their ids.

Cost: what `pairs` and `stored` read for the rows that are shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from headrace.cluster import storage
from headrace.pipelines import stored
from headrace.pipelines.examine import checks
from headrace.pipelines.report import pairs, plots

Run = dict[str, Any]

PAIRS = {"removed": 10, "borderline": 4}
EXACT = 2  # of the pairs that are the same to the character
CLUSTERS = 10
GROUPS, MEMBERS = 2, 3  # groups of rows of a check, rows of a group
CHARACTERS = 320  # of a row of these
PASSAGE = 400
# What is told of groups of rows that a check's report names as `largest`.
GROUPED = {
    "contradictions": "ask the same and are answered otherwise",
    "diversity": "ask about the same thing",
}
# What is told of the rows that a check lists in `findings/`.
LISTED = {
    "label_noise": "have a label that rows like them have not",
    "formats": "do not keep the format that they begin with",
    "reasoning": "have a trace that does not go with the model's template",
}


class Group(NamedTuple):
    """Rows that a check found beside each other. rows: how many there are in all."""

    rows: int
    words: str
    shown: list[tuple[int, str, str]]  # id, place, text


def duplicates(run_directory: str, run: Run, recipe: Mapping[str, Any]) -> dict[str, Any] | None:
    """What went as duplicates, with pairs and clusters to look at; None where none were looked for."""
    found = run.get("duplicates")
    if found is None and (run.get("ended") or {}).get("code"):
        return None  # what lies in duplicates/ is of an earlier start
    shown = {kind: pairs.pairs(run_directory, kind, count, EXACT) for kind, count in PAIRS.items()}
    if not found and not any(shown.values()):
        return None
    found = found or {}
    section = recipe.get("dedup") or {}
    used = _number(section.get("threshold"))
    points = [(float(p["threshold"]), float(p["rows"])) for p in found.get("thresholds") or []]
    clusters = sorted(found.get("clusters") or [], key=lambda c: (-c["rows"], str(c.get("kept"))))
    kinds = ("exact", "near", "sketch", "borderline", "alike", "against")
    counts = {k: int(found[k]) for k in kinds if k in found}
    removed = sum(counts.get(rule, 0) for rule in ("exact", "near", "sketch"))
    return {
        "counts": counts,
        "signatures": found.get("signatures"),
        "removed": removed,
        "alarms": _alarms(found, _number(section.get("alarm"))),
        "threshold": used,
        "curve": plots.thresholds(points, used) if len(points) > 1 else None,
        "clusters": _clusters(run_directory, clusters[:CLUSTERS]),
        "pairs": shown,
        "more": {
            "removed": max(0, removed - len(shown["removed"])),
            "borderline": max(0, counts.get("borderline", 0) - len(shown["borderline"])),
        },
    }


def _clusters(run_directory: str, clusters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Clusters with the place and the first words of the row that stands for each."""
    own = [c["kept"] for c in clusters if isinstance(c.get("kept"), int) and not c.get("run")]
    kept = stored.find(run_directory, own)
    return [
        {
            "rows": c["rows"],
            "row_id": c.get("kept"),
            "run": c.get("run"),
            "kept": None if c.get("run") else kept.get(c.get("kept", -1)),
        }
        for c in clusters
    ]


def _alarms(found: dict[str, Any], most: float | None) -> list[tuple[str, float]]:
    """Sources that lost more than `most` of their rows, with that share, the greatest first."""
    shares = [(name, n["removed"] / max(n["rows"], 1)) for name, n in (found.get("by_source") or {}).items()]
    return sorted((s for s in shares if most is not None and s[1] > most), key=lambda s: (-s[1], s[0]))


def passages(run_directory: str, run: Run) -> dict[str, Any] | None:
    """Repeated passages, those first that filled the most; None where none were looked for."""
    found = run.get("passages")
    if not found:
        return None
    largest = [p for p in found.get("largest") or [] if isinstance(p.get("kept"), int)]
    kept = stored.find(run_directory, [p["kept"] for p in largest])
    shown = []
    for passage in largest:
        row = kept.get(passage["kept"])
        cut = row.text.encode()[passage["start"] : passage["stop"]] if row and not passage["message"] else b""
        place = f"{row.source}: {row.place}" if row else ""
        shown.append({**passage, "place": place, "text": cut.decode("utf-8", "replace")[:PASSAGE]})
    return {**found, "largest": shown}


def examined(run_directory: str, run: Run) -> list[dict[str, Any]]:
    """What each check over the whole set found: sentences, how many rows went by it, and some of its rows."""
    reports = {n: r for n, r in (run.get("examine") or {}).items() if n in (*checks.CHECKS, "splits")}
    wanted = {name: _groups(run_directory, name, report) for name, report in reports.items()}
    ids = [one for groups in wanted.values() for group in groups for one in group["row_ids"][:MEMBERS]]
    rows = stored.find(run_directory, ids)
    return [
        {
            "check": name,
            "words": _found(name, report),
            "gone": report.get("rows_gone", 0),
            "groups": [_group(name, group, rows) for group in wanted[name]],
        }
        for name, report in reports.items()
    ]


def _groups(run: str, check: str, report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows that a check names: its largest groups, or the first that it lists."""
    if check in LISTED:
        ids, many = _listed(storage.join(run, f"findings/{check}.parquet"))
        return [{"row_ids": ids, "rows": many}] if ids else []
    found = report.get("largest") or [] if check in GROUPED else []
    return [g for g in found if isinstance(g, Mapping) and len(g.get("row_ids") or ()) > 1][:GROUPS]


def _listed(path: str) -> tuple[list[int], int]:
    """The first ids of a list of findings, and how many rows it has; nothing where there is none."""
    if not storage.exists(path):
        return [], 0
    with storage.intact(path), storage.open_input(path) as file:
        opened = pq.ParquetFile(file)
        if "row_id" not in opened.schema_arrow.names:
            return [], 0
        batch = next(opened.iter_batches(batch_size=MEMBERS, columns=["row_id"]), None)
        return (batch["row_id"].to_pylist() if batch else []), opened.metadata.num_rows


def _group(check: str, group: Mapping[str, Any], rows: Mapping[int, stored.Stored]) -> Group:
    shown = []
    for row_id in group["row_ids"][:MEMBERS]:
        row = rows.get(row_id)
        place = f"{row.source}: {row.place}" if row else "not in prepared/ (any more)"
        shown.append((row_id, place, _cut(row.text) if row else ""))
    words = {**GROUPED, **LISTED}[check]
    return Group(int(group.get("rows", len(group["row_ids"]))), words, shown)


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} …"


def _found(check: str, report: Mapping[str, Any]) -> Sequence[str]:
    """What a check says, or why it had nothing to look at; nothing where it looked and found nothing."""
    if check == "label_noise" and not report.get("sources"):
        return ["no source has labels to look at"]
    return checks.sentences(report)


def _number(value: Any) -> float | None:
    """A number of the recipe; None where it cannot be told."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
