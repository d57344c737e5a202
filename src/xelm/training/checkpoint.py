"""Checkpoints: float32 weights, optimizer moments and a little JSON; whole, hashed, two kept.

A checkpoint names the fingerprints of all that the job depends on. One whose files are damaged is
refused by name and the one before it used; one that belongs to other inputs is an error.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xelm.errors import UserError
from xelm.storage import atomic, manifest
from xelm.training.events import Notice, Report

KEPT = 2
_TENSORS, _STATE = "state.safetensors", "state.json"


@dataclass
class Checkpoint:
    """What is needed to go on after `step` steps as if nothing had happened."""

    step: int
    path: Path
    state: dict[str, Any]
    """Step, fingerprints, hash of windows so far, seconds, flags."""

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Name and tensor, one at a time: the whole never stands in memory twice."""
        from safetensors import safe_open

        with safe_open(self.path / _TENSORS, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  not a dict
                yield name, file.get_tensor(name)


def save(folder: Path, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
    """Write `folder/<step>/`, then remove all but the newest two. OSError when the disk is full."""
    from safetensors.torch import save_file

    with atomic.folder(Path(folder) / f"{step:08d}", replace=True) as temporary:
        contiguous = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
        save_file(contiguous, temporary / _TENSORS)
        atomic.write_json(temporary / _STATE, state | {"step": step})
    for old in _existing(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def latest(folder: Path, job: str, report: Report) -> Checkpoint | None:
    """The newest whole checkpoint, or None; says by name which damaged ones it passed over."""
    atomic.remove_leftovers(Path(folder))
    for path in _existing(folder):
        try:
            manifest.verify(path)
        except manifest.DamagedArtefact as damage:
            report(Notice(job, f"checkpoint refused: {damage}; using the one before"))
            continue
        state = atomic.read_json(path / _STATE)
        return Checkpoint(int(state["step"]), path, state)
    return None


def require_same(
    state: dict[str, Any], expected: dict[str, str], paths: dict[str, Path], folder: Path
) -> None:
    """Raise UserError naming the file that changed since the checkpoint was written."""
    changed = [what for what, value in expected.items() if state["fingerprints"].get(what) != value]
    if changed:
        files = ", ".join(f"{paths[what]} ({what})" for what in changed)
        raise UserError(
            f"{files}: changed since the checkpoints of {folder} were made; "
            "put it back, or remove that folder's checkpoints to train anew"
        )


def _existing(folder: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    if not Path(folder).is_dir():
        return []
    return sorted((p for p in Path(folder).iterdir() if p.name.isdigit()), reverse=True)
