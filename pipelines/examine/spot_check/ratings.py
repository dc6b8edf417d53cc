"""Ratings of a draw of rows: how many are right, with the interval of that share, and how far raters agree.

A row passes where everybody who judged it says "right"; one on which they differ does not, and is counted.
The interval is Wilson's at 95%, with the rows that were judged as a part of all: it closes as they become
all of them. Agreement is Krippendorff's alpha, over rows that two or more have rated: 1 is full agreement,
0 what chance gives; .8 is what is usually asked for, .667 the least from which to conclude anything.

Why the lower end decides, and not the share: 19 of 20 is a share of .95, and .76 could be behind it.

Source: Wilson 1927; Krippendorff, "Content Analysis" (2019); Cochran, "Sampling Techniques" (1977), for the
correction of a part of a finite whole.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CRITERIA = ("relevance", "fluency", "factuality", "safety", "helpfulness")
VERDICTS = ("right", "wrong")
SCORES = range(1, 6)
Z = 1.959963984540054  # of a normal distribution, 95% lie within
GATE = "examine.spot_check.required"


@dataclass(frozen=True)
class Rating:
    """What one person says of one row: "right", "wrong" or None, and scores from 1 to 5 by criterion."""

    row_id: int
    rater: str
    verdict: str | None
    scores: Mapping[str, int] = field(default_factory=dict)


def interval(right: int, of: int, rows: int) -> tuple[float, float]:
    """95% interval of the share that is right of all `rows`, where `right` of `of` that were drawn are."""
    if not of:
        return 0.0, 1.0
    share = right / of
    if of >= rows:
        return share, share
    n = of * (rows - 1) / (rows - of)  # as many as it would take of a set without end
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def alpha(units: Iterable[Mapping[str, Any]], level: str, domain: Sequence[Any]) -> float | None:
    """Krippendorff's alpha of values by rater, a mapping a row; None where nothing can be told.

    level: "nominal" or "ordinal"; domain: the values that there are, in order. Nothing can be told where no
    row has two values, or where all values are the same: then chance would give as much.
    """
    import krippendorff

    counts = [[sum(v == value for v in unit.values()) for value in domain] for unit in units]
    counts = [row for row in counts if sum(row) > 1]
    if sum(any(row[at] for row in counts) for at in range(len(domain))) < 2:
        return None
    numbers = list(range(len(domain)))
    return float(krippendorff.alpha(value_counts=counts, value_domain=numbers, level_of_measurement=level))


def report(ratings: Sequence[Rating], drawn: Mapping[int, str], rows: int) -> dict[str, Any]:
    """What run.json says of ratings.

    drawn: the source of each row of the draw, by row_id; rows: how many were drawn from.
    """
    verdicts: dict[int, dict[str, str]] = defaultdict(dict)
    scores: dict[str, dict[int, dict[str, int]]] = {name: defaultdict(dict) for name in CRITERIA}
    for one in ratings:
        if one.verdict is not None:
            verdicts[one.row_id][one.rater] = one.verdict
        for name, score in one.scores.items():
            scores[name][one.row_id][one.rater] = score
    passed = {row for row, given in verdicts.items() if set(given.values()) == {"right"}}
    low, high = interval(len(passed), len(verdicts), rows)
    judged, right = (Counter(drawn[row] for row in which) for which in (verdicts, passed))
    agreement = {"verdict": alpha(verdicts.values(), "nominal", VERDICTS)}
    agreement |= {name: alpha(scores[name].values(), "ordinal", SCORES) for name in CRITERIA}
    return {
        "rows": rows,
        "drawn": len(drawn),
        "judged": len(verdicts),
        "right": len(passed),
        "disputed": sum(len(set(given.values())) > 1 for given in verdicts.values()),
        "raters": len({one.rater for one in ratings}),
        "twice": sum(len(given) > 1 for given in verdicts.values()),
        "pass_rate": _rounded(len(passed) / len(verdicts)) if verdicts else None,
        "interval": [_rounded(low), _rounded(high)],
        "agreement": {name: _rounded(value) for name, value in agreement.items()},
        "scores": {name: _mean(scores[name]) for name in CRITERIA},
        "sources": {name: {"judged": judged[name], "right": right[name]} for name in sorted(judged)},
    }


def _mean(given: Mapping[int, Mapping[str, int]]) -> float | None:
    values = [score for of_row in given.values() for score in of_row.values()]
    return _rounded(sum(values) / len(values)) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def sentence(said: Mapping[str, Any]) -> str:
    """The pass rate in words."""
    low, high = said["interval"]
    return (
        f"{said['right']:,} of {said['judged']:,} rows that people judged are right "
        f"({said['pass_rate']:.1%}, with 95% confidence {low:.1%} to {high:.1%} of {said['rows']:,})"
    )


def missed(said: Mapping[str, Any] | None, required: float, run: str) -> str | None:
    """Why ratings do not reach what is required; None where they do.

    said: what `report` gave for the rows that are packed now, None where nobody rated those.
    """
    ask = (
        f"`headrace sample {run} -n 200` writes a sheet to rate, `headrace sample {run} --import FILE` takes "
        "it back; then the same command goes on"
    )
    if said is None or not said["judged"]:
        return (
            f"{GATE} is {required:g}, and nobody has judged rows of what is packed now (ratings of other "
            f"packed rows say nothing of these): {ask}"
        )
    low = said["interval"][0]
    if low >= required:
        return None
    more = (
        "more ratings narrow the interval"
        if said["pass_rate"] >= required
        else f"spot_check/ratings.parquet in {run} says which rows are wrong: mend their source or have its "
        "rows dropped, and prepare again"
    )
    return f"{GATE} is {required:g}: {sentence(said)}; the lower end, {low:.1%}, is under it. {more}"
