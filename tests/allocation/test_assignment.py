"""Balanced assignment against linear programming and min-cost flow, and its invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from xelm.allocation import assignment, exchange, optimum, prices, starts
from xelm.allocation.assignment import assign
from xelm.allocation.lloyd import total_cost


def equal(n: int, k: int) -> np.ndarray:
    return starts.whole(np.full(k, 1 / k), n)


@st.composite
def problems(draw):
    k = draw(st.integers(1, 6))
    n = draw(st.integers(k, 60))
    seed = draw(st.integers(0, 10**6))
    generator = np.random.default_rng(seed)
    costs = generator.normal(size=(k, n))
    if draw(st.booleans()):  # many ties
        costs = np.round(costs)
    shares = generator.random(k) + 0.05 if draw(st.booleans()) else np.ones(k)
    return costs, starts.whole(shares / shares.sum(), n)


@given(problems())
@settings(deadline=None, max_examples=150)
def test_the_optimum_of_linear_assignment_is_reached_with_exact_sizes(problem):
    costs, capacities = problem
    k = len(costs)
    result = assign(costs, None, capacities)
    assert np.array_equal(np.bincount(result.labels, minlength=k), capacities)
    slots = np.repeat(np.arange(k), capacities.astype(int))
    rows, columns = linear_sum_assignment(costs[slots])
    best = costs[slots][rows, columns].sum()
    assert total_cost(costs, result.labels, None) == pytest.approx(best, abs=1e-9)


@given(problems())
@settings(deadline=None, max_examples=100)
def test_prices_support_the_labels(problem):
    costs, capacities = problem
    result = assign(costs, None, capacities)
    priced = costs + result.prices[:, None]
    chosen = priced[result.labels, np.arange(costs.shape[1])]
    assert (chosen <= priced.min(axis=0) + 1e-9).all()


@pytest.mark.parametrize("k", [3, 8, 16])
@pytest.mark.parametrize("shape", ["smooth", "gaps", "stale"])
def test_large_problems_settled_at_the_border_reach_the_flow_optimum(k, shape, blobs):
    n = 50_001
    generator = np.random.default_rng(k)
    X = blobs(n, noise=0.2 if shape == "gaps" else 1.5)
    centers = X[generator.choice(n, k, replace=False)]
    costs = ((X[None] - centers[:, None]) ** 2).sum(axis=2)
    start = generator.normal(size=k) if shape == "stale" else None
    result = assign(costs, None, equal(n, k), start)
    assert np.ptp(np.bincount(result.labels, minlength=k)) <= 1
    best = total_cost(costs, optimum.assign(costs, equal(n, k)), None)
    assert total_cost(costs, result.labels, None) == pytest.approx(best, rel=1e-6)
    assert np.array_equal(prices.nearest(costs, result.prices), result.labels)


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(20, 400))
@settings(deadline=None, max_examples=100)
def test_weighted_sizes_differ_by_at_most_the_heaviest_document(seed, k, n):
    generator = np.random.default_rng(seed)
    costs = generator.normal(size=(k, n))
    weights = np.ceil(generator.pareto(1.5, n) * 100)
    weights[generator.random(n) < 0.05] = 0
    weights[0] = max(weights[0], 1)
    capacities = np.full(k, weights.sum() / k)
    labels = assign(costs, weights, capacities).labels
    held = np.bincount(labels, weights=weights, minlength=k)
    assert np.ptp(held) <= weights.max() + 1e-9


def test_weighted_cost_lies_near_the_dual_bound(blobs):
    n, k = 20_000, 8
    generator = np.random.default_rng(0)
    X = blobs(n, noise=1.0).astype(np.float64)
    costs = ((X[None] - X[generator.choice(n, k, replace=False)][:, None]) ** 2).sum(axis=2)
    weights = np.ceil(generator.lognormal(5, 1, n))
    capacities = np.full(k, weights.sum() / k)
    result = assign(costs, weights, capacities)
    bound = weights @ (costs + result.prices[:, None]).min(axis=0) - capacities @ result.prices
    assert total_cost(costs, result.labels, weights) <= bound * 1.0005


def test_prices_learnt_on_a_sample_balance_what_they_never_saw(blobs):
    X = blobs(60_000, noise=1.0)
    centers = X[:8]
    costs = ((X[None] - centers[:, None]) ** 2).sum(axis=2)
    learnt = prices.learn(costs[:, :30_000], None, np.ones(8))
    held = np.bincount(prices.nearest(costs[:, 30_000:], learnt), minlength=8)
    assert np.abs(held / (30_000 / 8) - 1).max() < 0.05


def test_without_exactness_prices_alone_come_close(blobs):
    X = blobs(40_000, noise=1.0)
    costs = ((X[None] - X[:8][:, None]) ** 2).sum(axis=2)
    labels = assign(costs, None, equal(40_000, 8), exact=False).labels
    assert np.abs(np.bincount(labels, minlength=8) - 5000).max() < 50


def test_all_costs_equal_still_balances():
    labels = assign(np.zeros((4, 1003)), None, equal(1003, 4)).labels
    assert np.ptp(np.bincount(labels, minlength=4)) == 1


def test_a_border_too_narrow_falls_back_to_every_document(blobs):
    X = blobs(3000, noise=1.0)
    costs = ((X[None] - X[:4][:, None]) ** 2).sum(axis=2).astype(np.float64)
    problem = assignment._Problem(costs, None, equal(3000, 4), 1)
    wrong = np.array([0.5, -0.5, 0.2, -0.2])
    narrow = assignment.Border(prices.nearest(costs, wrong), wrong, np.arange(40), 0.0)
    labels, _ = problem.repair(narrow)
    best = total_cost(costs, optimum.assign(costs, equal(3000, 4)), None)
    assert total_cost(costs, labels, None) == pytest.approx(best, rel=1e-6)


def test_capacities_in_whole_documents():
    assert starts.whole(np.array([0.5, 0.5]), 5).tolist() == [3, 2]
    assert starts.whole(np.array([0.98, 0.01, 0.01]), 5).tolist() == [3, 1, 1]
    assert starts.whole(np.full(7, 1 / 7), 7).tolist() == [1] * 7


def test_middle_prices_refuse_labels_that_a_swap_would_improve():
    edges = np.array([[np.inf, -1.0], [0.5, np.inf]])
    assert exchange._middle_prices(edges, 1e-12) is None
