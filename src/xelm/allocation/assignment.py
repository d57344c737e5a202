"""One balanced assignment of all documents: prices from a sample, borders settled, sizes exact.

Only documents near a border between two clusters can change hands when prices move a little. So
prices from a sample (or from the last Lloyd step) are polished by a few passes over everything,
and what follows (Newton steps to the true sizes, the exact repair) looks at the border documents
alone: a few per cent of the corpus. At the end the prices tell whether that was enough: a document
outside the border is nowhere cheaper as long as no two prices moved apart by more than its distance
from the border. Otherwise everything is looked at.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xelm.allocation import exchange, prices
from xelm.allocation.prices import Float64, Floats, Labels

SAMPLE = 16_384
"""Documents on which prices are first learnt; up to so many, everything is the border."""
STALE = 0.02
"""Prices of the last step that misplace more of the weight than this are learnt again from the
sample; beyond LOST of it, from the beginning."""
LOST = 0.2
NEARLY = 0.001
"""Polishing ends when so little of the weight is misplaced, or when it no longer halves."""
POLISHING_STEPS = 3
POLISHING_TEMPERATURE = 0.01
WIDENINGS = 4


@dataclass(frozen=True)
class Assignment:
    """Labels int32 [n] and prices [k], mean zero; with exact documents the prices give the labels
    back (argmin of cost + price)."""

    labels: Labels
    prices: Float64


@dataclass(frozen=True)
class Border:
    """Labels and prices after settling, the documents near a border, and how far from every other
    cluster the rest are (in cost + price)."""

    labels: Labels
    prices: Float64
    documents: npt.NDArray[np.intp]
    distance: float


def assign(
    costs_kn: Floats,
    weights: Float64 | None,
    capacities: Float64,
    start: Float64 | None = None,
    exact: bool = True,
    threads: int = 1,
) -> Assignment:
    """Balanced assignment: optimal and to the document without weights, to within the heaviest
    document with weights; with exact=False by prices alone, a few documents off.

    costs_kn [k, n]; capacities [k] sum to n or to the total weight. start: prices of the last step.
    """
    if len(capacities) == 1:
        return Assignment(np.zeros(costs_kn.shape[1], dtype=np.int32), np.zeros(1))
    problem = _Problem(costs_kn, weights, capacities, threads)
    border = problem.settle(start)
    if not exact:
        return Assignment(border.labels, _centred(border.prices))
    labels, found = problem.repair(border)
    return Assignment(labels, _centred(border.prices if found is None else found))


def _centred(values: Float64) -> Float64:
    return np.asarray(values - values.mean())


@dataclass(frozen=True)
class _Look:
    """All documents under some prices: labels, margins to the second best, sizes too large by."""

    prices: Float64
    labels: Labels
    margin: Floats
    excess: Float64

    @property
    def misplaced(self) -> float:
        """Weight in clusters beyond their capacity."""
        return float(self.excess.clip(min=0).sum())


class _Problem:
    """Costs, weights and capacities, with a thinned sample of the documents."""

    def __init__(
        self, costs_kn: Floats, weights: Float64 | None, capacities: Float64, threads: int
    ):
        self.costs_kn, self.weights = costs_kn, weights
        self.capacities, self.threads = capacities, threads
        self.every = max(1, costs_kn.shape[1] // SAMPLE)
        self.few_kn = costs_kn[:, :: self.every]
        self.few_weights = None if weights is None else weights[:: self.every]
        self.unit = prices.scale(self.few_kn)

    def settle(self, start: Float64 | None) -> Border:
        """Prices that nearly fill the capacities with all documents, and where the borders are."""
        if self.every == 1 or self.unit == 0.0:
            guess = self._learn(None if start is None or self._is_lost(start) else start)
            labels = prices.nearest(self.costs_kn, guess, self.threads)
            return Border(labels, guess, np.arange(len(labels)), np.inf)
        look = self._look(self._learn(None) if start is None else start)
        if start is not None and look.misplaced > STALE * self.capacities.sum():
            lost = look.misplaced > LOST * self.capacities.sum()
            look = self._look(self._learn(None if lost else start))
        look, step = self._polish(look)
        return self._settle_border(look, step)

    def _learn(self, start: Float64 | None) -> Float64:
        return prices.learn(self.few_kn, self.few_weights, self.capacities, start)

    def _is_lost(self, start: Float64) -> bool:
        return self._look(start).misplaced > LOST * float(self.capacities.sum())

    def _look(self, guess: Float64) -> _Look:
        labels, margin = prices.nearest_with_margin(self.costs_kn, guess, self.threads)
        held = prices.sizes(labels, self.weights, len(guess))
        return _Look(guess, labels, margin, held - self.capacities)

    def _polish(self, look: _Look) -> tuple[_Look, float]:
        """Newton steps from the true sizes with the sample's curvature; and by how much the next
        step would move two prices apart."""
        temperature = POLISHING_TEMPERATURE * self.unit
        curvature = self.every * prices.curvature(
            self.few_kn, self.few_weights, look.prices, temperature
        )
        step = prices.newton_step(curvature, look.excess, temperature)
        for _ in range(POLISHING_STEPS):
            if look.misplaced <= NEARLY * self.capacities.sum():
                break
            further = self._look(look.prices + step)
            if further.misplaced > look.misplaced / 2:
                break
            look, step = further, prices.newton_step(curvature, further.excess, temperature)
        return look, float(np.ptp(step))

    def _settle_border(self, look: _Look, step: float) -> Border:
        """Newton steps on the border documents; the border widens until the prices stay in it."""
        width = 4 * step + 10 * prices.FINEST * self.unit
        for _ in range(WIDENINGS):
            near = np.flatnonzero(look.margin < width)
            settled = self._settle_documents(near, look)
            moved = float(np.ptp(settled - look.prices))
            if moved <= width / 2:
                break
            width *= 4
        labels = look.labels.copy()
        labels[near] = prices.nearest(self.costs_kn[:, near], settled)
        return Border(labels, settled, near, max(0.0, width - moved))

    def _settle_documents(self, near: npt.NDArray[np.intp], look: _Look) -> Float64:
        """Prices under which the border documents bring all sizes to their capacities."""
        near_kn = self.costs_kn[:, near]
        weights = None if self.weights is None else self.weights[near]
        target = prices.sizes(look.labels[near], weights, len(look.prices)) - look.excess
        settled = look.prices
        for fraction in (1.0, 0.3, 0.1):
            temperature = fraction * prices.FINEST * self.unit
            settled = prices.climb(near_kn, weights, target, settled, temperature)
        return settled

    def repair(self, border: Border) -> tuple[Labels, Float64 | None]:
        """Exact sizes by moving border documents, or any document where those are not enough."""
        outcome = self._exchange(border, border.documents)
        if self.weights is not None:
            return outcome.labels, None
        moved = np.inf if outcome.prices is None else np.ptp(outcome.prices - border.prices)
        if moved > border.distance:
            outcome = self._exchange(border, np.arange(len(border.labels)))
        return outcome.labels, outcome.prices

    def _exchange(self, border: Border, candidates: npt.NDArray[np.intp]) -> exchange.Repaired:
        return exchange.repair(
            self.costs_kn, border.labels, self.weights, self.capacities, candidates
        )
