"""The bootstrap against brute force and scipy, Holm against its definition."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from xelm.evaluation import bootstrap


def test_resamples_have_the_exact_bootstrap_distribution() -> None:
    """All n**n draws of three documents, enumerated, against twenty thousand random ones."""
    bits = np.array([[[8.0], [9.0]], [[30.0], [20.0]], [[5.0], [7.0]]])  # [documents, arms, 1]
    sizes = np.array([4.0, 10.0, 3.0])
    exact = []
    for draw in itertools.product(range(3), repeat=3):
        total = sizes[list(draw)].sum()
        exact.append((bits[list(draw), 0, 0].sum() - bits[list(draw), 1, 0].sum()) / total)
    weights = np.ones((20_000, 1))
    drawn = bootstrap.ratios(bits, sizes, weights, np.random.default_rng(0))
    differences = drawn[:, 0] - drawn[:, 1]
    assert differences.mean() == pytest.approx(np.mean(exact), abs=0.02)
    assert differences.std() == pytest.approx(np.std(exact), rel=0.03)
    assert {round(x, 9) for x in differences} == {round(x, 9) for x in exact}


def test_ratios_agree_with_scipy_bootstrap() -> None:
    chance = np.random.default_rng(1)
    sizes = chance.integers(100, 3000, 60).astype(float)
    first = sizes * 2 + chance.normal(0, 60, 60)
    second = first + sizes * 0.02 + chance.normal(0, 40, 60)
    bits = np.stack([first, second], axis=1)[:, :, None]
    drawn = bootstrap.ratios(bits, sizes, np.ones((30_000, 1)), np.random.default_rng(2))
    low, high = bootstrap.interval(drawn[:, 0] - drawn[:, 1], 0.95)

    def statistic(a: np.ndarray, b: np.ndarray, n: np.ndarray, axis: int) -> np.ndarray:
        return (a.sum(axis) - b.sum(axis)) / n.sum(axis)

    theirs = stats.bootstrap(
        (first, second, sizes),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=30_000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.03 * width)
    assert high == pytest.approx(theirs.high, abs=0.03 * width)


def test_orders_widen_the_interval() -> None:
    """Arms that differ in no document but between orders: only drawing orders shows that."""
    bits = np.zeros((50, 2, 2))
    bits[:, 0, :] = [90.0, 110.0]
    bits[:, 1, :] = 100.0
    sizes = np.full(50, 50.0)
    weights = bootstrap.draw_orders(2, 4000, np.random.default_rng(0))
    drawn = bootstrap.ratios(bits, sizes, weights, np.random.default_rng(0))
    differences = drawn[:, 0] - drawn[:, 1]
    assert set(np.round(differences, 9)) == {-0.2, 0.0, 0.2}
    assert bootstrap.p_value(differences, 50) > 0.9
    assert np.allclose(weights.sum(1), 1)


def test_p_under_the_null_is_uniform() -> None:
    """No difference in truth: p below .05 in about one of twenty experiments."""
    chance = np.random.default_rng(5)
    found = []
    for _ in range(300):
        sizes = chance.integers(500, 1500, 40).astype(float)
        base = sizes * 2
        bits = np.stack([base + chance.normal(0, 30, 40), base + chance.normal(0, 30, 40)], 1)
        drawn = bootstrap.ratios(bits[:, :, None], sizes, np.ones((400, 1)), chance)
        found.append(bootstrap.p_value(drawn[:, 0] - drawn[:, 1], 40))
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.10


def test_p_value() -> None:
    assert bootstrap.p_value(np.full(999, -1.0), units=100) == pytest.approx(2 / 1000)
    assert bootstrap.p_value(np.zeros(999), units=100) == 1.0
    assert bootstrap.p_value(np.full(999_999, -1.0), units=5) == 2 / 32  # five signs prove so much
    assert bootstrap.p_value(np.full(99_999, 1.0), units=1) == 1.0
    mixed = np.array([-1.0] * 900 + [1.0] * 99)
    assert bootstrap.p_value(mixed, units=100) == pytest.approx(2 * 100 / 1000)


@given(st.integers(1, 300), st.floats(0.001, 0.2))
def test_enough_resamples_to_pass_holm(tests: int, alpha: float) -> None:
    resamples = bootstrap.enough(100, tests, alpha)
    best = bootstrap.p_value(np.full(resamples, -1.0), units=1000)
    assert bootstrap.holm([best] * tests)[0] < alpha
    assert bootstrap.enough(10**9, tests, alpha) == 10**9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_its_definition(p: list[float]) -> None:
    """Adjusted p of i: the largest (m - rank) * p of those not above it, at most 1."""
    adjusted = bootstrap.holm(p)
    for i, own in enumerate(p):
        smaller = [
            min(1.0, (len(p) - sum((q, k) < (other, j) for k, q in enumerate(p))) * other)
            for j, other in enumerate(p)
            if (other, j) <= (own, i)
        ]
        assert adjusted[i] == pytest.approx(max(smaller))
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_ratios_are_within_the_documents_own(units: int, arms: int, orders: int, s: int) -> None:
    chance = np.random.default_rng(s)
    bits = chance.uniform(1, 100, (units, arms, orders))
    sizes = chance.integers(1, 50, units).astype(float)
    weights = bootstrap.draw_orders(orders, 50, chance)
    drawn = bootstrap.ratios(bits, sizes, weights, chance)
    assert drawn.shape == (50, arms)
    single = bits / sizes[:, None, None]
    assert (drawn >= single.min((0, 2)) - 1e-9).all() and (drawn <= single.max((0, 2)) + 1e-9).all()


def test_large_samples_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and every resample is a whole one."""
    monkeypatch.setattr(bootstrap, "_ELEMENTS_AT_ONCE", 30)
    bits = np.ones((7, 1, 1))
    drawn = bootstrap.ratios(bits, np.full(7, 2.0), np.ones((25, 1)), np.random.default_rng(0))
    assert np.allclose(drawn, 0.5)


def test_units_are_sums_of_their_documents() -> None:
    values = np.arange(8.0).reshape(4, 2)
    summed = bootstrap.by_unit(values, np.array([9, 4, 9, 4], dtype=np.uint64))
    assert summed.tolist() == [[8.0, 10.0], [4.0, 6.0]]
    assert math.isclose(summed.sum(), values.sum())
