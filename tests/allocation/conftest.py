"""Data for the tests of allocation: blobs on a sphere, like embedded documents, and the reader."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

Blobs = Callable[..., npt.NDArray[np.float32]]


def draw_blobs(
    n: int, dims: int = 20, blobs: int = 12, noise: float = 0.6, seed: int = 0
) -> npt.NDArray[np.float32]:
    """n unit vectors [n, dims] around blobs of Zipf-weighted sizes."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(blobs, dims))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    share = 1 / np.arange(1, blobs + 1)
    X = centers[generator.choice(blobs, n, p=share / share.sum())]
    X = X + noise / np.sqrt(dims) * generator.normal(size=(n, dims))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def blobs() -> Blobs:
    return draw_blobs


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus folder of the reader in eight languages of six scripts."""
    from xelm.corpus.prepare import prepare
    from xelm.corpus.settings import CorpusSettings

    folder = tmp_path_factory.mktemp("reader") / "corpus"
    languages = ["ar", "bg", "de", "en", "hi", "ja", "ru", "zh"]
    settings = CorpusSettings(train="sample", languages=languages, vocabulary=1500, context=64)
    prepare(settings, folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with empty documents, repeated ones and one in characters of its own."""
    from xelm.corpus import shards, tokenizer
    from xelm.corpus.documents import Document

    texts = ["the cat sat on the mat"] * 9 + ["", "ქართული", ""] + [f"word {n}" for n in range(8)]
    documents = [Document(text, "en", f"d{n}", f"d{n}", "t") for n, text in enumerate(texts)]
    folder = tmp_path_factory.mktemp("odd") / "corpus"
    learnt = tokenizer.train(documents, 300)
    split = dict.fromkeys(("train", "dev", "heldout"), documents)
    shards.build(split, learnt, folder, workers=1)
    return folder
