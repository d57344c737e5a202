"""Mixing against a sum of probabilities by hand."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given, settings

from xelm.ensemble.mixing import keep_largest, mix, mix_logits

LOGS = hnp.arrays(np.float64, (3, 5), elements=st.floats(-30, 0))
WEIGHTS = hnp.arrays(np.float64, (5, 3), elements=st.floats(0.001, 1)).map(
    lambda w: w / w.sum(1, keepdims=True)
)


@settings(max_examples=50, deadline=None)
@given(LOGS, WEIGHTS)
def test_mix_is_the_log_of_the_weighted_sum(logs: np.ndarray, weights: np.ndarray) -> None:
    expected = np.log((np.exp(logs.T) * weights).sum(1))
    np.testing.assert_allclose(mix(logs, weights), expected, atol=1e-10)
    best = logs.T[np.arange(5), weights.argmax(1)]
    np.testing.assert_array_equal(mix(logs, weights, 1), best)


@settings(max_examples=50, deadline=None)
@given(WEIGHTS, st.integers(1, 3), st.sampled_from([0.0, 0.1, 0.9]))
def test_keep_largest(weights: np.ndarray, m: int, negligible: float) -> None:
    kept = keep_largest(torch.tensor(weights), m, negligible).numpy()
    np.testing.assert_allclose(kept.sum(1), 1.0)
    assert ((kept > 0).sum(1) <= m).all()
    rows = np.arange(5)
    assert (kept[rows, weights.argmax(1)] > 0).all()
    for row in rows:
        order = np.argsort(-weights[row], kind="stable")
        expected = [
            j for place, j in enumerate(order) if place < m and (weights[row, j] >= negligible)
        ]
        assert set(np.flatnonzero(kept[row])) == set(expected or [order[0]])


def test_keeping_all_changes_nothing() -> None:
    weights = torch.rand(4, 7, 3, dtype=torch.float64)
    assert keep_largest(weights) is weights
    assert keep_largest(weights, 3) is weights


def test_mix_logits_of_weight_zero_adds_nothing() -> None:
    first, second = torch.randn(2, 4, 9).unbind(0)
    weight = torch.tensor([1.0, 0.3, 0.0, 0.5])
    mixed = mix_logits([(first, weight), (second, 1 - weight)])
    expected = weight[:, None] * first.softmax(-1) + (1 - weight)[:, None] * second.softmax(-1)
    assert torch.allclose(mixed, expected.log(), atol=1e-6)
    assert torch.equal(mixed[0], first[0].log_softmax(-1))
