"""The published router: distance between the TF-IDF embedding of the prefix and the centroids.

TF-IDF followed by SVD is linear up to its last normalisation, and normalising before the SVD as
well changes only the length that the last one removes. So the embedding of a prefix is the running
sum of idf(term) * SVD-row(term), normalised: exact for every prefix, linear in length.
w = softmax(-dist^e / T), e = 2 as in the paper or 4 as in the released code (arXiv 2401.10440).
"""

from collections.abc import Sequence
from typing import ClassVar

import torch

from xelm.ensemble.routers import columns as column_sums
from xelm.ensemble.routers.base import Router, require_positive
from xelm.ensemble.routers.columns import Column
from xelm.errors import UserError


class Tfidf(Router):
    """Terms are the tokenizer's pieces.

    Args:
        vectors: idf * SVD row of each piece, [v, d]; zero rows for pieces that say nothing.
        centroids: [c, d], one a column.
        temperature: T above; 0.1 in the paper.
        exponent: 2 or 4.
    """

    kind: ClassVar[str] = "tfidf"
    vectors: torch.Tensor
    centroids: torch.Tensor
    lengths: torch.Tensor
    owners: torch.Tensor

    def __init__(
        self,
        experts: Sequence[str],
        columns: Sequence[Column],
        vectors: torch.Tensor,
        centroids: torch.Tensor,
        *,
        temperature: float = 0.1,
        exponent: int = 2,
    ) -> None:
        owners = column_sums.owners(columns, experts)
        super().__init__(experts, column_sums.prior(columns) @ owners)
        if exponent not in (2, 4):
            raise UserError(f"router.exponent: {exponent} is neither 2 (the paper's) nor 4")
        self.temperature = require_positive("temperature", temperature)
        self.exponent = exponent
        self.register_buffer("vectors", vectors.double(), persistent=False)
        self.register_buffer("centroids", centroids.double(), persistent=False)
        self.register_buffer("lengths", self.centroids.square().sum(-1), persistent=False)
        self.register_buffer("owners", owners, persistent=False)

    @property
    def width(self) -> int:
        """Dimensions of the embedding."""
        return self.vectors.shape[1]

    def terms(self, ids_bt: torch.Tensor) -> torch.Tensor:
        """The pieces' vectors [b, t, d]."""
        return torch.nn.functional.embedding(ids_bt, self.vectors)

    def decide(self, sums: torch.Tensor) -> torch.Tensor:
        """Softmax over columns of minus distance to the power e over T, summed by owner."""
        norm = torch.linalg.vector_norm(sums, dim=-1, keepdim=True)
        unit = sums / norm.clamp_min(torch.finfo(torch.float64).tiny)
        squared = (1.0 + self.lengths - 2.0 * (unit @ self.centroids.T)).clamp_min(0)
        distance = squared if self.exponent == 2 else squared.square()
        weights = torch.softmax(-distance / self.temperature, dim=-1) @ self.owners
        return torch.where(norm > 0, weights, self.prior)

    def cosines(self, sums: torch.Tensor) -> torch.Tensor:
        """Of the prefix with each centroid, [..., c]."""
        norm = torch.linalg.vector_norm(sums, dim=-1, keepdim=True) * self.lengths.sqrt()
        smallest = torch.finfo(torch.float64).tiny
        return torch.div(sums @ self.centroids.T, norm.clamp_min(smallest))
