"""What an allocation is like: sizes, balance, purity by language, typical terms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xelm.allocation import columns
from xelm.allocation.result import Allocation
from xelm.allocation.terms import Pieces
from xelm.corpus.shards import TokenShards

TOP = 20
"""Terms listed for each expert."""

Table = npt.NDArray[np.int64]
"""Languages by experts."""


def measure(shards: TokenShards, outcome: Allocation) -> tuple[dict[str, Any], Table]:
    """Everything for measured.json, and tokens of every language with every expert."""
    documents, tokens = tables(shards, outcome)
    measured = summary(shards.languages, list(outcome.experts), documents, tokens)
    return {**measured, **outcome.measured, "top_terms": top_terms(shards, outcome)}, tokens


def tables(shards: TokenShards, outcome: Allocation) -> tuple[Table, Table]:
    """Documents and tokens of every language [languages] with every expert [k]."""
    shape = (len(shards.languages), len(outcome.experts))
    documents, tokens = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for column, expert in enumerate(outcome.experts):
        for held in columns.documents_of(shards, outcome, expert):
            row = shards.languages.index(held.language)
            documents[row, column] = len(held.indices)
            tokens[row, column] = np.diff(shards.starts(held.language))[held.indices].sum()
    return documents, tokens


def summary(
    languages: Sequence[str], names: Sequence[str], documents: Table, tokens: Table
) -> dict[str, Any]:
    """Sizes by expert, the largest over the mean, and purity.

    purity: share of all documents that are of their expert's commonest language; concentration:
    share of all documents that are with the expert that has most of their language.
    """
    sizes, weights = documents.sum(axis=0), tokens.sum(axis=0)
    together = documents.max(axis=1) / np.maximum(documents.sum(axis=1), 1)
    return {
        "documents": dict(zip(names, sizes.tolist(), strict=True)),
        "tokens": dict(zip(names, weights.tolist(), strict=True)),
        "largest_over_mean": {
            "documents": float(sizes.max() / sizes.mean()),
            "tokens": float(weights.max() / weights.mean()),
        },
        "purity": float(documents.max(axis=0).sum() / documents.sum()),
        "concentration": float(documents.max(axis=1).sum() / documents.sum()),
        "concentration_by_language": dict(zip(languages, together.tolist(), strict=True)),
        "documents_by_language": {
            name: {
                language: int(documents[row, column])
                for row, language in enumerate(languages)
                if documents[row, column]
            }
            for column, name in enumerate(names)
        },
    }


def top_terms(shards: TokenShards, outcome: Allocation) -> dict[str, list[str]]:
    """The pieces most typical of every expert, most typical first."""
    pieces = Pieces(shards)
    best = typical(columns.piece_counts(shards, outcome))
    return {
        name: [pieces.name(term) for term in terms]
        for name, terms in zip(outcome.experts, best, strict=True)
    }


def typical(counts: npt.NDArray[np.int64]) -> list[list[int]]:
    """Term numbers most typical of each row of counts [k, terms]: p * ln(p / q) is largest, p the
    term's share in the row and q in all rows (its part of the Kullback-Leibler divergence)."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    overall = counts.sum(axis=0) / max(int(counts.sum()), 1)
    ratio = np.divide(share, overall, out=np.ones_like(share), where=share > 0)
    score = share * np.log(ratio)
    order = np.argsort(-score, axis=1, kind="stable")[:, :TOP]
    return [[int(t) for t in row if score[e, t] > 0] for e, row in enumerate(order)]
