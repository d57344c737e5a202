"""`xelm prune`: remove folders that no revision names any more, and say what and how much."""

import re
from dataclasses import dataclass
from pathlib import Path

from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import Manifest
from xelm.errors import UserError
from xelm.growth.revisions import Say, change
from xelm.storage import atomic

_KINDS = ("experts", "router")


@dataclass(frozen=True)
class Pruned:
    """A folder that is not needed."""

    folder: str
    size: int
    """Bytes of its files."""
    frees: int
    """Bytes that its removal gives back; hard links from elsewhere keep theirs."""


def prune(
    bundle: Path, *, keep: int | None = None, dry_run: bool = False, say: Say | None = None
) -> list[Pruned]:
    """Remove the folders that none of the kept revisions names.

    Args:
        keep: the last so many revisions stay whole and can be checked out; None keeps all, so that
            only what a killed command left behind goes.
        dry_run: say what would go, remove nothing.

    Raises:
        UserError: `keep` is below 1.
    """
    if keep is not None and keep < 1:
        raise UserError(f"--keep {keep}: the current revision always stays; give 1 or more")
    with change(bundle, say) as step:
        found = unneeded(step.bundle, step.before, keep)
        if not dry_run:
            for each in found:
                atomic.discard(step.bundle / each.folder)
        return found


def unneeded(bundle: Path, current: Manifest, keep: int | None) -> list[Pruned]:
    """Folders in experts/ and router/ that no kept revision names."""
    needed = {folder for kept in _kept(bundle, current, keep) for folder, _ in kept.folders()}
    return [
        _measured(bundle, path)
        for kind in _KINDS
        for path in sorted((bundle / kind).glob("*"))
        if path.is_dir() and not path.is_symlink() and f"{kind}/{path.name}" not in needed
    ]


def _kept(bundle: Path, current: Manifest, keep: int | None) -> list[Manifest]:
    found = (bundle / manifests.REVISIONS).glob("*.json")
    older = sorted((int(p.stem) for p in found if re.fullmatch(r"\d+", p.stem)), reverse=True)
    if keep is not None:
        older = older[: keep - 1]
    return [current, *(manifests.revision(bundle, number) for number in older)]


def _measured(bundle: Path, folder: Path) -> Pruned:
    sizes = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return Pruned(
        folder.relative_to(bundle).as_posix(),
        sum(each.st_size for each in sizes),
        sum(each.st_size for each in sizes if each.st_nlink == 1),
    )
