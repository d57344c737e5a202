"""TF-IDF embedding: counts times idf, projected to a few dimensions, length one.

    e(document) = normalise( sum over its terms of count * idf * row ),  row = the term's row of V

with smooth idf, ln((1 + n) / (1 + df)) + 1, and V the right singular vectors of the L2-normalised
TF-IDF matrix of a sample (truncated SVD; scikit-learn's randomised solver, which only multiplies
the sparse matrix). Everything before the last normalisation is linear, so a router embeds every
prefix of a text by a running sum of the same term vectors.

A document none of whose terms has a vector carries no information; its embedding is zero and it
says so (`informative`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xelm.allocation import chunks
from xelm.allocation.terms import Documents, Pieces, Terms, Words, chunked
from xelm.corpus.shards import TokenShards
from xelm.errors import UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

FITTED = 50_000
"""Documents that idf and SVD are fitted on, at most: memory stays the same for any corpus."""
POWER_ITERATIONS = 3
OVERSAMPLING = 20
_last: dict[tuple[object, ...], "Embedding"] = {}


@dataclass(frozen=True)
class Embedding:
    """Terms with their idf [terms] (float64) and SVD rows [terms, dims] (float32)."""

    terms: Terms
    idf: Float64
    rows: Float32

    @property
    def term_vectors(self) -> Float32:
        """idf * row of every term, float32 [terms, dims]: what documents and prefixes sum."""
        return np.asarray(self.idf[:, None] * self.rows, dtype=np.float32)

    def embed(self, shards: TokenShards, documents: Documents) -> Float32:
        """Unit embeddings [documents, dims], zero rows for documents without information."""
        return project(self.terms.counts(shards, documents), self.term_vectors)


def project(counts: "csr_matrix", term_vectors: Float32) -> Float32:
    """counts [n, terms] times term vectors [terms, dims], each row to length one or zero."""
    sums = np.asarray(counts @ term_vectors)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def informative(embedded: Float32) -> npt.NDArray[np.bool_]:
    """Which rows [n] are not zero."""
    return np.asarray((embedded != 0).any(axis=1))


def draw_sample(shards: TokenShards, most: int, seed: int) -> list[Documents]:
    """At most `most` documents drawn uniformly from all languages together, sorted within each."""
    counts = [shards.count(language) for language in shards.languages]
    total = sum(counts)
    if total == 0:
        raise UserError(f"{shards.folder}: has no documents; run prepare with some text")
    generator = np.random.default_rng(seed)
    chosen = np.arange(total) if total <= most else generator.choice(total, most, replace=False)
    ends = np.cumsum(counts)
    parts = np.split(np.sort(chosen), np.searchsorted(np.sort(chosen), ends[:-1]))
    before = ends - counts
    return [
        Documents(language, part - start)
        for language, part, start in zip(shards.languages, parts, before, strict=True)
        if len(part)
    ]


def fit(
    shards: TokenShards,
    *,
    terms: str = "pieces",
    dims: int = 100,
    most: int = FITTED,
    seed: int = 0,
) -> Embedding:
    """An embedding fitted on at most `most` documents; deterministic by seed.

    terms: pieces or words. UserError when the sample holds no term at all. The last one is kept:
    the allocations of a run share it.
    """
    key = (shards.folder.resolve(), shards.fingerprint, terms, dims, most, seed)
    if key not in _last:
        found = _fit(shards, terms, dims, most, seed)
        _last.clear()
        _last[key] = found
    return _last[key]


def _fit(shards: TokenShards, terms: str, dims: int, most: int, seed: int) -> Embedding:
    sample = draw_sample(shards, most, seed)
    chosen: Terms = Pieces(shards) if terms == "pieces" else Words.learn(shards, sample)
    with chunks.one_blas_thread():
        counts = _counts(shards, chosen, sample)
        if counts.nnz == 0:
            raise UserError(
                f"{shards.folder}: no document has any term ({terms}); use terms: pieces, or "
                "give more text"
            )
        idf = smooth_idf(counts)
        return Embedding(chosen, idf, _right_vectors(counts, idf, dims, seed))


def _counts(shards: TokenShards, terms: Terms, sample: Sequence[Documents]) -> "csr_matrix":
    parts = [
        terms.counts(shards, part) for documents in sample for part in chunked(shards, documents)
    ]
    return _stacked(parts, terms.size)


def _stacked(parts: "list[csr_matrix]", width: int) -> "csr_matrix":
    """The rows of all parts in order; empties the list, so that nothing is held twice for long."""
    from scipy.sparse import csr_matrix

    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    size = int(lengths.sum(dtype=np.int64))
    data, indices = np.empty(size, np.float32), np.empty(size, np.int32)
    place = 0
    while parts:
        part = parts.pop(0)
        here = slice(place, place + part.nnz)
        data[here], indices[here] = part.data, part.indices
        place = here.stop
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return csr_matrix((data, indices, offsets), shape=(len(lengths), width))


def smooth_idf(counts: "csr_matrix") -> Float64:
    """ln((1 + documents) / (1 + documents with the term)) + 1 for every term."""
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.asarray(np.log((1 + counts.shape[0]) / (1 + frequency)) + 1)


def _right_vectors(counts: "csr_matrix", idf: Float64, dims: int, seed: int) -> Float32:
    """Right singular vectors [terms, dims] of the normalised TF-IDF rows, which replace the counts;
    fewer columns than `dims` where the sample has fewer documents or terms."""
    from sklearn.preprocessing import normalize
    from sklearn.utils.extmath import randomized_svd

    counts.data *= idf.astype(np.float32)[counts.indices]
    _, _, right = randomized_svd(
        normalize(counts, copy=False),
        n_components=min(dims, *counts.shape),
        n_oversamples=OVERSAMPLING,
        n_iter=POWER_ITERATIONS,
        random_state=seed,
    )
    return np.ascontiguousarray(right.T, dtype=np.float32)
