"""One try at a job: from its newest checkpoint (or the parent) through the steps to the model."""

import errno
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from xelm.corpus import windows_hash
from xelm.models import machine
from xelm.models import seed as models
from xelm.storage import atomic, disk
from xelm.training import checkpoint, engines, ledger, trackers
from xelm.training.dev import DevWindows
from xelm.training.engine import Engine
from xelm.training.events import Notice, Report, Stopped
from xelm.training.inputs import Inputs
from xelm.training.metrics import Metrics
from xelm.training.preserve import method
from xelm.training.schedule import learning_rate
from xelm.training.watch import Step, Watch

_WAIT_SECONDS = 5.0  # between tries to write the model to a full disk

Asked = Callable[[], bool]


class Session:
    """State of a running job; `resume`, `run`, `finish` in this order."""

    def __init__(self, run: Path, inputs: Inputs, engine: Engine, report: Report) -> None:
        self.job, self.inputs, self.engine, self.report = inputs.job, inputs, engine, report
        self.run_folder = Path(run)
        self.folder = self.run_folder / "training" / self.job.name
        self.target = self.run_folder / "models" / self.job.name
        self.method = method(self.job.settings, inputs.config)
        self.step, self.hash, self.resumed = 0, 0, 0
        self.watch: Watch
        self.dev: DevWindows | None = None
        self._saved_at = time.monotonic()

    def resume(self) -> None:
        """Load the newest whole checkpoint, or the parent's weights for step 0."""
        settings = self.job.settings
        self.engine.tell = lambda message: self.report(Notice(self.job.name, message))
        found = checkpoint.latest(self.folder / "checkpoints", self.job.name, self.report)
        if found is not None:
            paths = self.inputs.paths
            checkpoint.require_same(found.state, self.inputs.fingerprints, paths, self.folder)
        else:
            self._require_room()
        self._load_parent()
        self.engine.master.configure(settings.betas, settings.eps, settings.weight_decay)
        seconds = 0.0 if found is None else self._continue_from(found)
        self.watch = self._new_watch(seconds)
        if settings.dev_every:
            corpus = self.run_folder / self.job.corpus
            self.dev = DevWindows.open(corpus, self.job.context, settings)

    def _load_parent(self) -> None:
        """Weights before the first step; those that a method pulls towards stay in memory."""
        start = weights_of(self.inputs.parent())
        start |= self.method.start(self.engine.shapes(), self.job.order_seed)
        self.engine.load(start)
        self.engine.master.pull(self.method.pulls(self.engine.master.names), start)
        del start
        machine.trim()

    def _continue_from(self, found: checkpoint.Checkpoint) -> float:
        """Restore a checkpoint; the seconds spent until then."""
        state = found.state
        if state["flags"] != engines.flags(self.job):
            message = f"going on with other flags than before ({state['flags']}): not to the bit"
            self.report(Notice(self.job.name, message))
        self.engine.master.restore(found.tensors(), found.step)
        self.step, self.resumed = found.step, state["resumed"] + 1
        self.hash = int(state["windows_hash"], 16)
        self.report(Notice(self.job.name, f"going on from step {self.step} of {self.job.steps}"))
        return float(state["seconds"])

    def _new_watch(self, seconds: float) -> Watch:
        return Watch(
            job=self.job,
            languages=tuple(self.inputs.order.windows_by_language()),
            flops_per_token=models.flops_per_token(self.engine.model, self.job.context),
            dtype=self.engine.master.dtype,
            device=self.engine.device.type,
            processes=engines.processes(self.job),
            metrics=Metrics(self.folder / "metrics.jsonl", self.step),
            report=self.report,
            trackers=trackers.start(self.job, self.folder),
            seconds=seconds,
        )

    def _require_room(self) -> None:
        parameters = models.count_parameters(self.engine.model)
        checkpoints = (checkpoint.KEPT + 1) * 12 * parameters
        disk.require(self.folder, checkpoints + 4 * parameters, f"training {self.job.name}")

    def run(self, asked: Asked) -> None:
        """All steps that are left; raises Stopped between two when `asked`."""
        settings = self.job.settings
        while self.step < self.job.steps:
            started = time.monotonic()
            rate = learning_rate(self.step, self.job.steps, settings)
            first = self.step * settings.batch
            windows = self.inputs.windows(first, first + settings.batch)
            if settings.dropout > 0:
                torch.manual_seed(self.job.order_seed * 1_000_003 + self.step)
            loss = self.engine.step(windows, rate, settings.clip)
            self.hash = windows_hash.add(self.hash, windows)
            self.step += 1
            done = Step(self.step, len(windows), loss, rate, started)
            self.watch.step(done, self._measure_dev if self._dev_is_due() else None)
            stopping = asked()
            self._save_if_due(stopping)
            if stopping and self.step < self.job.steps:
                raise Stopped(f"{self.job.name}: stopped after step {self.step}, saved")

    def _dev_is_due(self) -> bool:
        every = self.job.settings.dev_every
        return self.dev is not None and (self.step % every == 0 or self.step == self.job.steps)

    def _measure_dev(self) -> dict[str, float]:
        assert self.dev is not None
        return self.dev.bits_per_byte(self.engine)

    def _save_if_due(self, asked: bool) -> None:
        due = time.monotonic() - self._saved_at >= self.job.settings.checkpoint_seconds
        if self.step < self.job.steps and (due or asked):
            self._save()

    def _save(self) -> None:
        state = {
            "fingerprints": self.inputs.fingerprints,
            "flags": engines.flags(self.job),
            "windows_hash": windows_hash.to_hex(self.hash),
            "seconds": self.watch.seconds,
            "resumed": self.resumed,
        }
        try:
            tensors = self.engine.master.checkpoint()
            checkpoint.save(self.folder / "checkpoints", self.step, tensors, state)
        except Exception as error:
            if not is_full(error):
                raise
            message = f"no room for a checkpoint in {self.folder}; the one before is kept"
            self.report(Notice(self.job.name, message))
        self._saved_at = time.monotonic()

    def finish(self, asked: Asked) -> None:
        """Write models/<name>/; on a full disk say so and wait for room (or for a stop)."""
        self.engine.master.retire()  # room for the model in its own number format
        machine.trim()
        told = False
        while True:
            try:
                self._write_model()
                break
            except Exception as error:
                if not is_full(error):
                    raise
            if not told:
                self.report(Notice(self.job.name, f"no room for {self.target}; waiting for it"))
                told = True
            if asked():
                raise Stopped(f"{self.job.name}: stopped while waiting for room on the disk")
            time.sleep(_WAIT_SECONDS)
        for tracker in self.watch.trackers:
            tracker.close()
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)

    def _write_model(self) -> None:
        model = self.inputs.parent()
        weights = weights_of(model)
        trained = self.method.after(self.engine.state(), weights)
        with torch.no_grad():
            for name, tensor in weights.items():
                tensor.copy_(trained.get(name, tensor))
        with atomic.folder(self.target) as temporary:
            models.write_into(temporary, model, self.inputs.tokenizer, self._ledger())
            self.method.write(temporary, self.engine.state(), self.job)
            shutil.copyfile(self.folder / "metrics.jsonl", temporary / "metrics.jsonl")

    def _ledger(self) -> dict[str, Any]:
        return ledger.write(
            self.job,
            self.inputs.order,
            self.engine.model,
            seconds=self.watch.seconds,
            windows_hash=windows_hash.to_hex(self.hash),
            device=self.engine.device.type,
            fingerprints=self.inputs.fingerprints,
            resumed=self.resumed,
            processes=engines.processes(self.job),
            peak_flops=machine.matmul_peak(self.engine.master.dtype, self.engine.device.type),
        )


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    """Parameters (shared ones once) and saved buffers by name, detached, not copied."""
    saved = model.state_dict()
    buffers = {name: tensor for name, tensor in model.named_buffers() if name in saved}
    return {name: p.detach() for name, p in model.named_parameters()} | buffers


def is_full(error: BaseException) -> bool:
    """Does this mean a full disk? (safetensors wraps the number in a text of its own.)"""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return type(error).__name__ == "SafetensorError" and "os error 28" in str(error)
