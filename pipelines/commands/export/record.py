"""What run.json and the screen say of exports. Imports no PyTorch: `headrace status` reads it."""

from collections.abc import Mapping
from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import HeadraceError
from headrace.pipelines import trainings
from headrace.pipelines.passes import summary

GATE = "export.equality"


def note(runs: Mapping[str, str], target: str, record: Mapping[str, Any], wrong: str) -> None:
    """Say in run.json of each run, by its name in the export, what was exported, and whether it was equal."""
    for name, run in runs.items():
        told = {k: v for k, v in record.items() if k not in ("key", "files", "adapters")}
        told |= {"name": name, **record["adapters"][name]}
        before = summary.read(run).get("export") or {}
        gates = summary.gates(run) | {GATE: {"passed": not wrong, "words": wrong}}
        summary.write(run, {"export": {**before, target: told}, "gates": gates})


def lines(record: dict[str, Any], target: str) -> list[tuple[str, dict[str, Any]]]:
    """What an export says in the end: one line an adapter, and where it is."""
    told = []
    for name, figures in record["adapters"].items():
        logits, answers, tokens = figures["logits"], figures["answers"], figures["next_tokens"]
        text = (
            f"export: {name}: logits differ by {logits['largest_difference']:.2g} of the largest, "
            f"{answers['same']} of {answers['n']} greedy answers the same, next tokens agree in "
            f"{tokens['agreement']:.2%} of {tokens['n']:,} places, loss {figures['loss']['run']:.4f} -> "
            f"{figures['loss']['exported']:.4f}"
        )
        told.append((text, {"name": name, **figures}))
    told.append((f"export: {target} (README.md, serve.md)", {"path": target}))
    return told


def of_run(run: str) -> list[tuple[str, dict[str, Any]]]:
    """Exports that run.json tells of, each with whether it is of the adapter that is there."""
    try:
        told = summary.read(run).get("export") or {}
    except HeadraceError:
        return []
    card = storage.read_object(storage.join(run, trainings.CARD)) or {}
    found = []
    for target, about in told.items():
        state = "passed" if about.get("passed") else "failed, and not published"
        if about.get("adapter") != card.get("key"):
            state += ", of another adapter than the one that is there"
        found.append(
            (f"{target}: {about.get('form')}, {state}", {"path": target, "passed": about.get("passed")})
        )
    return found
