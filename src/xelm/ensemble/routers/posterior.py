"""Bayes over the experts themselves: prior times the likelihood of the prefix under each expert.

As in Branch-Train-Merge (Li et al., 2022, section 3.2): no classifier is needed, but every expert
reads every token. The sums are accumulated in float64 from each expert's own log-probabilities.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch

from xelm.ensemble.routers.base import Router, State, require_positive


class Posterior(Router):
    """The model feeds it log-probabilities instead of ids; see `step_likelihood`."""

    kind: ClassVar[str] = "posterior"
    needs_likelihood: ClassVar[bool] = True

    def __init__(
        self,
        experts: Sequence[str],
        prior: torch.Tensor | None = None,
        *,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(experts, prior)
        self.temperature = require_positive("temperature", temperature)

    @property
    def width(self) -> int:
        """One sum an expert."""
        return len(self.experts)

    def decide(self, sums: torch.Tensor) -> torch.Tensor:
        """Softmax of log prior plus log-likelihood over T."""
        return torch.softmax(self.prior.log() + sums / self.temperature, dim=-1)

    def read_likelihood(self, state: State, logs_btk: torch.Tensor) -> tuple[torch.Tensor, State]:
        """As `read`, from log p(token | before) of the new tokens under each expert [b, t, k]."""
        sums = state.sums[:, None] + logs_btk.double().cumsum(1)
        return sums, State(sums[:, -1])

    def step_likelihood(self, state: State, logs_btk: torch.Tensor) -> tuple[torch.Tensor, State]:
        """As `step`, from the same."""
        sums, state = self.read_likelihood(state, logs_btk)
        return self.decide(sums), state

    def read(
        self, state: State, ids_bt: torch.Tensor, mask_bt: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """Not from ids alone: asserts."""
        raise AssertionError("a posterior router reads log-probabilities: read_likelihood")
