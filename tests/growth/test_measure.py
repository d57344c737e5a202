"""Figures of a bundle against plain computations with transformers and the router alone."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import CONTEXT
from transformers import AutoModelForCausalLM

from xelm.ensemble import manifest as manifests
from xelm.ensemble.mixing import document_weights
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import parse
from xelm.growth import measure
from xelm.growth.measure import BundleFigures, Texts


@pytest.fixture
def texts(run: Path) -> Texts:
    return Texts.of_shards(run / "corpus", "heldout", limit=200, languages=None)


def reference(folder: Path, ids: np.ndarray) -> np.ndarray:
    """log p of every token, window by window as the definition says."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    whole = np.concatenate([[0], ids])
    found, done = [], 0
    while done < len(ids):
        stop = min(len(ids), done + (CONTEXT if done == 0 else CONTEXT // 2))
        start = max(0, done - CONTEXT // 2)
        with torch.no_grad():
            logits = model(torch.tensor(whole[start:stop][None])).logits[0].double()
        logs = logits.log_softmax(-1)
        found += [float(logs[t - start, ids[t]]) for t in range(done, stop)]
        done = stop
    return np.array(found)


def test_limit_takes_whole_documents(run: Path) -> None:
    some = Texts.of_shards(run / "corpus", "heldout", limit=100, languages=["en", "xx"])
    assert some.languages == ["en"] and len(some.ids["en"]) == 2
    assert sum(some.bytes["en"][:1]) < 100 <= sum(some.bytes["en"])


def test_own_is_the_owners_bits_per_byte(bundle: Path, texts: Texts) -> None:
    manifest = manifests.read(bundle)
    found = BundleFigures(bundle, manifest, texts, CONTEXT).own()
    for language, expert in (("en", "en-sw"), ("ru", "ru"), ("sw", "en-sw")):
        folder = bundle / manifest.expert(expert).folder
        logs = [reference(folder, ids).sum() for ids in texts.ids[language]]
        expected = -sum(logs) / math.log(2) / sum(texts.bytes[language])
        assert found[language] == pytest.approx(expected, abs=1e-6)
        assert measure.of_model(folder, texts, CONTEXT)[language] == found[language]


@pytest.mark.parametrize(
    "settings", [{"kind": "uniform"}, {"kind": "unigram"}, {"kind": "tfidf", "top_m": 1}]
)
def test_routed_is_the_mixture_that_the_router_says(
    bundle: Path, texts: Texts, settings: dict[str, Any]
) -> None:
    manifest = manifests.read(bundle)
    router = manifest.router.model_copy(
        update={"kind": settings["kind"], "settings": {"top_m": settings.get("top_m")}}
    )
    manifest = manifest.model_copy(update={"router": router})
    figures = BundleFigures(bundle, manifest, texts, CONTEXT)
    found = figures.routed()
    data = RouterData.load(bundle / manifest.router.folder).with_fallback("seed")
    kind = build(parse(settings), data)
    assert manifest.seed is not None and manifest.seed.folder is not None
    folders = [*(expert.folder for expert in manifest.experts), manifest.seed.folder]
    for language in texts.languages:
        total = 0.0
        for ids in texts.ids[language]:
            weights = document_weights(kind, ids)
            if settings.get("top_m") == 1:
                weights = np.eye(weights.shape[1])[weights.argmax(1)]
            logs = np.stack([reference(bundle / each, ids) for each in folders], axis=1)
            total += float(np.log((weights * np.exp(logs)).sum(1)).sum())
        expected = -total / math.log(2) / sum(texts.bytes[language])
        assert found[language] == pytest.approx(expected, abs=1e-5)
        assert len(figures.first()[language]) == len(texts.ids[language])


def test_languages_nobody_owns_are_left_out(bundle: Path, texts: Texts) -> None:
    texts.add("xx", np.array([1, 2, 3]), 3)
    manifest = manifests.read(bundle)
    assert set(BundleFigures(bundle, manifest, texts, CONTEXT).own()) == {"en", "ru", "sw"}
