"""Scores against an independent reading of the definition, with transformers alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from xelm.models import scoring

CONTEXT = 8


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
    )
    return LlamaForCausalLM(config).eval()


def reference(model: LlamaForCausalLM, document: np.ndarray) -> list[float]:
    """The definition, one window and one token at a time."""
    sequence, scores = [0, *document.tolist()], []
    begin = 0
    while len(scores) < len(document):
        window = sequence[begin : begin + CONTEXT + 1]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([window[:-1]])).logits[0].double()
        for offset in range(len(scores) - begin, len(window) - 1):
            scores.append(float(logits[offset].log_softmax(-1)[window[offset + 1]]))
        begin += CONTEXT // 2
    return scores


@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(0, 21), max_size=4), batch=st.sampled_from([1, 16, 4096]))
def test_scores_follow_the_definition(
    model: LlamaForCausalLM, lengths: list[int], batch: int
) -> None:
    chance = np.random.default_rng(len(lengths))
    documents = [chance.integers(1, 40, size=length) for length in lengths]
    found = scoring.token_log_probabilities(
        model, documents, end_of_text=0, context=CONTEXT, batch_tokens=batch
    )
    assert [len(scores) for scores in found] == lengths
    for document, scores in zip(documents, found, strict=True):
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, reference(model, document), atol=2e-5)


def test_bits_per_byte_and_perplexity_of_a_fair_coin() -> None:
    scores = [np.full(6, math.log(0.5), dtype=np.float32), np.full(2, math.log(0.5), np.float32)]
    assert scoring.bits_per_byte(scores, text_bytes=4) == pytest.approx(2.0)
    assert scoring.perplexity(scores) == pytest.approx(2.0)
