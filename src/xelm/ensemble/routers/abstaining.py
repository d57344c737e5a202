"""When nothing fits, the seed answers.

A router always prefers some expert, also for text that none of them has read. So the fit of the
best column is measured as the text goes by, and where it is below what all but one in a thousand
dev documents reach, all weight goes to the seed. Fit is the mean log-likelihood of a piece under
the best column (unigram), or the cosine with the nearest centroid (tfidf).
"""

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from xelm.ensemble.routers.base import Router
from xelm.ensemble.routers.tfidf import Tfidf
from xelm.ensemble.routers.unigram import Unigram

LEAST_TOKENS = 16
"""A shorter text says too little to be called foreign."""
QUANTILE = 0.001
MARGIN = 0.1
"""Of the distance from the bound to the median dev document, put below the bound."""


class Abstaining(Router):
    """A learnt router and a bound; the last of its experts is the fallback.

    Args:
        inner: routes among all experts, giving the fallback no weight.
        silent: ids that say nothing.
        base: mean over columns of log p(piece | column), [v]; zeros for tfidf.
        bound: fit below which the fallback answers.
    """

    kind: ClassVar[str] = "abstaining"
    base: torch.Tensor

    def __init__(
        self, inner: Tfidf | Unigram, silent: tuple[int, ...], base: torch.Tensor, bound: float
    ) -> None:
        super().__init__(inner.experts, inner.prior)
        self.inner, self.bound = inner, bound
        informative = torch.ones_like(base, dtype=torch.float64)
        informative[list(silent)] = 0.0
        both = torch.stack([base.double() * informative, informative], 1)
        self.register_buffer("base", both, persistent=False)

    @property
    def width(self) -> int:
        """The inner router's sums, the base sum, and the number of tokens."""
        return self.inner.width + 2

    def terms(self, ids_bt: torch.Tensor) -> torch.Tensor:
        """As the inner router's, with two more."""
        own = torch.nn.functional.embedding(ids_bt, self.base)
        return torch.cat([self.inner.terms(ids_bt), own], -1)

    def fit(self, sums: torch.Tensor) -> torch.Tensor:
        """How well the best column fits [...]; infinite while there are too few tokens."""
        inner, base, tokens = sums[..., :-2], sums[..., -2], sums[..., -1]
        if isinstance(self.inner, Unigram):
            fit = (inner.amax(-1) + base) / tokens
        else:
            fit = self.inner.cosines(inner).amax(-1)
        return torch.where(tokens >= LEAST_TOKENS, fit, torch.inf)

    def decide(self, sums: torch.Tensor) -> torch.Tensor:
        """The inner router's weights, or all to the fallback."""
        weights = self.inner.decide(sums[..., :-2])
        fallback = torch.zeros_like(weights)
        fallback[..., -1] = 1.0
        return torch.where((self.fit(sums) < self.bound)[..., None], fallback, weights)

    def worst_fit(self, ids: NDArray[np.integer]) -> float:
        """The lowest fit at any place of a document."""
        ids_bt = torch.from_numpy(ids.astype(np.int64))[None]
        if ids_bt.shape[1] == 0:
            return float("inf")
        return float(self.fit(self.terms(ids_bt).cumsum(1)).min())


def learn_bound(fits: list[float]) -> float | None:
    """The bound from the worst fits of dev documents; None when they are too few or too short."""
    known = np.array([fit for fit in fits if np.isfinite(fit)])
    if len(known) < 10:
        return None
    low = float(np.quantile(known, QUANTILE))
    return low - MARGIN * (float(np.median(known)) - low)
