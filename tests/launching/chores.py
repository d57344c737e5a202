"""Tasks for the pool's tests: real processes, real kills."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xelm.errors import UserError


def write(path: str, text: str, report: Callable[[dict[str, Any]], None]) -> None:
    report({"step": 1, "steps": 2})
    print("a library that prints must not break the protocol")
    Path(path).write_text(text, encoding="utf-8")


def append(path: str, text: str, report: Callable[[dict[str, Any]], None]) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def tell_pid(path: str, report: Callable[[dict[str, Any]], None]) -> None:
    Path(path).write_text(str(os.getpid()))


def die_once(path: str, report: Callable[[dict[str, Any]], None]) -> None:
    if not Path(path).exists():
        Path(path).write_text("died")
        os.kill(os.getpid(), signal.SIGKILL)
    Path(path).write_text("lived")


def die_always(report: Callable[[dict[str, Any]], None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(report: Callable[[dict[str, Any]], None]) -> None:
    raise UserError("corpus.txt: empty; give it text")


def wait_for_term(path: str, report: Callable[[dict[str, Any]], None]) -> None:
    def finish(*_: object) -> None:
        Path(path).write_text("saved")
        raise SystemExit(75)

    signal.signal(signal.SIGTERM, finish)
    report({"step": 1})
    time.sleep(60)
