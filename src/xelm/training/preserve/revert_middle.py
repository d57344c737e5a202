"""`revert-middle`: train everything, then put the parent's middle layers back."""

import torch

from xelm.training.preserve.base import Method


class RevertMiddle(Method):
    """Costs nothing while training."""

    def after(
        self, state: dict[str, torch.Tensor], parent: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        return {name: parent[name] if self.is_middle(name) else t for name, t in state.items()}
