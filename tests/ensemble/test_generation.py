"""Streaming: the pieces are the text, and the expert named is the one that weighed most."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from xelm.ensemble.generation import Piece, speak
from xelm.ensemble.model import XelmForCausalLM
from xelm.errors import UserError


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_pieces_are_the_text(bundle: Path, texts: Any, temperature: float) -> None:
    model = XelmForCausalLM.from_pretrained(bundle, top_m=1)
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    for language, owner in (("hi", "hi"), ("zh", "zh-ja"), ("ru", "ru-de")):
        told: list[Piece] = []
        prompt = texts[language][0][:50]
        text = speak(
            model,
            tokenizer,
            prompt,
            say=told.append,
            max_new_tokens=12,
            temperature=temperature,
            seed=3,
        )
        assert "".join(piece.text for piece in told) == text
        assert told[0].expert == owner and told[0].weight == 1.0
        again = speak(model, tokenizer, prompt, max_new_tokens=12, temperature=temperature, seed=3)
        assert again == text


def test_a_known_language_asks_its_owner(bundle: Path, texts: Any) -> None:
    model = XelmForCausalLM.from_pretrained(bundle)
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    told: list[Piece] = []
    speak(model, tokenizer, texts["en"][0][:30], say=told.append, language="tr", max_new_tokens=5)
    assert {piece.expert for piece in told} == {"ar-tr-el"}
    assert model.routing.kind == "unigram"  # as it was
    with pytest.raises(UserError, match="no expert owns it"):
        speak(model, tokenizer, "x", language="sw")


def test_an_empty_prompt_is_the_beginning_of_a_document(bundle: Path) -> None:
    model = XelmForCausalLM.from_pretrained(bundle)
    text = speak(model, AutoTokenizer.from_pretrained(bundle), "", max_new_tokens=5, seed=1)
    assert isinstance(text, str)
    assert torch.isfinite(model.expert_weights).all()
