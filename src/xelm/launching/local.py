"""Run tasks on this machine: one long-lived worker a core (one thread each) or a GPU.

Workers are separate processes: one that is killed loses at most the steps since its checkpoint, its
task is given once more to a fresh worker, and the others never notice. Ctrl-C, SIGTERM and SIGUSR1
(Slurm's warning) ask every worker to finish its step and save; the same command then goes on.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xelm.errors import UserError
from xelm.launching.task import Task, check, ready
from xelm.training.environment import WORKER_ENVIRONMENT
from xelm.training.events import STOP_SIGNALS, Stopped

TRIES = 2  # a task whose worker died is given to a second one; a third death is no accident

Message = Mapping[str, Any]
OnMessage = Callable[[Message], None]

# Chosen by measurement: one thread a worker (a job may ask for more), and large malloc thresholds,
# which keep freed activations in the process.
ENVIRONMENT = {
    **WORKER_ENVIRONMENT,
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "2147483648",
    "MALLOC_TOP_PAD_": "268435456",
    "PYTHONUNBUFFERED": "1",
}


class TasksFailed(UserError):
    """Some tasks failed; the message names each, its error and the workers' log."""


@dataclass
class _Worker:
    number: int
    process: "subprocess.Popen[str]"
    log: Path
    task: Task | None = None


@dataclass
class _State:
    done: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)


def worker_count(requested: int | None, device: str = "cpu") -> int:
    """Workers to start: as asked, else one a GPU or one a usable core."""
    if requested:
        return requested
    if device.startswith("cuda"):
        import torch

        return max(1, torch.cuda.device_count())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalPool:
    """Workers that take tasks as they come.

    Args:
        workers: number of processes.
        logs: folder for the workers' stderr.
        device: `cpu`, or `cuda` to give each worker a GPU of its own.
    """

    def __init__(self, workers: int, logs: Path, device: str = "cpu") -> None:
        self._count, self._logs, self._device = workers, logs, device
        self._messages: queue.Queue[tuple[_Worker, Message | None]] = queue.Queue()
        self._workers: list[_Worker] = []

    def __enter__(self) -> "LocalPool":
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                assert worker.process.stdin is not None
                worker.process.stdin.close()
        for worker in self._workers:
            worker.process.wait()

    def run(self, tasks: Sequence[Task], on_message: OnMessage = lambda _: None) -> None:
        """Run all tasks in the order of their dependencies.

        Raises:
            TasksFailed: after everything that could run has run.
            Stopped: on Ctrl-C, SIGTERM or SIGUSR1, after the workers have saved.
        """
        check(tasks)
        state = _State()
        try:
            with _signals_interrupt():
                self._loop(tasks, state, on_message)
        except KeyboardInterrupt:
            self.stop()
            raise Stopped("stopped; the same command goes on from here") from None
        if state.failed:
            raise TasksFailed(_failure(state, tasks, self._logs))

    def stop(self) -> None:
        """Ask every busy worker to finish its step and save; wait for all."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        for worker in self._workers:
            worker.process.wait()

    def _loop(self, tasks: Sequence[Task], state: _State, on_message: OnMessage) -> None:
        while True:
            self._give_out(tasks, state, on_message)
            if not any(worker.task for worker in self._workers):
                return
            worker, message = self._messages.get()
            if message is None:
                self._bury(worker, state, on_message)
            else:
                _note(worker, message, state)
                on_message({**message, "worker": worker.number})

    def _give_out(self, tasks: Sequence[Task], state: _State, on_message: OnMessage) -> None:
        for task in ready(tasks, state.done, state.started):
            worker = self._idle()
            if worker is None:
                return
            worker.task = task
            state.started.add(task.name)
            state.tries[task.name] = state.tries.get(task.name, 0) + 1
            assert worker.process.stdin is not None
            try:
                worker.process.stdin.write(json.dumps(task.to_json()) + "\n")
                worker.process.stdin.flush()
            except BrokenPipeError:
                continue  # it died while idle: its end of file is in the queue and _bury sees it
            on_message({"task": task.name, "kind": "started", "worker": worker.number})

    def _idle(self) -> _Worker | None:
        for worker in self._workers:
            if worker.task is None and worker.process.poll() is None:
                return worker
        if len(self._workers) < self._count:
            taken = {worker.number for worker in self._workers}
            number = min(n for n in range(self._count) if n not in taken)
            self._workers.append(self._start(number))
            return self._workers[-1]
        return None

    def _start(self, number: int) -> _Worker:
        log = self._logs / f"worker-{number}.log"
        environment = {**os.environ, **{k: os.environ.get(k, v) for k, v in ENVIRONMENT.items()}}
        if self._device.startswith("cuda"):
            environment["CUDA_VISIBLE_DEVICES"] = str(number % worker_count(None, "cuda"))
        with log.open("a", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "xelm.launching.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                env=environment,
                # Ctrl-C goes to the launcher alone, which asks the workers to save
                start_new_session=True,
            )
        worker = _Worker(number, process, log)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            self._messages.put((worker, json.loads(line)))
        self._messages.put((worker, None))

    def _bury(self, worker: _Worker, state: _State, on_message: OnMessage) -> None:
        """A worker is gone: give its task to a fresh one if it has a try left."""
        code, task = worker.process.wait(), worker.task
        self._workers.remove(worker)
        if task is None:
            return
        if code != Stopped.EXIT_CODE and state.tries[task.name] < TRIES:
            state.started.discard(task.name)
            on_message({"task": task.name, "kind": "retried", "code": code})
            return
        state.failed[task.name] = f"its worker ended with code {code}"
        on_message({"task": task.name, "kind": "failed", "error": state.failed[task.name]})


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGUSR1 raise KeyboardInterrupt, as Ctrl-C does (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.signal(n, signal.default_int_handler) for n in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _note(worker: _Worker, message: Message, state: _State) -> None:
    kind = message["kind"]
    if kind in {"done", "failed", "refused"}:
        assert worker.task is not None and worker.task.name == message["task"]
        worker.task = None
        if kind == "done":
            state.done.add(message["task"])
        else:
            state.failed[message["task"]] = message["error"]


def _failure(state: _State, tasks: Sequence[Task], logs: Path) -> str:
    lines = [f"{name}: {error}" for name, error in state.failed.items()]
    waiting = sorted({t.name for t in tasks} - state.done - set(state.failed))
    if waiting:
        lines.append(f"not started because of that: {', '.join(waiting)}")
    return "; ".join(lines) + f" (details: {logs})"
