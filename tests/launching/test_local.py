"""The pool with real processes: order, reuse, death, refusal and Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from xelm.launching.local import LocalPool, TasksFailed
from xelm.launching.task import Task
from xelm.training.events import Stopped


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPool]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    with LocalPool(2, tmp_path / "logs") as pool:
        yield pool


def test_dependencies_are_kept(pool: LocalPool, tmp_path: Path) -> None:
    path = str(tmp_path / "order")
    tasks = [
        Task("c", "chores:append", {"path": path, "text": "c"}, after=("b",)),
        Task("b", "chores:append", {"path": path, "text": "b"}, after=("a",)),
        Task("a", "chores:append", {"path": path, "text": "a"}),
    ]
    pool.run(tasks)
    assert Path(path).read_text() == "abc"


def test_workers_stay_between_tasks(pool: LocalPool, tmp_path: Path) -> None:
    pool.run([Task(str(i), "chores:tell_pid", {"path": str(tmp_path / str(i))}) for i in range(6)])
    pool.run([Task("6", "chores:tell_pid", {"path": str(tmp_path / "6")})])
    assert len({(tmp_path / str(i)).read_text() for i in range(7)}) <= 2


def test_progress_arrives_and_prints_do_not_break_it(pool: LocalPool, tmp_path: Path) -> None:
    seen: list[Mapping[str, Any]] = []
    task = Task("w", "chores:write", {"path": str(tmp_path / "w"), "text": "ἀρχή"})
    pool.run([task], seen.append)
    assert [m["kind"] for m in seen] == ["started", "ready", "progress", "done"] or [
        m["kind"] for m in seen
    ] == ["ready", "started", "progress", "done"]
    assert (tmp_path / "w").read_text(encoding="utf-8") == "ἀρχή"


def test_a_killed_worker_is_replaced_once(pool: LocalPool, tmp_path: Path) -> None:
    kinds: list[str] = []
    task = Task("d", "chores:die_once", {"path": str(tmp_path / "d")})
    pool.run([task], lambda m: kinds.append(m["kind"]))
    assert (tmp_path / "d").read_text() == "lived"
    assert "retried" in kinds


def test_failures_are_named_and_the_rest_still_runs(pool: LocalPool, tmp_path: Path) -> None:
    tasks = [
        Task("bad", "chores:refuse", cost=3),
        Task("dead", "chores:die_always", cost=2),
        Task("after bad", "chores:write", {"path": "x", "text": "x"}, after=("bad",)),
        Task("good", "chores:write", {"path": str(tmp_path / "good"), "text": "g"}),
    ]
    with pytest.raises(TasksFailed) as failure:
        pool.run(tasks)
    message = str(failure.value)
    assert "bad: corpus.txt: empty; give it text" in message
    assert "dead: its worker ended with code -9" in message
    assert "not started because of that: after bad" in message
    assert (tmp_path / "good").read_text() == "g"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_let_workers_save(pool: LocalPool, tmp_path: Path, number: int) -> None:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background shell ignores it

    def interrupt(message: Mapping[str, Any]) -> None:
        if message["kind"] == "progress":
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()

    task = Task("s", "chores:wait_for_term", {"path": str(tmp_path / "saved")})
    try:
        with pytest.raises(Stopped):
            pool.run([task], interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "saved").read_text() == "saved"


def test_workers_save_when_the_launcher_is_killed(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from xelm.launching.local import LocalPool\n"
        "from xelm.launching.task import Task\n"
        f"task = Task('s', 'chores:wait_for_term', {{'path': {str(tmp_path / 'saved')!r}}})\n"
        f"with LocalPool(1, Path({str(tmp_path)!r})) as pool:\n"
        "    pool.run([task], lambda m: print(m['kind'], flush=True))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    launcher = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert launcher.stdout is not None
    while "progress" not in launcher.stdout.readline():
        assert launcher.poll() is None
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 10
    while not (tmp_path / "saved").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
