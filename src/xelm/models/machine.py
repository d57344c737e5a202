"""What the machine can do: its number format, its speed, its memory; and how to ask it nicely."""

import ctypes
import os
import platform
import resource
import time
from functools import cache
from typing import Any

import torch

# glibc's mallopt: keep freed memory instead of giving it back to the kernel and faulting it in
# again, page by page, at every step.
_MALLOC = {-4: 0, -1: 2**31 - 1, -2: 2**28}  # mmap count, trim threshold, top pad


@cache
def prepare() -> None:
    """Allocator settings for this process; quietly does nothing where they are unknown."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in _MALLOC.items():
        mallopt(ctypes.c_int(parameter), ctypes.c_int(value))


def trim() -> None:
    """Give memory that is free back to the system (`prepare` keeps it): after loading a model."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def set_threads(count: int) -> None:
    """Threads of this process; figures of its speed are then measured anew."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
        matmul_peak.cache_clear()


def device() -> str:
    """`cuda` when there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype(choice: str, device: str) -> torch.dtype:
    """Resolve `auto`: bfloat16 where matrix products run in it natively, else float32."""
    if choice == "auto":
        return torch.bfloat16 if multiplies_bfloat16(device) else torch.float32
    return torch.bfloat16 if choice == "bfloat16" else torch.float32


def multiplies_bfloat16(device: str) -> bool:
    """Do matrix products run in bfloat16 natively?

    A CPU with AVX2 alone emulates them, five to nine times as slow as those in float32. Of a GPU
    that is not in this machine (a login node plans for others) it is taken for granted.
    """
    if device.startswith("cuda"):
        return not torch.cuda.is_available() or torch.cuda.is_bf16_supported()
    capable = torch.backends.cpu.get_cpu_capability() == "AVX512" and has_flag("avx512_bf16")
    return capable or has_flag("amx_bf16")


@cache
def has_flag(name: str) -> bool:
    """Does the processor name this feature (`avx512_bf16`, `amx_bf16`)? False where unknown."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  a kernel file
            return any(line.startswith("flags") and f" {name}" in line for line in file)
    except OSError:
        return False


@cache
def matmul_peak(dtype: torch.dtype, device: str, sizes: tuple[int, ...] = (1024, 2048)) -> float:
    """Floating-point operations per second of the best of a few square matrix products.

    Measured once per process with the threads it has; a busy machine measures low.
    """
    best = 0.0
    for size in sizes:
        left = torch.randn(size, size, device=device).to(dtype)
        for _ in range(max(2, 2**12 // size)):
            best = max(best, 2 * size**3 / _seconds_of_product(left))
    return best


def _seconds_of_product(matrix: torch.Tensor) -> float:
    _synchronise(matrix.device)
    start = time.perf_counter()
    matrix @ matrix
    _synchronise(matrix.device)
    return time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_bytes(device: str) -> int:
    """The most memory this process held: of the GPU when it uses one, else resident."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def hardware(device: str, processes: int = 1) -> dict[str, Any]:
    """What a ledger says about the machine (no host name); threads of all processes."""
    threads = torch.get_num_threads() * processes
    described: dict[str, Any] = {"cpu": _cpu_name(), "threads": threads}
    if device == "cuda":
        described["gpu"] = torch.cuda.get_device_name()
    return described


@cache
def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  a kernel file
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
