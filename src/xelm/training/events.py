"""What a training job tells whoever watches it; small, so that it travels between processes."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""Finish the step, save, end; the second is Slurm's warning before a time limit."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands, about once a second."""

    job: str
    languages: tuple[str, ...]
    step: int
    steps: int
    loss: float
    """Nats per token of the last step."""
    tokens_per_second: float | None
    seconds_left: float | None
    """Both None at the first step of a try, which may compile."""
    dev_bits_per_byte: float | None = None
    """The last measurement on dev windows, when the job makes any."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know and need not act on."""

    job: str
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The model is in models/; `already` when there was nothing to do."""

    job: str
    seconds: float
    already: bool


Event = Progress | Notice | Finished
Report = Callable[[Event], None]


class Stopped(Exception):
    """A signal ended the job, its step saved; exit with `EXIT_CODE`, run again to go on."""

    EXIT_CODE = 75  # EX_TEMPFAIL: try again later


def ignore(event: Event) -> None:
    """A report for those who do not watch."""
