"""Components: the smallest member, whatever the order of pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.kernels import components


def test_by_hand() -> None:
    assert components([[3, 1], [4, 3], [0, 5]], 7).tolist() == [0, 1, 2, 1, 1, 0, 6]
    assert components([], 3).tolist() == [0, 1, 2]
    assert components(np.empty((0, 2), np.int64), 0).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30), st.randoms())
def test_equals_reference_in_any_order(pairs: list[tuple[int, int]], random: object) -> None:
    shuffled = [pair[::-1] for pair in pairs]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    labels = components(pairs, 20)
    np.testing.assert_array_equal(labels, components(pairs, 20, implementation="reference"))
    np.testing.assert_array_equal(labels, components(shuffled, 20))


def test_long_chains() -> None:
    n = 100_000
    for chain in (np.arange(n), np.arange(n)[::-1]):
        assert not components(np.stack([chain[:-1], chain[1:]], axis=1), n).any()


@pytest.mark.parametrize(
    ("pairs", "said"), [([[0, 3]], "outside 0..2"), ([[-1, 0]], "outside"), ([0, 1, 2, 1], "shape")]
)
def test_refuses(pairs: list[object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        components(pairs, 3)  # type: ignore[arg-type]
