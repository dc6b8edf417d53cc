"""Ratings of the blind sheet taken back: who won, how surely, and how far people agree with each other.

What: verdicts are turned into wins, ties and losses of the tuned model by the key. A row that several people
rated goes to whom most of them name, and is a tie where none has more. `review/ratings.parquet` holds every
rating, `review/outcomes.json` what each row came to, run.json's `review` the result.

Cost: reads the files given, and some small ones.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from headrace.cluster import storage
from headrace.cluster.errors import OutputError, UserError
from headrace.pipelines.commands.draw import sample, taken
from headrace.pipelines.commands.review.draw import FOLDER, FORM, KEY
from headrace.pipelines.console import Line
from headrace.pipelines.evaluate import standing
from headrace.pipelines.evaluate.judged import outcomes, tally
from headrace.pipelines.examine.spot_check import ratings
from headrace.pipelines.passes import summary

RATINGS = pa.schema(
    [("row_id", pa.uint64()), ("rater", pa.string()), ("outcome", pa.string()), ("note", pa.string())]
)


def take(run: str, files: Sequence[str]) -> Iterator[Line]:
    """Take ratings back; they replace what was taken back before.

    files: CSV files as the sheet exports them, or JSON exports of Label Studio, one or more of each rater.

    Raises: OutputError where no sheet of today's evaluation is there, UserError for a file that holds no
    ratings of it, or two of one row by one person; StorageError.
    """
    key = storage.read_object(storage.join(run, KEY))
    scores = storage.read_object(storage.join(run, standing.SCORES)) or {}
    if key is None or key["evaluation"] != scores.get("key"):
        what = (
            "no sheet is drawn yet" if key is None else "the run was evaluated anew since the sheet was drawn"
        )
        raise OutputError(f"{what} in {run!r}: draw one with `headrace review {run}`")
    by_row = {int(row["row_id"]): row for row in key["drawn"]}
    given = [one for path in files for one in taken.read(path, tuple(FORM.verdicts))]
    known = [one for one in given if by_row.get(one.row_id, {}).get("mark") == one.mark]
    if strange := len(given) - len(known):
        text = f"{strange:,} ratings are of rows that are not in this sheet, or had other answers: left out"
        yield Line(text, {"left_out": strange})
    rated = [one for one in sample.once(known) if one.verdict is not None]
    if not rated:
        raise UserError(f"no ratings of this sheet's rows in {', '.join(files)}")
    found = result(key, rated, outcomes.of_judge(run, key))
    table = [
        {"row_id": one.row_id, "rater": one.rater, "outcome": _outcome(one, by_row), "note": one.note}
        for one in rated
    ]
    storage.write_table(
        storage.join(run, f"{FOLDER}/ratings.parquet"), pa.Table.from_pylist(table, schema=RATINGS)
    )
    outcomes.keep_review(run, key, _by_row(rated, by_row))
    summary.write(run, {"review": found})
    yield Line(f"review: {found['words']}", {"review": found})
    yield from _agreement(found)


def _outcome(one: taken.Taken, by_row: Mapping[int, Mapping[str, Any]]) -> str:
    """A verdict as what it is to the tuned model."""
    if one.verdict == "tie":
        return "tie"
    return "win" if one.verdict == by_row[one.row_id]["tuned"] else "loss"


def _by_row(rated: Sequence[taken.Taken], by_row: Mapping[int, Mapping[str, Any]]) -> dict[int, str]:
    """What each rated row came to."""
    said: dict[int, list[str]] = defaultdict(list)
    for one in rated:
        said[one.row_id].append(_outcome(one, by_row))
    return {row: _most(of_row) for row, of_row in sorted(said.items())}


def _most(said: Sequence[str]) -> str:
    """The outcome that most name; a tie where none has more than all others."""
    (first, n), *others = Counter(said).most_common()
    return "tie" if others and others[0][1] == n else first


def result(key: Mapping[str, Any], rated: Sequence[taken.Taken], judged: Mapping[int, str]) -> dict[str, Any]:
    """What run.json says of a review.

    key: key.json. judged: what a model said of rows, where one was asked.
    """
    by_row = {int(row["row_id"]): row for row in key["drawn"]}
    came_to = _by_row(rated, by_row)
    each: dict[int, dict[str, str]] = defaultdict(dict)
    for one in rated:
        each[one.row_id][one.rater] = _outcome(one, by_row)
    counted = tally.tally(list(came_to.values()))
    alpha = ratings.alpha(each.values(), "nominal", tally.OUTCOMES)
    by_metric = {row: by_row[row]["metric"] for row in came_to if by_row[row]["metric"] is not None}
    return {
        "evaluation": key["evaluation"],
        "against": key["against"],
        "drawn": len(by_row),
        "same": key["same"],
        **counted,
        "raters": len({one.rater for one in rated}),
        "twice": sum(len(of_row) > 1 for of_row in each.values()),
        "disputed": sum(len(set(of_row.values())) > 1 for of_row in each.values()),
        "agreement": None if alpha is None else round(alpha, 4),
        "metric": {"name": key["metric"], **_beside(came_to, by_metric)} if by_metric else None,
        "judge": _beside(came_to, judged) if set(judged) & set(came_to) else None,
        "words": f"tuned against {key['against']}, {tally.sentence(counted)}{_advice(counted, by_row)}",
    }


def _beside(said: Mapping[int, str], other: Mapping[int, str]) -> dict[str, Any]:
    rows = [row for row in said if row in other]
    return tally.agreement([said[row] for row in rows], [other[row] for row in rows])


def _advice(counted: Mapping[str, Any], by_row: Mapping[int, Any]) -> str:
    """Whether to go on, behind the sentence."""
    left = len(by_row) - counted["judged"]
    if counted["verdict"] != "no clear difference":
        return "; it is clear, and rating may stop" if left else ""
    return f"; {left:,} of the sheet are left to rate" if left else "; a larger sheet (-n) may tell"


def _agreement(found: Mapping[str, Any]) -> Iterator[Line]:
    if found["disputed"]:
        yield Line(
            f"  raters differ on {found['disputed']:,} of {found['twice']:,} rows that two or more rated"
        )
    if found["agreement"] is not None:
        yield Line(f"  agreement of raters (Krippendorff's alpha) {found['agreement']:.2f}")
    elif found["raters"] > 1:
        yield Line("  agreement of raters cannot be told: no row has two ratings, or all are alike")
    for name in ("metric", "judge"):
        if (beside := found[name]) and beside["decided_by_both"]:
            who = beside.get("name", "the judge")
            text = (
                f"  {who} names the same winner in {beside['alike']:,} of {beside['decided_by_both']:,} rows"
            )
            yield Line(text, {"agreement": {who: beside}})
