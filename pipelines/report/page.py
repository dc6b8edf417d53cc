"""report.html and report.md: what a run did and whether its model may ship, for people.

What: reads what a run directory holds (run.json, recipe.yaml, evaluation/samples.json and scores.json,
duplicates/, and of prepared/ only the rows shown as examples) and fills the templates: one self-contained
page, and the same in short as Markdown for a pull request. What is not there yet is left out, and the page
says so.

Why: the decision first, in plain words with numbers; then everything that it rests on, a section each.

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
from markupsafe import Markup

from headrace.cluster import storage
from headrace.cluster.errors import OutputError
from headrace.cluster.stores import disk
from headrace.pipelines.console import duration
from headrace.pipelines.evaluate import standing
from headrace.pipelines.passes.gate import audit as pii_audit
from headrace.pipelines.report import (
    answers,
    broken,
    comparison,
    cost,
    evaluated,
    findings,
    markdown,
    opening,
    people,
    plots,
    records,
    sweeps,
)

Run = dict[str, Any]

NAME, SHORT = "report.html", "report.md"
RECIPE = 60_000  # characters
TEMPLATES = Path(__file__).with_name("templates")
# What run.json says of the run as a whole and the page shows as it is.
FACTS = ("digest", "versions", "bytes_lost", "fragments", "tokenizer", "shortened")

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def build(run_directory: str, stages: Sequence[str]) -> str:
    """Write report.html and report.md of a run; returns the page's path, local or `s3://`. `stages`: their
    names, in order.

    Raises: OutputError where the directory holds no run.json that can be read; StorageError.
    """
    view = gathered(run_directory, stages)
    path = storage.join(run_directory, NAME)
    storage.put(storage.join(run_directory, SHORT), markdown.render(view).encode("utf-8"))
    storage.put(path, filled(view).encode("utf-8"))
    return path


def render(run_directory: str, stages: Sequence[str]) -> str:
    """The page as text. Raises: OutputError, StorageError."""
    return filled(gathered(run_directory, stages))


def filled(view: Mapping[str, Any]) -> str:
    """The page of what `gathered` gave."""
    return str(_printable(_environment().get_template("page.html.j2").render(view)))


def gathered(run_directory: str, stages: Sequence[str]) -> dict[str, Any]:
    """Everything that the page shows, by the names that the templates have for it."""
    run = _run(run_directory)
    text = _text(storage.join(run_directory, "recipe.yaml")) or ""
    recipe = _recipe(text)
    scores = (
        None
        if "evaluate" in (run.get("stale") or {})
        else _json(storage.join(run_directory, standing.SCORES))
    )
    return {
        "name": Path(run_directory.rstrip("/")).name,
        "opening": opening.view(run),
        "facts": opening.facts(run, recipe, run_directory),
        "ended": _ended(run),
        "stale": run.get("stale") or {},
        **_records(run, stages),
        **_findings(run_directory, run, recipe),
        "training": comparison.training(run.get("train") or {}),
        "probe": run.get("probe"),
        "curve": run.get("learning_curve"),
        "sweep": sweeps.view(run.get("sweep")),
        "metrics": comparison.metrics(run.get("evaluate") or {}),
        "arms": evaluated.beside(run),
        "evaluated": evaluated.view(scores),
        "answers": answers.view(_json(storage.join(run_directory, standing.SAMPLES)) or {}),
        "broken": broken.view(run, scores),
        "cost": cost.view(run, recipe),
        "run": {k: run.get(k) for k in FACTS},
        "recipe": text[:RECIPE],
        "recipe_cut": max(0, len(text) - RECIPE),
        "lineage": _json(storage.join(run_directory, "adapter/headrace.json")) if run.get("train") else None,
    }


def _records(run: Run, stages: Sequence[str]) -> dict[str, Any]:
    """What went in and out."""
    return {
        "rows": records.rows_of(run),
        "units": records.units(run),
        "passes": records.passes(run),
        "flow": records.flow_of(run, stages),
        "reasons": records.reasons(run, stages),
        "sources": records.sources(run, stages),
        "unread": records.unread(run),
        "left_out": run.get("left_out") or {},
        "warnings": run.get("warnings") or [],
        "changed": records.changes(run),
        "uncounted": run.get("uncounted") or 0,
        "lengths": records.lengths(run),
        "splits": records.splits_of(run),
        "packed": records.packed_of(run),
        "mix": run.get("mix") or {},
    }


def _findings(run_directory: str, run: Run, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What the data look like."""
    return {
        "advice": _advice(run),
        "traits": records.traits(run),
        "weights": run.get("weights"),
        "duplicates": findings.duplicates(run_directory, run, recipe),
        "passages": findings.passages(run_directory, run),
        "examined": findings.examined(run_directory, run),
        "pii": pii_audit.view(run, _json(storage.join(run_directory, pii_audit.FILE)), records.ROWS),
        "rated": people.rated(run),
        "named": people.named(run),
    }


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(TEMPLATES),
    )
    environment.filters.update(
        count=lambda n: f"{n:,}",
        percent=percent,
        size=disk.in_words,
        duration=duration,
        dollars=lambda n: f"${n:,.2f}" if n >= 0.005 else "under $0.01",
        figures=plots.figures,
        signed=plots.signed,
        sentence=lambda words: words[:1].upper() + words[1:],
        code=_coded,
    )
    environment.globals["style"] = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    return environment


def _coded(text: str) -> Markup:
    """A text as HTML: what stands between backticks as code, addresses as links."""
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if quoted else Markup("").join(_linked(piece))
        for piece, quoted in opening.quoted(text)
    )


def _linked(text: str) -> list[Markup]:
    pieces = re.split(r"(https?://[^\s,;]+)", text)
    link = Markup('<a href="{0}" rel="noreferrer">{0}</a>')
    return [link.format(p) if p.startswith("http") else Markup("{}").format(p) for p in pieces]


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


def _recipe(text: str) -> dict[str, Any]:
    """What a recipe says; empty where it cannot be read."""
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return _printable(loaded) if isinstance(loaded, dict) else {}


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


def _advice(run: Run) -> dict[str, Any] | None:
    """The verdict on the set with its reasons; None where the run was not prepared to its end."""
    advice = run.get("advice")
    if not advice or not advice.get("reasons"):
        return None
    order = list(opening.LEVELS)
    return {**advice, "reasons": sorted(advice["reasons"], key=lambda r: order.index(r["level"]))}
