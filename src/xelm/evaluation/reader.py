"""A model as scoring runs it: on its device, in its precision, compiled or not."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from xelm.evaluation.settings import Reading
from xelm.models import seed
from xelm.training import engines, machine
from xelm.training.llama import LlamaForward, fits

_kept: dict[str, "CompiledReader"] = {}


def open_model(folder: Path, reading: Reading, context: int) -> Any:
    """The model of a folder, or something that is called as it is and answers faster.

    Only Llamas are compiled, on a CPU with a C++ compiler; the graph is kept for the next of them.
    """
    machine.prepare()
    dtype = machine.dtype(reading.dtype, reading.device)
    model = seed.load(folder, dtype=dtype).to(reading.device)
    able = reading.device == "cpu" and fits(model.config) and engines.has_compiler()
    if not (reading.compile and able):
        return model
    key = json.dumps([model.config.to_dict(), str(dtype), context], sort_keys=True, default=str)
    if key in _kept:
        _kept[key].load(model.state_dict())
    else:
        _kept.clear()
        _kept[key] = CompiledReader(model, reading.rows(context), context)
    return _kept[key]


class CompiledReader:
    """A Llama whose layers are one compiled graph for batches of `rows` whole windows.

    Other shapes, of which a text has few, go through transformers.
    """

    def __init__(self, model: Any, rows: int, context: int) -> None:
        self._model, self._shape = model, (rows, context)
        self._layers = torch.compile(
            LlamaForward(model, context, recompute=False), fullgraph=True, dynamic=False
        )
        self.config, self.device = model.config, model.device

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Become another model of the same architecture."""
        self._model.load_state_dict(state)

    def forward(self, input_ids: torch.Tensor, use_cache: bool, logits_to_keep: int = 0) -> Any:
        """As of a transformers model: an object with `logits` of the last positions (0: all)."""
        if tuple(input_ids.shape) != self._shape:
            return self._model(
                input_ids=input_ids, use_cache=use_cache, logits_to_keep=logits_to_keep
            )
        kept_bkd = self._layers(input_ids)[:, -logits_to_keep:]
        return SimpleNamespace(logits=self._model.lm_head(kept_bkd))

    __call__ = forward
