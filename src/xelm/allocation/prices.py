"""Prices: balanced assignment as one number per cluster.

Balanced assignment is a transport problem: document i of weight w_i goes to cluster j at cost
w_i * c_ij, and cluster j takes exactly its capacity b_j. Its dual has one price p_j per cluster and

    g(p) = sum_i w_i * min_j (c_ij + p_j) - sum_j b_j * p_j

is concave; at its maximum every document simply takes argmin_j (c_ij + p_j) and the sizes come out
right (Peyre and Cuturi, Computational Optimal Transport, 2019, section 5, "semi-discrete").
k numbers, learnt once on a sample, then balance any number of further documents independently.

The kinks of g are smoothed by a temperature t (min becomes -t * log sum exp(-/t)) and the maximum
is found by Newton steps while t falls. A smoothed price misses the hard sizes by a few documents
near the borders; exchange.py moves those.

Arrays are cluster-major, costs_kn [k, n]: sums and minima over clusters then run along memory.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xelm.allocation import chunks

Floats = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]

TEMPERATURES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Fractions of the cost scale (see `scale`): from a coarse view of the borders to a fine one."""
FINEST = TEMPERATURES[-1]
NEWTON_STEPS = 12
LONG = 30.0
"""Clusters this many temperatures dearer than the best count as e^-30 of a document."""


@dataclass(frozen=True)
class Smoothed:
    """The smoothed dual at one point: value, soft sizes [k] and minus its Hessian [k, k]."""

    value: float
    sizes: Float64
    curvature: Float64


def nearest(costs_kn: Floats, prices: Float64, threads: int = 1) -> Labels:
    """argmin_j (cost + price) of every document, int32 [n]; the lower index wins a tie."""
    labels = np.empty(costs_kn.shape[1], dtype=np.int32)

    def fill(chunk: slice) -> None:
        priced = costs_kn[:, chunk] + prices[:, None]  # float64: prices split near-ties
        labels[chunk] = _two_least(priced)[0]

    chunks.run(fill, len(labels), threads)
    return labels


def nearest_with_margin(
    costs_kn: Floats, prices: Float64, threads: int = 1
) -> tuple[Labels, Floats]:
    """Labels as `nearest`, in the costs' own precision, and by how much the second best is dearer
    [n]."""
    n = costs_kn.shape[1]
    labels, margin = np.empty(n, dtype=np.int32), np.empty(n, dtype=costs_kn.dtype)
    column = prices.astype(costs_kn.dtype)[:, None]

    def fill(chunk: slice) -> None:
        label, least, second = _two_least(costs_kn[:, chunk] + column)
        labels[chunk], margin[chunk] = label, second - least

    chunks.run(fill, n, threads)
    return labels, margin


def _two_least(values_kn: Floats) -> tuple[Labels, Floats, Floats]:
    """Index of the least value of every column, that value and the next one.

    A running minimum over k long rows: several times faster than argmin along the short axis.
    """
    least = values_kn[0].copy()
    second = np.full_like(least, np.inf)
    label = np.zeros(len(least), dtype=np.int32)
    for j in range(1, len(values_kn)):
        value = values_kn[j]
        np.minimum(second, np.maximum(least, value), out=second)
        np.copyto(label, np.int32(j), where=value < least)
        np.minimum(least, value, out=least)
    return label, least, second


def sizes(labels: Labels, weights: Float64 | None, k: int) -> Float64:
    """What every cluster holds, float64 [k]: documents, or the sum of their weights."""
    return np.bincount(labels, weights=weights, minlength=k).astype(np.float64)


def scale(costs_kn: Floats) -> float:
    """How far apart costs lie: mean over documents of (mean cost - least cost)."""
    return float((costs_kn.mean(axis=0, dtype=np.float64) - costs_kn.min(axis=0)).mean())


def learn(
    costs_kn: Floats, weights: Float64 | None, capacities: Float64, start: Float64 | None = None
) -> Float64:
    """Prices [k] under which argmin(cost + price) fills the capacities nearly.

    costs_kn [k, n], a sample as a rule; weights [n] or None; capacities [k] in any unit, only
    their proportions count. start: prices of a similar problem (the last Lloyd step), which
    spares the coarse temperatures.
    """
    unit = scale(costs_kn)
    target = capacities * (_total(costs_kn, weights) / capacities.sum())
    prices = np.zeros(len(capacities)) if start is None else start
    if unit == 0.0:
        return prices
    for fraction in TEMPERATURES if start is None else TEMPERATURES[-3:]:
        prices = climb(costs_kn, weights, target, prices, fraction * unit)
    return prices


def curvature(
    costs_kn: Floats, weights: Float64 | None, prices: Float64, temperature: float
) -> Float64:
    """How sizes answer to prices, [k, k]: minus the Hessian of the smoothed dual."""
    return _smoothed(costs_kn, weights, np.zeros(len(prices)), prices, temperature).curvature


def _total(costs_kn: Floats, weights: Float64 | None) -> float:
    return float(costs_kn.shape[1] if weights is None else weights.sum())


def climb(
    costs_kn: Floats,
    weights: Float64 | None,
    target: Float64,
    prices: Float64,
    temperature: float,
) -> Float64:
    """Prices [k] of the smoothed maximum at one temperature.

    Newton steps, each halved until the value rises.
    """
    here = _smoothed(costs_kn, weights, target, prices, temperature)
    for _ in range(NEWTON_STEPS):
        excess = here.sizes - target
        if np.abs(excess).max() <= 1e-3 * np.abs(target).mean():
            break
        step = newton_step(here.curvature, excess, temperature)
        for _ in range(8):
            there = _smoothed(costs_kn, weights, target, prices + step, temperature)
            if there.value >= here.value:
                break
            step /= 2
        else:
            break
        prices, here = prices + step, there
    return prices


def newton_step(curvature: Float64, excess: Float64, temperature: float) -> Float64:
    """The damped Newton step [k]: raise the price of what is too full.

    Curvature is singular along (1, ..., 1) and vanishes between clusters that share no border, so
    a small multiple of the identity is added and no price moves more than 20 temperatures.
    """
    damping = 1e-6 * np.trace(curvature) / len(excess) + 1e-12 * np.abs(excess).max() / temperature
    if damping == 0.0:
        return np.zeros(len(excess))
    step = np.linalg.solve(curvature + damping * np.eye(len(excess)), excess)
    step -= step.mean()
    longest = np.abs(step).max()
    return np.asarray(step * min(1.0, 20 * temperature / max(longest, 1e-300)))


def _smoothed(
    costs_kn: Floats,
    weights: Float64 | None,
    target: Float64,
    prices: Float64,
    temperature: float,
) -> Smoothed:
    """Value, soft sizes and curvature of the smoothed dual, summed over chunks in float64."""
    column = (prices / temperature).astype(costs_kn.dtype)[:, None]
    factor = costs_kn.dtype.type(1.0 / temperature)
    k = len(prices)
    value, soft, outer = 0.0, np.zeros(k), np.zeros((k, k))
    for chunk in chunks.slices(costs_kn.shape[1], chunks.ROWS // 4):
        weight = None if weights is None else weights[chunk]
        part = _soft_chunk(costs_kn[:, chunk] * factor + column, weight)
        value, soft, outer = value + part[0], soft + part[1], outer + part[2]
    return Smoothed(
        temperature * value - float(target @ prices), soft, (np.diag(soft) - outer) / temperature
    )


def _soft_chunk(scaled_kn: Floats, weights: Float64 | None) -> tuple[float, Float64, Float64]:
    """Soft minimum (in units of temperature), soft sizes and sum of w * p p^T of one chunk."""
    least = scaled_kn.min(axis=0)
    soft = np.exp(np.maximum(least - scaled_kn, -LONG))  # no subnormals: they are slow
    total = soft.sum(axis=0)
    soft /= total
    minimum = least.astype(np.float64) - np.log(total)
    if weights is None:
        return float(minimum.sum()), soft.sum(axis=1, dtype=np.float64), _outer(soft, soft)
    weighted = soft * weights.astype(soft.dtype)
    return float(minimum @ weights), weighted.sum(axis=1, dtype=np.float64), _outer(weighted, soft)


def _outer(left_kn: Floats, right_kn: Floats) -> Float64:
    return np.asarray(left_kn @ right_kn.T, dtype=np.float64)
