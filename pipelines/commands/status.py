"""How far a run is, read from its ledger: nothing is started and nothing is written."""

from typing import Any

from headrace.cluster import ledger, storage
from headrace.cluster.errors import OutputError
from headrace.pipelines import books, recipe
from headrace.pipelines.console import Line
from headrace.pipelines.evaluate import standing
from headrace.pipelines.passes import parts


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
    markers = [e.path for e in _below(path, "checkpoints") if e.path.endswith("/checkpoint.json")]
    steps = {m.rsplit("/", 2)[-2] for m in markers if "/step-" in m}
    saved = sorted(steps, key=lambda step: int(step.removeprefix("step-")))
    lines.append(
        _line("train", f"{len(saved)} checkpoints" + (f", newest {saved[-1]}" if saved else ""), saved=saved)
    )
    stale = standing.of_run(path)
    lines += [_file(path, "adapter", stale.get("train")), _file(path, "evaluation", stale.get("evaluate"))]
    return [*lines, _file(path, "run.json"), _file(path, "report.html")]


def _line(name: str, text: str, **fields: Any) -> Line:
    return Line(f"{name}: {text}", {"pass": name, **fields})


def _dedup(record: ledger.Record | None) -> Line:
    if record is None:
        return _line("dedup", "not done", done=False)
    report = record["report"]
    text = f"done, {report['exact']:,} exact and {report['near']:,} near duplicates"
    return _line("dedup", text, done=True, exact=report["exact"], near=report["near"])


def _below(path: str, folder: str) -> list[storage.Entry]:
    return storage.listing(storage.join(path, folder))


def _file(path: str, name: str, stale: str | None = None) -> Line:
    there = storage.exists(storage.join(path, name))
    if there and stale:
        return _line(name, f"there, and stale: it {stale}", there=True, stale=stale)
    return _line(name, "there" if there else "not there", there=there)
