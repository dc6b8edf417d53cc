"""How far a run is, read from its ledger: nothing is started and nothing is written."""

from typing import Any

from headrace.cluster import ledger, storage
from headrace.cluster.errors import OutputError
from headrace.cluster.stores import disk
from headrace.pipelines import books, recipe, trainings
from headrace.pipelines.commands.export import record
from headrace.pipelines.console import Line
from headrace.pipelines.evaluate import standing
from headrace.pipelines.passes import parts
from headrace.pipelines.train.sweep import records as sweeps


def status(path: str) -> list[Line]:
    """One line a pass. Raises: OutputError where `path` is no run of ours."""
    number, _ = recipe.kept(path)
    if number is None:
        raise OutputError(f"{path!r} is not a run directory: it has no recipe.yaml of headrace")
    fragments = [f for plan in ledger.plans(path).values() for f in plan]
    committed = ledger.load(path, parts.PREPARE)
    ended = {r["ordinal"] for r in committed.values() if r["last"]}
    first = books.total(r["books"] for r in committed.values())
    windows = ledger.load(path, parts.PACK)
    lines = [
        _line("plan", f"{len(fragments)} fragments", fragments=len(fragments)),
        _line(
            parts.PREPARE,
            f"{len(ended)} of {len(fragments)} fragments, {first['in']:,} records in, {first['kept']:,} kept",
            done=len(ended),
            of=len(fragments),
            records=first["in"],
            kept=first["kept"],
        ),
        _dedup(ledger.load(path, parts.DEDUP).get("all")),
        _line(parts.PACK, f"{len(windows)} windows", done=len(windows)),
    ]
    lines += _trainings(path)
    lines += [_sweep(state) for state in sweeps.status(path)]
    stale = standing.of_run(path)
    lines += [_file(path, "adapter", stale.get("train")), _file(path, "evaluation", stale.get("evaluate"))]
    lines += [_line("export", text, **fields) for text, fields in record.of_run(path)]
    return [*lines, _file(path, "run.json"), _file(path, "report.html")]


def _trainings(path: str) -> list[Line]:
    """One line a training that has left checkpoints, of the newest of which it tells; one where none has."""
    found: dict[str, dict[int, str]] = {}
    starts: dict[str, int] = {}
    for entry in storage.listing(storage.join(path, trainings.FOLDER)):
        key, _, place = entry.path.rpartition(f"/{trainings.FOLDER}/")[2].partition("/")
        step = place.removesuffix("/checkpoint.json").removeprefix("step-")
        if step.isdecimal():
            found.setdefault(key, {})[int(step)] = entry.path
        starts[key] = starts.get(key, 0) + place.startswith("starts/")
    homes = trainings.homes(path)
    if not found and not homes:
        return [_line("train", "not begun", step=0)]
    sizes = {home.key: home for home in homes}
    card = storage.read_object(storage.join(path, "adapter", "headrace.json")) or {}
    lines = []
    for key, saved in sorted(found.items()):
        newest, begun = max(saved), starts[key]
        record = storage.read_object(saved[newest]) or {}
        steps, rows = record.get("steps", newest), sum((record.get("history") or {}).get("rows", []))
        text = f"step {newest:,} of {steps:,}, {rows:,} packed rows used, {begun} start{'s' * (begun != 1)}"
        size = sizes[key].bytes
        is_current = card.get("key") == key
        text += f", {disk.in_words(size)} (trainings/{key}"
        text += (
            ", whose adapter is in adapter/)"
            if is_current
            else ", superseded)" * sizes[key].superseded or ")"
        )
        fields = {"key": key, "step": newest, "steps": steps, "rows_used": rows, "starts": begun}
        fields |= {"bytes": size, "superseded": sizes[key].superseded}
        lines.append(_line("train", text, **fields, current=is_current))
    for home in homes:
        if home.key not in found:
            what = "of an older version" if not home.key else "no checkpoint yet"
            text = f"{home.path}: {what}, {disk.in_words(home.bytes)}"
            lines.append(_line("train", text, bytes=home.bytes, superseded=home.superseded))
    return lines


def _sweep(state: dict[str, Any]) -> Line:
    text = f"{state['ended']} of {state['begun']} trials begun have ended"
    text += f", the best with a validation loss of {state['best']:.4f}" if state["best"] is not None else ""
    text += f" (sweeps/{state['key']}{', done' * state['done']})"
    return _line("sweep", text, **state)


def _line(name: str, text: str, **fields: Any) -> Line:
    return Line(f"{name}: {text}", {"pass": name, **fields})


def _dedup(record: ledger.Record | None) -> Line:
    if record is None:
        return _line("dedup", "not done", done=False)
    report = record["report"]
    text = f"done, {report['exact']:,} exact and {report['near']:,} near duplicates"
    return _line("dedup", text, done=True, exact=report["exact"], near=report["near"])


def _file(path: str, name: str, stale: str | None = None) -> Line:
    there = storage.exists(storage.join(path, name))
    if there and stale:
        return _line(name, f"there, and stale: it {stale}", there=True, stale=stale)
    return _line(name, "there" if there else "not there", there=there)
