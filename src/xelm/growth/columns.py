"""What a router must know of a new language: one column, fitted on its text alone.

Nothing that is there is refitted. The unigram router gets the language's piece counts; the
embedding gets a centroid, the mean of the new documents' unit vectors in the space as it stands. A
script that the space never saw has few pieces in it, or none: `blind` says how much of the text
the embedding cannot see, and the unigram column is then the one to trust.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.shards import TokenShards
from xelm.ensemble import fitting
from xelm.ensemble.routers.data import RouterData

_DOCUMENTS = 5000  # a centroid is a mean: more of them change it in no digit that matters
_AT_ONCE = 16


@dataclass(frozen=True)
class NewColumn:
    """What is added to the router for one language."""

    language: str
    counts: NDArray[np.int64] | None
    """How often its text holds each piece, [1, vocabulary]."""
    centroid: NDArray[np.float64] | None
    """Mean of its documents' embeddings, [1, d]."""
    blind: float | None
    """Part of its tokens whose pieces the embedding knows nothing of; None without embedding."""

    def grow(self, data: RouterData, expert: str, tokens: int) -> RouterData:
        """`data` with this column, answered for by `expert`; every old column as it stood."""
        return data.with_columns(
            expert,
            {self.language: tokens},
            counts=self.counts if data.unigram is not None else None,
            centroids=self.centroid if data.tfidf is not None else None,
        )


def fit(data: RouterData, shards: TokenShards, language: str) -> NewColumn:
    """The column of a language from its train text; all that the bundle's routers need of it."""
    from xelm.corpus.share import Share

    share = Share.of(shards, {language: None})
    counts = fitting.piece_counts(share, shards, language)[None]
    if data.tfidf is None:
        return NewColumn(language, counts, None, None)
    return NewColumn(language, counts, _centroid(data, shards, language), _blind(data, counts[0]))


def _centroid(data: RouterData, shards: TokenShards, language: str) -> NDArray[np.float64]:
    count = shards.count(language)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _DOCUMENTS)).astype(int))
    assert data.tfidf is not None
    total = np.zeros((1, data.tfidf.centroids.shape[1]))
    for start in range(0, len(chosen), _AT_ONCE):
        rows = [
            np.bincount(shards.document(language, int(index)), minlength=shards.vocabulary)
            for index in chosen[start : start + _AT_ONCE]
        ]
        total += data.embed(np.stack(rows)).sum(0)
    return total / len(chosen)


def _blind(data: RouterData, counts: NDArray[Any]) -> float:
    """Part of the tokens that add nothing to the embedding."""
    assert data.tfidf is not None
    if data.tfidf.words is not None:
        return float("nan")
    seen = (data.tfidf.idf != 0) & (np.abs(data.tfidf.rows).sum(1) > 1e-6)
    read = counts.astype(np.float64)
    read[list(data.silent)] = 0.0
    return float(1.0 - read[seen].sum() / max(1.0, read.sum()))
