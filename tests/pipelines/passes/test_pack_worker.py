"""Windows of pass 3: derived from the plan and from what was read, and from nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.passes import parts


def records(sizes: list[int]) -> list[dict]:
    return [{"ordinal": n, "part": 0, "rows": {"in": rows, "kept": 0}} for n, rows in enumerate(sizes)]


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 60), st.randoms())
def test_windows_hold_every_part_once_in_order(sizes: list[int], rows: int, random) -> None:
    given_records = records(sizes)
    shuffled = random.sample(given_records, len(given_records))
    cut = parts.windows(shuffled, dict.fromkeys(range(len(sizes)), 0), rows)
    assert [u for w in cut for u in w.units] == [parts.part(n, 0) for n in range(len(sizes))]
    assert [w.number for w in cut] == list(range(len(cut)))
    for window in cut[:-1]:
        assert sum(sizes[window.first : window.last + 1]) >= rows


def test_a_window_never_spans_two_plans() -> None:
    cut = parts.windows(records([5, 5, 5, 5]), {0: 0, 1: 0, 2: 1, 3: 1}, 100)
    assert [(w.first, w.last) for w in cut] == [(0, 1), (2, 3)]


def test_an_added_input_leaves_the_windows_before_as_they_are() -> None:
    before = parts.windows(records([60, 60, 10]), dict.fromkeys(range(3), 0), 100)
    after = parts.windows(records([60, 60, 10, 70]), {0: 0, 1: 0, 2: 0, 3: 1}, 100)
    assert after[: len(before)] == before


def test_parts_of_one_fragment_may_stand_in_two_windows() -> None:
    commits = [{"ordinal": 3, "part": p, "rows": {"in": 80, "kept": 80}} for p in range(3)]
    cut = parts.windows(commits, {3: 0}, 100)
    assert [w.units for w in cut] == [("00000003-0000", "00000003-0001"), ("00000003-0002",)]
    assert [(w.first, w.last) for w in cut] == [(3, 3), (3, 3)]
