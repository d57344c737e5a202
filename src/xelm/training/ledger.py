"""The ledger of a finished job: what it consumed, on what, and what it came from."""

from typing import Any

from xelm.models import machine
from xelm.models import seed as models
from xelm.training.job import Job
from xelm.training.order import Order


def write(
    job: Job,
    order: Order,
    model: Any,
    *,
    seconds: float,
    windows_hash: str,
    device: str,
    fingerprints: dict[str, str],
    resumed: int,
    processes: int,
    peak_flops: float,
) -> dict[str, Any]:
    """The content of ledger.json; FLOPs by `models.seed.FLOPS_FORMULA`, seconds of training.

    `peak_flops`: of matrix products, measured in the process that finished the job; its peak of
    memory is that of this one process.
    """
    windows = order.windows_by_language()
    return {
        "job": job.name,
        "parent": job.parent,
        "parameters": models.count_parameters(model),
        "tokens": job.tokens,
        "tokens_by_language": {code: count * job.context for code, count in windows.items()},
        "epochs_by_language": order.epochs_by_language(),
        "steps": job.steps,
        "batch": job.settings.batch,
        "context": job.context,
        "learning_rate": job.settings.learning_rate,
        "settings": job.settings.model_dump(),
        "flops": models.flops_per_token(model, job.context) * job.tokens,
        "flops_formula": models.FLOPS_FORMULA,
        "seconds": seconds,
        "resumed": resumed,
        "peak_flops": peak_flops * processes,
        "peak_memory_bytes": machine.peak_memory_bytes(device),
        "hardware": machine.hardware(device, processes),
        "versions": versions(),
        "windows_hash": windows_hash,
        "order_seed": job.order_seed,
        "fingerprints": fingerprints,
    }


def versions() -> dict[str, str]:
    """Of the packages a result depends on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("xelm", "torch", "transformers", "numpy")}
