"""A model as scoring runs it: on its device, in its precision, compiled or not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from xelm.evaluation.settings import Reading
from xelm.models import machine, seed
from xelm.training import engines
from xelm.training.llama import LlamaForward, fits
from xelm.training.loss import target_log_probabilities

_kept: dict[str, "CompiledReader"] = {}


def open_model(folder: Path, reading: Reading, context: int) -> Any:
    """The model of a folder, or a `WindowScorer` of it, which answers faster.

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
    """A Llama that scores batches of `rows` whole windows in one compiled graph.

    Other shapes, of which a text has few, go through transformers.
    """

    def __init__(self, model: Any, rows: int, context: int) -> None:
        self._model, self._rows, self.window = model, rows, context
        self._layers = LlamaForward(model, context, recompute=False)
        self._graph = torch.compile(self._scores, fullgraph=True, dynamic=False)
        self.config, self.device, self.forward = model.config, model.device, model.forward

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Become another model of the same architecture."""
        self._model.load_state_dict(state)

    def score(self, inputs_bt: torch.Tensor, targets_bk: torch.Tensor) -> torch.Tensor | None:
        """As a `WindowScorer`; None where less than half of the graph's work would be asked for."""
        count, kept = targets_bk.shape
        fits = inputs_bt.shape[1] == self.window and kept in (self.window, self.window // 2)
        if not (fits and self._rows / 2 <= count <= self._rows):
            return None
        missing = (0, 0, 0, self._rows - count)
        return self._graph(pad(inputs_bt, missing), pad(targets_bk, missing))[:count]

    def _scores(self, inputs_bt: torch.Tensor, targets_bk: torch.Tensor) -> torch.Tensor:
        hidden = self._layers(inputs_bt, self.window - targets_bk.shape[1]).flatten(0, 1)
        scores = target_log_probabilities(hidden, self._model.lm_head.weight, targets_bk.flatten())
        return scores.view(targets_bk.shape)

    def __call__(self, **arguments: Any) -> Any:
        return self._model(**arguments)
