"""Balanced k-means as a loop: costs, balanced assignment, means; float32 data, float64 sums.

The cost of document x at centre c is |x - c|^2 - |x - m|^2 with m one fixed point (the mean): it
has the same argmin and the same transport optimum as the squared distance, and
(c - m).(c + m) - 2 x.(c - m) needs one matrix product and loses no digits when the data lie far
from the origin.
"""

from dataclasses import dataclass

import numpy as np

from xelm.allocation import chunks
from xelm.allocation.assignment import assign
from xelm.allocation.prices import Float64, Floats, Labels


@dataclass(frozen=True)
class Clusters:
    """What a run of Lloyd steps ends in; inertia is the weighted sum of squared distances."""

    centers: Floats
    labels: Labels
    prices: Float64
    inertia: float
    steps: int


def costs(
    X: Floats, centers: Floats, middle: Float64, threads: int = 1, out: Floats | None = None
) -> Floats:
    """Squared distance to every centre less squared distance to `middle`: [k, n], dtype of X."""
    shifted = centers.astype(np.float64) - middle
    offset = (shifted * (centers + middle)).sum(axis=1).astype(X.dtype)[:, None]
    factor_kd = np.ascontiguousarray(-2.0 * shifted, dtype=X.dtype)
    result = np.empty((len(centers), len(X)), dtype=X.dtype) if out is None else out

    def fill(chunk: slice) -> None:
        result[:, chunk] = factor_kd @ X[chunk].T + offset

    chunks.run(fill, len(X), threads)
    return result


def means(
    X: Floats, labels: Labels, weights: Float64 | None, centers: Floats, threads: int = 1
) -> Floats:
    """Mean of every cluster, dtype of X; a cluster without weight keeps its centre."""
    k = len(centers)

    def one(chunk: slice) -> tuple[Float64, Float64]:
        member = (labels[chunk] == np.arange(k, dtype=labels.dtype)[:, None]).astype(X.dtype)
        if weights is not None:
            member *= weights[chunk].astype(X.dtype)
        return (member @ X[chunk]).astype(np.float64), member.sum(axis=1, dtype=np.float64)

    total, weight = np.zeros(centers.shape), np.zeros(k)
    for part, part_weight in chunks.run(one, len(X), threads):
        total, weight = total + part, weight + part_weight
    mean = total / np.where(weight > 0, weight, 1.0)[:, None]
    return np.where(weight[:, None] > 0, mean, centers).astype(X.dtype)


def spread(X: Floats, weights: Float64 | None, threads: int = 1) -> tuple[Float64, float]:
    """The weighted mean [d] of all documents and the sum of squared distances to it."""
    ones = np.zeros(len(X), dtype=np.int32)
    middle = means(X, ones, weights, np.zeros((1, X.shape[1]), X.dtype), threads)[0]
    middle = middle.astype(np.float64)

    def one(chunk: slice) -> float:
        squares = ((X[chunk] - middle.astype(X.dtype)) ** 2).sum(axis=1, dtype=np.float64)
        return float(squares.sum() if weights is None else squares @ weights[chunk])

    return middle, sum(chunks.run(one, len(X), threads))


def total_cost(costs_kn: Floats, labels: Labels, weights: Float64 | None) -> float:
    """Sum of the (weighted) costs of the chosen clusters, in float64."""
    chosen = np.take_along_axis(costs_kn, labels[None, :].astype(np.intp), axis=0)[0]
    chosen64 = chosen.astype(np.float64)
    return float(chosen64.sum() if weights is None else chosen64 @ weights)


def run(
    X: Floats,
    weights: Float64 | None,
    capacities: Float64,
    centers: Floats,
    *,
    steps: int,
    tolerance: float,
    exact: bool = True,
    threads: int = 1,
) -> Clusters:
    """At most `steps` Lloyd steps from the given centres.

    Ends early when labels stop changing, or when the centres moved by less than `tolerance` times
    the variance per dimension (summed squares, as scikit-learn counts). Labels, prices and inertia
    are those of the centres returned.
    """
    middle, around_middle = spread(X, weights, threads)
    total = len(X) if weights is None else float(weights.sum())
    enough = tolerance * around_middle / max(total, 1e-300) / X.shape[1]
    costs_kn = costs(X, centers, middle, threads)
    now = assign(costs_kn, weights, capacities, None, exact, threads)
    done = 0
    while done < steps:
        done += 1
        moved = means(X, now.labels, weights, centers, threads)
        shift = float(((moved.astype(np.float64) - centers) ** 2).sum())
        centers = moved
        costs(X, centers, middle, threads, out=costs_kn)
        before, now = now, assign(costs_kn, weights, capacities, now.prices, exact, threads)
        if shift <= enough or np.array_equal(before.labels, now.labels):
            break
    inertia = max(0.0, around_middle + total_cost(costs_kn, now.labels, weights))
    return Clusters(centers, now.labels, now.prices, inertia, done)
