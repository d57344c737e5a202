"""Allocation by TF-IDF clusters: needs no language tags, and really balances.

The embedding is fitted on a sample, the clusters on another; then one pass over the corpus keeps
k costs a document (4 k bytes) and nothing else, and the balanced assignment of all of them ends
it. Documents that carry no information go to a cluster by the hash of their id, and take their
place in its capacity.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from xelm.allocation import chunks, lloyd, starts
from xelm.allocation.assignment import assign
from xelm.allocation.balanced_kmeans import BalancedKMeans
from xelm.allocation.embedding import Embedding, draw_sample, fit, informative
from xelm.allocation.prices import Labels
from xelm.allocation.result import Allocation, by_labels
from xelm.allocation.settings import AllocationSettings
from xelm.allocation.terms import chunked, everything
from xelm.corpus.shards import TokenShards

Float64 = npt.NDArray[np.float64]


def allocate(
    shards: TokenShards, settings: AllocationSettings, say: Callable[[str], None]
) -> Allocation:
    """Every document to the expert of its cluster; UserError when k exceeds the documents."""
    assert settings.k is not None
    embedding = fit(
        shards,
        terms=settings.terms,
        dims=settings.dimensions,
        most=settings.sample,
        seed=settings.seed,
    )
    model = cluster(shards, embedding, settings)
    costs = all_costs(shards, embedding, model)
    weights = np.concatenate([_weights(shards, settings, one) for one in shards.languages])
    labels, prices = balanced_labels(shards, costs, weights, settings)
    measured = _measured(shards, costs, labels, prices)
    for language, number in measured["uninformative"].items():
        say(f"{number} documents of {language} hold no known term; their ids' hashes place them")
    ends = np.cumsum([shards.count(language) for language in shards.languages])
    by_language = dict(
        zip(shards.languages, np.split(labels.astype(np.int64), ends[:-1]), strict=True)
    )
    return Allocation(
        by_labels(by_language, settings.k),
        measured=measured,
        embedding=embedding,
        centers=model.cluster_centers_.astype(np.float64),
    )


def _weights(shards: TokenShards, settings: AllocationSettings, language: str) -> Float64:
    """What every document of a language weighs [n]: its tokens, or one, by `balance`."""
    if settings.balance == "tokens":
        return np.diff(shards.starts(language)).astype(np.float64)
    return np.ones(shards.count(language))


def cluster(
    shards: TokenShards, embedding: Embedding, settings: AllocationSettings
) -> BalancedKMeans:
    """Clusters of at most settings.sample documents drawn uniformly from the whole corpus."""
    assert settings.k is not None
    embedded, weights = _embedded_sample(shards, embedding, settings)
    if len(embedded) < settings.k:  # hardly anything informative: repeat what there is
        embedded = np.resize(embedded, (settings.k, embedding.rows.shape[1]))
        weights = np.ones(settings.k)
    model = BalancedKMeans(
        settings.k,
        n_init=settings.starts,
        search=settings.start == "searched",
        random_state=settings.seed,
        n_jobs=-1,
    )
    model.fit(embedded, sample_weight=weights)
    return model


def _embedded_sample(
    shards: TokenShards, embedding: Embedding, settings: AllocationSettings
) -> tuple[npt.NDArray[np.float32], Float64]:
    """Embeddings [m, dims] and weights [m] of the informative documents of the sample."""
    vectors, weights = [], []
    for documents in draw_sample(shards, settings.sample, settings.seed):
        weight = _weights(shards, settings, documents.language)
        for part in chunked(shards, documents):
            embedded = embedding.embed(shards, part)
            kept = informative(embedded)
            vectors.append(embedded[kept])
            weights.append(weight[part.indices][kept])
    return np.concatenate(vectors), np.concatenate(weights)


@dataclass(frozen=True)
class Costs:
    """Squared distance of every document to every centre [k, n] (of no meaning where it says
    nothing), and which documents are informative [n]; languages one after another."""

    costs_kn: npt.NDArray[np.float32]
    informative: npt.NDArray[np.bool_]


def all_costs(shards: TokenShards, embedding: Embedding, model: BalancedKMeans) -> Costs:
    """One pass over the corpus; embeddings are thrown away chunk by chunk."""
    centers = model.cluster_centers_
    n = sum(shards.count(language) for language in shards.languages)
    costs_kn = np.zeros((len(centers), n), dtype=np.float32)
    kept = np.zeros(n, dtype=np.bool_)
    place = 0
    with chunks.one_blas_thread():
        for documents in everything(shards):
            embedded = embedding.embed(shards, documents)
            here = slice(place, place + len(embedded))
            kept[here] = informative(embedded)
            costs_kn[:, here] = lloyd.costs(embedded, centers, np.zeros(centers.shape[1])) + 1.0
            place = here.stop
    return Costs(costs_kn, kept)


def balanced_labels(
    shards: TokenShards, costs: Costs, weights: Float64, settings: AllocationSettings
) -> tuple[Labels, Float64]:
    """The cluster of every document [n], all clusters of their capacity, and the prices [k]."""
    k = len(costs.costs_kn)
    kept = costs.informative
    labels = _by_hash(shards, kept, k)
    room = _room(weights, labels, kept, k)
    by_weight = bool(np.ptp(weights[kept]) > 0) if kept.any() else False
    with chunks.one_blas_thread():
        found = assign(
            np.ascontiguousarray(costs.costs_kn[:, kept]),
            weights[kept] if by_weight else None,
            room if by_weight else starts.whole(room / room.sum(), int(kept.sum())),
        )
    labels[kept] = found.labels
    return labels, found.prices


def _by_hash(shards: TokenShards, kept: npt.NDArray[np.bool_], k: int) -> Labels:
    """For every uninformative document [n] a cluster by the hash of its id, else 0."""
    labels = np.zeros(len(kept), dtype=np.int32)
    place = 0
    for language in shards.languages:
        count = shards.count(language)
        silent = np.flatnonzero(~kept[place : place + count])
        if len(silent):
            ids = shards.ids(language)
            labels[place + silent] = [_hash(ids[number]) % k for number in silent]
        place += count
    return labels


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def _room(weights: Float64, labels: Labels, kept: npt.NDArray[np.bool_], k: int) -> Float64:
    """What informative documents may fill of every cluster [k] beside the hashed ones; at least a
    hundredth of an equal part, should hashing have overfilled one."""
    hashed = np.bincount(labels[~kept], weights=weights[~kept], minlength=k)
    equal = weights.sum() / k
    room = np.maximum(equal - hashed, equal / 100)
    return np.asarray(room * (weights[kept].sum() / room.sum()))


def _measured(shards: TokenShards, costs: Costs, labels: Labels, prices: Float64) -> dict[str, Any]:
    """Inertia (mean squared distance) against the unbalanced optimum; uninformative documents."""
    kept = costs.informative
    chosen = np.take_along_axis(costs.costs_kn, labels[None, :].astype(np.intp), axis=0)[0]
    count = max(1, int(kept.sum()))
    ends = np.cumsum([shards.count(language) for language in shards.languages])
    silent = [int((~part).sum()) for part in np.split(kept, ends[:-1])]
    least = costs.costs_kn[:, kept].min(axis=0).sum(dtype=np.float64)
    return {
        "inertia": float(chosen[kept].sum(dtype=np.float64)) / count,
        "inertia_unbalanced": float(least) / count,
        "uninformative": {
            language: number
            for language, number in zip(shards.languages, silent, strict=True)
            if number
        },
        "prices": prices.tolist(),
    }
