"""One job on several cores: processes that each sum the gradients of a part of every batch.

The kernels of a small model are so short that a second thread waits more than it works; a second
process of one thread does not. A helper has an engine of its own. Before its part of a step it
takes the weights out of memory that both share, afterwards it puts its gradient sum there.

    python -m xelm.training.data_parallel DESCRIPTOR     (what `Helper` starts)

It is spoken to in JSON lines: first a description of the engine, then `{"windows", "scale"}` for
each part; it answers `{"loss"}`. It ends with its stdin, so never outlives the one it helps.
"""

import json
import math
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import torch

from xelm.errors import UserError
from xelm.models import machine
from xelm.training.engine import Engine
from xelm.training.events import STOP_SIGNALS

_LINE = 64  # bytes that a processor fetches at once: where a tensor begins


class ParallelEngine(Engine):
    """An engine of which `processes - 1` helpers take equal parts of every batch."""

    def __init__(
        self,
        processes: int,
        config: Any,
        context: int,
        micro_batch: int,
        dtype: torch.dtype,
        compile: bool,
        activation_checkpointing: bool = False,
    ) -> None:
        """`config`: of a causal LM without dropout, all of it trained; on a CPU."""
        super().__init__(
            config, context, micro_batch, dtype, "cpu", compile, activation_checkpointing
        )
        self._processes, self._helpers = processes, list[Helper]()
        self._about = {
            "config": config.to_dict(),
            "context": context,
            "micro_batch": micro_batch,
            "dtype": str(dtype).removeprefix("torch."),
            "compile": compile,
            "activation_checkpointing": activation_checkpointing,
        }

    def sum_gradients(self, windows: np.ndarray, scale: float) -> torch.Tensor:
        """As of any engine, whatever the number of processes; the order of adding is fixed.

        Raises:
            UserError: a helper is gone.
        """
        mine, *others = np.array_split(windows, self._processes)
        parts = [part for part in others if len(part)]
        helpers = self._ready(len(parts[0]))[: len(parts)] if parts else []
        for helper, part in zip(helpers, parts, strict=True):
            helper.begin(part, scale)
        total = super().sum_gradients(mine, scale)
        for helper in helpers:
            total += helper.end()
        return total

    def _ready(self, windows: int) -> list["Helper"]:
        """Helpers with room for so many windows."""
        if self._helpers and self._helpers[0].room < windows:
            self.close()
        if not self._helpers:
            about = self._about | {"room": windows, "threads": torch.get_num_threads()}
            self._helpers = [Helper(self, about) for _ in range(self._processes - 1)]
        return self._helpers

    def close(self) -> None:
        """End the helpers; the next step would start new ones."""
        for helper in self._helpers:
            helper.close()
        self._helpers = []


class Helper:
    """A process that works for an engine, seen from the engine's side."""

    def __init__(self, engine: Engine, about: dict[str, Any]) -> None:
        self.room: int = about["room"]
        self._master = engine.master
        self._memory = _Memory(engine, self.room)
        inside, answers = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "xelm.training.data_parallel", f"{self._memory.file}"],
            stdin=subprocess.PIPE,
            stdout=answers,
            text=True,
            encoding="utf-8",
            pass_fds=(self._memory.file,),
            start_new_session=True,  # Ctrl-C is not for it
        )
        os.close(answers)
        self._answers = os.fdopen(inside, encoding="utf-8")
        self._tell(about)

    def begin(self, windows: np.ndarray, scale: float) -> None:
        """Let it sum the gradients of these windows at the weights of now."""
        self._memory.weights.copy_(self._master.flat_weights)
        self._memory.windows[: len(windows)] = torch.from_numpy(windows)
        self._tell({"windows": len(windows), "scale": scale})

    def end(self) -> float:
        """Wait for it and add its gradients to the engine's; the part's loss."""
        answer = self._answers.readline()
        if not answer:
            raise self._gone()
        self._master.flat_gradient.add_(self._memory.gradient)
        return float(json.loads(answer)["loss"])

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message, default=str) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def _gone(self) -> UserError:
        return UserError(
            f"a helper process ended with code {self._process.wait()}; where memory is short, "
            "processes: 1 needs least"
        )

    def close(self) -> None:
        """Ask it to end and wait until it has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._answers.close()
        self._memory.close()


class _Memory:
    """Weights, gradient sum and windows where two processes see them: a file without a name."""

    def __init__(self, engine: Engine, room: int, file: int | None = None) -> None:
        weights, gradient = engine.master.flat_weights, engine.master.flat_gradient
        shapes = [
            (weights.dtype, weights.shape),
            (gradient.dtype, gradient.shape),
            (torch.int64, torch.Size([room, engine.context + 1])),
        ]
        sizes = [_rounded(math.prod(shape) * dtype.itemsize) for dtype, shape in shapes]
        self.file = _nameless(sum(sizes)) if file is None else file
        self._map = mmap.mmap(self.file, sum(sizes))
        starts = np.cumsum([0, *sizes[:-1]])
        self.weights, self.gradient, self.windows = (
            torch.frombuffer(
                self._map, dtype=dtype, count=math.prod(shape), offset=int(start)
            ).view(shape)
            for (dtype, shape), start in zip(shapes, starts, strict=True)
        )

    def close(self) -> None:
        """Give the descriptor back; the memory goes with the last tensor that lies in it."""
        os.close(self.file)


def _nameless(size: int) -> int:
    """Descriptor of `size` bytes that vanish with the processes that hold it."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("xelm")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.truncate(file, size)
    return file


def _rounded(size: int) -> int:
    return -(-size // _LINE) * _LINE


def _engine(about: dict[str, Any]) -> Engine:
    from transformers import AutoConfig

    machine.set_threads(about["threads"])
    config = dict(about["config"])
    return Engine(
        AutoConfig.for_model(config.pop("model_type"), **config),
        about["context"],
        about["micro_batch"],
        getattr(torch, about["dtype"]),
        "cpu",
        about["compile"],
        about["activation_checkpointing"],
    )


def main() -> None:
    """Serve until stdin ends. A stop is asked of the process that is helped: it ends its step."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to stderr
    about = json.loads(sys.stdin.readline())
    engine = _engine(about)
    memory = _Memory(engine, about["room"], int(sys.argv[1]))
    for line in sys.stdin:
        part = json.loads(line)
        engine.master.flat_weights.copy_(memory.weights)
        windows = memory.windows[: part["windows"]].numpy()
        loss = float(engine.sum_gradients(windows, part["scale"]))
        memory.gradient.copy_(engine.master.flat_gradient)
        answers.write(json.dumps({"loss": loss}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
