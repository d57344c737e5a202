"""Sizes and SHA-256 of every file of a folder, kept in the folder, so that damage has a name."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from xelm.errors import UserError

MANIFEST = "manifest.json"


class DamagedArtefact(UserError):
    """A finished folder is not what its manifest says."""


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; reads in blocks."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(folder: Path) -> dict[str, dict[str, Any]]:
    """Relative posix path -> {"size": bytes, "sha256": hex} of all files below, manifest aside."""
    found = {}
    for current, _, names in os.walk(folder):
        for name in names:
            path = Path(current, name)
            relative = path.relative_to(folder).as_posix()
            if relative != MANIFEST:
                found[relative] = {"size": path.stat().st_size, "sha256": sha256(path)}
    return dict(sorted(found.items()))


def write(folder: Path) -> None:
    """Write the manifest of a folder that is being made (inside `atomic.folder`)."""
    text = json.dumps({"files": contents(folder)}, sort_keys=True, indent=1, ensure_ascii=False)
    (Path(folder) / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The recorded files; raises DamagedArtefact when the manifest itself is missing or broken."""
    path = Path(folder) / MANIFEST
    try:
        files: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        raise DamagedArtefact(
            f"{path}: missing, so {folder} cannot be trusted; make it again"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedArtefact(f"{path}: broken ({error}); make {folder} again") from error
    return files


def verify(folder: Path, *, hashes: bool = True) -> None:
    """Raise DamagedArtefact naming the first file that is missing, truncated or changed.

    `hashes=False` compares sizes only: instant, for "is it done?" of large artefacts.
    """
    for relative, recorded in read(folder).items():
        path = Path(folder) / relative
        if not path.is_file():
            raise DamagedArtefact(f"{path}: missing; restore it, or remove {folder} and run again")
        size = path.stat().st_size
        if size != recorded["size"]:
            fault = "truncated" if size < recorded["size"] else "grown"
            raise DamagedArtefact(
                f"{path}: {fault} ({size} bytes, {recorded['size']} recorded); "
                f"restore it, or remove {folder} and run again"
            )
        if hashes and sha256(path) != recorded["sha256"]:
            raise DamagedArtefact(
                f"{path}: changed since it was written (SHA-256 differs); "
                f"restore it, or remove {folder} and run again"
            )
