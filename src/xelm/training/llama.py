"""The forward pass of Llama-type models, written for the compiler.

The same function as transformers' (a test says so), with three differences in how it is computed,
found with a profiler on CPUs, where half of a small model's step is not matrix products:
- cosines and sines come from a table; inside the graph they would be computed anew in each layer;
- the rotary half-turn swaps two halves by reading them in reverse order, with the sign in the table
  of sines: plain multiplications where a concatenation would break vectorisation, and no product
  more (turning the weights instead, rotate(x W) = x rotate(W), costs two a layer);
- causality is an added table, which needs no comparison of indices and nothing in the backward
  pass, and queries are taken in blocks, so most of what the mask would hide is never computed.
"""

from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

_BLOCKS = 4


def fits(config: Any) -> bool:
    """Is this a plain Llama (no biases, default rotary embedding, SiLU)?"""
    if config.model_type != "llama":
        return False
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        not config.attention_bias
        and not config.mlp_bias
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") == "default"
        and not config.attention_dropout
    )


class LlamaForward:
    """Token ids [b, t] -> the last hidden states [b, t, d], for t = `context` exactly."""

    def __init__(self, model: Any, context: int, recompute: bool) -> None:
        self.model, self.recompute = model.model, recompute
        config, device = model.config, model.device
        positions = torch.arange(context, device=device)
        example = torch.zeros(1, context, config.hidden_size, dtype=model.dtype, device=device)
        cos, sin = self.model.rotary_emb(example, positions[None])
        sign = torch.tensor([-1.0, 1.0], dtype=sin.dtype, device=device)[:, None]
        self.cos_t2w = cos[0].view(context, 2, -1).clone()
        self.sin_t2w = sin[0].view(context, 2, -1) * sign
        later = positions[None, :] > positions[:, None]
        self.mask_tt = torch.zeros(context, context, device=device).masked_fill(later, -1e30)
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads

    def __call__(self, inputs_bt: torch.Tensor, first: int = 0) -> torch.Tensor:
        """The states at positions from `first` on [b, t - first, d].

        The last layer computes no others, of which it needs keys and values only.
        """
        hidden = functional.embedding(inputs_bt, self.model.embed_tokens.weight)
        *layers, last = self.model.layers
        for layer, start in [*((layer, 0) for layer in layers), (last, first)]:
            if self.recompute and torch.is_grad_enabled():
                hidden = checkpoint(self._layer, layer, hidden, start, use_reentrant=False)
            else:
                hidden = self._layer(layer, hidden, start)
        return self._norm(hidden, self.model.norm)

    def _layer(self, layer: Any, hidden: torch.Tensor, first: int) -> torch.Tensor:
        hidden = hidden[:, first:] + self._attention(
            layer.self_attn, self._norm(hidden, layer.input_layernorm), first
        )
        normed, mlp = self._norm(hidden, layer.post_attention_layernorm), layer.mlp
        gate = functional.linear(normed, mlp.gate_proj.weight)
        up = functional.linear(normed, mlp.up_proj.weight)
        return hidden + functional.linear(functional.silu(gate) * up, mlp.down_proj.weight)

    @staticmethod
    def _norm(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
        wide = hidden.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + norm.variance_epsilon)
        weight: torch.Tensor = norm.weight
        return weight * (wide * scale).to(hidden.dtype)

    def _attention(self, module: Any, hidden_btd: torch.Tensor, first: int) -> torch.Tensor:
        batch, length, _ = hidden_btd.shape
        query = self._rotated(hidden_btd, module.q_proj.weight, self.heads, first)
        key = self._rotated(hidden_btd, module.k_proj.weight, self.groups)
        value = functional.linear(hidden_btd, module.v_proj.weight)
        value = value.view(batch, length, self.groups, -1).transpose(1, 2)
        if self.heads != self.groups:
            key = key.repeat_interleave(self.heads // self.groups, dim=1)
            value = value.repeat_interleave(self.heads // self.groups, dim=1)
        mixed = self._causal(query * module.scaling, key, value)
        return functional.linear(
            mixed.transpose(1, 2).reshape(batch, length - first, -1), module.o_proj.weight
        )

    def _rotated(
        self, hidden_btd: torch.Tensor, weight: torch.Tensor, heads: int, first: int = 0
    ) -> torch.Tensor:
        """Queries or keys [b, heads, t - first, width] with their rotary position."""
        hidden_btd, cos, sin = hidden_btd[:, first:], self.cos_t2w[first:], self.sin_t2w[first:]
        batch, length, width = *hidden_btd.shape[:2], weight.shape[0] // heads
        plain = functional.linear(hidden_btd, weight).view(batch, length, heads, 2, width // 2)
        rotated: torch.Tensor = plain * cos[:, None] + plain.flip(3) * sin[:, None]
        return rotated.view(batch, length, heads, width).transpose(1, 2)

    def _causal(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Softmax attention [b, h, q, width] of the last q positions, block by block of them."""
        length = key.shape[2]
        first = length - query.shape[2]
        if query.device.type != "cpu" and first == 0:
            return functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=1.0
            )
        step = -(-length // _BLOCKS)
        parts = []
        for start in range(first, length, step):
            stop = min(start + step, length)
            here = query[:, :, start - first : stop - first]
            scores = here @ key[:, :, :stop].transpose(-1, -2)
            weights = (scores.float() + self.mask_tt[start:stop, :stop]).softmax(-1)
            parts.append(weights.to(value.dtype) @ value[:, :, :stop])
        return torch.cat(parts, dim=2)
