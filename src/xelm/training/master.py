"""Master weights: the model computes in bfloat16, the optimizer in float32, in one flat buffer.

All trainable parameters are views into one buffer per kind, so that clipping, AdamW and the copy
back are a few large kernels and no Python loop: 2 bytes of weight, 4 of gradient sum, 4 of
master weight and 8 of optimizer state per parameter, 18 in all.
"""

from collections.abc import Iterable
from functools import partial

import torch


class MasterWeights:
    """Owns the trainable parameters of a model whose low-precision weights it keeps in step."""

    def __init__(self, named: Iterable[tuple[str, torch.nn.Parameter]]) -> None:
        """Moves the given parameters into one flat buffer (their `.data` become views of it)."""
        # Matrices first: they alone decay, so each group is one contiguous piece.
        ordered = sorted(named, key=lambda item: item[1].ndim < 2)
        self.names = [name for name, _ in ordered]
        self.parameters = [parameter for _, parameter in ordered]
        matrices = sum(p.numel() for p in self.parameters if p.ndim >= 2)
        self.dtype = self.parameters[0].dtype
        self._weights = torch.cat([p.detach().flatten() for p in self.parameters])
        for parameter, view in zip(self.parameters, self._views(self._weights), strict=True):
            parameter.data = view
        same = self._weights.dtype == torch.float32
        self._master = self._weights if same else self._weights.float()
        self._pulls: list[tuple[slice, float, torch.Tensor]] = []
        self._groups = [self._master[:matrices], self._master[matrices:]]
        self._make_gradient()
        self._optimizer = torch.optim.AdamW(
            [{"params": [group]} for group in self._groups], lr=0.0, fused=True
        )

    def _make_gradient(self) -> None:
        """A buffer for the sum of gradients: hooks fill it, the optimizer reads it."""
        self._gradient = torch.zeros_like(self._master)
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(partial(self._take, view))
            for parameter, view in zip(self.parameters, self._views(self._gradient), strict=True)
        ]
        parts = self._gradient.split_with_sizes([len(group) for group in self._groups])
        for group, gradient in zip(self._groups, parts, strict=True):
            group.grad = gradient

    def _views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        sizes = [p.numel() for p in self.parameters]
        pieces = flat.split_with_sizes(sizes)
        return [piece.view(p.shape) for piece, p in zip(pieces, self.parameters, strict=True)]

    @property
    def flat_weights(self) -> torch.Tensor:
        """What the model computes with, all parameters in a row [parameters]."""
        return self._weights

    @property
    def flat_gradient(self) -> torch.Tensor:
        """The sum that the next `update` reads, float32 [parameters]."""
        return self._gradient

    def configure(self, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        """Set AdamW's constants; decay goes to matrices only."""
        matrices, vectors = self._optimizer.param_groups
        matrices.update(betas=betas, eps=eps, weight_decay=weight_decay)
        vectors.update(betas=betas, eps=eps, weight_decay=0.0)

    def collect(self, loss: torch.Tensor, first: bool) -> None:
        """Backward: add the gradients of `loss` to the sum, or begin the sum when `first`.

        Each gradient is added and freed as soon as it is there, so that without compilation the
        low-precision gradients never stand in memory together.
        """
        if first:
            self._gradient.zero_()
        loss.backward()

    @staticmethod
    def _take(view: torch.Tensor, parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        view.add_(parameter.grad)
        parameter.grad = None

    def update(self, learning_rate: float, clip: float) -> torch.Tensor:
        """One AdamW step from the gradient sum; returns its norm before clipping (no sync)."""
        for part, strength, anchor in self._pulls:
            self._gradient[part].add_(self._master[part] - anchor, alpha=strength)
        norm: torch.Tensor = torch.linalg.vector_norm(self._gradient)
        if clip > 0:
            self._gradient.mul_((clip / (norm + 1e-6)).clamp_(max=1.0))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._publish()
        return norm

    def _publish(self) -> None:
        if self._weights is not self._master:
            self._weights.copy_(self._master)

    def pull(self, strengths: dict[str, float], anchors: dict[str, torch.Tensor]) -> None:
        """Add strength * (weight - anchor) to the gradient of each named parameter from now on."""
        self._pulls, start = [], 0
        for name, parameter in zip(self.names, self.parameters, strict=True):
            part = slice(start, start := start + parameter.numel())
            if strengths.get(name, 0.0) > 0.0:
                anchor = anchors[name].to(self._master.device, torch.float32).flatten()
                self._pulls.append((part, strengths[name], anchor))

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Take weights by name (any float dtype) and forget the optimizer's past."""
        for name, view in zip(self.names, self._views(self._master), strict=True):
            view.copy_(state[name])
        self._optimizer.state.clear()
        self._pulls = []
        if not self._hooks:
            self._make_gradient()
        self._publish()

    def weights(self) -> dict[str, torch.Tensor]:
        """Float32 views of the master weights by name."""
        return dict(zip(self.names, self._views(self._master), strict=True))

    def checkpoint(self) -> dict[str, torch.Tensor]:
        """Everything a resume needs, by name: weights, both moments (views, no copy) and count."""
        tensors = {f"master.{name}": view for name, view in self.weights().items()}
        for moment in ("exp_avg", "exp_avg_sq"):
            parts = [self._optimizer.state[group].get(moment) for group in self._groups]
            if any(part is None for part in parts):
                continue
            start = 0
            for name, parameter in zip(self.names, self.parameters, strict=True):
                tensors[f"{moment}.{name}"] = self._part(parts, start, parameter)
                start += parameter.numel()
        return tensors

    def _part(self, parts: list[torch.Tensor], start: int, parameter: torch.Tensor) -> torch.Tensor:
        matrices = len(self._groups[0])
        part, offset = (parts[0], start) if start < matrices else (parts[1], start - matrices)
        return part[offset : offset + parameter.numel()].view(parameter.shape)

    def retire(self) -> None:
        """Free what only updates need, 12 of the 18 bytes, until the next `load`."""
        self._optimizer.state.clear()
        self._pulls = []
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for group in self._groups:
            group.grad = None
        self._gradient = torch.empty(0)

    def restore(self, tensors: Iterable[tuple[str, torch.Tensor]], step: int) -> None:
        """The inverse of `checkpoint`, after `step` updates; tensors may come one at a time."""
        self._optimizer.state.clear()
        for group in self._groups:
            self._optimizer.state[group] = {
                "step": torch.tensor(float(step), device=group.device),
                "exp_avg": torch.zeros_like(group),
                "exp_avg_sq": torch.zeros_like(group),
            }
        views = self.checkpoint()
        for name, tensor in tensors:
            views.pop(name).copy_(tensor)
        assert not views, f"a checkpoint without {', '.join(views)}"
        self._publish()
