"""Splitting pairs of clusters anew: sizes stay, inertia falls, two-means is found where known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xelm.allocation import BalancedKMeans, resplit


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


def of_kind(kind: str, n: int, generator: np.random.RandomState) -> np.ndarray:
    X = generator.normal(size=(n, 2))
    return {
        "zero": 0 * X,
        "one point": 0 * X + 1,
        "few points": np.round(X / 2),
        "tiny": 1e-200 * X,
        "huge": 1e12 * X,
    }[kind]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@given(
    st.sampled_from(["zero", "one point", "few points", "tiny", "huge"]),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([None, 1e-60, 1.0, 1e9]),
    st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=80)
def test_degenerate_documents_make_no_noise(
    kind: str, dtype: type, weight: float | None, seed: int
) -> None:
    generator = np.random.RandomState(seed)
    X = of_kind(kind, 20, generator).astype(dtype)
    weights = None if weight is None else weight * generator.exponential(size=20)
    model = BalancedKMeans(4, search=True, n_init=1, random_state=seed)
    sizes = model.fit(X, sample_weight=weights).sizes_
    assert np.ptp(sizes) <= (1 if weights is None else weights.max() * (1 + 1e-9))


def test_search_leads_out_of_given_centres_too() -> None:
    """Centres of two mixed pairs of blobs: Lloyd's steps stay, the search does not."""
    corners = np.eye(4)
    X = corners.repeat(50, axis=0) + 0.01 * np.random.default_rng(0).normal(size=(200, 4))
    mixed = np.array([corners[:2].mean(axis=0), corners[2:].mean(axis=0)])
    wrong = np.array([corners[[0, 2]].mean(axis=0), corners[[1, 3]].mean(axis=0)])
    shifted = X + np.repeat([[0.3, 0.3, 0, 0], [0, 0, 0.3, 0.3]], 100, axis=0)
    plain = BalancedKMeans(2, init=wrong, random_state=0).fit(shifted)
    found = BalancedKMeans(2, init=wrong, search=True, random_state=0).fit(shifted)
    best = BalancedKMeans(2, init=mixed, random_state=0).fit(shifted)
    assert plain.inertia_ > 1.1 * best.inertia_
    assert found.inertia_ == pytest.approx(best.inertia_)
