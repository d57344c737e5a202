"""The mixture model against the plain experts and a brute-force mixture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cached import steps
from transformers import AutoModelForCausalLM, AutoTokenizer

import xelm  # noqa: F401  registers the model type
from xelm.ensemble.mixing import keep_largest
from xelm.ensemble.model import XelmForCausalLM


def padded(documents: list[np.ndarray], side: str = "left") -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of a batch, padded with 0."""
    length = max(len(ids) for ids in documents)
    ids = torch.zeros(len(documents), length, dtype=torch.long)
    mask = torch.zeros(len(documents), length, dtype=torch.long)
    for row, document in enumerate(documents):
        place = slice(length - len(document), length) if side == "left" else slice(len(document))
        ids[row, place] = torch.tensor(document)
        mask[row, place] = 1
    return ids, mask


def brute_force(model: Any, ids_bt: torch.Tensor, mask_bt: torch.Tensor) -> torch.Tensor:
    """log of the weighted sum of probabilities, every expert on everything, in float64."""
    weights = model.router.weights(ids_bt, mask_bt)
    weights = keep_largest(weights, model.routing.top_m, model.routing.negligible)
    positions = (mask_bt.cumsum(1) - 1).clamp_min(0)
    total: Any = 0.0
    for index, expert in enumerate(model.experts):
        logits = expert(input_ids=ids_bt, attention_mask=mask_bt, position_ids=positions).logits
        total = total + weights[..., index : index + 1] * logits.double().softmax(-1)
    return total.log()


@pytest.mark.parametrize("top_m", [1, 2, None])
@pytest.mark.parametrize("router", ["unigram", "tfidf"])
def test_forward_equals_brute_force(
    bundle: Path, encode: Any, texts: Any, switching: str, router: str, top_m: int | None
) -> None:
    model = XelmForCausalLM.from_pretrained(
        bundle, router=router, top_m=top_m, dtype=torch.float64, negligible=0.0
    )
    documents = encode([switching, texts["el"][0][:40], texts["ja"][1][:30]])
    ids, mask = padded(documents)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    with torch.no_grad():
        output = model(ids, mask, positions, use_cache=False)
        expected = brute_force(model, ids, mask)
    real = mask.bool()
    found = output.logits.log_softmax(-1)
    assert (found[real] - expected[real]).abs().max() < 1e-9


@pytest.mark.parametrize("top_m", [1, 2, None])
def test_steps_equal_one_pass(
    bundle: Path, encode: Any, texts: Any, switching: str, top_m: int | None
) -> None:
    model = XelmForCausalLM.from_pretrained(bundle, top_m=top_m, dtype=torch.float64)
    documents = encode([switching, texts["el"][0][:40], texts["ja"][1][:30]])
    ids, mask = padded(documents)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    with torch.no_grad():
        expected = model(ids, mask, positions, use_cache=False).logits.log_softmax(-1)
    for read, found in steps(model, ids, mask, positions, [1, 2, 9, *range(10, ids.shape[1] + 1)]):
        real = mask[:, read].bool()
        if real.any():
            assert (found[real] - expected[:, read][real]).abs().max() < 1e-9


def test_one_expert_is_the_plain_model(single: Path, encode: Any, texts: Any) -> None:
    team = AutoModelForCausalLM.from_pretrained(single)
    assert isinstance(team, XelmForCausalLM)
    plain = AutoModelForCausalLM.from_pretrained(next((single / "experts").iterdir()))
    ids, mask = padded(encode([texts["en"][0][:80], texts["es"][1][:50]]))
    with torch.no_grad():
        assert torch.equal(team(ids, mask).logits, plain(ids, mask).logits)
    for settings in (
        {"do_sample": False},
        {"num_beams": 3, "do_sample": False},
        {"do_sample": True, "top_k": 20},
    ):
        torch.manual_seed(5)
        one = team.generate(ids, attention_mask=mask, max_new_tokens=12, **settings)
        torch.manual_seed(5)
        other = plain.generate(ids, attention_mask=mask, max_new_tokens=12, **settings)
        assert torch.equal(one, other)


def test_tokenizer_of_the_bundle_loads(bundle: Path, tokenizer: Any) -> None:
    loaded = AutoTokenizer.from_pretrained(bundle)
    assert loaded("ein Satz").input_ids == tokenizer("ein Satz").input_ids


def test_generation_equals_steps_by_hand(bundle: Path, encode: Any, texts: Any) -> None:
    """Greedy text of a left-padded batch in three languages, against one full pass a token."""
    model = AutoModelForCausalLM.from_pretrained(bundle, top_m=2, dtype=torch.float64)
    ids, mask = padded(encode([texts[lang][2][:50] for lang in ("en", "hi", "zh")]))
    with torch.no_grad():
        found = model.generate(
            ids, attention_mask=mask, max_new_tokens=15, do_sample=False, eos_token_id=None
        )
        for _ in range(15):
            positions = (mask.cumsum(1) - 1).clamp_min(0)
            logits = model(ids, mask, positions, use_cache=False).logits[:, -1]
            ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], 1)
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)
    assert torch.equal(found, ids)


@pytest.mark.parametrize("top_m", [1, 2])
def test_beams_that_diverge_in_experts(bundle: Path, encode: Any, texts: Any, top_m: int) -> None:
    model = XelmForCausalLM.from_pretrained(bundle, top_m=top_m, dtype=torch.float64)
    ids, mask = padded(encode([texts["de"][2][:3], texts["tr"][3][:30]]))
    beams = 4
    diverged = 0

    def count(module: Any, inputs: Any, output: Any) -> None:
        nonlocal diverged
        first = module.expert_weights[:, -1].argmax(-1)
        diverged += len(first) == 2 * beams and len(set(first[:beams].tolist())) > 1

    model.register_forward_hook(count)
    settings = {"num_beams": beams, "max_new_tokens": 20, "do_sample": False, "eos_token_id": None}
    with torch.no_grad():
        cached = model.generate(ids, attention_mask=mask, **settings)
        assert diverged, "all beams of a text asked the same expert"
        whole = model.generate(ids, attention_mask=mask, use_cache=False, **settings)
    assert torch.equal(cached, whole)


def test_unchosen_experts_do_not_run(bundle: Path, encode: Any, texts: Any) -> None:
    model = XelmForCausalLM.from_pretrained(bundle, top_m=1)
    ran: dict[str, int] = dict.fromkeys(model.names, 0)
    for name, expert in zip(model.names, model.experts, strict=True):
        expert.register_forward_hook(lambda *_, name=name: ran.__setitem__(name, ran[name] + 1))
    ids, mask = padded(encode([texts["hi"][0][:80]]))
    model.generate(ids, attention_mask=mask, max_new_tokens=3, do_sample=False)
    chosen = {name for name, count in ran.items() if count}
    assert "hi" in chosen
    spoke = {model.names[i] for i in model.expert_weights.sum((0, 1)).nonzero().flatten()}
    assert spoke <= chosen
    ran.update(dict.fromkeys(ran, 0))
    model.generate(ids, attention_mask=mask, max_new_tokens=5, do_sample=False, language="el")
    assert {name for name, count in ran.items() if count} == {"ar-tr-el"}
    assert ran["ar-tr-el"] == 5


def test_each_row_may_have_its_own_language(bundle: Path, encode: Any, texts: Any) -> None:
    """Known languages row by row, with beams: each row as its owner alone would write it."""
    model = XelmForCausalLM.from_pretrained(bundle, dtype=torch.float64)
    ids, mask = padded(encode([texts["en"][0][:30], texts["en"][1][:50]]))
    settings: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 8, "eos_token_id": None}
    found = model.generate(ids, attention_mask=mask, language=["zh", "tr"], **settings)
    for row, owner in enumerate(("zh-ja", "ar-tr-el")):
        expert = model.experts[model.names.index(owner)]
        alone = expert.generate(ids, attention_mask=mask, **settings)
        assert torch.equal(found[row], alone[row])
