"""Is the difference of two arms more than chance? A paired bootstrap, and Holm's correction.

Both arms are scored on the same documents, so a resample draws documents (or whole groups of them)
and gives both arms the same draw; with several data orders it draws orders too, and the same for
both. The statistic is a ratio, sum of bits over sum of bytes, so long documents weigh as much as
they do in the table (Efron and Tibshirani, An Introduction to the Bootstrap, ch. 8, 13, 16).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[np.float64]
_SPARE = 5  # the smallest p of one test should be this many times below what Holm asks for
_ELEMENTS_AT_ONCE = 4_000_000


def enough(resamples: int, tests: int, alpha: float) -> int:
    """`resamples`, or more where the smallest possible p could not pass Holm over `tests`.

    A two-sided p is at least 2 / (resamples + 1); Holm multiplies the smallest by `tests`.
    """
    return max(resamples, math.ceil(2 * tests * _SPARE / alpha))


def draw_orders(orders: int, resamples: int, rng: np.random.Generator) -> Draws:
    """How much each data order weighs in each resample [resamples, orders]; rows sum to one."""
    counts = rng.multinomial(orders, np.full(orders, 1 / orders), size=resamples)
    weights: Draws = counts / orders
    return weights


def ratios(
    bits: NDArray[np.float64],
    sizes: NDArray[np.float64],
    order_weights: Draws,
    rng: np.random.Generator,
) -> Draws:
    """Bits per byte of every arm in every resample [resamples, arms].

    Args:
        bits: of each unit [units, arms, orders]; an arm with one order repeats it.
        sizes: bytes of each unit [units].
        order_weights: of `draw_orders`.
    """
    units, arms, orders = bits.shape
    resamples = len(order_weights)
    result = np.empty((resamples, arms))
    columns = np.concatenate([bits.reshape(units, -1), sizes[:, None]], axis=1)
    step = max(1, _ELEMENTS_AT_ONCE // units)
    for start in range(0, resamples, step):
        part = slice(start, min(start + step, resamples))
        counts = rng.multinomial(units, np.full(units, 1 / units), size=part.stop - start)
        sums = counts.astype(np.float64) @ columns
        by_order = sums[:, :-1].reshape(-1, arms, orders)
        mean = np.einsum("rao,ro->ra", by_order, order_weights[part])
        result[part] = mean / sums[:, -1:]
    return result


def by_unit(values: NDArray[np.floating], units: NDArray[np.integer]) -> NDArray[np.float64]:
    """Sums of documents' values [n, ...] by the unit each belongs to [units, ...]."""
    names, member = np.unique(units, return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]))
    np.add.at(sums, member, values)
    return sums


def p_value(differences: Draws, units: int) -> float:
    """Two-sided p of resampled differences: twice the smaller share on either side of zero.

    Never 0 (the sample itself counts as one resample), and never below 2 * 2**-units, the least
    that flipping the signs of so many pairs could show: a few documents of one mind prove little.
    """
    below = int((differences <= 0).sum())
    above = int((differences >= 0).sum())
    share = (1 + min(below, above)) / (1 + len(differences))
    return min(1.0, 2 * max(share, 2.0**-units))


def interval(differences: Draws, confidence: float) -> tuple[float, float]:
    """The percentile interval."""
    edge = (1 - confidence) / 2
    low, high = np.quantile(differences, [edge, 1 - edge])
    return float(low), float(high)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given (Holm 1979)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, most = [1.0] * len(p), 0.0
    for rank, index in enumerate(order):
        most = max(most, (len(p) - rank) * p[index])
        adjusted[index] = min(1.0, most)
    return adjusted
