"""`xelm log` and `xelm checkout`: what was done to a bundle, and going back.

A checkout is a step forward too: it makes a new revision that holds what an older one held, so that
revisions only ever count up and nothing that was recorded is forgotten.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import Manifest
from xelm.errors import UserError
from xelm.growth.revisions import Say, change

_KNOWN = ("action", "time", "version", "revision")


@dataclass(frozen=True)
class Entry:
    """One line of the log."""

    revision: int
    action: str
    time: str
    """UTC, ISO 8601."""
    version: str
    """Of xelm."""
    details: dict[str, Any] = field(default_factory=dict)
    current: bool = False


def log(bundle: Path) -> list[Entry]:
    """What was done to a bundle, oldest first."""
    manifest = manifests.read(bundle)
    return list(_entries(manifest))


def _entries(manifest: Manifest) -> Iterator[Entry]:
    for number, event in enumerate(manifest.history, start=1):
        revision = int(event.get("revision", number))
        yield Entry(
            revision,
            str(event.get("action", "?")),
            str(event.get("time", "")),
            str(event.get("version", "")),
            {key: value for key, value in event.items() if key not in _KNOWN},
            revision == manifest.revision,
        )


def checkout(bundle: Path, revision: int, *, say: Say | None = None) -> Manifest:
    """Make a new revision with the experts and the router of revision number `revision`.

    Raises:
        UserError: no such revision, or `xelm prune` removed what it refers to.
    """
    with change(bundle, say) as step:
        wanted = manifests.revision(step.bundle, revision)
        if (wanted.experts, wanted.router) == (step.before.experts, step.before.router):
            raise UserError(f"{bundle}: holds what revision {revision} held; nothing to check out")
        for folder, _ in wanted.folders():
            if not (step.bundle / folder).is_dir():
                raise UserError(
                    f"{step.bundle / folder}: revision {revision} needs it and it is gone "
                    "(pruned, or not published); fetch it from where the bundle came"
                )
        return step.commit(
            "checkout", experts=wanted.experts, router=wanted.router, checked_out=revision
        )
