"""A task: one idempotent call that any worker may make, on any machine that sees the run folder.

A task names its function as "module:function" and its arguments as JSON, so the same task can be
sent to a local worker, to Ray or to Slurm. Launchers know nothing of what a task does.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Task:
    """One call; `after` names tasks that must have ended, the dearest by `cost` start first."""

    name: str
    call: str
    arguments: dict[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    cost: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run(call: str, arguments: Mapping[str, Any], report: Report) -> Any:
    """Import and call `module:function`, which takes its arguments and `report` by keyword."""
    module, _, name = call.partition(":")
    function = getattr(importlib.import_module(module), name)
    return function(**arguments, report=report)


def ready(tasks: Sequence[Task], done: set[str], started: set[str]) -> list[Task]:
    """Tasks that may start now, the dearest first so that no worker is left alone at the end."""
    free = [t for t in tasks if t.name not in started and all(a in done for a in t.after)]
    return sorted(free, key=lambda t: (-t.cost, t.name))


def check(tasks: Sequence[Task]) -> None:
    """Assert that names are unique and that every task can be reached."""
    names = [t.name for t in tasks]
    assert len(set(names)) == len(names), f"duplicate tasks: {names}"
    done: set[str] = set()
    while more := [t.name for t in ready(tasks, done, done)]:
        done.update(more)
    assert done == set(names), f"tasks that can never start: {sorted(set(names) - done)}"
