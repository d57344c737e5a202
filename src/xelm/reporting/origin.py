"""How a report came to be: recipe, versions, commit, machines, date. No host name, no path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
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
    facts = {
        "Report written": datetime.now(UTC).strftime("%-d %B %Y, %H:%M UTC"),
        **facts_of(files.made),
        "Trained on": "; ".join(machines(files.ledgers.values())),
        "FLOPs counted as": _first(files, "flops_formula"),
        "Data orders": str(files.summary["orders"]),
        "Fingerprint of the results": str(files.summary.get("fingerprint", ""))[:16],
    }
    return Origin({key: value for key, value in facts.items() if value}, recipe(files))


def facts_of(made: Mapping[str, Any]) -> dict[str, str]:
    """Commit and versions of a run.yaml."""
    found = {
        "Commit": str(made.get("commit") or ""),
        "Versions": ", ".join(f"{k} {v}" for k, v in (made.get("versions") or {}).items()),
    }
    return {key: value for key, value in found.items() if value}


def recipe(files: RunFiles) -> str:
    """The run's recipe as YAML; a page is read by strangers, so paths lose their folders."""
    value = without_folders(files.made.get("recipe") or {})
    if not value:
        return ""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=88).rstrip()


def without_folders(value: Any) -> Any:
    """Absolute paths anywhere in a recipe become `.../<name>`; all else stays."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    if isinstance(value, str) and (value.startswith(("/", "~")) or value[1:3] == ":\\"):
        return f".../{PurePath(value.replace(chr(92), '/')).name}"
    return value


def machines(ledgers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each kind of machine once, with its number of models."""
    counted: dict[str, int] = {}
    for ledger in ledgers:
        text = _machine(ledger.get("hardware") or {})
        if text:
            counted[text] = counted.get(text, 0) + 1
    return [f"{text} ({n} model{'s' if n > 1 else ''})" for text, n in counted.items()]


def _machine(hardware: Mapping[str, Any]) -> str:
    threads = hardware.get("threads")
    count = f"{threads} thread{'s' if threads > 1 else ''}" if threads else None
    return ", ".join(str(p) for p in (hardware.get("gpu"), hardware.get("cpu"), count) if p)


def _first(files: RunFiles, key: str) -> str:
    return str(next((ledger[key] for ledger in files.ledgers.values() if ledger.get(key)), ""))
