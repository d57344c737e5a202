"""Tiny bundles of random experts: exactness does not need models that know anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xelm.corpus import sample
from xelm.corpus import tokenizer as tokenizers
from xelm.ensemble.bundle import Part, create
from xelm.ensemble.fitting import by_language, choose_columns, count_pieces
from xelm.ensemble.routers.columns import Column
from xelm.ensemble.routers.data import RouterData, TfidfData, UnigramData
from xelm.ensemble.routing import Routing

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ja", "ru", "tr", "zh")
SWITCHING = ("en", "ru", "hi", "zh", "ar")


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return tokenizers.train(sample.documents("train", LANGUAGES), 600)


@pytest.fixture(scope="session")
def encode(tokenizer: Any) -> Any:
    def encode_texts(texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array(ids) for ids in tokenizers.encode(tokenizer, texts)]

    return encode_texts


@pytest.fixture(scope="session")
def texts() -> dict[str, list[str]]:
    """Held-out passages of the reader by language."""
    found: dict[str, list[str]] = {}
    for document in sample.documents("heldout", LANGUAGES):
        found.setdefault(document.language, []).append(document.text)
    return found


@pytest.fixture(scope="session")
def switching(texts: dict[str, list[str]]) -> str:
    """One text that changes its language five times, and comes back."""
    parts = [texts[language][index][:28] for index, language in enumerate(SWITCHING)]
    return " ".join([*parts, texts["en"][7][:28]])


def tiny_model(vocabulary: int, torch_seed: int, **changes: Any) -> LlamaForCausalLM:
    """A random Llama of one layer whose distributions are far from flat."""
    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    with torch.random.fork_rng():
        torch.manual_seed(torch_seed)
        return LlamaForCausalLM(LlamaConfig(**{**settings, **changes})).eval()


@pytest.fixture(scope="session")
def make_model() -> Any:
    """`tiny_model` for tests, which must not import a conftest: several have that name."""
    return tiny_model


@pytest.fixture(scope="session")
def counts(tokenizer: Any, encode: Any) -> dict[str, np.ndarray]:
    """Piece counts of the reader's train passages by language."""
    return {
        language: count_pieces(
            encode([d.text for d in sample.documents("train", [language])]), len(tokenizer)
        )
        for language in LANGUAGES
    }


@pytest.fixture(scope="session")
def router_data(counts: dict[str, np.ndarray]) -> Any:
    """Build RouterData for experts given as name -> languages, with both kinds of learnt router."""

    def make(experts: dict[str, Sequence[str]]) -> RouterData:
        tokens = {
            name: {language: int(counts[language].sum()) for language in languages}
            for name, languages in experts.items()
        }
        columns = choose_columns(tokens)
        rows = np.stack([counts[column.language] for column in columns])
        return RouterData(
            experts=tuple(experts),
            languages=by_language(tokens),
            silent=(0,),
            tfidf=tiny_embedding(rows, columns),
            unigram=UnigramData(columns, rows),
        )

    return make


def tiny_embedding(counts: np.ndarray, columns: tuple[Column, ...]) -> TfidfData:
    """TF-IDF with each column's text as one document, all its singular vectors."""
    idf = np.log((1 + len(counts)) / (1 + (counts > 0).sum(0))) + 1
    scaled = counts * idf
    scaled[:, 0] = 0
    scaled = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    right = np.linalg.svd(scaled, full_matrices=False)[2]
    centroids = scaled @ right.T
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return TfidfData(columns, idf, right.T.astype(np.float32), centroids)


EXPERTS = {
    "en-es": ("en", "es"),
    "ru-de": ("ru", "de"),
    "hi": ("hi",),
    "zh-ja": ("zh", "ja"),
    "ar-tr-el": ("ar", "tr", "el"),
}


@pytest.fixture(scope="session")
def experts_on_disk(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> dict[str, Path]:
    """Five random experts as finished Hugging Face folders."""
    from xelm.models import seed

    root = tmp_path_factory.mktemp("models")
    for number, name in enumerate(EXPERTS):
        model = tiny_model(len(tokenizer), number)
        seed.save(model, tokenizer, root / name, {"job": name})
    return {name: root / name for name in EXPERTS}


@pytest.fixture(scope="session")
def make_bundle(experts_on_disk: dict[str, Path], router_data: Any) -> Any:
    """Write a bundle of some of the experts."""

    def make(out: Path, names: Sequence[str] = tuple(EXPERTS), **routing: Any) -> Path:
        data = router_data({name: EXPERTS[name] for name in names})
        parts = [
            Part(
                name,
                experts_on_disk[name],
                {
                    language: owned[name]
                    for language, owned in data.languages.items()
                    if name in owned
                },
            )
            for name in names
        ]
        create(out, parts, data, Routing(**routing))
        return out

    return make


@pytest.fixture(scope="session")
def bundle(make_bundle: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of all five experts; tests must not change it."""
    made: Path = make_bundle(tmp_path_factory.mktemp("bundles") / "five")
    return made


@pytest.fixture(scope="session")
def single(make_bundle: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one expert; tests must not change it."""
    made: Path = make_bundle(tmp_path_factory.mktemp("bundles") / "one", ["en-es"])
    return made
