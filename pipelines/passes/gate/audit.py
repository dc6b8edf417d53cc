"""The audit of PII: what was looked for, what was found and what became of it, and places to look at.

Parts of pass 1 say it in numbers (`of`), which travel in their commit records: no text. `build` adds them
up. `places` chooses, for each entity, a few rows in which something was replaced, and `review` fetches what
stands around, to judge it by; the values are not there any more, and stand-ins and kept values are masked.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from headrace.cluster import ledger, storage
from headrace.pipelines import schema, stored
from headrace.pipelines.stages.pii import coverage as pii_coverage
from headrace.pipelines.stages.pii.config import Config, Ner
from headrace.pipelines.stages.pii.search import findings_in, looked_for

FILE = "pii.json"
FORMAT = 1
SHOWN = 5  # places an entity
AROUND = 60  # characters before and behind
Span = tuple[int, int, str]  # start, end, entity
KEYS = ("source", "entity", "role", "recognizer", "kind")


def of(table: pa.Table) -> dict[str, Any]:
    """Numbers of one part: rows looked through, rows touched, findings, places to look at."""
    if "found" not in table.column_names:  # a flow without the stage
        return {"rows": 0, "touched": 0, "found": [], "places": []}
    needed = ["row_id", "found", "pii", "spans", "drop", "error"]
    looked = table.select(needed).filter(schema.live(table))
    found = pa.Table.from_struct_array(looked["found"].combine_chunks().flatten())
    counted = found.group_by(list(KEYS[1:])).aggregate([("n", "sum")])
    findings = zip(*(counted[name].to_pylist() for name in (*KEYS[1:], "n_sum")), strict=True)
    sizes = np.diff(looked["pii"].combine_chunks().cast(schema.PII).offsets.to_numpy(zero_copy_only=False))
    return {
        "rows": looked.num_rows,
        "touched": int((sizes > 0).sum()),
        "found": sorted(map(list, findings)),
        "places": _best(_places(looked)),
    }


def _places(table: pa.Table) -> Iterator[list[Any]]:
    """[entity, rank, row_id, message, start, end] of every stand-in; ranks are drawn by where it stands."""
    spans = table["spans"].combine_chunks()
    rows = table["row_id"].combine_chunks().take(pc.list_parent_indices(spans))
    flat = pa.Table.from_struct_array(spans.flatten()).append_column("row_id", rows)
    flat = flat.filter(pc.not_equal(flat["kind"], "keep"))
    where = (flat[name].to_numpy().tolist() for name in ("row_id", "message", "start", "end"))
    for entity, *place in zip(flat["entity"].to_pylist(), *where, strict=True):
        text = b"[%d,%d,%d,%d]" % tuple(place)  # as `ledger.dumps` writes it, in a tenth of the time
        yield [entity, xxhash.xxh3_64_intdigest(text), *place]


def places(records: Iterable[ledger.Record]) -> list[list[Any]]:
    """The places that a run shows, of those that its parts have put forward."""
    return _best(place for record in records for place in record["audit"]["places"])


def _best(places: Iterable[list[Any]]) -> list[list[Any]]:
    """The `SHOWN` places of each entity with the lowest ranks."""
    best: dict[str, list[list[Any]]] = {}
    for place in sorted(places):
        ranked = best.setdefault(place[0], [])
        if len(ranked) < SHOWN:
            ranked.append(place)
    return [place for ranked in best.values() for place in ranked]


def build(
    run: str,
    records: Sequence[ledger.Record],
    config: Config,
    gate: dict[str, Any] | None,
    shown: dict[str, Any],
) -> dict[str, Any]:
    """Add up the parts' numbers (`records` of pass 1) and write `FILE` into the run.

    `gate`: what the gate saw; `shown`: what the function of that name gives.
    """
    findings: Counter[tuple[str, ...]] = Counter()
    for record in records:
        for *key, n in record["audit"]["found"]:
            findings[(record["source"], *key)] += n
    counts = [dict(zip((*KEYS, "n"), (*key, n), strict=True)) for key, n in sorted(findings.items())]
    audit = {
        "format": FORMAT,
        "settings": config.model_dump(mode="json"),
        "rows": {name: sum(r["audit"][name] for r in records) for name in ("rows", "touched")},
        "entities": _by_entity(counts),
        "counts": counts,
        "looked_for": shown["looked_for"],
        "not_looked_for": list(_gaps(config)),
        "gate": gate,
        "review": shown["review"],
    }
    storage.put(storage.join(run, FILE), ledger.dumps(audit))
    return audit


def _by_entity(counts: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Findings that were replaced, kept, and below the threshold, by entity."""
    sums: dict[str, dict[str, int]] = {}
    for one in counts:
        fate = one["kind"] if one["kind"] in ("keep", "below") else "replaced"
        fates = sums.setdefault(one["entity"], {"replaced": 0, "keep": 0, "below": 0})
        fates[fate] += one["n"]
    return dict(sorted(sums.items()))


def _gaps(config: Config) -> Iterator[str]:
    """What nobody looked for, in words."""
    yield "Pictures, sound and files inside texts."
    if not config.has_model:
        yield _sentence(pii_coverage.sentence(pii_coverage.coverage(config)))
    yield "What tells who somebody is without naming them (a rare job in a small town)."
    if config.context:
        yield "Context words of other languages than English."
    kept = [f"{role} messages" for role, kind in sorted(config.roles.items()) if kind == "keep"]
    if kept:
        yield f"Exempt by the recipe: {', '.join(kept)}."
    if config.secret is None:
        yield f"Replaced values, again after packing: that takes a key in {config.key}."


def shown(places: Sequence[Sequence[Any]], run: str, config: Config) -> dict[str, Any]:
    """What only a process with recognisers can say: what each looks for, and the places to look at."""
    return {"looked_for": looked_for(config), "review": review(places, run, config) if places else []}


def review(places: Sequence[Sequence[Any]], run: str, config: Config) -> list[dict[str, Any]]:
    """The places with what stands around them: stand-ins, kept values and weak findings as their entity."""
    columns = ["source", "messages", "spans"]
    rows = {row["row_id"]: row for row in stored.rows(run, [p[2] for p in places], columns)}
    messages = [rows[row_id]["messages"][number] for _, _, row_id, number, _, _ in places]
    weak_findings = _weak([message["content"] for message in messages], config)
    shown = []
    for place, message, weak in zip(places, messages, weak_findings, strict=True):
        entity, _, row_id, number, start, end = place
        spans = [(s["start"], s["end"], s["entity"]) for s in rows[row_id]["spans"] if s["message"] == number]
        entry = {
            "entity": entity,
            "source": rows[row_id]["source"],
            "row_id": str(row_id),  # JSON's numbers are too short for it
            "role": message["role"],
            "before": _masked(message["content"], max(0, start - AROUND), start, [*spans, *weak]),
            "behind": _masked(message["content"], end, end + AROUND, [*spans, *weak]),
        }
        shown.append(entry)
    return shown


def _weak(contents: list[str], config: Config) -> list[list[Span]]:
    """What patterns find in each content. A model of names is not loaded for this."""
    patterns = config.model_copy(update={"ner": Ner()})
    spans: list[list[Span]] = [[] for _ in contents]
    all_of_them = findings_in(pa.array(contents, pa.large_string()), patterns)
    for at, finding in zip(all_of_them.rows, all_of_them.findings, strict=True):
        spans[at].append((finding.start, finding.end, finding.entity))
    return spans


def _masked(content: str, start: int, end: int, spans: list[Span]) -> str:
    """Characters `start` to `end` with every span in them as its entity."""
    parts, at = [], start
    for first, last, entity in sorted(spans):
        if first < end and at < last and at < end:
            parts += [content[at : max(at, first)], f"[{entity}]"]
            at = last
    return "".join([*parts, content[at:end]])


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def view(run: dict[str, Any], audit: Any, most: int) -> dict[str, Any] | None:
    """What the report shows of run.json and the `audit` (`most` lines a table); None without the stage."""
    replaced = run.get("pii")
    if replaced is None:
        return None
    covered = run.get("pii_coverage") or {"names": "context"}
    audited = audit if isinstance(audit, dict) and audit.get("format") == FORMAT else {}
    fates: dict[str, dict[str, int]] = {
        e: {"replaced": n, "keep": 0, "below": 0} for e, n in replaced.items()
    }
    fates |= audited.get("entities", {})
    listed = sorted(fates.items(), key=lambda pair: (-pair[1]["replaced"], -pair[1]["keep"], pair[0]))
    places: Counter[tuple[str, str]] = Counter()
    finders: Counter[str] = Counter()
    for one in audited.get("counts", ()):
        finders[one["recognizer"]] += one["n"]
        if one["kind"] not in ("keep", "below"):
            places[one["source"], one["role"]] += one["n"]
    return {
        "entities": listed[:most],
        "most": max((fate["replaced"] for _, fate in listed), default=0) or 1,
        "total": sum(replaced.values()),
        "rows": audited.get("rows"),
        "places": sorted(places.items(), key=lambda pair: (-pair[1], pair[0]))[:most],
        "looked_for": [
            (name, entities, finders[name]) for name, entities in audited.get("looked_for", {}).items()
        ],
        "not_looked_for": audited.get("not_looked_for", []),
        "gate": audited.get("gate"),
        "by": covered["names"],
        "covered": _sentence(pii_coverage.sentence(covered)),
        "review": audited.get("review", [])[: 4 * most],
    }
