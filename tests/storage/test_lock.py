"""Two never hold one lock; a dead or silent holder never blocks for ever."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xelm.storage import lock
from xelm.storage.lock import Held, Lock


def _holder(path: Path) -> subprocess.Popen[str]:
    code = (
        "import sys, time; from pathlib import Path; from xelm.storage.lock import Lock\n"
        f"with Lock(Path({str(path)!r})):\n print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_a_second_process_is_told_who_has_it(tmp_path: Path) -> None:
    holder = _holder(tmp_path / "lock")
    try:
        with pytest.raises(Held) as told:
            Lock(tmp_path / "lock").acquire()
        for word in ("lock", str(holder.pid), socket.gethostname(), "since"):
            assert word in str(told.value)
    finally:
        holder.kill()
        holder.wait()
    with Lock(tmp_path / "lock"):
        pass


def test_the_lock_comes_back_after_release(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    with first, pytest.raises(Held):
        second.acquire()
    with second:
        pass


def _record(host: str, heartbeat: float) -> str:
    return json.dumps(
        {"host": host, "pid": 1, "since": heartbeat, "heartbeat": heartbeat, "token": "t"}
    )


def test_a_beating_lock_of_another_host_is_respected(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(_record("elsewhere", time.time()))
    with pytest.raises(Held, match="elsewhere"):
        Lock(tmp_path / "lock").acquire()


def test_a_silent_lock_of_another_host_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(_record("elsewhere", time.time() - 61))
    with Lock(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_heart_beats_and_a_takeover_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    path = tmp_path / "lock"
    with Lock(path) as held:
        first = json.loads(path.read_text())["heartbeat"]
        _wait(lambda: json.loads(path.read_text())["heartbeat"] > first)
        with path.open("r+") as file:
            file.write(_record("elsewhere", time.time()).ljust(512))
        _wait(lambda: held.lost)
    assert json.loads(path.read_text())["host"] == "elsewhere"


_COUNT = """
import sys
from pathlib import Path
from xelm.storage.lock import Lock
path, counter = map(Path, sys.argv[1:])
for _ in range(5):
    held = Lock(path).acquire(blocking=True)
    counter.write_text(str(int(counter.read_text()) + 1))
    held.release()
"""


def test_waiting_processes_pass_one_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "n"
    counter.write_text("0")
    command = [sys.executable, "-c", _COUNT, str(tmp_path / "lock"), str(counter)]
    group = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in group] == [0, 0]
    assert counter.read_text() == "10"
