"""Trees of languages: the published pairing in rounds, and ordinary agglomeration.

Both give n - 1 merges down to one cluster, in the order they happen; the groups for k are what
stands after the first n - k merges. Clusters 0..n-1 are the languages, merge t makes cluster n + t.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]
"""[n, n], symmetric, zeros on the diagonal."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Two clusters become one."""

    left: int
    right: int
    distance: float


def pairing(distances: Distances) -> list[Merge]:
    """The published linkage: rounds in which all clusters pair off, closest pair first.

    The distance of clusters is that of their closest languages; a cluster is used once a round,
    and an odd one left over joins the nearest of the new pairs. Merges of a round come closest
    first, so a k between two rounds is reached by pairing only the closest.
    """
    n = len(distances)
    clusters, between = list(range(n)), distances.astype(np.float64)
    merges: list[Merge] = []
    while len(clusters) > 1:
        pairs = _pairs(between)
        new = []
        for left, right in pairs:
            new.append(n + len(merges))
            merges.append(Merge(clusters[left], clusters[right], float(between[left, right])))
        places = [[left, right] for left, right in pairs]
        for odd in set(range(len(clusters))) - {place for pair in pairs for place in pair}:
            to_pairs = [float(between[odd, pair].min()) for pair in places]
            nearest = int(np.argmin(to_pairs))
            merges.append(Merge(clusters[odd], new[nearest], to_pairs[nearest]))
            new[nearest] = n + len(merges) - 1
            places[nearest].append(odd)
        clusters, between = new, _closest(between, places)
    return merges


def _pairs(between: Distances) -> list[tuple[int, int]]:
    """All clusters two by two, closest first; the first by number among equals."""
    rows, columns = np.triu_indices(len(between), 1)
    free = np.ones(len(between), dtype=bool)
    pairs = []
    for place in np.argsort(between[rows, columns], kind="stable").tolist():
        left, right = int(rows[place]), int(columns[place])
        if free[left] and free[right]:
            free[[left, right]] = False
            pairs.append((left, right))
    return pairs


def _closest(between: Distances, places: Sequence[Sequence[int]]) -> Distances:
    """Distances of joined clusters: those of their closest parts."""
    rows = np.stack([between[list(parts)].min(axis=0) for parts in places])
    return np.stack([rows[:, list(parts)].min(axis=1) for parts in places], axis=1)


def average(distances: Distances) -> list[Merge]:
    """Ordinary agglomeration by the mean distance of clusters (UPGMA)."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    if len(distances) < 2:
        return []
    steps = linkage(squareform(distances, checks=False), method="average")
    return [Merge(int(a), int(b), float(distance)) for a, b, distance, _ in steps]


def cut(n: int, merges: Sequence[Merge], k: int) -> list[list[int]]:
    """The k groups after the first n - k merges; groups and members ascending."""
    members = {cluster: [cluster] for cluster in range(n)}
    for t, merge in enumerate(merges[: n - k]):
        members[n + t] = members.pop(merge.left) + members.pop(merge.right)
    return sorted(sorted(group) for group in members.values())
