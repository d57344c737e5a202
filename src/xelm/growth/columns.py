"""What a router must know of a new language: one column, fitted on its text alone.

Nothing that is there is refitted. The unigram router gets the language's piece counts; the
embedding gets a centroid, the mean of the new documents' unit vectors in the space as it stands, as
allocation made the others. A script that the space never saw has few pieces in it, or none: `blind`
says how much of the text the embedding cannot see, and unigram counts are then the ones to trust.
The bound below which nothing fits and the seed answers was learnt on the old languages; where the
new one fits less well, by its own column, the bound is lowered for it.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.allocation import embedding
from xelm.allocation.terms import Documents, Pieces, Terms, Words, chunked
from xelm.corpus import languages as codes
from xelm.corpus import readers
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.building import build_pairs
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.ensemble import fitting
from xelm.ensemble import manifest as manifests
from xelm.ensemble.routers.abstaining import learn_bound
from xelm.ensemble.routers.build import abstaining, build
from xelm.ensemble.routers.data import RouterData, TfidfData
from xelm.ensemble.routing import parse
from xelm.growth import text

_EXAMPLES, _EXAMPLE_TOKENS = 200, 2048
_CAREFUL = 0.5  # of the distance to the median, where few documents say what is usual
_DOCUMENTS = 5000  # a centroid is a mean: more of them change it in no digit that matters


@dataclass(frozen=True)
class NewColumn:
    """What is added to the router for one language."""

    language: str
    counts: NDArray[np.int64]
    """How often its text holds each piece, [1, vocabulary]."""
    centroid: NDArray[np.float64] | None
    """Mean of its documents' embeddings, [1, d]; None where the bundle has no embedding."""
    blind: float | None
    """Part of its text that the embedding knows nothing of: of tokens, or of documents where the
    terms are words; None without embedding."""
    examples: tuple[NDArray[Any], ...] = ()
    """Documents (ids) that must not be taken for text nobody knows."""

    def grow(self, data: RouterData, expert: str, tokens: int) -> RouterData:
        """`data` with this column, answered for by `expert`; every old column as it stood."""
        grown = data.with_columns(
            expert,
            {self.language: tokens},
            counts=self.counts if data.unigram is not None else None,
            centroids=self.centroid if data.tfidf is not None else None,
        )
        return self.known_to(grown)

    def known_to(self, data: RouterData) -> RouterData:
        """`data` (with this column) with bounds no higher than its examples reach."""
        bounds = {}
        for kind, bound in data.bounds.items():
            routing = parse({"kind": kind})
            router = abstaining(routing, data, build(routing, data), 0.0)
            mine = _bound([router.worst_fit(ids) for ids in self.examples])
            bounds[kind] = bound if mine is None else min(bound, mine)
        return replace(data, bounds=bounds)


def _bound(fits: list[float]) -> float | None:
    """As learnt for a whole corpus; from few documents more carefully, from none not at all."""
    known = [fit for fit in fits if np.isfinite(fit)]
    if (learnt := learn_bound(known)) is not None or not known:
        return learnt
    low = min(known)
    return low - max(_CAREFUL * (float(np.median(known)) - low), 0.1 * abs(low))


def fit(data: RouterData, shards: TokenShards, language: str, dev: TokenShards) -> NewColumn:
    """The column of a language from its train text, and examples from its `dev` text."""
    examples = tuple(
        np.asarray(dev.document(language, index)[:_EXAMPLE_TOKENS])
        for index in range(min(dev.count(language), _EXAMPLES))
    )
    return replace(_fit(data, shards, language), examples=examples)


def _fit(data: RouterData, shards: TokenShards, language: str) -> NewColumn:
    share = Share.of(shards, {language: None})
    tokenizer = tokenizers.load(shards.folder / "tokenizer")
    counts = fitting.column_counts(tokenizer, share, shards, language)
    if data.tfidf is None:
        return NewColumn(language, counts[None], None, None)
    centroid, unseen = _centroid(data.tfidf, shards, language)
    if data.tfidf.words is None:
        unseen = _unseen_tokens(data, data.tfidf, fitting.piece_counts(share, shards, language))
    return NewColumn(language, counts[None], centroid, unseen)


def of_files(bundle: Path, patterns: Sequence[str], languages: Sequence[str]) -> list[NewColumn]:
    """Columns of those languages that the files hold text of; [] without files.

    Text without a language is taken to be in the language, where there is one only.
    """
    if not patterns:
        return []
    data = RouterData.load(Path(bundle) / manifests.read(bundle).router.folder)
    wanted = [codes.canonical(code) for code in languages]
    if len(wanted) == 1:
        found = text.documents(patterns, wanted[0])
    else:
        found = readers.read(patterns, languages=wanted)
    with tempfile.TemporaryDirectory() as temporary:
        corpus = Path(temporary) / "corpus"
        build_pairs((("train", each) for each in found), tokenizers.load(bundle), corpus)
        shards = TokenShards(corpus, "train")
        return [fit(data, shards, language, shards) for language in shards.languages]


def _centroid(
    tfidf: TfidfData, shards: TokenShards, language: str
) -> tuple[NDArray[np.float64], float]:
    """Mean embedding [1, d] of evenly spaced documents, and the part of them without any term."""
    words = tfidf.words
    terms: Terms = Pieces(shards) if words is None else Words(shards, words)
    space = embedding.Embedding(terms, tfidf.idf, tfidf.rows)
    count = shards.count(language)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _DOCUMENTS)).astype(np.int64))
    total, known = np.zeros((1, tfidf.rows.shape[1])), 0
    for part in chunked(shards, Documents(language, chosen)):
        embedded = space.embed(shards, part)
        total += embedded.sum(axis=0, dtype=np.float64)
        known += int(embedding.informative(embedded).sum())
    return total / max(1, known), 1.0 - known / len(chosen)


def _unseen_tokens(data: RouterData, tfidf: TfidfData, counts: NDArray[np.int64]) -> float:
    """Part of the tokens whose pieces have no vector."""
    read = counts.astype(np.float64)
    read[list(data.silent)] = 0.0
    seen = np.abs(tfidf.rows).sum(axis=1) > 0
    return float(1.0 - read[seen].sum() / max(1.0, read.sum()))
