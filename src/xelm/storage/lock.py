"""One process at a time per artefact, also on a disk shared by several hosts.

`flock` decides between processes of one host and dies with its process. Some network disks do not
pass it between hosts, so the file also holds who has it and a heartbeat: a lock of another host
whose heart still beats is respected, one that is silent for a minute is taken over.
Child processes must be spawned, not forked, while a lock is held: a fork would share it.
"""

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from xelm.errors import UserError

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
_RECORD_BYTES = 512  # one padded write in place, so a reader on the same host sees old or new


class Held(UserError):
    """Another process has the lock; the message says which and since when."""


class Lock:
    """`with Lock(path): ...`; the file stays behind empty, its existence means nothing."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.lost = False  # True when another host took the lock over (we were silent too long)
        self._file: int | None = None
        self._token = secrets.token_hex(8)
        self._stop = threading.Event()
        self._beat: threading.Thread | None = None
        self._since = 0.0

    def acquire(self, blocking: bool = False) -> "Lock":
        """Take the lock; raises Held when another has it (or waits for it if `blocking`)."""
        while True:
            try:
                self._take()
                return self
            except Held:
                if not blocking:
                    raise
                time.sleep(0.2)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._file is None:
            return
        self._stop.set()
        if self._beat is not None:
            self._beat.join()
        if not self.lost:
            os.pwrite(self._file, b" " * _RECORD_BYTES, 0)
        os.close(self._file)
        self._file = None

    def __enter__(self) -> "Lock":
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _take(self) -> None:
        assert self._file is None, "this Lock object holds its lock already"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Held(_describe(self.path, _read(file))) from None
            holder = _read(file)
            if _beats_elsewhere(holder):
                raise Held(_describe(self.path, holder))
            self._since, self.lost = time.time(), False
            self._write(file)
            if holder:  # the former holder died: another host may be taking over just now
                self._settle(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        self._stop.clear()
        self._beat = threading.Thread(target=self._keep_beating, args=(file,), daemon=True)
        self._beat.start()

    def _settle(self, file: int) -> None:
        time.sleep(0.1)
        winner = _read(file)
        if winner.get("token") != self._token:
            raise Held(_describe(self.path, winner))

    def _write(self, file: int) -> None:
        record = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self._since,
            "heartbeat": time.time(),
            "token": self._token,
        }
        os.pwrite(file, json.dumps(record).encode().ljust(_RECORD_BYTES), 0)

    def _keep_beating(self, file: int) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            if _read(file).get("token", self._token) != self._token:
                self.lost = True
                return
            self._write(file)


def _read(file: int) -> dict[str, Any]:
    try:
        record = json.loads(os.pread(file, _RECORD_BYTES, 0) or b"{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _beats_elsewhere(holder: dict[str, Any]) -> bool:
    if not holder or holder.get("host") == socket.gethostname():
        return False  # on this host flock has already told the truth
    return time.time() - float(holder.get("heartbeat", 0.0)) <= STALE_SECONDS


def _describe(path: Path, holder: dict[str, Any]) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.get("since", time.time())))
    who = f"process {holder.get('pid', '?')} on {holder.get('host', 'this host')}"
    return f"{path}: locked by {who} since {since}; wait for it, or stop that process"
