"""Speed and memory of the trainer beside its peers.

    python benchmarks/training.py loops|trainer|defaults|two-cores|memory [--keep]

loops      our engine against bare compiled loops; share of the matrix-product peak
trainer    against transformers' Trainer at its fastest settings
defaults   against Trainer as it comes
two-cores  two experts on two cores, and one expert with two threads, against one
memory     the most bytes per parameter of a whole job at 124M parameters, saving included

Sides take turns in one run and the best of `--rounds` counts, each in a process of its own: ours
with the environment of our workers, its peers as they come. Every part measures the peak of bf16
matrix products (the best of 1024^3 and 2048^3) anew. Model of the speeds: width 256, 4 layers,
vocabulary 8192, 16 windows of 256 tokens, one thread a process. `--keep` writes the part's figures
into docs/results/training.json, apart for cores with AMX and without: their peaks differ by six.
On a quiet machine; each part takes less than three minutes once the compiler's cache is warm.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from xelm.training.environment import WORKER_ENVIRONMENT

os.environ["OMP_NUM_THREADS"] = "1"  # of every side; the rest of our environment is ours alone

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

import training_memory
from xelm.models import attention, machine, seed
from xelm.storage import atomic
from xelm.training.engine import Engine
from xelm.training.ledger import versions

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


def peak() -> Side:
    """Floating-point operations per second of matrix products."""

    def side() -> float:
        machine.prepare()
        machine.matmul_peak.cache_clear()
        return machine.matmul_peak(torch.bfloat16, "cpu")

    return side


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


Builder = Callable[[], Side]


def loops() -> dict[str, Builder]:
    """nanoGPT's loop in the ways that were fastest."""
    return {
        "bare loop, bf16, plain attention": partial(bare, attention.PLAIN, autocast=False),
        "bare loop, bf16, sdpa": partial(bare, "sdpa", autocast=False),
        "bare loop, autocast, plain attention": partial(bare, attention.PLAIN, autocast=True),
    }


def trainers() -> dict[str, Builder]:
    """Trainer's fastest settings."""
    quick = {"torch_compile": True, "optim": "adamw_torch_fused"}
    return {
        "Trainer, bf16, compile, fused, sdpa": partial(trainer, "sdpa", bf16=True, **quick),
        "Trainer, bf16, compile, fused, eager": partial(trainer, "eager", bf16=True, **quick),
        "Trainer, pure bf16, compile, fused, eager": partial(trainer, "eager", pure=True, **quick),
    }


def defaults() -> dict[str, Builder]:
    """Trainer as it comes, and with bf16 alone."""
    return {"Trainer, defaults": trainer, "Trainer, bf16": partial(trainer, bf16=True)}


def _serve(build: Builder, threads: int, start: Any, out: Any) -> None:
    """In a process of its own: build a side, then run it whenever `start` says so."""
    torch.set_num_threads(threads)
    side = build()
    out.put(None)
    while start.get():
        out.put(side())


class Remote:
    """A side in another process; `begin` it, then ask for its `result`."""

    def __init__(self, build: Builder, environment: dict[str, str], threads: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._start, self._out = context.Queue(), context.Queue()
        arguments = (build, threads, self._start, self._out)
        before = dict(os.environ)
        os.environ.update(environment)  # must stand before the child imports torch
        context.Process(target=_serve, args=arguments, daemon=True).start()
        for name in environment:
            os.environ.pop(name)
        os.environ.update(before)
        self._out.get()

    def begin(self) -> None:
        self._start.put(True)

    def result(self) -> float:
        found: float = self._out.get()
        return found

    def __call__(self) -> float:
        self.begin()
        return self.result()


def speed(peers: Callable[[], dict[str, Builder]], rounds: int) -> dict[str, Any]:
    """Ours and its peers in turn: tokens per second, share of peak, ratio to each peer."""
    sides = {"ours": Remote(ours, WORKER_ENVIRONMENT)}
    sides |= {name: Remote(build, {}) for name, build in peers().items()}
    measure_peak = Remote(peak, WORKER_ENVIRONMENT)
    taken: dict[str, list[float]] = {name: [] for name in sides}
    peaks = []
    for _ in range(rounds):
        peaks.append(measure_peak())
        for name, side in sides.items():
            taken[name].append(side())
    rates = {name: TOKENS / min(seconds) for name, seconds in taken.items()}
    flops = seed.flops_per_token(LlamaForCausalLM(config()), CONTEXT)
    return {
        "rounds": rounds,
        "tokens_per_second": rates,
        "matmul_peak": max(peaks),
        "flops_per_token": flops,
        "share_of_peak": rates["ours"] * flops / max(peaks),
        "ours_against": {name: rates["ours"] / rate for name, rate in rates.items()},
    }


def steadily(seconds: float) -> Side:
    """Our engine for some seconds on end: tokens per second."""
    engine = Engine(config(), CONTEXT, WINDOWS, torch.bfloat16, "cpu", compile=True)
    data = windows()

    def side() -> float:
        begun, steps = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            float(engine.step(data, 1e-4))
            steps += 1
        return steps * TOKENS / (time.perf_counter() - begun)

    for _ in range(3):
        engine.step(data, 1e-4)
    return side


def two_cores(rounds: int, seconds: float = 8.0) -> dict[str, Any]:
    """Two processes of one thread each, one of them, and one process of two threads, in turn."""
    build = partial(steadily, seconds)
    made = [Remote(build, WORKER_ENVIRONMENT, threads) for threads in (1, 1, 2)]
    sides = {"one": made[:1], "two": made[:2], "one of two threads": made[2:]}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, chosen in sides.items():
            for remote in chosen:
                remote.begin()
            rates[name].append(sum(remote.result() for remote in chosen))
    best = {name: max(found) for name, found in rates.items()}
    return {
        "tokens_per_second": rates,
        "two_against_one": best["two"] / best["one"],
        "two_threads_against_one": best["one of two threads"] / best["one"],
    }


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "loops": lambda rounds: speed(loops, rounds),
    "trainer": lambda rounds: speed(trainers, rounds),
    "defaults": lambda rounds: speed(defaults, rounds),
    "two-cores": two_cores,
    "memory": lambda rounds: training_memory.memory(),
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
        units = "AMX" if machine.has_flag("amx_bf16") else "AVX512-BF16"
        parts = known.get(units, {}) | {arguments.part: figures}
        atomic.write_json(RESULTS, known | {units: parts})


if __name__ == "__main__":
    main()
