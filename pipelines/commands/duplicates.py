"""What `headrace duplicates` tells: what went, what would go at other thresholds, and pairs to look at.

Cost: one commit record, and what `stored` reads for the pairs that are shown.
"""

from collections.abc import Iterator
from typing import Any

from headrace.cluster import ledger, storage
from headrace.cluster.errors import OutputError
from headrace.pipelines.console import Line
from headrace.pipelines.passes import parts
from headrace.pipelines.report import pairs as examples

WIDTH = 100


def lines(run: str, *, pairs: int, borderline: int) -> Iterator[Line]:
    """Counts, sources, thresholds, clusters, then pairs with what differs marked `[-so-]` and `{+so+}`.

    Raises: OutputError where no duplicates were decided in `run`; StorageError.
    """
    record = ledger.load(run, parts.DEDUP).get("all")
    if record is None:
        raise OutputError(f"no duplicates are decided in {run!r}; run `headrace prepare` on its recipe first")
    yield from _counts(record["report"], _earlier(run) if record["report"]["against"] else 0)
    for title, prefix, count in (("removed", "removed", pairs), ("borderline", "borderline", borderline)):
        for pair in examples.pairs(run, prefix, count):
            yield from beside(title, pair)


def _earlier(run: str) -> int:
    """Removed rows that are like a row of an earlier run."""
    table = storage.read_table(storage.join(run, "duplicates", "removed.parquet"), ["run"])
    earlier: int = table.num_rows - table["run"].null_count
    return earlier


def _counts(report: dict[str, Any], earlier: int) -> Iterator[Line]:
    rules = {rule: report[rule] for rule in ("exact", "near", "sketch")}
    said = ", ".join(f"{count:,} {rule}" for rule, count in rules.items() if count or rule != "sketch")
    text = f"{report['removed']:,} of {report['rows']:,} rows removed: {said}"
    yield Line(text, {"rows": report["rows"], "removed": report["removed"], **rules})
    if report["against"]:
        text = (
            f"compared with {report['against']:,} rows of earlier runs (dedup.against): {earlier:,} of those "
            "removed are like one of them, the others like a row of this run"
        )
        yield Line(text, {"against": report["against"], "removed_against": earlier})
    for name, count in sorted(report["by_source"].items()):
        share = count["removed"] / max(count["rows"], 1)
        text = f"  source {name}: {count['removed']:,} of {count['rows']:,} rows ({share:.1%})"
        yield Line(text, {"source": name, **count})
    yield Line(
        f"{report['borderline']:,} pairs that came close and stay", {"borderline": report["borderline"]}
    )
    if report["alike"]:
        text = f"  {report['alike']:,} of them have the same short answer to another question"
        yield Line(text, {"alike": report["alike"]})
    if signatures := report.get("signatures"):
        text = (
            f"looked for by SimHash, within {signatures['distance']} of 64 bits: "
            f"{signatures['recall']:g} of the pairs just so far apart are found, of nearer ones more"
        )
        yield Line(text, {"signatures": signatures})
    if report["capped"]:
        text = (
            f"{report['capped']:,} blocks were too large to compare all with all (templates or one cluster)"
        )
        yield Line(text, {"capped": report["capped"]})
    yield Line("rows that would go at a threshold of")
    for one in report["thresholds"]:
        yield Line(f"  {one['threshold']:.2f}: {one['rows']:,}", one)
    for cluster in report["clusters"]:
        where = f" of {cluster['run']}" if cluster["run"] else ""
        text = f"cluster of {cluster['rows']:,} rows; row {cluster['kept']}{where} stays"
        yield Line(text, {"cluster": cluster})


def beside(title: str, pair: examples.Pair) -> Iterator[Line]:
    """One pair: what is known of it, then both texts."""
    similarity = "" if pair.similarity is None else f", similarity {pair.similarity:.3f}"
    error = f" ± {pair.error:.3f} (by sketch)" if pair.error else ""
    where = f" of {pair.run}" if pair.run else ""
    text = f"{title} {pair.removed_id} beside {pair.kept_id}{where}: {pair.rule}{similarity}{error}"
    shown = (marked(pair.removed_pieces, "[-", "-]"), marked(pair.kept_pieces, "{+", "+}"))
    fields = {
        "pair": title,
        "removed": pair.removed_id,
        "kept": pair.kept_id,
        "run": pair.run,
        "rule": pair.rule,
        "similarity": pair.similarity,
        "error": pair.error,
        "distance": pair.distance,
        "texts": shown,
    }
    yield Line("-" * WIDTH)
    yield Line(text, fields)
    for row, name, body in ((pair.removed, "removed", shown[0]), (pair.kept, "kept", shown[1])):
        yield Line(f"{name}: {row.source}: {row.place}" if row else f"{name}: its text is not there")
        if row:
            yield Line(body)
    if pair.identical:
        yield Line("(the same, to the character)")


def marked(pieces: tuple[examples.Piece, ...], opening: str, closing: str) -> str:
    """Pieces as one text, with what differs between `opening` and `closing`."""
    return "".join(
        f"{opening}{text}{closing}" if kind == "changed" else f" {text} " if kind == "gap" else text
        for kind, text in pieces
    )
