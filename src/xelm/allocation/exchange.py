"""Exact balance: move the few documents that prices alone leave in a full cluster.

Starting from argmin(cost + price), which is optimal for the sizes it happens to have, documents
move along shortest paths of a graph whose nodes are the k clusters and whose edge j -> l is the
cheapest document of j to move to l. Each such move keeps the assignment optimal for its sizes
(successive shortest paths; Ahuja, Magnanti and Orlin, Network Flows, 1993, section 9.7), so with
documents as the unit the end is the exact optimum of the transport problem, and the graph has k
nodes however many documents there are.

With weights (tokens) no whole-document assignment need fill the capacities; the same moves run
until sizes minus capacities differ by at most the heaviest document, and if paths do not get there,
moves from the fullest to the emptiest cluster do: each lowers the sum of squared differences.
"""

import heapq
import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xelm.allocation.prices import Float64, Floats, Labels

Heap = list[tuple[float, int]]
EPSILON = 1e-14
"""Differences below EPSILON times the largest cost are rounding: costs are compared in float64."""


@dataclass(frozen=True)
class Repaired:
    """Labels [n] of the right sizes, and prices [k] that give them back where such prices exist."""

    labels: Labels
    prices: Float64 | None


def repair(
    costs_kn: Floats,
    labels: Labels,
    weights: Float64 | None,
    capacities: Float64,
    candidates: npt.NDArray[np.intp],
) -> Repaired:
    """The labels changed as cheaply as possible until the sizes are right.

    Without weights, capacities [k] are whole numbers with sum n and are met exactly. With weights
    [n], sizes minus capacities of any two clusters end at most one heaviest document apart.
    candidates: the documents that may move; the others only come in when these run out.
    """
    exchange = _Exchange(costs_kn, labels.copy(), weights, capacities, candidates)
    if weights is None:
        exchange.along_paths(tolerance=0.0)
    else:
        heaviest = float(weights.max())
        exchange.along_paths(tolerance=heaviest, most=20 * len(capacities))
        exchange.directly(tolerance=heaviest)
    return Repaired(exchange.labels, exchange.prices())


class _Exchange:
    """The graph of clusters: edge_kk[j, l] is the least cost of moving a document from j to l."""

    def __init__(
        self,
        costs_kn: Floats,
        labels: Labels,
        weights: Float64 | None,
        capacities: Float64,
        candidates: npt.NDArray[np.intp],
    ):
        self.costs_kn, self.labels, self.weights = costs_kn, labels, weights
        self.candidates, self.k = candidates, len(capacities)
        held = np.bincount(labels, weights=weights, minlength=self.k)
        self.excess: Float64 = held.astype(np.float64) - capacities
        self.noise = EPSILON * max(float(costs_kn.max()), -float(costs_kn.min()))
        self._fill_heaps(self._moves_needed())

    def _moves_needed(self) -> int:
        """Documents that must leave some cluster: no cluster loses more, so its heaps hold one
        more."""
        unit = 1.0 if self.weights is None else float(self.weights.mean()) / 2
        return int(self.excess.clip(min=0).sum() / max(unit, 1e-300)) + 1

    def _fill_heaps(self, depth: int) -> None:
        self.depth = depth
        self.heaps: list[list[Heap]] = [[[] for _ in range(self.k)] for _ in range(self.k)]
        self.edge_kk: Float64 = np.full((self.k, self.k), np.inf)
        for j in range(self.k):
            self._fill_heaps_of(j)
            self._refresh(j)

    def _fill_heaps_of(self, j: int) -> None:
        """The `depth` cheapest documents of cluster j for every other cluster."""
        members = self.candidates[self.labels[self.candidates] == j]
        if self.weights is not None:
            members = members[self.weights[members] > 0]
        if not len(members):
            return
        extra = self.costs_kn[:, members].astype(np.float64)
        extra -= extra[j].copy()
        for other in range(self.k):
            if other != j:
                self.heaps[j][other] = _cheapest(extra[other], members, self.depth)

    def _widen(self) -> None:
        """A heap ran dry: let every document be a candidate."""
        self.candidates = np.arange(len(self.labels))
        self._fill_heaps(2 * self.depth)

    def _refresh(self, j: int) -> None:
        """Drop documents that left cluster j from the top of its heaps; read off its edges."""
        for other in range(self.k):
            heap = self.heaps[j][other]
            while heap and self.labels[heap[0][1]] != j:
                heapq.heappop(heap)
            self.edge_kk[j, other] = heap[0][0] if heap else np.inf

    def _move(self, document: int, target: int) -> None:
        source = int(self.labels[document])
        weight = 1.0 if self.weights is None else float(self.weights[document])
        self.labels[document] = target
        self.excess[source] -= weight
        self.excess[target] += weight
        here = self.costs_kn[:, document].astype(np.float64)
        for other in range(self.k):
            if other != target:
                heapq.heappush(self.heaps[target][other], (here[other] - here[target], document))

    def along_paths(self, tolerance: float, most: int | None = None) -> None:
        """Move documents along shortest paths until excesses lie within `tolerance` of each other,
        or `most` paths were used."""
        used = 0
        while np.ptp(self.excess) > tolerance and (most is None or used < most):
            path = self._shortest_path()
            if path is None:
                self._widen()
                path = self._shortest_path()
                assert path is not None, "a cluster that is too full has a document to give"
            self._push(path, tolerance)
            used += 1

    def _ends(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        if self.weights is None:
            return self.excess > 0, self.excess < 0
        return self.excess == self.excess.max(), self.excess == self.excess.min()

    def _shortest_path(self) -> list[int] | None:
        """Clusters from one that is too full to one with room, by Bellman-Ford over k nodes."""
        full, roomy = self._ends()
        distance = np.where(full, 0.0, np.inf)
        before = np.full(self.k, -1)
        for _ in range(self.k - 1):
            through = distance[:, None] + self.edge_kk
            best = through.argmin(axis=0)
            value = through[best, np.arange(self.k)]
            better = value < distance - self.noise
            if not better.any():
                break
            distance, before = np.where(better, value, distance), np.where(better, best, before)
        end = int(np.where(roomy, distance, np.inf).argmin())
        if not np.isfinite(distance[end]):
            return None
        return self._walk_back(end, before)

    def _walk_back(self, end: int, before: npt.NDArray[np.int_]) -> list[int]:
        path = [end]
        while before[path[-1]] >= 0 and len(path) <= self.k:
            path.append(int(before[path[-1]]))
        if len(path) > self.k:  # rounding made a loop of free moves; take the direct way
            path = [end, int(np.argmax(self.excess))]
        return path[::-1]

    def _push(self, path: list[int], tolerance: float) -> None:
        """One document along every edge of the path, again while that costs no more: duplicates
        then move together instead of one search each."""
        steps = list(itertools.pairwise(path))
        price = [self.edge_kk[step] for step in steps]
        while True:
            movers = [self.heaps[j][other][0][1] for j, other in steps]
            for document, (_, other) in zip(movers, steps, strict=True):
                self._move(document, other)
            for j in path:
                self._refresh(j)
            same = all(self.edge_kk[s] <= p + self.noise for s, p in zip(steps, price, strict=True))
            room = self.excess[path[0]] - self.excess[path[-1]] > max(tolerance, 1.0)
            ends = self.weights is not None or (
                self.excess[path[0]] > 0 and self.excess[path[-1]] < 0
            )
            if not (same and room and ends):
                return

    def directly(self, tolerance: float) -> None:
        """From the fullest to the emptiest cluster, cheapest document first."""
        while np.ptp(self.excess) > tolerance:
            j, other = int(self.excess.argmax()), int(self.excess.argmin())
            if not np.isfinite(self.edge_kk[j, other]):
                self._widen()
            self._move(self.heaps[j][other][0][1], other)
            self._refresh(j)
            self._refresh(other)

    def prices(self) -> Float64 | None:
        """Prices that give the labels back, as far as the candidates tell."""
        return _middle_prices(self.edge_kk, self.noise)


def _cheapest(extra: Float64, members: npt.NDArray[np.int_], depth: int) -> Heap:
    """A heap of the `depth` least (extra cost, document), documents of equal cost by index."""
    if depth < len(extra):
        chosen = np.argpartition(extra, depth)[:depth]
        extra, members = extra[chosen], members[chosen]
    heap = list(zip(extra.tolist(), members.tolist(), strict=True))
    heapq.heapify(heap)
    return heap


def _middle_prices(edge_kk: Float64, noise: float) -> Float64 | None:
    """Prices [k], mean zero, with p_j - p_l <= edge_kk[j, l]: then argmin(cost + price) gives the
    labels back.

    They exist when no cyclic exchange of documents would be cheaper, that is when the labels are
    optimal for their sizes; None otherwise. Of all such prices the middle is taken: the mean over
    the extreme ones, which are shortest-path distances to and from each cluster.
    """
    far_kk = np.where(np.eye(len(edge_kk), dtype=bool), 0.0, edge_kk)
    for via in range(len(far_kk)):
        far_kk = np.minimum(far_kk, far_kk[:, [via]] + far_kk[[via], :])
    if (np.diag(far_kk) < -4 * len(far_kk) * noise).any() or not np.isfinite(far_kk).all():
        return None
    towards = (far_kk - far_kk.mean(axis=0)).mean(axis=1)
    away = -(far_kk - far_kk.mean(axis=1, keepdims=True)).mean(axis=0)
    return np.asarray((towards + away) / 2)
