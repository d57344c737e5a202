"""What a method may do; this base does nothing (`preserve: none`)."""

import re
from pathlib import Path
from typing import Any

import torch

from xelm.errors import UserError
from xelm.training.job import Job
from xelm.training.settings import ArmSettings

_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
# Of 34 layers the paper trained the first 9 and the last 6.
_FIRST, _LAST = 9 / 34, 6 / 34


class Method:
    """Hooks of one job; each has a harmless default."""

    def __init__(self, settings: ArmSettings, config: Any) -> None:
        self.strength = settings.preserve_strength
        self.layers: int = config.get_text_config().num_hidden_layers

    def graph(self) -> str:
        """Two jobs may share a compiled step if these agree."""
        return ""

    def adapt(self, model: Any) -> None:
        """Freeze parameters of the engine's model, or add some."""

    def start(self, shapes: dict[str, torch.Size], seed: int) -> dict[str, torch.Tensor]:
        """First values of parameters that `adapt` added."""
        return {}

    def pulls(self, names: list[str]) -> dict[str, float]:
        """Parameter name -> strength of the pull to the parent's weights."""
        return {}

    def after(
        self, state: dict[str, torch.Tensor], parent: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The weights to save, from the trained ones and the parent's."""
        return state

    def write(self, folder: Path, state: dict[str, torch.Tensor], job: Job) -> None:
        """More files for the finished model's folder."""

    def is_middle(self, name: str) -> bool:
        """Does this parameter stand in a middle layer?"""
        match = _LAYER.search(f".{name}")
        return match is not None and int(match[1]) in self.middle()

    def middle(self) -> range:
        """The middle layers: all but about the first 9/34 and the last 6/34; UserError if none."""
        first = max(1, round(self.layers * _FIRST))
        last = max(1, round(self.layers * _LAST))
        if first + last >= self.layers:
            raise UserError(
                f"preserve: a model of {self.layers} layers has no middle ones; "
                "use none, lora, or a deeper model"
            )
        return range(first, self.layers - last)
