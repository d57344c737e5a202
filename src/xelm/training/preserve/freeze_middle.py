"""`freeze-middle`: the middle layers, where languages share most, are not trained at all."""

from typing import Any

from xelm.training.preserve.base import Method


class FreezeMiddle(Method):
    """Also saves their optimizer state and the products for their gradients."""

    def graph(self) -> str:
        return f"frozen {self.middle()}"

    def adapt(self, model: Any) -> None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not self.is_middle(name))
