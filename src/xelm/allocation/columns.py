"""What each expert holds, in the terms that routers and people read: centroids and piece counts."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from xelm.allocation import chunks
from xelm.allocation.embedding import Embedding, fit, informative
from xelm.allocation.result import Allocation
from xelm.allocation.routing_file import Column, RoutingFile
from xelm.allocation.terms import Documents, Words, chunked, token_rows
from xelm.corpus.shards import TokenShards

AVERAGED = 50_000
"""Documents of all experts together whose embeddings are averaged, at most."""


def routing_file(shards: TokenShards, outcome: Allocation, seed: int) -> RoutingFile:
    """The embedding of an allocation, and a centroid for each expert (where the method has them)
    or for each language of each expert."""
    embedding = outcome.embedding or fit(shards, seed=seed)
    terms = embedding.terms
    if outcome.centers is not None:
        columns = tuple(
            Column(None, expert, sum(_tokens(shards, outcome, expert).values()))
            for expert in outcome.experts
        )
        points = outcome.centers
    else:
        columns = tuple(
            Column(language, expert, tokens)
            for expert in outcome.experts
            for language, tokens in _tokens(shards, outcome, expert).items()
        )
        points = _mean_points(shards, outcome, embedding, columns)
    words = terms.vocabulary if isinstance(terms, Words) else None
    return RoutingFile(embedding.idf, embedding.rows, points, columns, words)


def documents_of(shards: TokenShards, outcome: Allocation, expert: str) -> Iterator[Documents]:
    """An expert's documents, one language at a time."""
    for language, chosen in outcome.experts[expert].items():
        indices = np.arange(shards.count(language)) if chosen is None else chosen
        if len(indices):
            yield Documents(language, indices)


def _tokens(shards: TokenShards, outcome: Allocation, expert: str) -> dict[str, int]:
    return {
        held.language: int(np.diff(shards.starts(held.language))[held.indices].sum())
        for held in documents_of(shards, outcome, expert)
    }


def _mean_points(
    shards: TokenShards, outcome: Allocation, embedding: Embedding, columns: tuple[Column, ...]
) -> npt.NDArray[np.float64]:
    """Mean embedding of every column's documents, from evenly spaced ones of each [c, dims]."""
    most = max(20, AVERAGED // len(columns))
    means = []
    with chunks.one_blas_thread():
        for expert in outcome.experts:
            for held in documents_of(shards, outcome, expert):
                few = held.indices[:: max(1, -(-len(held.indices) // most))]
                means.append(_mean(shards, embedding, Documents(held.language, few)))
    return np.stack(means)


def _mean(
    shards: TokenShards, embedding: Embedding, documents: Documents
) -> npt.NDArray[np.float64]:
    total, count = np.zeros(embedding.rows.shape[1]), 0
    for part in chunked(shards, documents):
        embedded = embedding.embed(shards, part)
        total += embedded.sum(axis=0, dtype=np.float64)
        count += int(informative(embedded).sum())
    return total / max(1, count)


def piece_counts(shards: TokenShards, outcome: Allocation) -> npt.NDArray[np.int64]:
    """How often each expert's text holds each piece, int64 [k, vocabulary], end-of-text apart."""
    totals = np.zeros((len(outcome.experts), shards.vocabulary), dtype=np.int64)
    for row, expert in zip(totals, outcome.experts, strict=True):
        for held in documents_of(shards, outcome, expert):
            for part in chunked(shards, held):
                ids, _ = token_rows(shards, part)
                row += np.bincount(ids, minlength=shards.vocabulary)
    return totals
