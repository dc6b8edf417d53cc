"""Books: counted in records, and never out of balance in silence."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster.errors import BooksError
from headrace.pipelines import books
from tests.builders import table

MARK = st.sampled_from(
    [(None, None), ("clean.empty", None), ("quality.too_short", None), (None, "read.bad_utf8")]
)


def rows(marks: list[tuple[tuple[str | None, str | None], int]]) -> pa.Table:
    """Rows of (drop reason, error) and so many records, with a letter for each record."""
    errors = [error for (_, error), _ in marks]
    counts = [n for _, n in marks]
    turns = [None if e else [("user", "é" * n)] for e, n in zip(errors, counts, strict=True)]
    drops = [drop for (drop, _), _ in marks]
    return table(*turns, n_records=counts, drop=drops, error=errors)


def test_books_count_records_by_reason() -> None:
    came = rows([((None, None), 3), (("clean.empty", None), 8), ((None, "read.bad_utf8"), 1)])
    assert books.of(came) == {
        "in": 12,
        "kept": 3,
        "dropped": {"clean.empty": 8},
        "quarantined": {"read.bad_utf8": 1},
    }


@given(st.lists(st.tuples(MARK, st.integers(1, 9)), max_size=20), st.integers(0, 20))
def test_books_always_balance_and_add_up(marks: list, cut: int) -> None:
    came = rows(marks)
    whole = books.of(came)
    books.check(whole, books.records(came), "here")
    assert books.total([books.of(came.slice(0, cut)), books.of(came.slice(cut))]) == whole


def test_a_lost_record_fails_with_the_place_and_the_numbers() -> None:
    book = {"in": 10, "kept": 7, "dropped": {"a.b": 1}, "quarantined": {"c.d": 1}}
    with pytest.raises(BooksError, match=r"pass x: the books do not balance: 10 records came in.* = 9"):
        books.check(book, 10, "pass x")


def test_an_uncounted_record_fails() -> None:
    with pytest.raises(BooksError, match="11 records came in, 10 were counted"):
        books.check({"in": 10, "kept": 10, "dropped": {}, "quarantined": {}}, 11, "pass x")


def test_lengths_count_characters_of_readable_rows() -> None:
    counts = books.lengths(
        rows([((None, None), 3), ((None, "read.bad_utf8"), 1), (("clean.empty", None), 1)])
    )
    assert sum(counts) == 2
    assert counts[books.EDGES.index(1)] == 1
    assert counts[books.EDGES.index(3)] == 1


def test_timings_add_up_by_stage() -> None:
    one = {"clean": {"seconds": 1.0, "rows": 2, "bytes": 3}}
    two = {"clean": {"seconds": 0.5, "rows": 1, "bytes": 1}, "pii": {"seconds": 2.0, "rows": 1, "bytes": 1}}
    assert books.add_timings([one, two]) == {
        "clean": {"seconds": 1.5, "rows": 3, "bytes": 4},
        "pii": {"seconds": 2.0, "rows": 1, "bytes": 1},
    }


def test_histograms_of_older_runs_are_added_in_their_coarser_bins() -> None:
    fine = books.histogram(np.array([0, 1, 5, 7, 17, 33]))
    assert books.add([fine, fine]) == {"edges": books.EDGES, "counts": [2 * n for n in fine]}
    coarse = np.histogram([5, 18], bins=books.DOUBLINGS)[0].tolist()
    whole = books.add([fine, coarse])
    assert whole["edges"] == books.DOUBLINGS
    assert whole["counts"][:7] == [1, 1, 0, 3, 0, 2, 1]
    assert sum(whole["counts"]) == 8
    assert books.EDGES[:19] == [*range(17), 18, 20]
    assert set(books.DOUBLINGS) <= set(books.EDGES)
