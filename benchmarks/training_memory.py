"""The memory of a whole job at 124M parameters, for `python benchmarks/training.py memory`.

Counted is the process's own memory, by sampling: files that are mapped (the corpus) are the
kernel's to drop. Activations are what autograd keeps of one micro-batch, by its own account; the
working memory is all that its forward and backward take, gradients on their way and chunks of the
vocabulary included, measured on an engine alone.
"""

import gc
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xelm.corpus import sample, shards, tokenizer
from xelm.models import seed
from xelm.training import loop, machine
from xelm.training.engine import Engine
from xelm.training.job import plan
from xelm.training.settings import ArmSettings

CONTEXT = 256


class Peak:
    """The most anonymous memory (mapped files aside) of this process, by sampling."""

    def __init__(self) -> None:
        self.bytes = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, self.now())
            time.sleep(0.005)

    @staticmethod
    def now() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


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
    engine = Engine(BIG, CONTEXT, 1, torch.bfloat16, "cpu")
    gc.collect()
    machine.trim()
    peak, before = Peak(), Peak.now()
    engine._gradients(np.zeros((2, CONTEXT + 1), dtype=np.int64))
    time.sleep(0.05)
    return peak.bytes - before


def memory() -> dict[str, Any]:
    """A whole job in this process, from loading the seed to the finished model."""
    activations, working = activation_bytes(), working_bytes()  # and libraries are warm now
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small"  # a whole job before: what libraries keep is in place then
        loop.train(small, run_of(SMALL, small))
        name = run_of(BIG, Path(folder))
        gc.collect()
        machine.trim()
        peak, before = Peak(), Peak.now()
        loop.train(Path(folder), name)
        ledger = json.loads((Path(folder) / "models" / name / "ledger.json").read_text())
    count, most = ledger["parameters"], peak.bytes - before
    return {
        "parameters": count,
        "peak_bytes": most,
        "activation_bytes": activations,
        "working_bytes": working,
        "bytes_per_parameter": most / count,
        "bytes_per_parameter_without_activations": (most - activations) / count,
        "bytes_per_parameter_without_working": (most - working) / count,
    }
