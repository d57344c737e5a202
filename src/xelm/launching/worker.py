"""A long-lived worker process: takes one task a line from stdin, tells what happens on stdout.

    python -m xelm.launching.worker

One worker a core (one thread each) or a GPU. It stays alive between tasks, so that imports and the
compiled training step are paid for once. Protocol, JSON lines: in `{"name", "call", "arguments"}`;
out `{"task", "kind": "ready" | "progress" | "done" | "failed" | "refused", ...}`.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import IO, Any

from xelm.errors import UserError
from xelm.launching import task as tasks
from xelm.training.events import Stopped


def _as_dict(event: Any) -> Mapping[str, Any]:
    return asdict(event) if is_dataclass(event) and not isinstance(event, type) else event


class _Channel:
    """The pipe to the launcher; printing by libraries goes to stderr instead of into it."""

    def __init__(self) -> None:
        self._out: IO[str] = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(self, **message: Any) -> None:
        try:
            self._out.write(json.dumps(message, ensure_ascii=False, default=str) + "\n")
            self._out.flush()
        except BrokenPipeError:  # the launcher is gone: finish the task, its files are the contract
            self._out = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _perform(message: Mapping[str, Any], channel: _Channel) -> None:
    name = message["name"]

    def report(event: Any) -> None:
        channel.send(task=name, kind="progress", event=dict(_as_dict(event)))

    try:
        tasks.run(message["call"], message["arguments"], report)
        channel.send(task=name, kind="done")
    except Stopped:  # a signal asked, the step is saved
        sys.exit(Stopped.EXIT_CODE)
    except UserError as error:
        channel.send(task=name, kind="refused", error=str(error))
    except Exception as error:
        traceback.print_exc()
        channel.send(task=name, kind="failed", error=f"{type(error).__name__}: {error}")


def _stop_with_launcher(launcher: int) -> None:
    """When the launcher is killed, finish the step, save and end, as on Ctrl-C."""
    while os.getppid() == launcher:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    channel = _Channel()
    watch = threading.Thread(target=_stop_with_launcher, args=(os.getppid(),), daemon=True)
    watch.start()
    channel.send(kind="ready", pid=os.getpid())
    for line in sys.stdin:
        _perform(json.loads(line), channel)


if __name__ == "__main__":
    main()
