"""`train`: one model from its job.json to models/<name>/, however often it is interrupted.

Run it again and it goes on from the last checkpoint, to the bit, or says that all is done. The
loop knows nothing of other experts; a file lock keeps two processes from training the same one.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xelm.errors import UserError
from xelm.storage import atomic
from xelm.storage.lock import Lock
from xelm.training import engines
from xelm.training.events import STOP_SIGNALS, Finished, Report, ignore
from xelm.training.inputs import open_inputs
from xelm.training.job import Job, spec_path
from xelm.training.session import Session


def train(run: Path, name: str, *, report: Report = ignore) -> None:
    """Train job `name` of `run`, or go on, or say it is done.

    Raises UserError (inputs missing or changed, locked by another worker), Stopped after SIGTERM
    or SIGUSR1 (the step is finished and saved). Batches, order and result do not depend on
    interruptions.
    """
    run = Path(run)
    job = Job.load(run, name)
    if is_done(run, name):
        report(Finished(name, 0.0, already=True))
        return
    with Lock(spec_path(run, name).parent / "lock") as lock:
        if is_done(run, name):
            report(Finished(name, 0.0, already=True))
            return
        _train_locked(run, job, lock, report)


def is_done(run: Path, name: str) -> bool:
    """Is the model finished? (It appears by rename, so its presence says so.)"""
    return (Path(run) / "models" / name).is_dir()


def _train_locked(run: Path, job: Job, lock: Lock, report: Report) -> None:
    atomic.remove_leftovers((run / "models" / job.name).parent)
    inputs = open_inputs(run, job)
    start = time.monotonic()
    with _stop_requests(lock) as asked:
        session = Session(run, inputs, engines.engine_for(job, inputs.config, report), report)
        session.resume()
        session.run(asked)
        session.finish(asked)
    report(Finished(job.name, time.monotonic() - start, already=False))


@contextmanager
def _stop_requests(lock: Lock) -> Iterator[Callable[[], bool]]:
    """SIGTERM and SIGUSR1 (Slurm's warning) ask for a stop while the block runs."""
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        received.append(number)

    def asked() -> bool:
        if lock.lost:
            raise UserError(f"{lock.path}: this process was silent too long and another took over")
        return bool(received)

    if threading.current_thread() is not threading.main_thread():
        yield asked  # signals go to the main thread, which has its own plans
        return
    before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
