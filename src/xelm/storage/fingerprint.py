"""Short names for exact contents: two things are the same if their fingerprints are."""

import hashlib
import json
from pathlib import Path
from typing import Any

from xelm.storage import manifest


def of_value(value: Any) -> str:
    """SHA-256, hex, of a JSON-like value; independent of the order of keys."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256, hex, of the file's bytes."""
    return manifest.sha256(path)


def of_folder(folder: Path) -> str:
    """One hex name for all files below `folder`; from its manifest when there is one.

    The manifest is trusted, not checked: `manifest.verify` does that. Both ways give the same name.
    """
    recorded = (Path(folder) / manifest.MANIFEST).is_file()
    files = manifest.read(folder) if recorded else manifest.contents(folder)
    return of_value({name: entry["sha256"] for name, entry in files.items()})
