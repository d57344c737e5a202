"""Any causal LM trains, not only plain Llamas: the first loss and gradient step are its own."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    Qwen3Config,
    XGLMConfig,
)

from xelm.training.engine import Engine

CONTEXT = 16
SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT,
}
CONFIGS = {
    "gemma2, capped logits": Gemma2Config(
        **SMALL, sliding_window=8, pad_token_id=0, final_logit_softcapping=30.0
    ),
    "llama with biases": LlamaConfig(**SMALL, attention_bias=True, tie_word_embeddings=False),
    "qwen3": Qwen3Config(**SMALL, tie_word_embeddings=True),
    "gemma3": Gemma3TextConfig(**SMALL, sliding_window=8, pad_token_id=0),
    "xglm": XGLMConfig(
        vocab_size=60,
        d_model=32,
        num_layers=2,
        attention_heads=2,
        ffn_dim=48,
        max_position_embeddings=CONTEXT + 2,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        layerdrop=0.0,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_losses_are_those_of_the_model_itself(name: str) -> None:
    config = AutoConfig.for_model(**CONFIGS[name].to_dict())
    torch.manual_seed(0)
    peer = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    state = {n: p.detach().clone() for n, p in peer.named_parameters()}
    made = Engine(config, CONTEXT, 2)
    made.load(state | {n: b for n, b in peer.named_buffers() if n in peer.state_dict()})
    data = np.random.default_rng(0).integers(1, 60, size=(3, CONTEXT + 1))
    ids = torch.from_numpy(data)
    with torch.no_grad():
        logits = peer(input_ids=ids[:, :-1], use_cache=False).logits
        first = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    assert (made._hidden is None) == ("capped" in name)
    assert float(made.step(data, 1e-2)) == pytest.approx(float(first), rel=1e-4)
    assert float(made.step(data, 1e-2)) < float(first)
