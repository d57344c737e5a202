"""What a method may do; this base does nothing (`preserve: none`)."""

from typing import Any

import torch


class Method:
    """Hooks of one job; each has a harmless default."""

    def frozen(self, config: Any) -> frozenset[str]:
        """Names of parameters that are not trained."""
        return frozenset()

    def pulls(self, names: list[str], config: Any) -> dict[str, float]:
        """Parameter name -> strength of the pull to the parent's weights."""
        return {}

    def after(
        self, state: dict[str, torch.Tensor], parent: dict[str, torch.Tensor], config: Any
    ) -> dict[str, torch.Tensor]:
        """The weights to save, from the trained ones and the parent's."""
        return state
