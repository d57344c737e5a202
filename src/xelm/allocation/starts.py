"""Where balanced k-means begins: several starts compete on a sample.

Lloyd's steps end in the nearest local optimum, so the start decides. Trying one is cheap on a
sample and dear on everything; the start whose clusters on the sample have the least inertia goes on
with all documents. A start is k-means++ or given centres, and with `search` is led on by
resplit.py: then the result is nearly the same whatever the start.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xelm.allocation import lloyd, resplit
from xelm.allocation.prices import Float64, Floats

SAMPLE = 20_000
"""Documents in the competition, at least; or 200 for each cluster where that is more."""
SEARCHED = 50_000
"""The same when starts are searched: fewer documents would decide between arrangements that
differ by a thousandth of the inertia."""
STEPS = 30


@dataclass(frozen=True)
class Data:
    """Documents [n, d], their weights [n] (None: each counts one) and the clusters' shares [k]."""

    X: Floats
    weights: Float64 | None
    shares: Float64

    @property
    def capacities(self) -> Float64:
        """Whole documents, or weight, for every cluster [k]."""
        if self.weights is not None:
            return np.asarray(self.shares * self.weights.sum())
        return whole(self.shares, len(self.X))

    def sample(self, size: int, generator: np.random.RandomState) -> "Data":
        """At most `size` documents, drawn without replacement, in their order."""
        if size >= len(self.X):
            return self
        chosen = np.sort(generator.choice(len(self.X), size, replace=False))
        weights = None if self.weights is None else self.weights[chosen]
        return Data(self.X[chosen], weights, self.shares)


def whole(shares: Float64, n: int) -> Float64:
    """n documents divided by shares [k] into whole numbers, remainders to the largest fractions;
    no cluster of a positive share is left without a document while another has two."""
    exact = shares * n
    result = np.floor(exact)
    order = np.argsort(-(exact - result), kind="stable")
    result[order[: n - int(result.sum())]] += 1
    while (result == 0).any() and result.max() > 1:
        result[result.argmax()] -= 1
        result[result.argmin()] += 1
    return np.asarray(result)


def plus_plus(data: Data, generator: np.random.RandomState) -> Floats:
    """k centres [k, d] by k-means++ (Arthur and Vassilvitskii, 2007), weights as multiplicities."""
    from sklearn.cluster import kmeans_plusplus

    weights = data.weights
    if weights is not None:
        weights = weights / weights.max()  # float32 inside, where a tiny weight would vanish
    centers, _ = kmeans_plusplus(
        data.X, len(data.shares), sample_weight=weights, random_state=generator
    )
    return np.asarray(centers)


def best(
    data: Data,
    centers: Floats | None,
    count: int,
    search: bool,
    generator: np.random.RandomState,
    threads: int,
) -> Floats:
    """Centres [k, d] of the best of `count` starts, by inertia on a sample; or, where centres are
    given, of the one start from these.

    search: every start is led out of its local optimum by splitting pairs of clusters anew.
    """
    few = data.sample(max(SEARCHED if search else SAMPLE, 200 * len(data.shares)), generator)
    count = count if centers is None else 1

    def begin(some: Data) -> Floats:
        return plus_plus(some, generator) if centers is None else centers

    if search:
        ends = (_search(few, begin, generator, threads) for _ in range(count))
    elif count > 1:
        ends = (_descend(few, begin(few), threads) for _ in range(count))
    else:
        return begin(few)
    return min(ends, key=lambda end: end.inertia).centers


def _descend(data: Data, centers: Floats, threads: int) -> lloyd.Clusters:
    return lloyd.run(
        data.X,
        data.weights,
        data.capacities,
        centers,
        steps=STEPS,
        tolerance=1e-4,
        threads=threads,
    )


def _search(
    data: Data,
    begin: Callable[[Data], Floats],
    generator: np.random.RandomState,
    threads: int,
) -> lloyd.Clusters:
    """Lloyd steps on a part of the sample, pairs split anew on all of it, Lloyd steps."""
    few = data.sample(SAMPLE // 2, generator)
    rough = _descend(few, begin(few), threads).centers
    first = lloyd.run(
        data.X, data.weights, data.capacities, rough, steps=1, tolerance=0.0, threads=threads
    )
    labels = resplit.improve(data.X, data.weights, data.capacities, first.labels, generator)
    return _descend(data, lloyd.means(data.X, labels, data.weights, rough, threads), threads)
