"""The proof that growth forgot nothing: what `xelm verify` says of a bundle that has grown.

An expert's figures are a function of its files. So it is enough to show that every folder any
revision names is still, byte for byte, what that revision recorded, and to say since which revision
each expert is the same.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import Manifest
from xelm.ensemble.verify import verify_folder


def verify_history(bundle: Path, checked: Collection[str] = ()) -> dict[str, int]:
    """Check every folder of every revision that is still there; expert -> unchanged since revision.

    `checked` folders have been verified already. What was pruned is passed over.

    Raises:
        UserError: naming the first file that is not what a revision recorded.
    """
    bundle, seen = Path(bundle), dict[str, str]()
    revisions = [*older(bundle), manifests.read(bundle)]
    for manifest in revisions:
        for folder, fingerprint in manifest.folders():
            known = folder in seen or folder in checked
            if not known and (bundle / folder).is_dir():
                verify_folder(bundle, bundle / folder, fingerprint)
            seen.setdefault(folder, fingerprint)
            assert seen[folder] == fingerprint, f"{folder}: two revisions disagree about it"
    return unchanged_since(revisions)


def older(bundle: Path) -> Iterator[Manifest]:
    """The manifests before the current one, oldest first."""
    found = Path(bundle, manifests.REVISIONS).glob("*.json")
    for number in sorted(int(path.stem) for path in found if re.fullmatch(r"\d+", path.stem)):
        yield manifests.revision(bundle, number)


def unchanged_since(revisions: list[Manifest]) -> dict[str, int]:
    """Expert of the last revision -> the first revision from which on its files are the same."""
    current = revisions[-1]
    found = {}
    for expert in current.experts:
        since = current.revision
        for manifest in reversed(revisions):
            there = {each.name: each.fingerprint for each in manifest.experts}
            if there.get(expert.name) != expert.fingerprint:
                break
            since = manifest.revision
        found[expert.name] = since
    return found
