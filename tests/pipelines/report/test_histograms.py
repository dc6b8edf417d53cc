"""Histograms of lengths: bins as wide as the spread asks for, and no row lost in joining them."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines import books
from headrace.pipelines.report import histograms


def series(values: list[int], name: str = "") -> histograms.Series:
    return histograms.Series(name, books.EDGES, books.histogram(np.array(values)))


@given(st.lists(st.integers(0, 2**26), min_size=1, max_size=150))
@settings(max_examples=60)
def test_every_row_is_in_a_bin_and_there_are_not_too_many(values: list[int]) -> None:
    edges, (counts,) = histograms.binned([series(values)])
    assert sum(counts) == len(values), "of so few, none is a tail"
    assert len(counts) == len(edges) - 1 <= histograms.MOST
    assert (np.diff(edges) > 0).all()
    exact = [sum(low <= v < high for v in values) for low, high in pairwise(edges)]
    exact[-1] += sum(v >= edges[-1] for v in values)  # the last of all bins is open
    assert counts == exact


def test_lengths_close_to_each_other_are_no_single_block() -> None:
    rng = np.random.default_rng(0)
    close = rng.normal(300, 30, 2000).astype(int).tolist()
    _, (counts,) = histograms.binned([series(close)])
    assert len(counts) >= 6
    wide = np.exp(rng.normal(6, 2, 500)).astype(int).tolist()
    _, (spread,) = histograms.binned([series(wide)])
    assert 10 <= len(spread) <= histograms.MOST
    _, (few,) = histograms.binned([series([3, 60, 400, 9000])])
    assert len(few) <= 16


def test_series_have_the_same_bins_and_bars_say_their_counts() -> None:
    came, kept = series([100] * 9 + [700], "read"), series([100] * 8, "kept")
    edges, (first, second) = histograms.binned([came, kept])
    assert (sum(first), sum(second), len(first)) == (10, 8, len(second))
    drawn = histograms.lengths("characters", [came, kept], "characters", "rows", "Rows by length.")
    assert re.search(r"<title>\d+ to \d+ characters: 9 rows read</title>", drawn)
    assert re.search(r"<title>\d+ to \d+ characters: 8 rows kept</title>", drawn)
    assert "read: 10, half of them up to" in drawn
    assert edges[0] <= 100 < 700 < edges[-1]


def test_a_tail_is_left_out_and_counted() -> None:
    values = [*[300] * 990, *[5] * 4, *[60_000] * 3]
    edges, (counts,) = histograms.binned([series(values)])
    assert (sum(counts), edges[0] > 5, edges[-1] < 60_000) == (990, True, True)
    drawn = histograms.lengths("tokens", [series(values)], "tokens", "samples", "Samples by length.")
    assert "tokens (logarithmic); 7 samples lie beyond" in drawn


@pytest.mark.parametrize("edges", [books.EDGES, books.DOUBLINGS])
def test_nothing_is_drawn_of_nothing(edges: list[int]) -> None:
    empty = histograms.Series("", edges, [0] * (len(edges) - 1))
    assert histograms.binned([empty])[1] == [[0]]


def test_counts_of_older_runs_keep_their_doubling_bins() -> None:
    counts = [0] * (len(books.DOUBLINGS) - 1)
    counts[8:10] = [78, 579]
    edges, (joined,) = histograms.binned([histograms.Series("", books.DOUBLINGS, counts)])
    assert (edges.tolist(), joined) == ([128, 256, 512], [78, 579])
