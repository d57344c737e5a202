"""The chunked cross-entropy against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xelm.training import loss


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 40), vocabulary=st.integers(2, 70), chunks=st.integers(1, 9), data=st.data()
)
def test_value_and_gradients_are_those_of_torch(
    rows: int, vocabulary: int, chunks: int, data: st.DataObject
) -> None:
    torch.manual_seed(data.draw(st.integers(0, 99)))
    hidden = torch.randn(rows, 8, requires_grad=True)
    weight = torch.randn(vocabulary, 8, requires_grad=True)
    targets = torch.randint(0, vocabulary, (rows,))
    targets[torch.rand(rows) < 0.2] = -100
    scale = torch.tensor(0.37)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "_chunks", lambda *args: min(chunks, rows))
        ours = loss.summed_cross_entropy(hidden, weight, targets, scale)
    theirs = scale * torch.nn.functional.cross_entropy(
        hidden @ weight.T, targets, ignore_index=-100, reduction="sum"
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    if bool((targets < 0).all()):
        return
    for left, right in zip(
        torch.autograd.grad(ours, [hidden, weight]),
        torch.autograd.grad(theirs, [hidden, weight]),
        strict=True,
    ):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_large_logits_do_not_overflow() -> None:
    hidden, weight = torch.full((2, 4), 1e3), torch.eye(4) * 1e3
    value = loss.summed_cross_entropy(hidden, weight, torch.tensor([0, 1]), torch.tensor(1.0))
    assert torch.isfinite(value)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 40), vocabulary=st.integers(2, 70), chunks=st.integers(1, 9))
def test_log_probabilities_are_those_of_torch(rows: int, vocabulary: int, chunks: int) -> None:
    torch.manual_seed(rows)
    hidden, weight = torch.randn(rows, 8), torch.randn(vocabulary, 8) * 30
    targets = torch.randint(0, vocabulary, (rows,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "_chunks", lambda *args: min(chunks, rows))
        ours = loss.target_log_probabilities(hidden, weight, targets)
    exact = (hidden.double() @ weight.double().T).log_softmax(-1)
    theirs = exact.gather(1, targets[:, None]).squeeze(1).float()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
