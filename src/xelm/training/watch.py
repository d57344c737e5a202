"""Numbers about a running job: lines of metrics.jsonl, progress for whoever watches."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from xelm.errors import UserError
from xelm.models import machine
from xelm.training.events import Progress, Report
from xelm.training.job import Job
from xelm.training.metrics import Metrics

_REPORT_SECONDS = 0.5
_LINES = 200


@dataclass
class Step:
    """One finished step, as the loop hands it over."""

    number: int
    """Steps done so far, this one included."""
    windows: int
    loss: torch.Tensor
    learning_rate: float
    started: float
    """time.monotonic() when it began."""


@dataclass
class Watch:
    """Times the steps of one try at a job and tells of them, seldom enough to cost nothing."""

    job: Job
    languages: tuple[str, ...]
    flops_per_token: int
    dtype: torch.dtype
    device: str
    processes: int
    metrics: Metrics
    report: Report
    trackers: list[Any] = field(default_factory=list)
    seconds: float = 0.0
    """Of training, over all tries."""
    dev: dict[str, float] | None = None
    """The last measurement on dev windows: language -> bits per byte."""
    _pace: float = 0.0
    _steps_here: int = 0
    _reported_at: float = 0.0

    def step(self, step: Step, measure_dev: Callable[[], dict[str, float]] | None) -> None:
        """Take note of a step, measuring on dev after its time is taken, if asked to.

        Reading the loss waits for the device, so on a GPU it is read only when it is told.
        Raises UserError when it is not a number.
        """
        due = time.monotonic() - self._reported_at >= _REPORT_SECONDS
        logs = measure_dev is not None or self._logs(step.number)
        loss = float(step.loss) if due or logs or self.device == "cpu" else None
        seconds = self._take_time(step)
        if loss is None:
            return
        if loss != loss:
            raise UserError(
                f"{self.job.name}: the loss is not a number at step {step.number}; "
                "lower its learning_rate"
            )
        if logs:
            self._write(self._row(step, loss, seconds) | self._dev_row(measure_dev))
        if due or step.number == self.job.steps:
            self._reported_at = time.monotonic()
            self.report(self._progress(step.number, loss))

    def _take_time(self, step: Step) -> float:
        seconds = time.monotonic() - step.started
        self.seconds += seconds
        self._steps_here += 1
        # The first step of a try may compile; it is forgotten at the next.
        self._pace = seconds if self._steps_here <= 2 else 0.9 * self._pace + 0.1 * seconds
        return seconds

    def _dev_row(self, measure: Callable[[], dict[str, float]] | None) -> dict[str, Any]:
        if measure is None:
            return {}
        self.dev = measure()
        return {"dev_bits_per_byte": self._dev_mean(), "dev_by_language": self.dev}

    def _logs(self, step: int) -> bool:
        every = self.job.settings.log_every or max(1, self.job.steps // _LINES)
        return step % every == 0 or step in (1, self.job.steps)

    def _row(self, step: Step, loss: float, seconds: float) -> dict[str, Any]:
        speed = step.windows * self.job.context / seconds
        peak = machine.matmul_peak(self.dtype, self.device) * self.processes
        done = min(step.number * self.job.settings.batch, self.job.windows)
        return {
            "step": step.number,
            "tokens": done * self.job.context,
            "loss": loss,
            "learning_rate": step.learning_rate,
            "tokens_per_second": speed,
            "peak_share": speed * self.flops_per_token / peak,
        }

    def _write(self, row: dict[str, Any]) -> None:
        self.metrics.add(row)
        for tracker in self.trackers:
            tracker.log(row)

    def _dev_mean(self) -> float | None:
        return sum(self.dev.values()) / len(self.dev) if self.dev else None

    def _progress(self, step: int, loss: float) -> Progress:
        job = self.job
        known = self._steps_here > 1  # a first step that compiles says nothing of the others
        return Progress(
            job=job.name,
            languages=self.languages,
            step=step,
            steps=job.steps,
            loss=loss,
            tokens_per_second=job.settings.batch * job.context / self._pace if known else None,
            seconds_left=(job.steps - step) * self._pace if known else None,
            dev_bits_per_byte=self._dev_mean(),
        )
