"""How a report came to be: recipe, versions, commit, machines, date. No host name, no path."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from xelm.reporting.run_files import RunFiles


@dataclass(frozen=True)
class Origin:
    """What stands under "How it was made"."""

    facts: Mapping[str, str]
    recipe: str
    """YAML."""


def origin(files: RunFiles) -> Origin:
    """Read off the run's own files; what is not known is left out."""
    made = files.made
    facts = {
        "Report written": datetime.now(UTC).strftime("%-d %B %Y, %H:%M UTC"),
        "Commit": made.get("commit") or "",
        "Versions": ", ".join(f"{k} {v}" for k, v in (made.get("versions") or {}).items()),
        "Trained on": "; ".join(_machines(files)),
        "FLOPs counted as": _first(files, "flops_formula"),
        "Data orders": str(files.summary["orders"]),
        "Fingerprint of the results": str(files.summary.get("fingerprint", ""))[:16],
    }
    recipe = made.get("recipe") or {}
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=88) if recipe else ""
    return Origin({key: value for key, value in facts.items() if value}, text)


def _machines(files: RunFiles) -> list[str]:
    """Each kind of machine once, with its number of models."""
    counted: dict[str, int] = {}
    for ledger in files.ledgers.values():
        text = _machine(ledger.get("hardware") or {})
        if text:
            counted[text] = counted.get(text, 0) + 1
    return [f"{text} ({count} models)" for text, count in counted.items()]


def _machine(hardware: Mapping[str, Any]) -> str:
    threads = hardware.get("threads")
    parts = [hardware.get("gpu"), hardware.get("cpu"), threads and f"{threads} thread"]
    return ", ".join(str(part) for part in parts if part) + ("s" if (threads or 1) > 1 else "")


def _first(files: RunFiles, key: str) -> str:
    return str(next((ledger[key] for ledger in files.ledgers.values() if ledger.get(key)), ""))
