"""metrics.jsonl: one line of numbers every few steps, cut back to the checkpoint on a resume."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Metrics:
    """Appends lines; a line the disk has no room for waits for the next one."""

    def __init__(self, path: Path, keep_until_step: int) -> None:
        """Keeps the lines of steps up to `keep_until_step` of an earlier try, drops later ones."""
        self.path = Path(path)
        self._waiting: deque[bytes] = deque(maxlen=10_000)
        self._size = _kept_bytes(self.path, keep_until_step)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._cut()

    def add(self, row: dict[str, Any]) -> None:
        """Append one line, flushed."""
        self._waiting.append(json.dumps(row).encode() + b"\n")
        data = b"".join(self._waiting)
        try:
            with self.path.open("ab") as file:
                file.write(data)
        except OSError:  # disk full: no half line stays, all wait in memory for a later one
            self._cut()
            return
        self._size += len(data)
        self._waiting.clear()

    def _cut(self) -> None:
        with self.path.open("ab") as file:
            file.truncate(self._size)


def _kept_bytes(path: Path, keep_until_step: int) -> int:
    """Where the first line stands that is broken or of a later step."""
    size = 0
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                row = _parsed(line)
                if row is None or row["step"] > keep_until_step:
                    break
                size += len(line)
    return size


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return row if line.endswith(b"\n") else None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line cut off by a crash is left out."""
    if not Path(path).exists():
        return
    with Path(path).open("rb") as file:
        for line in file:
            row = _parsed(line)
            if row is not None:
                yield row
