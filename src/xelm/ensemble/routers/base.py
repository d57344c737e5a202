"""What a router is: a running sum over the tokens so far, and a decision from that sum.

Everything a router knows about a prefix is one row of float64 sums, so all prefixes of a batch are
one gather and one cumulative sum, and a new token in generation is one row added. Shapes: b batch,
t time, d width of the sums, k experts. Weights at position t come from tokens 0..t and are those
with which token t+1 is predicted; the empty prefix has the prior.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from xelm.errors import UserError


@dataclass
class State:
    """What a router remembers of each row: sums [b, d] float64, and unfinished words if any."""

    sums: torch.Tensor
    words: list[Any] | None = None

    def select(self, rows: torch.Tensor) -> "State":
        """The states of the rows given (repeats allowed: beams)."""
        words = None if self.words is None else [self.words[row] for row in rows.tolist()]
        return State(self.sums[rows], words)


class Router(torch.nn.Module):
    """Base of all kinds; a kind gives `terms` (what a token adds) and `decide` (sums -> weights).

    Args:
        experts: names, in the order of the weights.
        prior: weights of the empty prefix, float64 [k], summing to one; uniform when None.
    """

    kind: ClassVar[str]
    needs_likelihood: ClassVar[bool] = False
    prior: torch.Tensor

    def __init__(self, experts: Sequence[str], prior: torch.Tensor | None = None) -> None:
        super().__init__()
        self.experts = tuple(experts)
        k = len(self.experts)
        if prior is None:
            prior = torch.full((k,), 1.0 / k, dtype=torch.float64)
        self.register_buffer("prior", prior.double() / prior.double().sum(), persistent=False)

    @property
    def width(self) -> int:
        """d, the length of a state's sums."""
        return 0

    def terms(self, ids_bt: torch.Tensor) -> torch.Tensor:
        """What each token adds to the sums: float64 [b, t, d]."""
        return self.prior.new_zeros((*ids_bt.shape, self.width))

    def decide(self, sums: torch.Tensor) -> torch.Tensor:
        """Weights [..., k] float64 from sums [..., d]; zero sums give the prior."""
        return self.prior.expand(*sums.shape[:-1], len(self.experts))

    def start(self, batch: int) -> State:
        """The state of `batch` empty prefixes."""
        return State(self.prior.new_zeros((batch, self.width)))

    def read(
        self, state: State, ids_bt: torch.Tensor, mask_bt: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """Sums [b, t, d] after each of the new tokens, and the state after the last.

        Tokens whose mask is 0 (padding) add nothing: sums there are those of the token before.
        """
        terms = self.terms(ids_bt)
        if mask_bt is not None:
            terms = terms * mask_bt[:, :, None]
        if ids_bt.shape[1] == 1:
            sums = state.sums[:, None] + terms
        else:
            sums = terms.cumsum(1) + state.sums[:, None]
        return sums, State(sums[:, -1])

    def step(
        self, state: State, ids_bt: torch.Tensor, mask_bt: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """Weights [b, t, k] after each of the new tokens, and the state after the last."""
        sums, state = self.read(state, ids_bt, mask_bt)
        return self.decide(sums), state

    def weights(self, ids_bt: torch.Tensor, mask_bt: torch.Tensor | None = None) -> torch.Tensor:
        """Weights [b, t, k] float64 after every prefix ids[:, :t+1]."""
        return self.step(self.start(ids_bt.shape[0]), ids_bt, mask_bt)[0]

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        """Follow the model to its device but keep float64: a model in half precision still routes
        exactly."""
        return super()._apply(lambda tensor: tensor.to(fn(tensor.new_empty(0)).device), recurse)


def require_positive(name: str, value: float) -> float:
    """`value` if it is above zero, else UserError naming the setting."""
    if not value > 0:
        raise UserError(f"router.{name}: {value} is not above zero; give a positive number")
    return value
