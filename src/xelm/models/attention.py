"""Causal attention as plain matrix products: `attn_implementation="xelm_plain"`.

On CPUs the fused (flash) kernel is slow in bfloat16 at the lengths we train on, and the compiler
cannot fuse anything into it. Here scores are made block of queries by block of queries, each
against the keys up to the block's end only, so that most of the half above the diagonal is never
computed. Right for training and scoring without padding on the left; not for cached decoding.
"""

from typing import Any

import torch

PLAIN = "xelm_plain"
_BLOCKS = 4


def register() -> str:
    """Make `PLAIN` known to transformers (again is harmless) and return its name."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(PLAIN, plain)
    AttentionMaskInterface.register(PLAIN, _no_mask)
    return PLAIN


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """The block structure below is the causal mask."""


def plain(
    module: torch.nn.Module,
    query_bhtd: torch.Tensor,
    key_bgtd: torch.Tensor,
    value_bgtd: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal softmax attention; returns (batch, time, heads, head width) and no weights.

    b batch, h heads, g groups of keys (h is a multiple of g), t time, d head width. Softmax is in
    float32. Sliding windows and soft caps are not supported (callers choose another kernel then).
    """
    repeat = query_bhtd.shape[1] // key_bgtd.shape[1]
    if repeat > 1:
        key_bgtd = key_bgtd.repeat_interleave(repeat, dim=1)
        value_bgtd = value_bgtd.repeat_interleave(repeat, dim=1)
    query_bhtd = query_bhtd * (scaling if scaling is not None else query_bhtd.shape[-1] ** -0.5)
    length = query_bhtd.shape[2]
    step = -(-length // _BLOCKS)
    parts = [
        _block(query_bhtd, key_bgtd, value_bgtd, start, min(start + step, length), dropout)
        for start in range(0, length, step)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _block(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    start: int,
    stop: int,
    dropout: float,
) -> torch.Tensor:
    scores = query[:, :, start:stop] @ key[:, :, :stop].transpose(-1, -2)
    positions = torch.arange(stop, device=query.device)
    later = positions[None, :] > positions[start:stop, None]
    weights = scores.float().masked_fill(later, float("-inf")).softmax(-1).to(value.dtype)
    if dropout > 0.0:
        weights = torch.nn.functional.dropout(weights, dropout)
    return weights @ value[:, :, :stop]
