"""report.html: what a run did, on one page that needs no network, for people.

What: reads what a run directory holds (run.json, recipe.yaml, evaluation/samples.json, duplicates/, and of
prepared/ only the rows shown as examples) and fills `page.html.j2`. What is not there yet is left out, and
the page says so.

Why: the verdict first, in plain words with numbers; then everything that it rests on.

Cost: a few seconds. The page stays below about 2 MB whatever the run's size: tables, examples, curves
and texts are all capped. Same run directory, same bytes. All text is escaped, the page carries no
script, and a content policy forbids any: hostile rows stay text. Rows are shown as masked by PII.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.cluster.stores import disk
from headrace.pipelines import stored
from headrace.pipelines.console import duration
from headrace.pipelines.evaluate import standing
from headrace.pipelines.examine import checks
from headrace.pipelines.passes.gate import audit as pii_audit
from headrace.pipelines.report import comparison, evaluated, pairs, people, plots, records, sweeps
from headrace.pipelines.schema import SPLITS

Run = dict[str, Any]

NAME = "report.html"
REASONS = 4  # of the advice
PAIRS = {"removed": 10, "borderline": 4}
CLUSTERS = 10
RECIPE = 60_000  # characters
# What run.json says of the run as a whole and the page shows as it is.
FACTS = ("digest", "versions", "memory", "bytes_lost", "fragments", "tokenizer", "shortened")

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def build(run_directory: str, stages: Sequence[str]) -> str:
    """Write the report of a run; returns its path, local or `s3://`. `stages`: their names, in order.

    Raises: OutputError where the directory holds no run.json that can be read; StorageError.
    """
    page = render(run_directory, stages)
    path = storage.join(run_directory, NAME)
    storage.put(path, page.encode("utf-8"))
    return path


def render(run_directory: str, stages: Sequence[str]) -> str:
    """The page as text. Raises: OutputError, StorageError."""
    run = _run(run_directory)
    answers = _json(storage.join(run_directory, standing.SAMPLES))
    scores = _json(storage.join(run_directory, standing.SCORES))
    recipe = _text(storage.join(run_directory, "recipe.yaml"))
    page = _template().render(
        name=Path(run_directory.rstrip("/")).name,
        rows=records.rows_of(run),
        advice=_advice(run),
        passes=records.passes(run),
        flow=records.flow_of(run, stages),
        reasons=records.reasons(run, stages),
        sources=records.sources(run, stages),
        unread=records.unread(run),
        left_out=run.get("left_out") or {},
        warnings=run.get("warnings") or [],
        changed=records.changes(run),
        uncounted=run.get("uncounted") or 0,
        lengths=_lengths(run),
        duplicates=_duplicates(run_directory, run, recipe),
        passages=_passages(run_directory, run),
        traits=records.traits(run),
        weights=run.get("weights"),
        mix=run.get("mix") or {},
        pii=pii_audit.view(run, _json(storage.join(run_directory, pii_audit.FILE)), records.ROWS),
        splits=_splits(run),
        examined=_examined(run),
        packed=_packed(run),
        rated=people.rated(run),
        named=people.named(run),
        training=comparison.training(run.get("train") or {}),
        probe=run.get("probe"),
        curve=run.get("learning_curve"),
        sweep=sweeps.view(run.get("sweep")),
        stale=run.get("stale") or {},
        metrics=comparison.metrics(run.get("evaluate") or {}),
        evaluated=evaluated.view(None if (run.get("stale") or {}).get("evaluate") else scores),
        decision=None if run.get("stale") else run.get("verdict"),
        samples=comparison.samples(answers or {}),
        stages=_stages(run),
        run={k: run.get(k) for k in FACTS},
        ended=_ended(run),
        gates=_gates(run),
        recipe=recipe and recipe[:RECIPE],
        recipe_cut=max(0, len(recipe or "") - RECIPE),
    )
    return str(_printable(page))


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(
        count=lambda n: f"{n:,}",
        percent=percent,
        size=disk.in_words,
        duration=duration,
        figures=plots.figures,
        signed=lambda n: f"{n:+.3g}".replace("-", "−"),
        sentence=lambda words: words[:1].upper() + words[1:],
    )
    return environment.from_string(Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8"))


def percent(share: float) -> str:
    """A share as people say it; what is not all or nothing is never shown as 100% or 0%."""
    if 0 < share < 0.001:
        return "under 0.1%"
    if 0.999 < share < 1:
        return "over 99.9%"
    return f"{100 * share:.1f}%".replace(".0%", "%")


def _run(run_directory: str) -> Run:
    path = storage.join(run_directory, "run.json")
    run = _json(path)
    if not isinstance(run, dict):
        raise OutputError(f"{path} is not there or holds no run; run `headrace prepare` on the recipe first")
    return run


def _json(path: str) -> Any:
    """What a JSON object holds; None where it is absent or broken, as every part is optional."""
    text = _text(path)
    try:
        return None if text is None else _printable(json.loads(text))
    except ValueError:
        return None


def _printable(value: Any) -> Any:
    """`value` with what no page and no plot can show replaced, in keys too."""
    if isinstance(value, str):
        return CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_printable(k): _printable(v) for k, v in value.items()}
    return [_printable(v) for v in value] if isinstance(value, list) else value


def _text(path: str) -> str | None:
    try:
        return storage.read_bytes(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def _ended(run: Run) -> dict[str, Any] | None:
    """How the last command ended, where that was not well, or that it has not (its code is null).

    `done`: all passes of `prepare` were.
    """
    ended = run.get("ended")
    if not isinstance(ended, dict) or ended.get("code") == 0:
        return None
    return {**ended, "done": "digest" in run}


def _gates(run: Run) -> list[dict[str, Any]]:
    """What the run was held against, what failed first."""
    gates = run.get("gates") or {}
    states = {
        name: gate.get("state") or ("pass" if gate["passed"] else "fail") for name, gate in gates.items()
    }
    each = [
        {"name": name, "passed": gate["passed"], "warns": states[name] == "warn", "words": gate["words"]}
        for name, gate in gates.items()
    ]
    return sorted(each, key=lambda gate: (gate["passed"], not gate["warns"], gate["name"]))


def _linked(text: str) -> list[tuple[str, bool]]:
    """Pieces of a text, and whether each is an address."""
    return [(piece, piece.startswith("http")) for piece in re.split(r"(https?://[^\s,;]+)", text)]


def _quoted(text: str) -> list[tuple[str, bool]]:
    """Pieces of a text, and whether each stands between backticks, as code does in a terminal."""
    return [(piece, at % 2 == 1) for at, piece in enumerate(text.split("`")) if piece]


def _advice(run: Run) -> dict[str, Any] | None:
    """The verdict on the set with its strongest reasons; None where the run was not prepared to its end."""
    advice = run.get("advice")
    if not advice or not advice.get("reasons"):
        return None
    grave = [r for r in advice["reasons"] if r["level"] in ("stop", "mend")]
    shown = (grave or advice["reasons"])[:REASONS]
    reasons = [{**r, "source": _linked(r["source"]), "words": _quoted(r["words"])} for r in shown]
    return {**advice, "shown": reasons, "more": len(advice["reasons"]) - len(shown)}


def _lengths(run: Run) -> dict[str, Any]:
    filled = {name: h for name, h in (run.get("histograms") or {}).items() if sum(h.get("counts") or [])}
    named = {"characters.in": "in", "characters.kept": "kept"}
    characters = [(t, filled[n]["edges"], filled[n]["counts"]) for n, t in named.items() if n in filled]
    shown: dict[str, Any] = {"characters": None, "tokens": None}
    if characters:
        title = "Rows by their length in characters, as they came in and as kept after pass 1."
        shown["characters"] = plots.lengths("characters", characters, "characters a row", "rows", title)
    if "tokens" in filled:
        tokens = [("samples", filled["tokens"]["edges"], filled["tokens"]["counts"])]
        shown["tokens"] = plots.lengths(
            "tokens", tokens, "tokens", "samples", "Samples by their length in tokens."
        )
    return shown


def _duplicates(run_directory: str, run: Run, recipe: str | None) -> dict[str, Any] | None:
    duplicates = run.get("duplicates")
    if duplicates is None and (run.get("ended") or {}).get("code"):
        return None  # what lies in duplicates/ is of an earlier start
    shown = {kind: pairs.pairs(run_directory, kind, count) for kind, count in PAIRS.items()}
    if not duplicates and not any(shown.values()):
        return None
    duplicates = duplicates or {}
    used = _number(recipe, "threshold")
    points = [(float(p["threshold"]), float(p["rows"])) for p in duplicates.get("thresholds") or []]
    clusters = sorted(duplicates.get("clusters") or [], key=lambda c: (-c["rows"], str(c.get("kept"))))
    counts = {
        k: int(duplicates[k])
        for k in ("exact", "near", "sketch", "borderline", "alike", "against")
        if k in duplicates
    }
    return {
        "counts": counts,
        "signatures": duplicates.get("signatures"),
        "removed": sum(counts.get(rule, 0) for rule in ("exact", "near", "sketch")),
        "alarms": _alarms(duplicates, _number(recipe, "alarm")),
        "threshold": used,
        "curve": plots.thresholds(points, used) if len(points) > 1 else None,
        "clusters": _clusters(run_directory, clusters[:CLUSTERS]),
        "pairs": shown,
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


def _alarms(duplicates: dict[str, Any], most: float | None) -> list[tuple[str, float]]:
    """Sources that lost more than `most` of their rows, with that share, the greatest first."""
    shares = [
        (name, n["removed"] / max(n["rows"], 1)) for name, n in (duplicates.get("by_source") or {}).items()
    ]
    return sorted((s for s in shares if most is not None and s[1] > most), key=lambda s: (-s[1], s[0]))


def _passages(run_directory: str, run: Run) -> dict[str, Any] | None:
    """Repeated passages, those first that filled the most; None where none were looked for."""
    passages = run.get("passages")
    if not passages:
        return None
    largest = [p for p in passages.get("largest") or [] if isinstance(p.get("kept"), int)]
    kept = stored.find(run_directory, [p["kept"] for p in largest])
    for passage in largest:
        row = kept.get(passage["kept"])
        cut = row.text.encode()[passage["start"] : passage["stop"]] if row and not passage["message"] else b""
        passage |= {
            "place": f"{row.source}: {row.place}" if row else "",
            "text": cut.decode("utf-8", "replace"),
        }
    return {**passages, "largest": largest}


def _number(recipe: str | None, key: str) -> float | None:
    """A number of the recipe's section `dedup`; None where it cannot be told."""
    try:
        section = (yaml.safe_load(recipe or "") or {}).get("dedup") or {}
        return float(section[key])
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        return None


def _examined(run: Run) -> list[dict[str, Any]]:
    """What each check over the whole set found, in sentences, and how many rows went by it."""
    reports = run.get("examine") or {}
    return [
        {"check": name, "words": _found(name, report), "gone": report.get("rows_gone", 0)}
        for name, report in reports.items()
        if name in (*checks.CHECKS, "splits")
    ]


def _found(check: str, report: Mapping[str, Any]) -> list[str]:
    """What a check says, or why it had nothing to look at; nothing where it looked and found nothing."""
    if check == "label_noise" and not report.get("sources"):
        return ["no source has labels to look at"]
    return checks.sentences(report)


def _splits(run: Run) -> dict[str, Any] | None:
    splits = run.get("splits") or {}
    sides = {s: splits[s] for s in SPLITS if isinstance(splits.get(s), dict)}
    if not sides:
        return None
    columns = [c for c in ("rows", "records", "clusters", "samples") if any(c in v for v in sides.values())]
    measure = columns[0] if columns else "rows"
    total = sum(v.get(measure, 0) for v in sides.values()) or 1
    shares = {s: v.get(measure, 0) / total for s, v in sides.items()}
    return {"sides": sides, "columns": columns, "shares": shares}


def _packed(run: Run) -> dict[str, Any] | None:
    packed = run.get("packed") or {}
    sides = {s: packed[s] for s in SPLITS if isinstance(packed.get(s), dict)}
    if not sides:
        return None
    totals = {n: sum(v.get(n, 0) for v in sides.values()) for n in ("rows", "samples", "tokens")}
    # fill = tokens / (rows x length), so rows / fill-weighted tokens give back the room of all sides.
    room = sum(v["tokens"] / v["fill"] for v in sides.values() if v.get("fill"))
    return {"sides": sides, **totals, "fill": totals["tokens"] / room if room else 0.0}


def _stages(run: Run) -> dict[str, Any] | None:
    stages = run.get("stages")
    if not stages:
        return None
    shown = []
    for name, spent in stages.items():
        seconds, entered = float(spent.get("seconds", 0)), float(spent.get("bytes", 0))
        speed = entered / seconds / 1e6 if seconds > 0 and entered else None
        shown.append(
            {"name": name, "seconds": seconds, "rows": spent.get("rows"), "bytes": entered, "speed": speed}
        )
    total = sum(s["seconds"] for s in shown)
    return {"shown": shown, "total": total, "most": max(s["seconds"] for s in shown) or 1.0}
