"""Groups of languages of limited size whose members are as close as can be.

What is minimised: the sum over languages of the mean distance to the others of their group. A
limit is minded first: whatever a group is over it costs more than any distance, so that the best
there is comes out where no grouping fits. A search swaps and moves languages from several starts;
with few languages the exact optimum is then sought (typology_optimum.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xelm.allocation.typology_linkage import Distances, Merge, average, cut, pairing
from xelm.allocation.typology_optimum import optimum

Floats = NDArray[np.float64]
Labels = NDArray[np.intp]

EXACT = 16
"""Languages up to which the optimum is sought: a second; each more would double that."""
STARTS = 32
"""Random ones; fewer where there are many languages, as each then takes long."""


@dataclass(frozen=True)
class Limits:
    """What each language weighs [n], and the most and the least that a group may weigh."""

    weights: Floats
    most: float
    least: float = 0.0
    sizes: range = range(0)
    """Numbers of languages a group can have."""

    def over(self, held: Floats) -> Floats:
        """How far groups of these weights are outside, as a part of the limit."""
        outside: Floats = np.maximum(held - self.most, 0) + np.maximum(self.least - held, 0)
        return np.where(outside > 1e-9 * self.most, outside / self.most, 0)


def by_languages(n: int, k: int) -> Limits:
    """n / k languages a group, to within one."""
    few, most = n // k, -(-n // k)
    return Limits(np.ones(n), most, few, range(few, most + 1))


def by_tokens(tokens: Sequence[float], k: int, slack: float) -> Limits:
    """At most (1 + slack) / k of all tokens a group, or one language that alone has more."""
    weights = np.asarray(tokens, dtype=np.float64)
    most = max((1 + slack) * float(weights.sum()) / k, float(weights.max()), 1.0)
    return Limits(weights, most, 0.0, range(1, len(weights) - k + 2))


def balanced(distances: Distances, k: int, limits: Limits) -> tuple[list[Merge], list[str]]:
    """Merges whose first n - k make the groups, and notes (where a limit is not kept).

    Inside groups and then among them the tree is that of average linkage.
    """
    n = len(distances)
    labels = search(distances, k, limits)
    if n <= EXACT:
        labels = improved_to_optimum(labels, distances, k, limits)
    apart = np.where(labels[:, None] == labels[None, :], 0.0, 2.0)  # distances are at most 1
    merges = average(distances + apart)
    return [
        Merge(one.left, one.right, one.distance - (2.0 if one.distance > 1.5 else 0.0))
        for one in merges
    ], _told(labels, k, limits)


def cost(labels: Labels, distances: Distances, k: int, limits: Limits) -> float:
    """What is minimised, of a whole grouping."""
    return float(_State(labels, distances, k, limits).costs.sum())


def improved_to_optimum(labels: Labels, distances: Distances, k: int, limits: Limits) -> Labels:
    """The exact optimum [n], which is `labels` itself if nothing is better."""
    n = len(distances)

    def of_groups(table: Floats) -> Floats:
        pairs = ((table @ distances) * table).sum(axis=1) / 2
        return _cost(pairs, table.sum(axis=1), table @ limits.weights, limits, n)

    others = max(limits.sizes[0] - 1, 0)  # a language has at least so many at its side
    nearest = np.sort(distances + np.diag(np.full(n, np.inf)), axis=1)[:, :others]
    floor = nearest.mean(axis=1) if others else np.zeros(n)
    known = cost(labels, distances, k, limits)
    better = optimum(n, k, limits.sizes, of_groups, floor, known)
    return labels if better is None else _labels(better)


def search(distances: Distances, k: int, limits: Limits, seed: int = 0) -> Labels:
    """The best of several starts [n], each improved by its best swap or move until none helps."""
    n = len(distances)
    generator = np.random.default_rng(seed)
    starts = [_labels(cut(n, tree(distances), k)) for tree in (pairing, average)]
    starts += [
        generator.permutation(np.arange(n) % k) for _ in range(max(2, min(STARTS, 1000 // n)))
    ]
    found = [_improved(start, distances, k, limits) for start in starts]
    return min(found, key=lambda labels: cost(labels, distances, k, limits))


def _improved(labels: Labels, distances: Distances, k: int, limits: Limits) -> Labels:
    while True:
        state = _State(labels, distances, k, limits)
        swaps, moves = state.swaps(), state.moves()
        swap, move = int(swaps.argmin()), int(moves.argmin())
        if min(swaps.flat[swap], moves.flat[move]) > -1e-9:
            return labels
        labels = labels.copy()
        if swaps.flat[swap] <= moves.flat[move]:
            one, other = divmod(swap, len(labels))
            labels[one], labels[other] = labels[other], labels[one]
        else:
            labels[move // k] = move % k


def _cost(pairs: Floats, sizes: Floats, held: Floats, limits: Limits, n: int) -> Floats:
    """Of groups with this sum of pair distances, number of languages and weight."""
    inside = 2 * pairs / np.maximum(sizes - 1, 1)
    over = limits.over(held)
    return np.where(sizes > 0, inside + 10 * n * (over + (over > 0)), np.inf)


class _State:
    """A grouping, and what each swap of two languages or move of one would change."""

    def __init__(self, labels: Labels, distances: Distances, k: int, limits: Limits) -> None:
        self.labels, self.distances, self.limits = labels, distances, limits
        self.k, self.n = k, len(labels)
        member = np.eye(k)[labels]
        self.to_group = distances @ member
        """[n, k]: sum of distances of a language to a group."""
        self.pairs = (self.to_group * member).sum(axis=0) / 2
        self.sizes, self.held = member.sum(axis=0), limits.weights @ member
        self.costs = self._cost(self.pairs, self.sizes, self.held)
        self.own = self.to_group[np.arange(self.n), labels]

    def _cost(self, pairs: Floats, sizes: Floats, held: Floats) -> Floats:
        return _cost(pairs, sizes, held, self.limits, self.n)

    def swaps(self) -> Floats:
        """[n, n]: change of cost if two languages change places."""
        mine, weights = self.labels, self.limits.weights
        pairs = self.pairs[mine][:, None] - self.own[:, None]
        pairs = pairs + self.to_group[:, mine].T - self.distances  # the other one comes in
        held = self.held[mine][:, None] - weights[:, None] + weights[None, :]
        after = self._cost(pairs, np.broadcast_to(self.sizes[mine][:, None], pairs.shape), held)
        before = self.costs[mine]
        change: Floats = after + after.T - before[:, None] - before[None, :]
        change[mine[:, None] == mine[None, :]] = np.inf
        return change

    def moves(self) -> Floats:
        """[n, k]: change of cost if a language goes to a group."""
        mine, weights = self.labels, self.limits.weights
        left = self._cost(
            self.pairs[mine] - self.own, self.sizes[mine] - 1, self.held[mine] - weights
        )
        joined = self._cost(
            self.pairs + self.to_group,
            np.broadcast_to(self.sizes + 1, self.to_group.shape),
            self.held + weights[:, None],
        )
        change: Floats = left[:, None] - self.costs[mine][:, None] + joined - self.costs
        change[np.arange(self.n), mine] = np.inf
        return change


def _labels(groups: Sequence[Sequence[int]]) -> Labels:
    labels = np.zeros(sum(len(group) for group in groups), dtype=np.intp)
    for label, group in enumerate(groups):
        labels[list(group)] = label
    return labels


def _told(labels: Labels, k: int, limits: Limits) -> list[str]:
    held = limits.weights @ np.eye(k)[labels]
    if not limits.over(held).any():
        return []
    return [
        f"balanced: no {k} groups found that keep the limit of {limits.most:,.0f} tokens; "
        f"the largest has {held.max():,.0f}"
    ]
