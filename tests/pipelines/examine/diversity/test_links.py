"""Clusters of alike rows are those that the product of all rows with all gives."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]

from headrace import kernels
from headrace.pipelines.examine.diversity import links


def every_pair(alike: NDArray[np.bool_]) -> list[int]:
    pairs = np.argwhere(alike)
    return [int(label) for label in kernels.components(pairs, len(alike))]


@st.composite
def matrices(draw: st.DrawFn) -> NDArray[np.float32]:
    """Rows of few columns, some frequent, some of one row alone; rows that are empty or the same."""
    n, columns = draw(st.integers(1, 12)), draw(st.integers(1, 10))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    held = random.random((n, columns)) < random.random(columns)
    rows = np.where(held, random.integers(1, 4, (n, columns)), 0)[random.integers(0, n, n)]
    return rows.astype(np.float32)


@settings(max_examples=200)
@given(matrices(), st.sampled_from([0.2, 0.5, 0.7, 0.9, 1.0]))
def test_clusters_by_cosine(rows: NDArray[np.float32], least: float) -> None:
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    rows = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    matrix: Any = sparse.csr_matrix(rows)
    alike = (matrix @ matrix.T).toarray() >= np.float32(least - links.ROUNDING)
    assert links.by_cosine(matrix, least).tolist() == every_pair(alike)


@settings(max_examples=200)
@given(matrices(), st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_clusters_by_jaccard(rows: NDArray[np.float32], least: float) -> None:
    held = (rows > 0).astype(np.float32)
    common, sizes = held @ held.T, held.sum(axis=1)
    alike = common >= np.float32(least - links.ROUNDING) * (sizes[:, None] + sizes - common)
    alike &= common > 0
    assert links.by_jaccard(sparse.csr_matrix(held), least).tolist() == every_pair(alike)


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3)])
def test_nothing_is_alike_in_an_empty_matrix(shape: tuple[int, int]) -> None:
    matrix = sparse.csr_matrix(shape, dtype=np.float32)
    assert links.by_cosine(matrix, 0.7).tolist() == list(range(shape[0]))
    assert links.by_jaccard(matrix, 0.7).tolist() == list(range(shape[0]))
