"""Linkages on made-up distances where the answer can be seen, and scipy as the reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from xelm.allocation.typology_linkage import Distances, average, cut, pairing


def on_a_line(*places: float) -> Distances:
    x = np.asarray(places, dtype=np.float64)
    return np.abs(x[:, None] - x[None, :])


def random_distances(n: int, seed: int) -> Distances:
    x = np.random.default_rng(seed).random((n, 3))
    return np.linalg.norm(x[:, None] - x[None, :], axis=2)


def by_hand(distances: Distances, k: int) -> set[frozenset[int]]:
    """The published rule in its plainest form, stopped at k clusters."""
    clusters = [frozenset([i]) for i in range(len(distances))]

    def apart(a: frozenset[int], b: frozenset[int]) -> float:
        return min(distances[i, j] for i in a for j in b)

    while len(clusters) > k:
        waiting, done = list(clusters), []
        while waiting and len(waiting) + len(done) > k:
            if len(waiting) == 1:
                near = min(done, key=lambda other: apart(waiting[0], other))
                done[done.index(near)] = near | waiting.pop()
                break
            a, b = min(
                ((a, b) for a in waiting for b in waiting if a != b), key=lambda ab: apart(*ab)
            )
            waiting = [c for c in waiting if c not in (a, b)]
            done.append(a | b)
        clusters = waiting + done
    return set(clusters)


def test_pairs_are_closest_first_and_each_cluster_once() -> None:
    distances = on_a_line(0, 1, 1.9, 10)  # 1 and 1.9 are closest, so 0 must pair with 10
    assert cut(4, pairing(distances), 2) == [[0, 3], [1, 2]]


def test_an_odd_one_joins_its_nearest() -> None:
    assert cut(5, pairing(on_a_line(0, 1, 10, 11, 3)), 2) == [[0, 1, 4], [2, 3]]


def test_between_rounds_only_the_closest_pair() -> None:
    merges = pairing(on_a_line(0, 1, 10, 12, 30, 33))
    assert cut(6, merges, 5) == [[0, 1], [2], [3], [4], [5]]
    assert cut(6, merges, 4) == [[0, 1], [2, 3], [4], [5]]


@given(st.integers(1, 12), st.integers(0, 10**6), st.data())
@settings(deadline=None)
def test_published_rule_for_any_k(n: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    distances = random_distances(n, seed)
    assert {frozenset(g) for g in cut(n, pairing(distances), k)} == by_hand(distances, k)


@pytest.mark.parametrize("k", [1, 3, 7, 20])
def test_average_is_scipys(k: int) -> None:
    distances = random_distances(20, 1)
    labels = fcluster(linkage(squareform(distances), "average"), k, "maxclust")
    wanted = {frozenset(np.flatnonzero(labels == one).tolist()) for one in set(labels)}
    assert {frozenset(group) for group in cut(20, average(distances), k)} == wanted


def test_ties_go_to_the_first() -> None:
    distances = np.ones((4, 4)) - np.eye(4)
    assert cut(4, pairing(distances), 2) == [[0, 1], [2, 3]]
