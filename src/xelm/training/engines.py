"""Which engine a job runs on; a process keeps the last one, so experts share a compiled graph."""

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

from xelm.models import machine
from xelm.training.data_parallel import ParallelEngine
from xelm.training.engine import Engine
from xelm.training.events import Notice, Report
from xelm.training.job import Job
from xelm.training.preserve import method

_kept: dict[str, Engine] = {}
_DROPOUTS = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "hidden_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "layerdrop",
)


def engine_for(job: Job, config: Any, report: Report) -> Engine:
    """An engine for the job's architecture and flags: the kept one if it fits, else a new one.

    On a CPU this sets the threads of the process to the job's.
    """
    settings = job.settings
    device = machine.device()
    if device == "cpu":
        machine.set_threads(settings.threads)
    for name in _DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, 0.0 if name == "layerdrop" else settings.dropout)
    chosen = method(settings, config)
    key = json.dumps(
        [config.to_dict(), flags(job), settings.activation_checkpointing, chosen.graph()],
        sort_keys=True,
        default=str,
    )
    if key not in _kept:
        for engine in _kept.values():
            engine.close()
        _kept.clear()
        report(Notice(job.name, _about_compiling(job)))
        _kept[key] = _new_engine(job, config, device, chosen.adapt)
    return _kept[key]


def _new_engine(job: Job, config: Any, device: str, adapt: Callable[[Any], None]) -> Engine:
    settings = job.settings
    about = (config, job.context, settings.windows_at_once, machine.dtype(settings.dtype, device))
    recompute = settings.activation_checkpointing
    if processes(job) > 1:
        return ParallelEngine(processes(job), *about, compiles(job), recompute)
    return Engine(*about, device, compiles(job), recompute, adapt)


def processes(job: Job) -> int:
    """That share the job: as asked for on a CPU, one on a GPU."""
    return job.settings.processes if machine.device() == "cpu" else 1


def compiles(job: Job) -> bool:
    """Is the step compiled? As asked for, where there is a C++ compiler to do it (on a CPU)."""
    return job.settings.compile and (machine.device() != "cpu" or has_compiler())


def has_compiler() -> bool:
    """Does torch.compile find the compiler that it needs on a CPU?"""
    return any(map(shutil.which, [os.environ.get("CXX") or "g++", "clang++", "c++"]))


def _about_compiling(job: Job) -> str:
    if compiles(job):
        return "compiling the training step (once per process)"
    if job.settings.compile:
        return "no C++ compiler here: trains without compiling, about a third slower (install g++)"
    return "trains without compiling, as asked for"


def flags(job: Job) -> dict[str, Any]:
    """What the last bit of a result depends on besides the inputs."""
    import torch

    device = machine.device()
    several = {"processes": processes(job)} if processes(job) > 1 else {}
    return several | {
        "device": device,
        "threads": job.settings.threads if device == "cpu" else 0,
        "dtype": str(machine.dtype(job.settings.dtype, device)),
        "compile": compiles(job),
        "micro_batch": job.settings.windows_at_once,
        "context": job.context,
        "torch": torch.__version__,
    }
