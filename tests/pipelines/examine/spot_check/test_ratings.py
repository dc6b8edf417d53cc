"""What people's ratings say: the share that is right, its interval, agreement, and the gate's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.spot_check import ratings
from headrace.pipelines.examine.spot_check.ratings import Rating


def rated(**verdicts: str) -> list[Rating]:
    """Verdicts by rater, a letter a row: r right, w wrong, - none."""
    words = {"r": "right", "w": "wrong", "-": None}
    return [
        Rating(row, rater, words[letter])
        for rater, letters in verdicts.items()
        for row, letter in enumerate(letters)
    ]


SOURCES = {row: "s" if row < 5 else "t" for row in range(10)}


def test_the_interval_is_wilsons() -> None:
    # As `binom.confint(8, 10, methods = "wilson")` of R gives it.
    assert ratings.interval(8, 10, 10**9) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert ratings.interval(197, 200, 10**12)[0] == pytest.approx(0.9568343, abs=1e-6)


def test_where_all_rows_are_judged_there_is_nothing_left_to_guess() -> None:
    assert ratings.interval(57, 60, 60) == (0.95, 0.95)
    assert ratings.interval(0, 0, 60) == (0.0, 1.0)
    wide, close = ratings.interval(95, 100, 10**6), ratings.interval(95, 100, 120)
    assert wide[0] < close[0] < 0.95 < close[1] < wide[1]


@given(st.integers(1, 300), st.data())
def test_the_interval_holds_the_share(of: int, data: st.DataObject) -> None:
    right, rows = data.draw(st.integers(0, of)), data.draw(st.integers(of, 10 * of))
    low, high = ratings.interval(right, of, rows)
    assert 0 <= low <= right / of + 1e-12
    assert right / of - 1e-12 <= high <= 1


def test_alpha_is_krippendorffs() -> None:
    # The reliability data of four observers in Krippendorff, "Computing Krippendorff's Alpha-Reliability".
    observers = ["123321412---", "1233224125-3", "-3332342251-", "12332441251-"]
    units = [
        {str(n): int(line[at]) for n, line in enumerate(observers) if line[at] != "-"} for at in range(12)
    ]
    assert ratings.alpha(units, "nominal", range(1, 6)) == pytest.approx(0.743, abs=5e-4)
    assert ratings.alpha(units, "ordinal", range(1, 6)) == pytest.approx(0.815, abs=5e-4)


@pytest.mark.parametrize("units", [[], [{"a": 1}], [{"a": 1, "b": 1}, {"a": 1, "b": 1}]])
def test_no_agreement_is_told_of_values_that_are_single_or_all_alike(units: list[dict[str, int]]) -> None:
    assert ratings.alpha(units, "ordinal", range(1, 6)) is None


def test_a_row_on_which_raters_differ_is_not_right() -> None:
    said = ratings.report(rated(a="rrrrwrrr--", b="rrrwwr----"), SOURCES, 5000)
    assert (said["judged"], said["right"], said["disputed"], said["twice"]) == (8, 6, 1, 6)
    assert said["pass_rate"] == 0.75
    assert said["sources"] == {"s": {"judged": 5, "right": 3}, "t": {"judged": 3, "right": 3}}
    assert said["raters"] == 2
    assert 0 < said["agreement"]["verdict"] < 1
    assert said["agreement"]["safety"] is None


def test_scores_have_means_and_agreement() -> None:
    given = [Rating(row, rater, None, {"fluency": row + 1}) for row in range(5) for rater in "ab"]
    said = ratings.report(given, SOURCES, 50)
    assert said["scores"]["fluency"] == 3.0
    assert said["agreement"]["fluency"] == 1.0
    assert (said["judged"], said["pass_rate"], said["interval"]) == (0, None, [0.0, 1.0])


def test_the_lower_end_decides() -> None:
    few = ratings.report(rated(a="r" * 10), SOURCES, 5000)
    why = ratings.missed(few, 0.95, "out/run")
    assert why is not None
    assert "10 of 10 rows" in why
    assert "72.3%, is under it" in why
    assert "more ratings narrow the interval" in why
    bad = ratings.missed(ratings.report(rated(a="rrrrrwwwww"), SOURCES, 5000), 0.6, "out/run")
    assert bad is not None
    assert "spot_check/ratings.parquet" in bad
    assert ratings.missed(ratings.report(rated(a="r" * 10), SOURCES, 10), 0.95, "out/run") is None


def test_no_ratings_are_none_to_rest_on() -> None:
    why = ratings.missed(None, 0.95, "out/run")
    assert why is not None
    assert "nobody has judged" in why
    assert "`headrace sample out/run -n 200`" in why
