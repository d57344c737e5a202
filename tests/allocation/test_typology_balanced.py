"""Balanced groups against all groupings there are."""

from collections.abc import Iterator

import numpy as np
import pytest

from xelm.allocation.typology_balanced import (
    Limits,
    balanced,
    by_languages,
    by_tokens,
    cost,
    improved_to_optimum,
    search,
)
from xelm.allocation.typology_linkage import Distances, cut


def random_distances(n: int, seed: int) -> Distances:
    x = np.random.default_rng(seed).random((n, 4))
    return np.linalg.norm(x[:, None] - x[None, :], axis=2) / 2


def groupings(n: int, k: int) -> Iterator[list[int]]:
    """Labels of all ways to put n languages into k groups."""

    def grow(labels: list[int]) -> Iterator[list[int]]:
        if len(labels) == n:
            if max(labels) == k - 1:
                yield labels
            return
        for label in range(min(max(labels, default=-1) + 2, k)):
            yield from grow([*labels, label])

    return grow([])


def plain_cost(labels: list[int], distances: Distances) -> float:
    """Sum over languages of the mean distance to their companions, in plain loops."""
    total = 0.0
    for i, group in enumerate(labels):
        others = [distances[i, j] for j, g in enumerate(labels) if g == group and j != i]
        total += sum(others) / len(others) if others else 0.0
    return total


def kept(labels: list[int], limits: Limits, k: int) -> bool:
    held = np.bincount(labels, weights=limits.weights, minlength=k)
    return bool((held <= limits.most * (1 + 1e-9)).all() and (held >= limits.least - 1e-9).all())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "k"), [(7, 2), (8, 3), (8, 4), (6, 6), (5, 1)])
@pytest.mark.parametrize("limit", ["languages", "tokens"])
def test_it_is_the_best_of_all(n: int, k: int, seed: int, limit: str) -> None:
    distances = random_distances(n, seed)
    tokens = np.random.default_rng(seed).lognormal(0, 0.7, n)
    limits = by_languages(n, k) if limit == "languages" else by_tokens(tokens.tolist(), k, 0.3)
    allowed = [labels for labels in groupings(n, k) if kept(labels, limits, k)]
    merges, notes = balanced(distances, k, limits)
    found = [0] * n
    for label, group in enumerate(cut(n, merges, k)):
        for language in group:
            found[language] = label
    if not allowed:
        assert "no" in notes[0]
        return
    assert not notes and kept(found, limits, k)
    best = min(plain_cost(labels, distances) for labels in allowed)
    assert plain_cost(found, distances) == pytest.approx(best, abs=1e-9)


def test_the_optimum_mends_a_poor_grouping() -> None:
    distances = random_distances(10, 5)
    limits = by_languages(10, 3)
    poor = np.arange(10) % 3
    best = improved_to_optimum(poor, distances, 3, limits)
    assert cost(best, distances, 3, limits) < cost(poor, distances, 3, limits)
    again = improved_to_optimum(best, distances, 3, limits)
    assert (again == best).all()


@pytest.mark.parametrize("seed", range(3))
def test_search_alone_is_close_to_the_optimum(seed: int) -> None:
    distances = random_distances(14, seed)
    limits = by_languages(14, 4)
    found = search(distances, 4, limits)
    best = improved_to_optimum(found, distances, 4, limits)
    assert cost(found, distances, 4, limits) <= 1.01 * cost(best, distances, 4, limits)


def test_many_languages_are_searched_and_repeatable() -> None:
    distances = random_distances(60, 0)
    limits = by_languages(60, 7)
    first, _ = balanced(distances, 7, limits)
    again, _ = balanced(distances, 7, limits)
    assert first == again
    assert {len(group) for group in cut(60, first, 7)} == {8, 9}


def test_one_language_above_the_limit_stands_alone() -> None:
    distances = random_distances(6, 1)
    merges, notes = balanced(distances, 3, by_tokens([100, 1, 1, 1, 1, 1], 3, 0.1))
    assert [0] in cut(6, merges, 3) and not notes


def test_no_tokens_at_all() -> None:
    merges, notes = balanced(random_distances(4, 1), 2, by_tokens([0.0] * 4, 2, 0.1))
    assert len(cut(4, merges, 2)) == 2 and not notes
