"""Speed and memory of the trainer beside its peers: python benchmarks/training.py speed|pair|memory

speed   tokens per second of our engine, a bare compiled loop and transformers' Trainer at several
        settings, sides taking turns, best of each; share of the matrix-product peak of the same run
pair    two experts on two cores against one
memory  peak resident bytes per parameter while training and saving

Model of `speed` and `pair`: width 256, 4 layers, vocabulary 8192, 16 windows of 256 tokens, one
thread. Run on a quiet machine; results go to docs/results.md with hardware, versions and date.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
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

from xelm.models import attention, seed
from xelm.training import machine
from xelm.training.engine import Engine

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

    steps = 14
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


def sides() -> dict[str, Side]:
    compiled = {"bf16": True, "torch_compile": True}
    fused = {"optim": "adamw_torch_fused"}
    return {
        "ours": ours(),
        "bare loop, bf16, plain attention": bare(attention.register(), autocast=False),
        "bare loop, bf16, sdpa": bare("sdpa", autocast=False),
        "bare loop, autocast, plain attention": bare(attention.register(), autocast=True),
        "Trainer, defaults": trainer(),
        "Trainer, bf16": trainer(bf16=True),
        "Trainer, bf16, compile": trainer(**compiled),
        "Trainer, bf16, compile, fused, eager": trainer("eager", **compiled, **fused),
        "Trainer, pure bf16, compile, fused, eager": trainer(
            "eager", pure=True, torch_compile=True, **fused
        ),
    }


def speed(rounds: int) -> None:
    """All sides in turn, `rounds` times; prints tokens per second and ratios."""
    taken: dict[str, list[float]] = {}
    peaks = []
    made = sides()
    for _ in range(rounds):
        machine.matmul_peak.cache_clear()
        peaks.append(machine.matmul_peak(torch.bfloat16, "cpu"))
        for name, side in made.items():
            taken.setdefault(name, []).append(side())
    rates = {name: TOKENS / min(seconds) for name, seconds in taken.items()}
    flops = seed.flops_per_token(LlamaForCausalLM(config()), CONTEXT)
    trainers = {name: rate for name, rate in rates.items() if name.startswith("Trainer")}
    loops = {name: rate for name, rate in rates.items() if name.startswith("bare")}
    show(
        {
            "tokens_per_second": rates,
            "matmul_peak": max(peaks),
            "flops_per_token": flops,
            "share_of_peak": rates["ours"] * flops / max(peaks),
            "against_best_trainer": rates["ours"] / max(trainers.values()),
            "against_default_trainer": rates["ours"] / trainers["Trainer, defaults"],
            "against_best_bare_loop": rates["ours"] / max(loops.values()),
        }
    )


def _steps_for(seconds: float, ready: Any, start: Any, out: Any) -> None:
    torch.set_num_threads(1)
    engine = Engine(config(), CONTEXT, WINDOWS, torch.bfloat16, "cpu", compile=True)
    data = windows()
    for _ in range(3):
        engine.step(data, 1e-4)
    ready.release()
    start.wait()
    begun, steps = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        float(engine.step(data, 1e-4))
        steps += 1
    out.put(steps * TOKENS / (time.perf_counter() - begun))


def together(processes: int, seconds: float = 15.0) -> float:
    """Tokens per second of that many one-thread processes together."""
    context = multiprocessing.get_context("spawn")
    ready, start, out = context.Semaphore(0), context.Event(), context.Queue()
    workers = [
        context.Process(target=_steps_for, args=(seconds, ready, start, out))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    start.set()
    rates = [out.get() for _ in workers]
    for worker in workers:
        worker.join()
    return float(sum(rates))


def pair(rounds: int) -> None:
    """Two experts on two cores against one, in turn."""
    one, two = [], []
    for _ in range(rounds):
        one.append(together(1))
        two.append(together(2))
    show({"one": one, "two": two, "ratio": statistics.median(two) / statistics.median(one)})


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


def memory() -> None:
    """Peak bytes per parameter of a larger model with small activations, saving included."""
    from xelm.training import checkpoint

    big = LlamaConfig(
        vocab_size=1024,
        hidden_size=1024,
        num_hidden_layers=10,
        num_attention_heads=16,
        num_key_value_heads=16,
        intermediate_size=2752,
        max_position_embeddings=32,
        tie_word_embeddings=True,
    )
    data = np.random.default_rng(0).integers(0, 1024, size=(2, 33))
    tiny = Engine(config(), CONTEXT, 1, torch.bfloat16, "cpu")  # libraries warm up
    tiny.step(windows()[:1], 1e-4)
    del tiny
    peak, before = Peak(), Peak.now()
    engine = Engine(big, 32, 1, torch.bfloat16, "cpu")
    count = seed.count_parameters(engine.model)
    for _ in range(3):
        engine.step(data, 1e-4)
    stepping = peak.bytes
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), 3, engine.master.checkpoint(), {})
        saving = peak.bytes
        found = checkpoint.latest(Path(folder), "job", print)
        assert found is not None
        engine.master.restore(found.tensors(), 3)
    show(
        {
            "parameters": count,
            "bytes_per_parameter": (stepping - before) / count,
            "after_saving": (saving - before) / count,
            "after_restoring": (peak.bytes - before) / count,
        }
    )


def show(figures: dict[str, Any]) -> None:
    figures["hardware"] = machine.hardware("cpu")
    figures["versions"] = {"torch": torch.__version__, "python": sys.version.split()[0]}
    figures["date"] = time.strftime("%Y-%m-%d")
    print(json.dumps(figures, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "pair", "memory"])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "memory":
        memory()
    else:
        {"speed": speed, "pair": pair}[arguments.what](arguments.rounds)


if __name__ == "__main__":
    main()
