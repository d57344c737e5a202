"""Checkpoints: float32 weights, optimizer moments and a little JSON; whole, hashed, two kept.

A checkpoint names the fingerprints of all that the job depends on. One whose files are damaged is
refused by name and the one before it used; one that belongs to other inputs is an error.
"""

import shutil
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
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]
    """Step, fingerprints, hash of windows so far, seconds, flags."""


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
    from safetensors.torch import load_file

    atomic.remove_leftovers(Path(folder))
    for path in _existing(folder):
        try:
            manifest.verify(path)
        except manifest.DamagedArtefact as damage:
            report(Notice(job, f"checkpoint refused: {damage}; using the one before"))
            continue
        state = atomic.read_json(path / _STATE)
        return Checkpoint(int(state["step"]), load_file(path / _TENSORS), state)
    return None


def require_same(found: dict[str, str], expected: dict[str, str], folder: Path) -> None:
    """Raise UserError naming what changed since the checkpoint was written."""
    changed = [what for what, value in expected.items() if found.get(what) != value]
    if changed:
        raise UserError(
            f"{folder}: its checkpoints were made with another {' and another '.join(changed)}; "
            "put that back, or remove this folder to train anew"
        )


def _existing(folder: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    if not Path(folder).is_dir():
        return []
    return sorted((p for p in Path(folder).iterdir() if p.name.isdigit()), reverse=True)
