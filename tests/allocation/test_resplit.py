"""Splitting pairs of clusters anew: sizes stay, inertia falls, two-means is found where known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xelm.allocation import resplit


def inertia(X: np.ndarray, labels: np.ndarray, k: int) -> float:
    return sum(((X[labels == j] - X[labels == j].mean(axis=0)) ** 2).sum() for j in range(k))


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(10, 80))
@settings(deadline=None, max_examples=60)
def test_sizes_stay_and_inertia_never_rises(seed: int, k: int, n: int) -> None:
    generator = np.random.RandomState(seed)
    X = generator.normal(size=(n, 3))
    labels = np.sort(np.arange(n) % k).astype(np.int32)
    generator.shuffle(labels)
    capacities = np.bincount(labels, minlength=k).astype(float)
    better = resplit.improve(X, None, capacities, labels, generator)
    assert np.array_equal(np.bincount(better, minlength=k), capacities)
    assert inertia(X, better, k) <= inertia(X, labels, k) * (1 + 1e-9)


def test_halves_of_blobs_are_brought_together() -> None:
    """Four blobs, every cluster holding half of two: no border moves, but pairs re-split."""
    generator = np.random.RandomState(0)
    corners = np.eye(4).repeat(50, axis=0)
    X = (corners + 0.01 * generator.normal(size=(200, 4))).astype(np.float32)
    labels = ((np.arange(200) // 25 + 1) // 2 % 4).astype(np.int32)
    better = resplit.improve(X, None, np.full(4, 50.0), labels, generator)
    assert all(len(set(better[i : i + 50])) == 1 for i in range(0, 200, 50))


@pytest.mark.parametrize("weighted", [False, True])
def test_identical_documents_end_at_once(weighted: bool) -> None:
    X, labels = np.ones((40, 3)), (np.arange(40) % 4).astype(np.int32)
    weights = np.full(40, 2.0) if weighted else None
    better = resplit.improve(X, weights, np.full(4, 10.0), labels, np.random.RandomState(0))
    assert np.array_equal(better, labels)
