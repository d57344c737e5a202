"""Our Llama forward is transformers' function, and so are its gradients."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xelm.training import llama


def model(heads: int, groups: int, **more: object) -> LlamaForCausalLM:
    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=heads,
            num_key_value_heads=groups,
            intermediate_size=48,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            initializer_range=0.3,
            **more,
        )
    ).double()


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (2, 1)])
@pytest.mark.parametrize("length", [1, 7, 64])
@pytest.mark.parametrize("recompute", [False, True])
def test_hidden_states_and_gradients_are_those_of_transformers(
    heads: int, groups: int, length: int, recompute: bool
) -> None:
    peer = model(heads, groups)
    forward = llama.LlamaForward(peer, length, recompute)
    ids = torch.randint(0, 50, (3, length))
    ours, theirs = forward(ids), peer.model(input_ids=ids, use_cache=False).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    direction = torch.randn_like(theirs)
    parameters = list(peer.model.parameters())
    gradients = [
        torch.autograd.grad((hidden * direction).sum(), parameters) for hidden in (ours, theirs)
    ]
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("first", [0, 1, 17, 32, 63])
def test_the_last_positions_alone(first: int) -> None:
    peer = model(4, 2)
    ids = torch.randint(0, 50, (3, 64))
    ours = llama.LlamaForward(peer, 64, recompute=False)(ids, first)
    theirs = peer.model(input_ids=ids, use_cache=False).last_hidden_state[:, first:]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_only_plain_llamas_take_this_way() -> None:
    assert llama.fits(model(4, 2).config)
    assert not llama.fits(model(4, 2, attention_bias=True).config)
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    assert not llama.fits(model(4, 2, rope_parameters=scaled).config)
