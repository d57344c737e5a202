"""The memory of a whole job at 124M parameters, for `python benchmarks/training.py memory`.

Counted is what is resident, by the kernel's high-water mark. Activations are what autograd keeps of
one micro-batch, by its own account; the working memory is all that its forward and backward take,
gradients on their way and chunks of the vocabulary included, measured on an engine alone.
"""

import gc
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xelm.corpus import sample, shards, tokenizer
from xelm.models import machine, seed
from xelm.training import loop
from xelm.training.engine import Engine
from xelm.training.job import plan
from xelm.training.settings import ArmSettings

CONTEXT = 256


class Peak:
    """The most resident memory of this process from here on, above what it has now, exactly."""

    def __init__(self) -> None:
        gc.collect()
        machine.trim()
        Path("/proc/self/clear_refs").write_text("5")  # the kernel's own high-water mark
        self._before = _status("VmRSS")

    def bytes(self) -> int:
        return _status("VmHWM") - self._before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


BIG = LlamaConfig(
    vocab_size=8192,
    hidden_size=1024,
    num_hidden_layers=9,
    num_attention_heads=16,
    num_key_value_heads=16,
    intermediate_size=2816,
    max_position_embeddings=CONTEXT,
    tie_word_embeddings=True,
)


SMALL = LlamaConfig(**BIG.to_dict() | {"hidden_size": 64, "intermediate_size": 128})


def run_of(config: LlamaConfig, run: Path) -> str:
    """A run folder with the sample reader and a fresh model; its job's name."""
    pieces = tokenizer.load(sample.seed_folder())
    texts = {"train": sample.documents("train", ["en", "sw"])}
    shards.build(texts, pieces, run / "corpus", workers=1, context=CONTEXT)
    config = LlamaConfig(**config.to_dict() | {"vocab_size": len(pieces)})
    seed.save(LlamaForCausalLM(config).to(torch.bfloat16), pieces, run / "models/seed", {})
    settings = ArmSettings(batch=2, micro_batch=1, checkpoint_seconds=0, compile=False)
    job = plan("dense", tokens=6 * CONTEXT, context=CONTEXT, settings=settings)
    job.save(run)
    return job.name


def activation_bytes() -> int:
    """What autograd keeps of one micro-batch of the big model, parameters aside."""
    engine = Engine(BIG, CONTEXT, 1, torch.bfloat16, "cpu")
    own = {p.untyped_storage().data_ptr() for p in engine.model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.zeros(1, CONTEXT, dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        engine._loss(ids, ids, torch.tensor(1.0)).backward()
    return sum(kept.values())


def working_bytes() -> int:
    """The most that forward and backward of one micro-batch take above the 10 bytes before them."""
    windows = np.zeros((2, CONTEXT + 1), dtype=np.int64)
    small = Engine(SMALL, CONTEXT, 1, torch.bfloat16, "cpu")
    small.sum_gradients(windows, 1.0)  # libraries come in
    engine = Engine(BIG, CONTEXT, 1, torch.bfloat16, "cpu")
    peak = Peak()
    for _ in range(3):
        engine.sum_gradients(windows, 1.0)
    return peak.bytes()


def job_bytes() -> tuple[int, int]:
    """The most that a whole job takes, from the seed's files to the model's; its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small"  # a whole job before: what libraries keep is in place then
        loop.train(small, run_of(SMALL, small))
        name = run_of(BIG, Path(folder))
        peak = Peak()
        loop.train(Path(folder), name)
        ledger = json.loads((Path(folder) / "models" / name / "ledger.json").read_text())
        return peak.bytes(), ledger["parameters"]


def memory() -> dict[str, Any]:
    """Each figure in a fresh process, since a heap with holes takes less from the system."""
    fresh = {"max_workers": 1, "max_tasks_per_child": 1}
    with ProcessPoolExecutor(**fresh, mp_context=get_context("spawn")) as pool:
        activations = pool.submit(activation_bytes).result()
        working = pool.submit(working_bytes).result()
        most, count = pool.submit(job_bytes).result()
    return {
        "parameters": count,
        "peak_bytes": most,
        "activation_bytes": activations,
        "working_bytes": working,
        "bytes_per_parameter": most / count,
        "bytes_per_parameter_without_activations": (most - activations) / count,
        "bytes_per_parameter_without_working": (most - working) / count,
    }
