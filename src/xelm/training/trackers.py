"""Optional trackers beside metrics.jsonl: TensorBoard, Weights & Biases, trackio."""

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from xelm.errors import UserError
from xelm.training.job import Job


class Tracker(Protocol):
    """Receives every row of metrics.jsonl."""

    def log(self, row: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


def start(job: Job, folder: Path) -> list[Tracker]:
    """The trackers that the job asks for; UserError when a package is missing."""
    return [_KINDS[name](job, folder) for name in job.settings.trackers]


def flat(row: dict[str, Any]) -> dict[str, float]:
    """Numbers only, nested ones as `outer/inner`."""
    numbers: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            numbers |= {f"{name}/{inner}": number for inner, number in value.items()}
        elif value is not None:
            numbers[name] = value
    return numbers


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"trackers: {name} is not installed; `pip install {name}`") from error


class TensorBoard:
    """Event files in the job's folder."""

    def __init__(self, job: Job, folder: Path) -> None:
        _package("tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def log(self, row: dict[str, Any]) -> None:
        numbers = flat(row)
        step = int(numbers.pop("step"))
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class Online:
    """Weights & Biases, or trackio, which took over its functions."""

    def __init__(self, package: str, job: Job) -> None:
        self._package = _package(package)
        self._package.init(project="xelm", name=job.name, config=job.as_json(), resume="allow")

    def log(self, row: dict[str, Any]) -> None:
        numbers = flat(row)
        self._package.log(numbers, step=int(numbers.pop("step")))

    def close(self) -> None:
        self._package.finish()


_KINDS: dict[str, Any] = {
    "tensorboard": TensorBoard,
    "wandb": lambda job, folder: Online("wandb", job),
    "trackio": lambda job, folder: Online("trackio", job),
}
