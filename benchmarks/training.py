"""Speed and memory of the trainer beside its peers.

    python benchmarks/training.py loops|trainer|defaults|two-cores|memory [--keep]

loops      our engine against bare compiled loops; share of the matrix-product peak
trainer    against transformers' Trainer at its fastest settings
defaults   against Trainer as it comes
two-cores  two experts on two cores, and one expert with two threads, against one
memory     the most bytes per parameter of a whole job at 124M parameters, saving included

Sides take turns in one run and the best of `--rounds` counts; every part measures the peak of bf16
matrix products (the best of 1024^3 and 2048^3) anew. Model of the speeds: width 256, 4 layers,
vocabulary 8192, 16 windows of 256 tokens, one thread a process. `--keep` writes the part's figures
into docs/results/training.json. On a quiet machine; each part takes less than three minutes once
the compiler's cache is warm.
"""

import argparse
import gc
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xelm.training.environment import WORKER_ENVIRONMENT

os.environ.update(WORKER_ENVIRONMENT)

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from xelm.corpus import sample, shards, tokenizer
from xelm.models import attention, seed
from xelm.storage import atomic
from xelm.training import loop, machine
from xelm.training.engine import Engine
from xelm.training.job import plan
from xelm.training.ledger import versions
from xelm.training.settings import ArmSettings

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "training.json"

WIDTH, DEPTH, VOCABULARY, WINDOWS, CONTEXT = 256, 4, 8192, 16, 256
TOKENS = WINDOWS * CONTEXT


def config(**more: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=704,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        use_cache=False,
        **more,
    )


def windows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, size=(WINDOWS, CONTEXT + 1))


Side = Callable[[], float]
"""Trains a little and returns the seconds of its best step."""


def best_of(step: Callable[[], Any], steps: int = 10) -> float:
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)


def ours() -> Side:
    engine = Engine(config(), CONTEXT, WINDOWS, torch.bfloat16, "cpu", compile=True)
    data = windows()
    return lambda: best_of(lambda: float(engine.step(data, 1e-4)))


def bare(implementation: str, autocast: bool) -> Side:
    """nanoGPT's loop on transformers' Llama: compiled forward, fused AdamW, nothing else."""
    attention.register()
    model = LlamaForCausalLM(config(attn_implementation=implementation))
    model = model if autocast else model.to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.from_numpy(windows())

    @torch.compile(fullgraph=True, dynamic=False)
    def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = model(input_ids=inputs, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    def step() -> float:
        loss = loss_of(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss)

    return lambda: best_of(step)


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The same windows again and again, as Trainer likes them."""

    def __init__(self, count: int) -> None:
        self.ids, self.count = torch.from_numpy(windows()), count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = self.ids[index % WINDOWS, :CONTEXT]
        return {"input_ids": row, "labels": row}


def trainer(implementation: str | None = None, pure: bool = False, **arguments: Any) -> Side:
    """transformers' Trainer; seconds of its best step, the data loader included."""
    from transformers import TrainerCallback

    steps = 11
    more = {} if implementation is None else {"attn_implementation": implementation}

    class Clock(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            self.ends.append(time.perf_counter())

    def side() -> float:
        model = LlamaForCausalLM(config(**more))
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            Trainer(
                model=model.to(torch.bfloat16) if pure else model,
                args=TrainingArguments(
                    folder,
                    max_steps=steps,
                    per_device_train_batch_size=WINDOWS,
                    report_to=[],
                    save_strategy="no",
                    disable_tqdm=True,
                    use_cpu=True,
                    **arguments,
                ),
                train_dataset=Rows(steps * WINDOWS),
                callbacks=[clock],
            ).train()
        return float(min(np.diff(clock.ends)[3:]))

    return side


def loops() -> dict[str, Side]:
    """nanoGPT's loop in the ways that were fastest."""
    plain = attention.register()
    return {
        "bare loop, bf16, plain attention": bare(plain, autocast=False),
        "bare loop, bf16, sdpa": bare("sdpa", autocast=False),
        "bare loop, autocast, plain attention": bare(plain, autocast=True),
    }


def trainers() -> dict[str, Side]:
    """Trainer's fastest settings."""
    quick = {"torch_compile": True, "optim": "adamw_torch_fused"}
    return {
        "Trainer, bf16, compile, fused, sdpa": trainer("sdpa", bf16=True, **quick),
        "Trainer, bf16, compile, fused, eager": trainer("eager", bf16=True, **quick),
        "Trainer, pure bf16, compile, fused, eager": trainer("eager", pure=True, **quick),
    }


def defaults() -> dict[str, Side]:
    """Trainer as it comes, and with bf16 alone."""
    return {"Trainer, defaults": trainer(), "Trainer, bf16": trainer(bf16=True)}


def speed(peers: Callable[[], dict[str, Side]], rounds: int) -> dict[str, Any]:
    """Ours and its peers in turn: tokens per second, share of peak, ratio to each peer."""
    taken: dict[str, list[float]] = {}
    peaks = []
    made = {"ours": ours(), **peers()}
    for _ in range(rounds):
        machine.matmul_peak.cache_clear()
        peaks.append(machine.matmul_peak(torch.bfloat16, "cpu"))
        for name, side in made.items():
            taken.setdefault(name, []).append(side())
    rates = {name: TOKENS / min(seconds) for name, seconds in taken.items()}
    flops = seed.flops_per_token(LlamaForCausalLM(config()), CONTEXT)
    return {
        "tokens_per_second": rates,
        "matmul_peak": max(peaks),
        "flops_per_token": flops,
        "share_of_peak": rates["ours"] * flops / max(peaks),
        "ours_against": {name: rates["ours"] / rate for name, rate in rates.items()},
    }


def _worker(threads: int, seconds: float, ready: Any, start: Any, out: Any) -> None:
    """Train for `seconds` whenever `start` says so; tokens per second of each time to `out`."""
    torch.set_num_threads(threads)
    engine = Engine(config(), CONTEXT, WINDOWS, torch.bfloat16, "cpu", compile=True)
    data = windows()
    for _ in range(3):
        engine.step(data, 1e-4)
    ready.put(True)
    while start.get():
        begun, steps = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            float(engine.step(data, 1e-4))
            steps += 1
        out.put(steps * TOKENS / (time.perf_counter() - begun))


def two_cores(rounds: int, seconds: float = 8.0) -> dict[str, Any]:
    """Two processes of one thread each, one of them, and one process of two threads, in turn."""
    context = multiprocessing.get_context("spawn")
    ready, out = context.Queue(), context.Queue()
    starts = []
    for threads in (1, 1, 2):
        starts.append(context.Queue())
        arguments = (threads, seconds, ready, starts[-1], out)
        context.Process(target=_worker, args=arguments, daemon=True).start()
        ready.get()
    sides = {"one": starts[:1], "two": starts[:2], "one of two threads": starts[2:]}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, chosen in sides.items():
            for start in chosen:
                start.put(True)
            rates[name].append(sum(out.get() for _ in chosen))
    best = {name: max(found) for name, found in rates.items()}
    return {
        "tokens_per_second": rates,
        "two_against_one": best["two"] / best["one"],
        "two_threads_against_one": best["one of two threads"] / best["one"],
    }


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


def big_run(run: Path) -> str:
    """A run folder with the sample reader and a fresh model of 124M parameters; its job's name."""
    pieces = tokenizer.load(sample.seed_folder())
    texts = {"train": sample.documents("train", ["en", "sw"])}
    shards.build(texts, pieces, run / "corpus", workers=1, context=CONTEXT)
    big = LlamaConfig(**BIG.to_dict() | {"vocab_size": len(pieces)})
    seed.save(LlamaForCausalLM(big).to(torch.bfloat16), pieces, run / "models/seed", {})
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


def memory() -> dict[str, Any]:
    """A whole job in this process, from loading the seed to the finished model."""
    activations = activation_bytes()  # and libraries are warm now
    with tempfile.TemporaryDirectory() as folder:
        name = big_run(Path(folder))
        gc.collect()
        machine.trim()
        peak, before = Peak(), Peak.now()
        loop.train(Path(folder), name)
        ledger = json.loads((Path(folder) / "models" / name / "ledger.json").read_text())
    count = ledger["parameters"]
    return {
        "parameters": count,
        "peak_bytes": peak.bytes - before,
        "activation_bytes": activations,
        "bytes_per_parameter": (peak.bytes - before) / count,
        "bytes_per_parameter_without_activations": (peak.bytes - before - activations) / count,
    }


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "loops": lambda rounds: speed(loops, rounds),
    "trainer": lambda rounds: speed(trainers, rounds),
    "defaults": lambda rounds: speed(defaults, rounds),
    "two-cores": two_cores,
    "memory": lambda rounds: memory(),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write docs/results/training.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = PARTS[arguments.part](arguments.rounds) | {
        "hardware": machine.hardware("cpu"),
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps(figures, indent=1))
    if arguments.keep:
        known = atomic.read_json(RESULTS) if RESULTS.exists() else {}
        atomic.write_json(RESULTS, known | {arguments.part: figures})


if __name__ == "__main__":
    main()
