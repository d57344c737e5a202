"""The exact best grouping of a few languages: dynamic programming over sets of languages.

A set is a bit mask. Groups are taken in the order of their first language, so each grouping is
met once: level j holds the least cost of every set that j groups can cover, and the next group
always takes the first language not yet in one. Sets that cannot beat a grouping already known are
dropped, which is what makes 16 languages a matter of a second rather than of minutes.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Masks = NDArray[np.int64]


def optimum(
    n: int,
    k: int,
    sizes: range,
    cost: Callable[[NDArray[np.float64]], Floats],
    floor: Floats,
    known: float,
) -> list[list[int]] | None:
    """k groups of least total cost; None when none is cheaper than `known`.

    sizes: numbers of languages a group may have. cost: of groups given as member tables [c, n].
    floor [n]: what a language costs at least, in any group.
    """
    groups, costs = _all_groups(n, sizes, cost)
    by_first = _by_first(groups, n)
    everything = (1 << n) - 1
    to_go = _sums(floor)
    levels: list[Floats] = [np.full(1 << n, np.inf)]
    levels[0][0] = 0.0
    for level in range(k):
        left = k - level - 1
        reached = np.full(1 << n, np.inf)
        sets = np.flatnonzero(np.isfinite(levels[-1]))
        _extend(sets, levels[-1], reached, groups, costs, by_first)
        _drop(reached, everything, left, sizes, to_go, known)
        levels.append(reached)
    if not np.isfinite(levels[k][everything]):
        return None
    return _trace(levels, everything, groups, costs)


def _all_groups(
    n: int, sizes: range, cost: Callable[[NDArray[np.float64]], Floats]
) -> tuple[Masks, Floats]:
    """Every possible group as a mask, and its cost."""
    members = [group for size in sizes for group in combinations(range(n), size)]
    table = np.zeros((len(members), n))
    for row, group in enumerate(members):
        table[row, list(group)] = 1
    return (table @ (1 << np.arange(n))).astype(np.int64), cost(table)


def _by_first(groups: Masks, n: int) -> list[NDArray[np.intp]]:
    """Language -> the groups whose first language it is."""
    first = groups & -groups
    return [np.flatnonzero(first == 1 << language) for language in range(n)]


def _sums(values: Floats) -> Floats:
    """Sum of the values of every set [2**n]."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums


def _extend(
    sets: Masks,
    before: Floats,
    reached: Floats,
    groups: Masks,
    costs: Floats,
    by_first: list[NDArray[np.intp]],
) -> None:
    """Add every possible next group to every set; `reached` keeps the least cost."""
    first_free = ~sets & (sets + 1)
    for language, choices in enumerate(by_first):
        here = sets[first_free == 1 << language]
        for choice in choices if len(here) else ():
            mask = groups[choice]
            free = here[here & mask == 0]
            target = free | mask  # all different, as the group is one
            reached[target] = np.minimum(reached[target], before[free] + costs[choice])


def _drop(
    reached: Floats, everything: int, left: int, sizes: range, to_go: Floats, known: float
) -> None:
    """Forget sets that no `left` groups complete, or only at a price not below the known one."""
    sets = np.flatnonzero(np.isfinite(reached))
    rest = np.bitwise_count(everything ^ sets)
    possible = (rest >= left * sizes[0]) & (rest <= left * sizes[-1])
    possible &= reached[sets] + to_go[everything ^ sets] < known - 1e-9
    reached[sets[~possible]] = np.inf


def _trace(levels: list[Floats], everything: int, groups: Masks, costs: Floats) -> list[list[int]]:
    """The groups that led to the full set."""
    found = []
    mask = everything
    for level in reversed(levels[:-1]):
        inside = np.flatnonzero((groups & mask) == groups)
        best = inside[np.argmin(level[mask ^ groups[inside]] + costs[inside])]
        found.append([bit for bit in range(mask.bit_length()) if groups[best] >> bit & 1])
        mask ^= int(groups[best])
    return found
