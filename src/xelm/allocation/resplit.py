"""Out of local optima: take two clusters, split what they hold anew, keep the better split.

Lloyd's steps move borders; they never exchange one half of a cluster for half of another, and with
many groups of text that have nothing in common (languages in scripts of their own) nearly every
start ends in another such arrangement. Two clusters alone are easy: for two centres the balanced
assignment is a sort along their difference. So every pair is split anew from several starts until
no pair gains; what is left hardly depends on the start.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from xelm.allocation.prices import Float64, Floats, Labels

TRIES = 4
"""Starts of every split."""
STEPS = 25
GAIN = 1e-5
"""A split must lower inertia by this part of the whole variation, so that rounding makes no
endless exchange."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Half:
    """Which of some documents go to the first of two clusters, and what is maximised: the sum of
    weight * |mean|^2 over both, which is the variation less the inertia."""

    first: Mask
    value: float


def improve(
    X: Floats,
    weights: Float64 | None,
    capacities: Float64,
    labels: Labels,
    generator: np.random.RandomState,
) -> Labels:
    """Labels int32 [n] of the same sizes (weights: nearly) and no more inertia.

    X [n, d]; weights [n] or None; capacities [k] as given to the assignment that made the labels.
    """
    labels, k = labels.copy(), len(capacities)
    centred = X - X.mean(axis=0, dtype=np.float64).astype(X.dtype)
    enough = GAIN * float(np.einsum("ij,ij->", centred, centred, dtype=np.float64))
    waiting = set(combinations(range(k), 2))
    while waiting:
        pair = sorted(waiting)[generator.randint(len(waiting))]
        waiting.discard(pair)
        if _resplit(centred, weights, capacities, labels, pair, enough, generator):
            touched = {
                (min(c, one), max(c, one)) for one in pair for c in range(k) if c not in pair
            }
            waiting |= touched
    return labels


def _resplit(
    X: Floats,
    weights: Float64 | None,
    capacities: Float64,
    labels: Labels,
    pair: tuple[int, int],
    enough: float,
    generator: np.random.RandomState,
) -> bool:
    """Split the union of two clusters anew, in place, if that gains; did it?"""
    documents = np.flatnonzero((labels == pair[0]) | (labels == pair[1]))
    few, some = X[documents], None if weights is None else weights[documents]
    share = float(capacities[pair[0]] / capacities[list(pair)].sum())
    problem = _Pair(few, some, share)
    now = problem.value(labels[documents] == pair[0])
    best = max((problem.split(generator) for _ in range(TRIES)), key=lambda half: half.value)
    if best.value <= now + enough:
        return False
    labels[documents] = np.where(best.first, *pair)
    return True


class _Pair:
    """Balanced 2-means of some documents."""

    def __init__(self, X: Floats, weights: Float64 | None, share: float):
        self.X, self.weights, self.n = X, weights, len(X)
        self.mass = np.ones(self.n) if weights is None else weights
        self.weighted = self.mass.astype(X.dtype)
        self.total: Float64 = (self.weighted @ X).astype(np.float64)
        self.room = share * float(self.mass.sum())

    def value(self, first: Mask) -> float:
        """Sum of weight * |mean|^2 of both halves."""
        sums, masses = self._halves(first)
        return sum(float(s @ s) / m for s, m in zip(sums, masses, strict=True) if m > 0)

    def split(self, generator: np.random.RandomState) -> Half:
        """Lloyd steps from a random direction, drawn towards those in which documents differ."""
        drawn = generator.standard_normal((self.X.shape[1],)).astype(self.X.dtype)
        direction = self.spread(drawn)
        first = np.zeros(self.n, dtype=bool)
        for _ in range(STEPS):
            before, first = first, self._nearer(direction)
            if np.array_equal(before, first):
                break
            sums, masses = self._halves(first)
            if min(masses) <= 0:
                break
            direction = (sums[0] / masses[0] - sums[1] / masses[1]).astype(self.X.dtype)
        return Half(first, self.value(first))

    def spread(self, direction: Floats) -> Floats:
        """Covariance times a direction: random, but the more so along what varies more."""
        along = (self.X @ direction) * self.weighted
        centre = self.total / max(float(self.mass.sum()), 1e-300)
        spread = along @ self.X - along.sum() * centre
        return np.asarray(spread / max(np.abs(spread).max(), 1e-300), dtype=self.X.dtype)

    def _nearer(self, direction: Floats) -> Mask:
        """The documents farthest along a direction that fill the first half."""
        along = self.X @ direction
        first = np.zeros(self.n, dtype=bool)
        if self.weights is None:
            count = min(max(round(self.room), 0), self.n - 1)
            first[np.argpartition(-along, count)[:count]] = True
            return first
        order = np.argsort(-along, kind="stable")
        first[order[np.cumsum(self.mass[order]) <= self.room]] = True
        return first

    def _halves(self, first: Mask) -> tuple[tuple[Float64, Float64], tuple[float, float]]:
        mass = float(self.mass[first].sum())
        sums = (np.where(first, self.weighted, 0).astype(self.X.dtype) @ self.X).astype(np.float64)
        return (sums, self.total - sums), (mass, float(self.mass.sum()) - mass)
