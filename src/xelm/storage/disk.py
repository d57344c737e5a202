"""Is there room for what will be written? Asked before the work, not after it."""

import shutil
from pathlib import Path

from xelm.errors import UserError


def require(path: Path, needed_bytes: int, what: str) -> None:
    """Raise UserError when the disk of `path` (which need not exist yet) lacks `needed_bytes`."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise UserError(
            f"{path}: {what} needs {_size(needed_bytes)}, {_size(free)} are free; "
            "free some space, or choose another disk with --out"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
