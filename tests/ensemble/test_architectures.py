"""Experts of other families: absolute positions, grouped heads, sliding windows."""

from typing import Any

import numpy as np
import pytest
import torch
from cached import steps
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    XGLMConfig,
    XGLMForCausalLM,
)

from xelm.ensemble.config import XelmConfig
from xelm.ensemble.model import XelmForCausalLM
from xelm.ensemble.routers.columns import Column
from xelm.ensemble.routers.data import RouterData, UnigramData
from xelm.ensemble.routing import Routing

VOCABULARY = 60
FAMILIES = {
    "xglm": lambda: XGLMForCausalLM(
        XGLMConfig(
            vocab_size=VOCABULARY,
            d_model=32,
            ffn_dim=48,
            num_layers=2,
            attention_heads=2,
            init_std=0.3,
            dropout=0.0,
            attention_dropout=0.0,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3)
    ),
    "qwen3": lambda: Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            initializer_range=0.3,
        )
    ),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            sliding_window=7,
            layer_types=["sliding_attention", "full_attention"],
            initializer_range=0.3,
        )
    ),
}


def team(family: str, **routing: Any) -> XelmForCausalLM:
    """Three experts, and a router that changes its mind every few tokens."""
    torch.manual_seed(0)
    dtype = torch.float32 if family == "xglm" else torch.float64  # its own mask knows no float64
    experts = [FAMILIES[family]().to(dtype).eval() for _ in range(3)]
    names = ("a", "b", "c")
    counts = np.random.default_rng(1).integers(1, 30, (3, VOCABULARY))
    columns = tuple(Column(name, name, 1) for name in names)
    data = RouterData(
        names, {name: {name: 1} for name in names}, unigram=UnigramData(columns, counts)
    )
    config = XelmConfig.of_expert(experts[0].config)
    return XelmForCausalLM(config, experts, data, Routing(**routing)).eval()


def text(seed: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and positions of a left-padded batch."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, VOCABULARY, (3, 26), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, :4], mask[2, :9] = 0, 0
    return ids, mask, (mask.cumsum(1) - 1).clamp_min(0)


@pytest.mark.parametrize("top_m", [1, 2])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_steps_equal_one_pass(family: str, top_m: int) -> None:
    model = team(family, top_m=top_m)
    ids, mask, positions = text()
    with torch.no_grad():
        whole = model(ids, mask, positions, use_cache=False)
        expected, spoke = whole.logits.log_softmax(-1), model.expert_weights
        assert spoke is not None
        switches = (spoke[:, 1:].argmax(-1) != spoke[:, :-1].argmax(-1)).sum()
        assert switches > 10
    bound = 2e-4 if family == "xglm" else 1e-9
    for read, found in steps(model, ids, mask, positions, [11, 12, 13, *range(17, 27)]):
        real = mask[:, read].bool()
        assert (found[real] - expected[:, read][real]).abs().max() < bound


@pytest.mark.parametrize("family", list(FAMILIES))
def test_beams(family: str) -> None:
    model = team(family, top_m=1)
    ids, mask, _ = text(5)
    settings = {"num_beams": 3, "max_new_tokens": 10, "do_sample": False, "eos_token_id": None}
    settings["pad_token_id"] = 0
    cached = model.generate(ids, attention_mask=mask, **settings)
    whole = model.generate(ids, attention_mask=mask, use_cache=False, **settings)
    assert torch.equal(cached, whole)
