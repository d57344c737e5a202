"""Cross-entropy straight from hidden states, in chunks that stay in cache.

-log p(y) = logsumexp(W h) - W[y].h. The first term goes through the vocabulary chunk by chunk,
and makes its gradient in the same pass, while the chunk's logits are still in cache; so the full
matrix of logits never exists, neither for a small vocabulary nor for one of 256k. The second is a
look-up. (Chunking as in the Liger and cut-cross-entropy kernels, in plain torch.)
"""

from typing import Any

import torch

_CHUNK_ELEMENTS = {"cpu": 1 << 22, "cuda": 1 << 27}
_MOST_CHUNKS = 64


def summed_cross_entropy(
    hidden_nd: torch.Tensor, weight_vd: torch.Tensor, targets_n: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """scale * sum of -log softmax(hidden weight^T)[target], 0-dim float32.

    Targets below zero do not count. Sums are in float32, products in the dtype of `hidden_nd`.
    """
    counts_n = (targets_n >= 0).to(torch.float32) * scale
    targets = torch.nn.functional.embedding(targets_n.clamp(min=0), weight_vd)
    gained = (hidden_nd.float() * targets.float()).sum(-1) * counts_n
    chunks = _chunks(hidden_nd, weight_vd)
    total: torch.Tensor = _LogSumExp.apply(hidden_nd, weight_vd, counts_n, chunks)
    return total - gained.sum()


def target_log_probabilities(
    hidden_nd: torch.Tensor, weight_vd: torch.Tensor, targets_n: torch.Tensor
) -> torch.Tensor:
    """log softmax(hidden weight^T)[target], float32 [n]: the same chunks without gradients."""
    chunks = _chunks(hidden_nd, weight_vd)
    parts = []
    for hidden, targets in zip(hidden_nd.chunk(chunks), targets_n.chunk(chunks), strict=True):
        logits = (hidden @ weight_vd.T).float()
        gained = logits.gather(-1, targets[:, None]).squeeze(-1)
        parts.append(gained - logits.logsumexp(-1))
    return torch.cat(parts)


def _chunks(hidden_nd: torch.Tensor, weight_vd: torch.Tensor) -> int:
    at_once = _CHUNK_ELEMENTS.get(hidden_nd.device.type, 1 << 27)
    wanted = -(-hidden_nd.shape[0] * weight_vd.shape[0] // at_once)
    return max(1, min(wanted, _MOST_CHUNKS, hidden_nd.shape[0]))


class _LogSumExp(torch.autograd.Function):
    """sum over n of counts[n] * logsumexp(weight hidden[n]); its gradient made on the way."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_nd: torch.Tensor,
        weight_vd: torch.Tensor,
        counts_n: torch.Tensor,
        chunks: int,
    ) -> torch.Tensor:
        total = hidden_nd.new_zeros((), dtype=torch.float32)
        hidden_gradients, weight_gradient_dv = [], None
        for hidden, counts in zip(hidden_nd.chunk(chunks), counts_n.chunk(chunks), strict=True):
            logits = (hidden @ weight_vd.T).float()
            most = logits.amax(-1, keepdim=True)
            powers = (logits - most).exp()
            sums = powers.sum(-1, keepdim=True)
            total = total + ((sums.log() + most).squeeze(-1) * counts).sum()
            gradient = (powers * (counts[:, None] / sums)).to(hidden.dtype)
            hidden_gradients.append(gradient @ weight_vd)
            # This side round, its right factor is read as it lies: twice as fast as its transpose.
            part = (hidden.T.contiguous() @ gradient).float()
            weight_gradient_dv = part if weight_gradient_dv is None else weight_gradient_dv + part
        assert weight_gradient_dv is not None
        ctx.save_for_backward(torch.cat(hidden_gradients), weight_gradient_dv.T.to(weight_vd.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return (
            (hidden_gradient * outer[0]).to(hidden_gradient.dtype),
            (weight_gradient * outer[0]).to(weight_gradient.dtype),
            None,
            None,
        )
