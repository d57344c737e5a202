"""`lora`: the seed's weights stand still, each matrix learns a change of low rank.

Written as a parametrization, weight + scale * B A, so that the same loop, engine and compiled
forward serve it. The finished model holds the merged weights, and beside them the change itself as
an adapter folder that PEFT loads on top of the parent.
"""

from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import parametrize

from xelm.storage import atomic
from xelm.training.job import Job
from xelm.training.preserve.base import Method

_RANK = 16
_SCALE = 2.0  # PEFT's lora_alpha / r


class Change(torch.nn.Module):
    """weight -> weight + scale * B A."""

    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.lora_A = torch.nn.Parameter(weight.new_zeros(rank, columns))
        self.lora_B = torch.nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + _SCALE * (self.lora_B @ self.lora_A)


class Lora(Method):
    """`preserve_strength` is the rank (default 16); all linear layers but the output head."""

    @property
    def rank(self) -> int:
        """Columns of B, rows of A."""
        return int(self.strength or _RANK)

    def graph(self) -> str:
        return f"lora {self.rank}"

    def adapt(self, model: Any) -> None:
        model.requires_grad_(False)
        head = model.get_output_embeddings()
        for module in list(model.modules()):
            if isinstance(module, torch.nn.Linear) and module is not head:
                change = Change(module.weight, self.rank)
                parametrize.register_parametrization(module, "weight", change)

    def start(self, shapes: dict[str, torch.Size], seed: int) -> dict[str, torch.Tensor]:
        """A from N(0, 1/columns), B zero: the change begins at nothing."""
        chance = torch.Generator().manual_seed(seed)
        return {
            name: torch.randn(shape, generator=chance) / shape[1] ** 0.5
            if name.endswith("lora_A")
            else torch.zeros(shape)
            for name, shape in sorted(shapes.items())
            if "lora_" in name
        }

    def after(
        self, state: dict[str, torch.Tensor], parent: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        merged = {}
        for name, weight in parent.items():
            stem = name.removesuffix(".weight")
            low, high = state.get(f"{stem}.lora_A"), state.get(f"{stem}.lora_B")
            if low is not None and high is not None:
                change = _SCALE * (high.float() @ low.float())
                merged[name] = weight.float() + change.to(weight.device)
        return merged

    def write(self, folder: Path, state: dict[str, torch.Tensor], job: Job) -> None:
        from safetensors.torch import save_file

        change = {name: tensor for name, tensor in state.items() if "lora_" in name}
        adapter = folder / "adapter"
        adapter.mkdir()
        save_file(
            {
                f"base_model.model.{name}.weight": tensor.contiguous().cpu()
                for name, tensor in change.items()
            },
            adapter / "adapter_model.safetensors",
        )
        targets = sorted({name.split(".")[-2] for name in change})
        atomic.write_json(
            adapter / "adapter_config.json",
            {
                "peft_type": "LORA",
                "task_type": "CAUSAL_LM",
                "r": self.rank,
                "lora_alpha": _SCALE * self.rank,
                "target_modules": targets,
                "base_model_name_or_path": job.parent,
            },
        )
