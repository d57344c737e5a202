"""The step itself: forward, backward and update, compiled once and used by every expert.

An engine belongs to an architecture, not to a job: a long-lived worker loads the next expert's
weights into it and goes on with the same compiled graph. The graph sees one micro-batch of fixed
shape; larger batches accumulate, smaller last ones are padded with targets that do not count.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from xelm.errors import UserError
from xelm.models import attention, machine
from xelm.training import llama
from xelm.training.llama import LlamaForward
from xelm.training.loss import summed_cross_entropy
from xelm.training.master import MasterWeights

_NO_TARGET = -100
_PLAIN = ("llama", "qwen2", "qwen3")


class Engine:
    """One model in memory with its optimizer; `load`, then `step` again and again."""

    def __init__(
        self,
        config: Any,
        context: int,
        micro_batch: int,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        compile: bool = False,
        activation_checkpointing: bool = False,
        adapt: Callable[[Any], None] = lambda model: None,
    ) -> None:
        """`config`: of a causal LM; `adapt` may freeze parameters of the model or add some."""
        from transformers import AutoModelForCausalLM

        machine.prepare()
        self.tell: Callable[[str], None] = lambda message: None
        self.context, self.micro_batch, self.device = context, micro_batch, torch.device(device)
        self.model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=_attention(config, self.device)
        ).to(self.device)
        self.model.train()
        adapt(self.model)
        named = [(plain_name(name), p) for name, p in self.model.named_parameters()]
        self.master = MasterWeights([item for item in named if item[1].requires_grad])
        self._frozen = {name: p for name, p in named if not p.requires_grad}
        self._buffers = {
            n: b for n, b in self.model.named_buffers() if n in self.model.state_dict()
        }
        machine.trim()  # the parameters as the model made them
        self._hidden = self._hidden_states(config, activation_checkpointing)
        self._loss = self._summed_loss
        if compile:
            whole = isinstance(self._hidden, LlamaForward)
            self._loss = torch.compile(self._summed_loss, fullgraph=whole, dynamic=False)

    def _hidden_states(
        self, config: Any, recompute: bool
    ) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Ids -> last hidden states, if logits are these times the output head and no more."""
        if llama.fits(config):
            return LlamaForward(self.model, self.context, recompute)
        if recompute:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        return self._decoder if self._head_is_plain() else None

    def _decoder(self, inputs_bt: torch.Tensor) -> torch.Tensor:
        decoder = self.model.get_decoder()
        hidden: torch.Tensor = decoder(input_ids=inputs_bt, use_cache=False).last_hidden_state
        return hidden

    @torch.no_grad()
    def _head_is_plain(self) -> bool:
        """Tried out, since models scale or cap their logits in ways of their own.

        With the head a thousandfold (and back: a power of two loses no bit), so that logits reach
        caps that those of fresh weights are far from.
        """
        head = self.model.get_output_embeddings()
        if getattr(head, "bias", None) is not None:
            return False
        ids = torch.arange(2, device=self.device)[None]
        self.model.eval()
        head.weight.mul_(1024.0)
        logits = self.model(input_ids=ids, use_cache=False).logits.float()
        product = (self._decoder(ids) @ head.weight.T).float()
        head.weight.mul_(1 / 1024.0)
        self.model.train()
        return bool((logits - product).abs().max() < 0.02 * product.abs().max())

    def _summed_loss(
        self, inputs_bt: torch.Tensor, targets_bt: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        if self._hidden is not None:
            hidden_nd = self._hidden(inputs_bt).flatten(0, 1)
            head_vd = self.model.get_output_embeddings().weight
            return summed_cross_entropy(hidden_nd, head_vd, targets_bt.flatten(), scale)
        logits_btv = self.model(input_ids=inputs_bt, use_cache=False).logits
        return scale * torch.nn.functional.cross_entropy(
            logits_btv.float().flatten(0, 1),
            targets_bt.flatten(),
            ignore_index=_NO_TARGET,
            reduction="sum",
        )

    def shapes(self) -> dict[str, torch.Size]:
        """Shapes of all parameters by name, those that `adapt` added included."""
        named = zip(self.master.names, self.master.parameters, strict=True)
        return {name: p.shape for name, p in (*named, *self._frozen.items())}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Take a model's weights by name and start a fresh optimizer."""
        self.master.load(state)
        with torch.no_grad():
            for name, tensor in (self._frozen | self._buffers).items():
                tensor.copy_(state[name])

    def state(self) -> dict[str, torch.Tensor]:
        """Weights by name: float32 master weights (views), frozen ones in the engine's dtype."""
        return self.master.weights() | {n: p.detach() for n, p in self._frozen.items()}

    def step(self, windows: np.ndarray, learning_rate: float, clip: float = 1.0) -> torch.Tensor:
        """One update on `windows` [n, context + 1] of ids; mean loss in nats per token, 0-dim.

        When a GPU's memory is too small for a micro-batch, it is halved for good and the step
        begins again; UserError when even one window does not fit.
        """
        while True:
            try:
                total = self.sum_gradients(windows, 1.0 / (len(windows) * self.context))
                break
            except torch.OutOfMemoryError as error:
                self._halve(error)
        self.master.update(learning_rate, clip)
        return total

    def sum_gradients(self, windows: np.ndarray, scale: float) -> torch.Tensor:
        """Begin the gradient sum anew with that of `scale` x the windows' losses; their total."""
        factor = torch.tensor(scale, device=self.device)
        total = torch.zeros((), device=self.device)
        for start in range(0, len(windows), self.micro_batch):
            inputs, targets = self._micro_batch(windows[start : start + self.micro_batch])
            loss = self._loss(inputs, targets, factor)
            self.master.collect(loss, first=start == 0)
            total += loss.detach()
        return total

    def close(self) -> None:
        """Let go of what is outside of this process; the engine stays usable."""

    def _halve(self, error: torch.OutOfMemoryError) -> None:
        if self.micro_batch == 1:
            raise UserError(
                "one window does not fit into the device's memory; set activation_checkpointing, "
                "a shorter context or a smaller model"
            ) from error
        self.micro_batch //= 2
        self.tell(f"out of memory: going on with micro-batches of {self.micro_batch} windows")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _micro_batch(self, windows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.zeros(self.micro_batch, self.context + 1, dtype=torch.int64)
        ids[: len(windows)] = torch.from_numpy(windows)
        inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        targets[len(windows) :] = _NO_TARGET
        return inputs.to(self.device), targets.to(self.device)

    @torch.no_grad()
    def mean_loss(self, windows: np.ndarray) -> float:
        """Nats per token of `windows` [n, context + 1] as the weights stand; no update."""
        self.model.eval()
        total = 0.0
        scale = torch.tensor(1.0 / (len(windows) * self.context), device=self.device)
        for start in range(0, len(windows), self.micro_batch):
            inputs, targets = self._micro_batch(windows[start : start + self.micro_batch])
            total += float(self._summed_loss(inputs, targets, scale))
        self.model.train()
        return total


def plain_name(name: str) -> str:
    """A parameter's name as if its module carried no parametrization."""
    return name.replace(".parametrizations", "").replace(".original", "").replace(".weight.0.", ".")


def _attention(config: Any, device: torch.device) -> str | None:
    """Plain products on a CPU where attention is no more than causal softmax; else as usual."""
    text = config.get_text_config()
    special = getattr(text, "sliding_window", None) or getattr(text, "attn_logit_softcapping", None)
    if device.type != "cpu" or text.model_type not in _PLAIN or special:
        return None
    return attention.register()
