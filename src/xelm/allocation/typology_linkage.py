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
    members = {cluster: [cluster] for cluster in range(n)}
    merges: list[Merge] = []
    while len(members) > 1:
        _one_round(distances, members, merges, n)
    return merges


def _one_round(
    distances: Distances, members: dict[int, list[int]], merges: list[Merge], n: int
) -> None:
    waiting = sorted(members)
    between = {
        (a, b): float(distances[np.ix_(members[a], members[b])].min())
        for place, a in enumerate(waiting)
        for b in waiting[place + 1 :]
    }
    free = set(waiting)
    for (a, b), distance in sorted(between.items(), key=lambda pair: (pair[1], pair[0])):
        if a in free and b in free:
            free -= {a, b}
            _merge(members, merges, n, Merge(a, b, distance))
    if free and len(members) > 1:
        (odd,) = free
        nearest = min(
            (float(distances[np.ix_(members[odd], members[other])].min()), other)
            for other in members
            if other != odd
        )
        _merge(members, merges, n, Merge(odd, nearest[1], nearest[0]))


def _merge(members: dict[int, list[int]], merges: list[Merge], n: int, merge: Merge) -> None:
    members[n + len(merges)] = members.pop(merge.left) + members.pop(merge.right)
    merges.append(merge)


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
