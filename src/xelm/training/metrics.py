"""metrics.jsonl: one line of numbers every few steps, cut back to the checkpoint on a resume."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xelm.storage import atomic


class Metrics:
    """Appends lines; a line the disk has no room for waits for the next one."""

    def __init__(self, path: Path, keep_until_step: int) -> None:
        """Keeps the lines of steps up to `keep_until_step` of an earlier try, drops later ones."""
        self.path = Path(path)
        self._waiting: deque[str] = deque(maxlen=10_000)
        lines = [json.dumps(row) for row in read(self.path) if row["step"] <= keep_until_step]
        if lines or self.path.exists():
            atomic.write_text(self.path, "".join(line + "\n" for line in lines))

    def add(self, row: dict[str, Any]) -> None:
        """Append one line, flushed."""
        self._waiting.append(json.dumps(row))
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(line + "\n" for line in self._waiting))
        except OSError:
            return  # disk full: kept in memory, written with a later line
        self._waiting.clear()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line cut off by a crash is left out."""
    if not Path(path).exists():
        return
    with Path(path).open(encoding="utf-8") as file:
        for line in file:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            yield row
