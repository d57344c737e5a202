"""Scoring against every expert on everything, and against transformers alone."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xelm.corpus.documents import Document
from xelm.ensemble import scoring
from xelm.ensemble.mixing import document_weights, keep_largest
from xelm.ensemble.model import XelmForCausalLM
from xelm.errors import UserError
from xelm.models import scoring as plain

CONTEXT = 32


def everything(model: Any, documents: list[np.ndarray]) -> list[np.ndarray]:
    """log p of each token, every expert on every window, mixed in float64 with all weights."""
    k = len(model.experts)
    logs = [np.zeros((k, len(ids))) for ids in documents]
    chosen = [w for n, ids in enumerate(documents) for w in plain.windows(n, len(ids), CONTEXT)]
    for index, expert in enumerate(model.experts):
        rows = [part[index] for part in logs]
        plain.score_windows(expert, documents, chosen, rows, end_of_text=0)
    mixed = []
    for ids, part in zip(documents, logs, strict=True):
        needs = model.router.needs_likelihood
        weights = torch.tensor(document_weights(model.router, ids, part if needs else None))
        kept = keep_largest(weights, model.routing.top_m, model.routing.negligible).numpy()
        mixed.append(np.log((np.exp(part.T) * kept).sum(1)))
    return mixed


@pytest.fixture(scope="module")
def documents(encode: Any, texts: Any, switching: str) -> list[np.ndarray]:
    """Long, short, empty, switching."""
    whole: list[np.ndarray] = encode([switching, texts["el"][0], "a", texts["ja"][1][:60]])
    return [whole[0], np.zeros(0, dtype=np.int64), *whole[1:]]


@pytest.mark.parametrize("kind", ["unigram", "tfidf", "posterior", "uniform"])
@pytest.mark.parametrize("top_m", [1, 2, None])
def test_equals_every_expert_on_everything(
    bundle: Path, documents: list[np.ndarray], kind: str, top_m: int | None
) -> None:
    model = XelmForCausalLM.from_pretrained(
        bundle, router=kind, top_m=top_m, dtype=torch.float64, negligible=0.0
    )
    found = list(scoring.token_log_probabilities(model, documents, end_of_text=0, context=CONTEXT))
    for (logs, weights), expected in zip(found, everything(model, documents), strict=True):
        assert weights.shape == (len(logs), 5)
        np.testing.assert_allclose(logs, expected, atol=1e-9)


def test_stretches_do_not_show(
    bundle: Path, documents: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text longer than what is held at once is scored as if it were held."""
    for settings in ({}, {"route_every": "sequence", "route_tokens": 25}, {"router": "posterior"}):
        model = XelmForCausalLM.from_pretrained(bundle, dtype=torch.float64, **settings)
        monkeypatch.setattr(scoring, "_TOKENS_AT_ONCE", 1 << 18)
        arguments = {"end_of_text": 0, "context": CONTEXT}
        whole = list(scoring.token_log_probabilities(model, documents, **arguments))
        monkeypatch.setattr(scoring, "_TOKENS_AT_ONCE", 20)
        parts = list(scoring.token_log_probabilities(model, documents, **arguments))
        for (one, weights), (other, other_weights) in zip(whole, parts, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-9)
            np.testing.assert_allclose(weights, other_weights, atol=1e-9)


def test_float32_is_as_near_as_the_plain_expert(bundle: Path, documents: list[np.ndarray]) -> None:
    """The sparse path differs from the full one by float32's noise at most."""
    model = XelmForCausalLM.from_pretrained(bundle, top_m=2)
    found = scoring.token_log_probabilities(model, documents, end_of_text=0, context=CONTEXT)
    for (logs, _), expected in zip(found, everything(model, documents), strict=True):
        np.testing.assert_allclose(logs, expected, atol=2e-4)


def test_an_expert_reads_up_to_its_last_choice_only(bundle: Path, encode: Any, texts: Any) -> None:
    model = XelmForCausalLM.from_pretrained(bundle, top_m=1)
    read = dict.fromkeys(model.names, 0)

    def count(name: str, arguments: dict[str, Any]) -> None:
        read[name] += arguments["input_ids"].numel()

    for name, expert in zip(model.names, model.experts, strict=True):
        expert.register_forward_pre_hook(
            lambda _, __, arguments, name=name: count(name, arguments), with_kwargs=True
        )
    hindi = encode([texts["hi"][0]])
    (_, weights) = next(
        scoring.token_log_probabilities(model, hindi, end_of_text=0, context=CONTEXT)
    )
    chosen = {name for name, w in zip(model.names, weights.sum(0), strict=True) if w}
    assert {name for name, tokens in read.items() if tokens} == chosen
    assert "hi" in chosen and len(chosen) > 1
    late = np.flatnonzero(weights[:, model.names.index("hi")] == 0).max()
    others = sum(tokens for name, tokens in read.items() if name != "hi")
    assert late < CONTEXT and others <= (len(chosen) - 1) * (late + 1)


def test_bits_per_byte_of_one_expert_by_transformers_alone(single: Path, texts: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    team = XelmForCausalLM.from_pretrained(single)
    tokenizer = AutoTokenizer.from_pretrained(single)
    expert = AutoModelForCausalLM.from_pretrained(next((single / "experts").iterdir()))
    found = [
        Document(texts[language][0][:200], language, language, language, "reader")
        for language in ("en", "ar", "hi", "zh", "ru")
    ]
    scored = scoring.score(team, tokenizer, found, context=512)
    totals = scoring.totals(team, scored)
    for document in found:
        ids = torch.tensor([[0, *tokenizer(document.text, add_special_tokens=False).input_ids]])
        with torch.no_grad():
            loss = expert(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        expected = loss / math.log(2) / len(document.text.encode())
        assert abs(totals[document.language].bits_per_byte - expected) < 1e-6


def test_the_owner_answers_for_a_known_language(bundle: Path, tokenizer: Any, texts: Any) -> None:
    model = XelmForCausalLM.from_pretrained(bundle)
    documents = [Document(texts["tr"][0], "tr", "1", "1", "reader")]
    totals = scoring.totals(model, scoring.score(model, tokenizer, documents, own=True))
    assert totals["tr"].weights["ar-tr-el"] == totals["tr"].tokens
    assert totals["tr"].perplexity > 1
    with pytest.raises(UserError, match="no expert owns it"):
        unknown = [Document("x", "sw", "1", "1", "reader")]
        list(scoring.score(model, tokenizer, unknown, own=True))


def test_weights_that_saw_the_text_are_refused(bundle: Path, documents: list[np.ndarray]) -> None:
    model = XelmForCausalLM.from_pretrained(bundle, route_every="sequence")
    with pytest.raises(UserError, match="needs route_tokens"):
        next(scoring.token_log_probabilities(model, documents, end_of_text=0, context=CONTEXT))


def test_settled_weights_agree_with_the_model(bundle: Path, encode: Any, texts: Any) -> None:
    """`sequence` in scoring is what forward and cached steps do."""
    model = XelmForCausalLM.from_pretrained(
        bundle, route_every="sequence", route_tokens=6, dtype=torch.float64
    )
    ids = encode([texts["zh"][0]])[0][:20]
    ((logs, weights),) = scoring.token_log_probabilities(model, [ids], end_of_text=0, context=64)
    inputs = torch.tensor([[0, *ids]])  # end-of-text counts as a token of the sequence here
    model.route_by(model.routing.override(route_tokens=7))
    with torch.no_grad():
        once = model(inputs[:, :-1], use_cache=False).logits.log_softmax(-1)
        np.testing.assert_allclose(model.expert_weights[0].numpy(), weights, atol=1e-12)
        steps, cache = [], None
        for at in range(inputs.shape[1] - 1):
            output = model(inputs[:, at : at + 1], past_key_values=cache, use_cache=True)
            steps.append(output.logits.log_softmax(-1))
            cache = output.past_key_values
    for found in (once, torch.cat(steps, 1)):
        picked = found[0].gather(-1, inputs[0, 1:, None])[:, 0]
        np.testing.assert_allclose(picked.numpy(), logs, atol=1e-9)
