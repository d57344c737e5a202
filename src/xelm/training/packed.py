"""A packed run: one expert's share, seed and settings, and what they are called at home.

A pack holds only the documents of its share, so its corpus has a fingerprint of its own; the order
of windows and the ledger go by the names the data has at home, which stand in `pack.json`.
"""

from pathlib import Path
from typing import TypedDict

from xelm.errors import UserError
from xelm.storage import atomic

FILE = "pack.json"


class Fingerprints(TypedDict):
    """What the data of a job is called in the run it belongs to."""

    corpus: str
    shares: list[str]


def fingerprints(run: Path) -> Fingerprints | None:
    """The names at home if `run` is a pack, else None."""
    path = Path(run) / FILE
    if not path.is_file():
        return None
    value = atomic.read_json(path)
    return {"corpus": value["corpus"], "shares": value["shares"]}


def job_name(folder: Path) -> str:
    """The job a pack is for; UserError when the folder is no pack."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"{folder}: not a pack (no {FILE}); make one with `xelm pack RUN EXPERT`")
    name: str = atomic.read_json(path)["job"]
    return name
