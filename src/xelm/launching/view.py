"""What the user sees while tasks run: a live table on a terminal, plain lines elsewhere.

Progress events are the mappings that tasks report; the fields shown are `languages`, `step`,
`steps`, `loss` (nats a token), `tokens_per_second` and `seconds_left`, each optional.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import Progress, TaskID
from rich.table import Table

PLAIN_SECONDS = 10.0  # between two plain lines of one task


def duration(seconds: float) -> str:
    """`75` -> `1:15`, `3700` -> `1:01:40`."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


@dataclass
class _Row:
    state: str = "waiting"
    event: dict[str, Any] = field(default_factory=dict)
    began: float = 0.0
    ended: float = 0.0
    printed: float = 0.0


class View:
    """Shows the messages of a pool; use as a context manager and pass `view.on_message`."""

    def __init__(self, title: str, names: Sequence[str], console: Console | None = None) -> None:
        self._title, self._console = title, console or Console()
        self._rows = {name: _Row() for name in names}
        self._began = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> "View":
        if self._console.is_terminal and self._rows:
            self._live = Live(console=self._console, get_renderable=self._table)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        done = sum(row.state == "done" for row in self._rows.values())
        if self._rows and not self._live:
            seconds = duration(time.monotonic() - self._began)
            self._print(f"{self._title}: {done} of {len(self._rows)} done in {seconds}")

    def on_message(self, message: Mapping[str, Any]) -> None:
        """Take one message of the pool (see worker.py for their kinds)."""
        row = self._rows.get(message.get("task", ""))
        if row is None:
            return
        row.event.update(message.get("event", {}))
        if message["kind"] == "progress":
            row.state = "running"
        else:
            row.state = message["kind"]
        if message["kind"] == "started":
            row.began = time.monotonic()
        if row.state in {"done", "failed", "refused"}:
            row.ended = time.monotonic()
        if not self._live:
            self._plain(message["task"], row, message)

    def _plain(self, name: str, row: _Row, message: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if message["kind"] == "progress" and now - row.printed < PLAIN_SECONDS:
            return
        row.printed = now
        parts = [f"{self._title} {name}: {row.state}", *_figures(row)]
        if "error" in message:
            parts.append(str(message["error"]))
        self._print("  ".join(parts))

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(title=self._title, title_justify="left", expand=False)
        for column in ("expert", "languages", "step", "loss", "tokens/s", "left"):
            table.add_column(
                column, justify="left" if column in {"expert", "languages"} else "right"
            )
        for name, row in self._shown():
            table.add_row(name, *_cells(row))
        done = sum(row.state == "done" for row in self._rows.values())
        table.caption = (
            f"{done} of {len(self._rows)} done, {duration(time.monotonic() - self._began)}"
        )
        return table

    def _shown(self) -> list[tuple[str, _Row]]:
        """Running first, then what ended last, then what waits, as many as the terminal holds."""
        order = {"running": 0, "started": 0, "failed": 1, "refused": 1, "done": 2, "waiting": 3}
        rows = sorted(
            self._rows.items(), key=lambda item: (order.get(item[1].state, 1), -item[1].ended)
        )
        return rows[: max(4, self._console.height - 8)]


def _figures(row: _Row) -> list[str]:
    event, figures = row.event, []
    if event.get("steps"):
        figures.append(f"step {event.get('step', 0)}/{event['steps']}")
    if event.get("loss") is not None:
        figures.append(f"loss {event['loss']:.3f}")
    if event.get("tokens_per_second"):
        figures.append(f"{event['tokens_per_second']:,.0f} tokens/s")
    if row.state == "running" and event.get("seconds_left") is not None:
        figures.append(f"left {duration(event['seconds_left'])}")
    return figures


def _cells(row: _Row) -> list[str]:
    event = row.event
    languages = " ".join(event.get("languages") or [])
    step = f"{event.get('step', 0)}/{event['steps']}" if event.get("steps") else ""
    loss = f"{event['loss']:.3f}" if event.get("loss") is not None else ""
    speed = f"{event['tokens_per_second']:,.0f}" if event.get("tokens_per_second") else ""
    left = row.state
    if row.state == "running" and event.get("seconds_left") is not None:
        left = duration(event["seconds_left"])
    elif row.state == "done" and row.ended:
        left = f"done {duration(row.ended - row.began)}"
    return [languages if len(languages) < 40 else languages[:37] + "...", step, loss, speed, left]


class Steps:
    """Progress of one call that counts bytes: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title, self._console = title, console or Console()
        self._bar = Progress(console=self._console, transient=True)
        self._task: TaskID | None = None
        self._stage = ""

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def report(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` bytes of a stage (0: not known)."""
        if stage != self._stage:
            self._stage = stage
            if not self._console.is_terminal:
                self._console.print(f"{self._title}: {stage}", highlight=False, markup=False)
        if not self._console.is_terminal:
            return
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(self._title)
        description = f"{self._title}: {stage}"
        self._bar.update(self._task, description=description, completed=done, total=total or None)
