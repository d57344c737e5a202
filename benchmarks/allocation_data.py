"""What benchmarks/allocation.py is measured on: blobs of known shape, and a corpus of real text."""

from pathlib import Path

import numpy as np

from xelm.allocation import chunks
from xelm.allocation.embedding import Embedding, fit, informative
from xelm.allocation.terms import everything
from xelm.corpus.shards import TokenShards

DIMS = 100


def blobs(n: int, noise: float = 1.0, seed: int = 0, count: int = 20) -> np.ndarray:
    """Blobs of Zipf-weighted sizes on the sphere, float32 [n, 100]; made chunk by chunk."""
    centers = np.random.default_rng(0).normal(size=(count, DIMS)).astype(np.float32)
    generator = np.random.default_rng(seed + 1)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    share = 1 / np.arange(1, count + 1)
    X = np.empty((n, DIMS), dtype=np.float32)
    for chunk in chunks.slices(n, 100_000):
        which = generator.choice(count, chunk.stop - chunk.start, p=share / share.sum())
        rows = generator.standard_normal((len(which), DIMS), dtype=np.float32)
        rows = centers[which] + noise / np.sqrt(DIMS) * rows
        X[chunk] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return X


def embedded(corpus: Path, terms: str = "pieces") -> np.ndarray:
    """Embeddings of all informative documents of a corpus folder, float32 [n, 100]."""
    shards = TokenShards(corpus, "train")
    X = embed_all(shards, fit(shards, terms=terms))
    return X[informative(X)]


def embed_all(shards: TokenShards, embedding: Embedding) -> np.ndarray:
    """Embeddings of all documents, float32 [n, 100]."""
    return np.concatenate([embedding.embed(shards, part) for part in everything(shards)])
