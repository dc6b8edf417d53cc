"""What `headrace sample` does: draws rows for people to rate, and takes their ratings back.

What: a systematic draw. Rows lie in the order of source, side, task and language, and in each of these in one
that no one can foresee; every k-th is taken. So each row has the same chance, and each of those kinds its
share, to one row. The sheet shows them in a random order: who stops early has still rated a fair draw.
`spot_check/` of the run gets the draw and the sheet; what people say goes to `spot_check.json`.

Why: a few hundred rows that somebody has read say more of a set than any score.

Cost: `rows.packed`, and the files of prepared/ that hold a drawn row.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.cluster.errors import OutputError, UserError
from headrace.pipelines import recipe, stored
from headrace.pipelines.commands.draw import label_studio, rows, sheet, taken
from headrace.pipelines.console import Line
from headrace.pipelines.examine.spot_check import ratings
from headrace.pipelines.passes import summary

FOLDER = "spot_check"
DRAW = f"{FOLDER}/draw.json"
RATINGS = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("rater", pa.string()),
        ("verdict", pa.string()),
        *((name, pa.int8()) for name in ratings.CRITERIA),
        ("note", pa.string()),
    ]
)
KINDS = ("source", "side", "task", "language")


def draw(run: str, count: int, seed: int | None, out: str, tasks: str | None) -> Iterator[Line]:
    """Draw `count` rows and write the sheet to folder `out` ("": that of the run); tasks: a file of them for
    Label Studio.

    Raises: OutputError where the run is not prepared; StorageError.
    """
    table = rows.packed(run)
    seed = _seed(run) if seed is None else seed
    chosen = systematic(table, count, seed)
    drawn = table.take(pa.array(chosen)).to_pylist()
    about = {row["row_id"]: {name: row[name] for name in KINDS} for row in drawn}
    cards = _cards(run, about)
    written = {"digest": summary.read(run)["digest"], "seed": seed, "rows": table.num_rows}
    listed = [{"row_id": str(card.row_id), "mark": card.mark, **about[card.row_id]} for card in cards]
    whole = json.dumps({**written, "drawn": listed}, indent=1, ensure_ascii=False).encode()
    out = out or storage.join(run, FOLDER)
    storage.put(storage.join(run, DRAW), whole)
    mark = xxhash.xxh3_64_hexdigest(whole)
    storage.put(storage.join(out, "sheet.html"), sheet.page(cards, mark, table.num_rows).encode())
    storage.put(storage.join(out, "sheet.csv"), sheet.table(cards).encode("utf-8-sig"))
    yield from _drawn(table, drawn)
    text = f"sheet: {storage.join(out, 'sheet.html')}, for a browser; sheet.csv beside it, for a spreadsheet"
    yield Line(text, {"sheet": storage.join(out, "sheet.html"), "csv": storage.join(out, "sheet.csv")})
    if tasks:
        yield label_studio.write(tasks, cards)
    yield Line(f"then: headrace sample {run} --import FILE, once for each rater's file")


def _seed(run: str) -> int:
    _, settings = recipe.kept(run)
    return settings.seed if settings is not None else 0


def systematic(table: pa.Table, count: int, seed: int) -> NDArray[np.int64]:
    """Places of `count` rows of `table` (as `rows.packed`), each with the same chance: ``int64[count]``."""
    order = rows.shuffled(table["row_id"].to_numpy(), seed)
    names = [(name, "ascending") for name in (*KINDS, "order")]
    placed = table.append_column("order", pa.array(order)).append_column(
        "place", pa.array(np.arange(table.num_rows))
    )
    places = placed.sort_by(names)["place"].to_numpy()
    n = min(count, len(places))
    if not n:
        return np.zeros(0, np.int64)
    start = int(rows.shuffled(np.zeros(1, np.uint64), seed, 1)[0] >> np.uint64(11)) / 2**53
    at = np.floor((np.arange(n) + start) * (len(places) / n)).astype(np.int64)
    return np.asarray(places[np.minimum(at, len(places) - 1)], np.int64)


def _cards(run: str, about: dict[int, dict[str, Any]]) -> list[sheet.Card]:
    """What the sheet shows of each row, in a random order."""
    cards = []
    for row in rows.read(run, about, ["file", "place", "messages"]):
        mark = xxhash.xxh3_64_hexdigest(stored.as_text(row["messages"]).encode())
        where = f"{row['file']}, {row['place']}"
        cards.append(sheet.card(row["row_id"], mark, where, about[row["row_id"]], row["messages"]))
    if not cards:
        return cards
    order = rows.shuffled(np.array([card.row_id for card in cards], np.uint64), 0, 2)
    return [cards[at] for at in np.argsort(order, kind="stable")]


def _drawn(table: pa.Table, drawn: Sequence[dict[str, Any]]) -> Iterator[Line]:
    """How many were drawn, of what, and which kinds have no row among them."""
    text = f"{len(drawn):,} of {table.num_rows:,} rows drawn"
    yield Line(text, {"drawn": len(drawn), "rows": table.num_rows})
    for name, counts in rows.mix(table, KINDS).items():
        here = Counter(str(row[name]) for row in drawn)
        each = ", ".join(f"{value} {here[value]:,}" for value in counts if here[value])
        missing = [value for value in counts if not here[value]]
        if missing:
            of = sum(counts[value] for value in missing)
            each += f"; none of {len(missing)} more, which have {of:,} rows"
        yield Line(f"  by {name}: {each}", {"by": name, "drawn": dict(here), "none": missing})


def take(run: str, files: Sequence[str]) -> Iterator[Line]:
    """Take ratings back: write `spot_check.json`, ratings.parquet and run.json's `examine.spot_check`.

    files: CSV files as the sheet exports them, or JSON exports of Label Studio, one or more of each rater.
    They replace what was taken back before.

    Raises: OutputError where no draw of these packed rows is there, UserError for a file that holds no
    ratings, or two of one row by one person; StorageError.
    """
    summary.require_prepared(run)
    about = storage.read_object(storage.join(run, DRAW))
    digest = summary.read(run)["digest"]
    if about is None or about["digest"] != digest:
        what = "no rows are drawn yet" if about is None else "packed/ has changed since rows were drawn"
        raise OutputError(
            f"{what} in {run!r}: draw with `headrace sample {run} -n 200`; ratings of rows that are drawn "
            "again, with the same text, still count"
        )
    marks = {int(row["row_id"]): row["mark"] for row in about["drawn"]}
    given = [one for path in files for one in taken.read(path)]
    known = [one for one in given if marks.get(one.row_id) == one.mark]
    if strange := len(given) - len(known):
        text = f"{strange:,} ratings are of rows that are not in this draw, or had another text: left out"
        yield Line(text, {"left_out": strange})
    rated = once(known)
    if not rated:
        raise UserError(f"no ratings of drawn rows in {', '.join(files)}")
    sources = {int(row["row_id"]): row["source"] for row in about["drawn"]}
    said = ratings.report([one.rating for one in rated], sources, about["rows"])
    storage.write_table(storage.join(run, f"{FOLDER}/ratings.parquet"), _table(rated))
    written = json.dumps({"digest": digest, **said}, indent=1, ensure_ascii=False)
    storage.put(storage.join(run, summary.SPOT_CHECK), written.encode())
    examined = {**(summary.read(run).get("examine") or {}), "spot_check": said}
    summary.write(run, {"examine": examined})
    yield from _said(said)
    yield Line(f"headrace report {run} shows it; spot_check/ratings.parquet there holds every rating")


def once(given: Sequence[taken.Taken]) -> list[taken.Taken]:
    """Ratings, one a row and rater, raters numbered. Raises: UserError where two of them differ."""
    numbers = {name: f"rater {n}" for n, name in enumerate(sorted({one.rater for one in given}), 1)}
    found: dict[tuple[int, str], taken.Taken] = {}
    for one in given:
        key = (one.row_id, numbers[one.rater])
        if key in found and found[key].same != one.same:
            raise UserError(
                f"row {one.row_id} is rated twice, differently, by one rater (in {found[key].file} and "
                f"{one.file}): name one file a rater, or give each rater a name of their own"
            )
        found[key] = one.by(key[1])
    return [found[key] for key in sorted(found)]


def _table(given: Sequence[taken.Taken]) -> pa.Table:
    made = [
        {"row_id": one.row_id, "rater": one.rater, "verdict": one.verdict, **one.scores, "note": one.note}
        for one in given
    ]
    return pa.Table.from_pylist(made, schema=RATINGS)


def _said(said: dict[str, Any]) -> Iterator[Line]:
    if said["judged"]:
        left = said["drawn"] - said["judged"]
        more = f"; {left:,} of the draw are not judged" if left else ""
        yield Line(ratings.sentence(said) + more, {"spot_check": said})
    if said["disputed"]:
        text = f"  raters differ on {said['disputed']:,} of {said['twice']:,} rows that two or more judged"
        yield Line(f"{text}; these count as wrong")
    for name, value in said["agreement"].items():
        mean = said["scores"].get(name)
        score = "" if mean is None else f"mean {mean:.2f} of 5, "
        if value is not None:
            yield Line(f"  {name}: {score}agreement (Krippendorff's alpha) {value:.2f}")
        elif mean is not None or name == "verdict":
            why = "no row has two" if said["raters"] < 2 else "no row has two, or all are alike"
            yield Line(f"  {name}: {score}agreement cannot be told: {why}")
