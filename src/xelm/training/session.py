"""One try at a job: from its newest checkpoint (or the parent) through the steps to the model."""

import errno
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from xelm.corpus import windows_hash
from xelm.errors import UserError
from xelm.models import seed as models
from xelm.storage import atomic, disk
from xelm.training import checkpoint, engines, ledger, machine
from xelm.training.dev import DevWindows
from xelm.training.engine import Engine
from xelm.training.events import Notice, Progress, Report, Stopped
from xelm.training.inputs import Inputs
from xelm.training.metrics import Metrics
from xelm.training.preserve import method
from xelm.training.schedule import learning_rate

_REPORT_SECONDS = 0.5
_WAIT_SECONDS = 5.0  # between tries to write to a full disk


class Session:
    """State of a running job; `resume`, `run`, `finish` in this order."""

    def __init__(self, run: Path, inputs: Inputs, engine: Engine, report: Report) -> None:
        self.job, self.inputs, self.engine, self.report = inputs.job, inputs, engine, report
        self.folder = Path(run) / "training" / self.job.name
        self.target = Path(run) / "models" / self.job.name
        self.run_folder = Path(run)
        self.method = method(self.job.settings)
        self.parent = dict(inputs.model.named_parameters()) | dict(inputs.model.named_buffers())
        self.step, self.hash, self.seconds, self.resumed = 0, 0, 0.0, 0
        self.flops_per_token = models.flops_per_token(inputs.model, self.job.context)
        self.dev: DevWindows | None = None
        self.dev_score: float | None = None
        self._saved_at = self._reported_at = time.monotonic()
        self._step_seconds, self._steps_here = 0.0, 0
        self.dev_fresh: dict[str, float] | None = None
        self._log_every = self.job.settings.log_every or max(1, self.job.steps // 200)

    def resume(self) -> None:
        """Load the newest whole checkpoint, or the parent's weights for step 0."""
        job, settings = self.job, self.job.settings
        found = checkpoint.latest(self.folder / "checkpoints", job.name, self.report)
        self.engine.load({name: tensor.detach() for name, tensor in self.parent.items()})
        if found is not None:
            self._continue_from(found)
        else:
            self._require_room()
        self.engine.master.configure(settings.betas, settings.eps, settings.weight_decay)
        names = self.engine.master.names
        pulls = self.method.pulls(names, self.inputs.model.config)
        self.engine.master.pull(pulls, self.parent)
        self.metrics = Metrics(self.folder / "metrics.jsonl", self.step)
        if settings.dev_every:
            self.dev = DevWindows.open(self.run_folder / job.corpus, job.context, settings)

    def _continue_from(self, found: checkpoint.Checkpoint) -> None:
        state = found.state
        checkpoint.require_same(state["fingerprints"], self.inputs.fingerprints, self.folder)
        if state["flags"] != engines.flags(self.job):
            message = f"going on with other flags than before ({state['flags']}): not to the bit"
            self.report(Notice(self.job.name, message))
        self.engine.master.restore(found.tensors, found.step)
        self.step, self.seconds = found.step, state["seconds"]
        self.hash, self.resumed = int(state["windows_hash"], 16), state["resumed"] + 1
        self.report(Notice(self.job.name, f"going on from step {self.step} of {self.job.steps}"))

    def _require_room(self) -> None:
        parameters = models.count_parameters(self.inputs.model)
        checkpoints = (checkpoint.KEPT + 1) * 12 * parameters
        disk.require(self.folder, checkpoints + 4 * parameters, f"training {self.job.name}")

    def run(self, stop: Any) -> None:
        """All steps that are left; raises Stopped between two when asked."""
        settings = self.job.settings
        while self.step < self.job.steps:
            start = time.monotonic()
            rate = learning_rate(self.step, self.job.steps, settings)
            first = self.step * settings.batch
            windows = self.inputs.windows(first, first + settings.batch)
            if settings.dropout > 0:
                torch.manual_seed(self.job.order_seed * 1_000_003 + self.step)
            loss = self.engine.step(windows, rate, settings.clip)
            self.hash = windows_hash.add(self.hash, windows)
            self.step += 1
            self._measure_dev()
            self._tell(loss, rate, start, len(windows))
            self._save_if_due(bool(stop))
            if stop and self.step < self.job.steps:
                raise Stopped(f"{self.job.name}: stopped after step {self.step}, saved")

    def _measure_dev(self) -> None:
        every = self.job.settings.dev_every
        self.dev_fresh = None
        if self.dev is not None and (self.step % every == 0 or self.step == self.job.steps):
            self.dev_fresh = self.dev.bits_per_byte(self.engine)
            self.dev_score = sum(self.dev_fresh.values()) / len(self.dev_fresh)

    def _tell(self, loss: torch.Tensor, rate: float, start: float, windows: int) -> None:
        """Metrics and progress; reading the loss waits for the device, so not at every step."""
        logging = self.step % self._log_every == 0 or self.step in (1, self.job.steps)
        due = time.monotonic() - self._reported_at >= _REPORT_SECONDS
        value = float(loss) if logging or due or self.engine.device.type == "cpu" else None
        seconds = time.monotonic() - start
        self.seconds += seconds
        if value is None:
            return
        if not value == value:
            raise UserError(
                f"{self.job.name}: the loss is not a number at step {self.step}; "
                "lower its learning_rate"
            )
        self._step_seconds = self._smoothed(seconds)
        speed = windows * self.job.context / seconds
        if logging or self.dev_fresh is not None:
            self.metrics.add(self._row(value, rate, speed))
        if due or self.step == self.job.steps:
            self._reported_at = time.monotonic()
            self.report(self._progress(value))

    def _smoothed(self, seconds: float) -> float:
        """Seconds per step; the first step of a try (it may compile) is forgotten at the next."""
        self._steps_here += 1
        if self._steps_here <= 2:
            return seconds
        return 0.9 * self._step_seconds + 0.1 * seconds

    def _row(self, loss: float, rate: float, speed: float) -> dict[str, Any]:
        engine = self.engine
        peak = machine.matmul_peak(engine.master.dtype, engine.device.type)
        row: dict[str, Any] = {
            "step": self.step,
            "tokens": min(self.step * self.job.settings.batch, self.job.windows) * self.job.context,
            "loss": loss,
            "learning_rate": rate,
            "tokens_per_second": speed,
            "peak_share": speed * self.flops_per_token / peak,
        }
        if self.dev_fresh is not None:
            row["dev_bits_per_byte"] = self.dev_score
            row["dev_by_language"] = self.dev_fresh
        return row

    def _progress(self, loss: float) -> Progress:
        job = self.job
        speed = job.settings.batch * job.context / self._step_seconds
        left = (job.steps - self.step) * self._step_seconds
        languages = tuple(self.inputs.order.windows_by_language())
        return Progress(
            job.name, languages, self.step, job.steps, loss, speed, left, self.dev_score
        )

    def _save_if_due(self, asked: bool) -> None:
        due = time.monotonic() - self._saved_at >= self.job.settings.checkpoint_seconds
        if self.step < self.job.steps and (due or asked):
            self._save()

    def _save(self) -> None:
        state = {
            "fingerprints": self.inputs.fingerprints,
            "flags": engines.flags(self.job),
            "windows_hash": windows_hash.to_hex(self.hash),
            "seconds": self.seconds,
            "resumed": self.resumed,
        }
        try:
            tensors = self.engine.master.checkpoint()
            checkpoint.save(self.folder / "checkpoints", self.step, tensors, state)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            message = f"no room for a checkpoint at {self.folder}; the one before is kept"
            self.report(Notice(self.job.name, message))
        self._saved_at = time.monotonic()

    def finish(self, stop: Any) -> None:
        """Write models/<name>/, waiting for room if the disk is full."""
        job, inputs = self.job, self.inputs
        trained = self.method.after(self.engine.state(), self.parent, inputs.model.config)
        record = ledger.write(
            job,
            inputs.order,
            inputs.model,
            seconds=self.seconds,
            windows_hash=windows_hash.to_hex(self.hash),
            device=self.engine.device.type,
            fingerprints=inputs.fingerprints,
            resumed=self.resumed,
        )
        with torch.no_grad():
            for name, tensor in self.parent.items():
                if name in trained:
                    tensor.copy_(trained[name])
        with atomic.folder(self.target) as temporary:
            models.write_into(temporary, inputs.model, inputs.tokenizer, record)
            metrics = (self.folder / "metrics.jsonl").read_text(encoding="utf-8")
            atomic.write_text(temporary / "metrics.jsonl", metrics)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
