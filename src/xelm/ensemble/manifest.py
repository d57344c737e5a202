"""`xelm.json`: what a bundle holds. The only file that growth replaces, by compare-and-swap.

A bundle may come from anywhere, so nothing in the manifest is believed: every path must lie inside
the folder, links included, before anything is opened.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xelm.errors import UserError
from xelm.storage import atomic
from xelm.storage.lock import Lock

NAME = "xelm.json"
FORMAT = 1
REVISIONS = "revisions"
SEED = "seed"
"""Name of the seed where it stands among experts."""
_LOCK = ".xelm.lock"
_SAFE_NAME = r"^[^\x00-\x1f/\\]{1,100}$"


class Part(BaseModel):
    """Base of the manifest's parts: unknown keys are kept, so a newer minor addition survives."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ExpertEntry(Part):
    """One expert: an immutable Hugging Face folder."""

    name: str = Field(pattern=_SAFE_NAME)
    folder: str
    languages: list[str]
    tokens: dict[str, int]
    """Language -> tokens trained on."""
    parent: str | None
    """`seed`, or the expert it branched from."""
    fingerprint: str


class SeedEntry(Part):
    """What all branch from; `folder` when the bundle carries it."""

    fingerprint: str
    folder: str | None = None


class RouterEntry(Part):
    """The router's folder and the routing that is used by default."""

    folder: str
    kind: str
    settings: dict[str, Any]
    fingerprint: str


class FileEntry(Part):
    """Size in bytes and SHA-256 of one of the bundle's own files."""

    size: int
    sha256: str


class Manifest(Part):
    """The content of xelm.json."""

    format: int
    revision: int = Field(ge=1)
    experts: list[ExpertEntry] = Field(min_length=1)
    seed: SeedEntry | None = None
    router: RouterEntry
    tokenizer: str
    """Fingerprint of the tokenizer's files."""
    files: dict[str, FileEntry]
    """The files beside xelm.json that never change: config, tokenizer."""
    history: list[dict[str, Any]] = []

    def folders(self) -> Iterator[tuple[str, str]]:
        """(folder, fingerprint) of everything the manifest refers to."""
        for expert in self.experts:
            yield expert.folder, expert.fingerprint
        if self.seed is not None and self.seed.folder is not None:
            yield self.seed.folder, self.seed.fingerprint
        yield self.router.folder, self.router.fingerprint

    def expert(self, name: str) -> ExpertEntry:
        """The expert of that name; UserError naming those there are."""
        for expert in self.experts:
            if expert.name == name:
                return expert
        known = ", ".join(expert.name for expert in self.experts)
        raise UserError(f"no expert {name!r} in this bundle; it has {known}")


def read(bundle: Path) -> Manifest:
    """Read and check `bundle`/xelm.json: its format, shape, and that no path leaves the folder.

    Raises:
        UserError: naming the file and what is wrong.
    """
    path = Path(bundle) / NAME
    if not path.is_file():
        raise UserError(f"{bundle}: no bundle here (no {NAME}); make one with `xelm assemble RUN`")
    return parse(atomic.read_json(path), path)


def parse(value: Any, path: Path) -> Manifest:
    """A manifest from JSON; `path` is the file it stands in."""
    found = value.get("format") if isinstance(value, dict) else None
    if not isinstance(found, int) or found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        cure = "upgrade xelm" if newer else "fetch the bundle again"
        raise UserError(f"{path}: format {found!r}, this xelm reads {FORMAT}; {cure}")
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {key}: {first['msg']}; fetch the bundle again") from None
    names = [expert.name for expert in manifest.experts]
    if len(set(names)) != len(names):
        raise UserError(f"{path}: two experts of one name; fetch the bundle again")
    if SEED in names:
        raise UserError(f"{path}: an expert is called {SEED!r}, as only the seed may be")
    for relative in [*(folder for folder, _ in manifest.folders()), *manifest.files]:
        inside(path.parent, relative, path)
    return manifest


def inside(bundle: Path, relative: str, named_in: Path) -> Path:
    """`bundle`/`relative`, once it is sure that it lies in the bundle, links followed."""
    pure = PurePosixPath(relative)
    if not relative or pure.is_absolute() or ".." in pure.parts or "\\" in relative:
        raise UserError(
            f"{named_in}: path {relative!r} leaves the bundle; do not trust this bundle"
        )
    path = Path(bundle) / relative
    require_no_escape(bundle, path)
    return path


def require_no_escape(bundle: Path, path: Path) -> None:
    """UserError when a symbolic link takes `path` out of the bundle.

    The hub's cache makes every file a link into the `blobs` beside its snapshots: those are ours.
    """
    resolved, root = path.resolve(), Path(bundle).resolve()
    allowed = [root]
    if root.parent.name == "snapshots":
        allowed.append(root.parent.parent / "blobs")
    if not any(resolved == place or resolved.is_relative_to(place) for place in allowed):
        raise UserError(f"{path}: a symbolic link out of the bundle (to {resolved}); remove it")


def lock(bundle: Path) -> Lock:
    """Held by whoever changes the bundle, for the moment of the swap."""
    return Lock(Path(bundle) / _LOCK)


def swap(bundle: Path, expected_revision: int, manifest: Manifest) -> None:
    """Replace xelm.json by `manifest`, the next revision, if it still is `expected_revision`.

    The manifest that was goes to revisions/<n>.json first, so a crash leaves the old revision or
    the new one, never neither.

    Raises:
        UserError: another process has changed the bundle meanwhile, or is changing it just now.
    """
    held = lock(bundle).acquire(blocking=True)
    try:
        replace(bundle, expected_revision, manifest)
    finally:
        held.release()


def replace(bundle: Path, expected_revision: int, manifest: Manifest) -> None:
    """`swap` for a caller who holds the lock already."""
    bundle = Path(bundle)
    assert manifest.revision == expected_revision + 1, "a new revision counts one up"
    current = read(bundle)
    if current.revision != expected_revision:
        raise UserError(
            f"{bundle / NAME}: is revision {current.revision} now, {expected_revision} was "
            "changed; run the command again"
        )
    archive(bundle, current)
    parse(as_json(manifest), bundle / NAME)
    atomic.write_json(bundle / NAME, as_json(manifest))


def archive(bundle: Path, manifest: Manifest) -> None:
    """Keep a manifest as revisions/<n>.json."""
    path = Path(bundle) / REVISIONS / f"{manifest.revision}.json"
    atomic.write_json(path, as_json(manifest))


def revision(bundle: Path, number: int) -> Manifest:
    """An older manifest; UserError naming those there are."""
    current = read(bundle)
    if current.revision == number:
        return current
    path = Path(bundle) / REVISIONS / f"{number}.json"
    if not path.is_file():
        found = Path(bundle, REVISIONS).glob("*.json")
        numbers = sorted({int(p.stem) for p in found if re.fullmatch(r"\d+", p.stem)})
        known = ", ".join(map(str, [*numbers, current.revision]))
        raise UserError(f"{bundle}: no revision {number}; it has {known}")
    return parse_archived(path, Path(bundle))


def parse_archived(path: Path, bundle: Path) -> Manifest:
    """A manifest of revisions/: its paths are relative to the bundle, not to its own folder."""
    return parse(atomic.read_json(path), bundle / NAME)


def as_json(manifest: Manifest) -> dict[str, Any]:
    """What is written to xelm.json."""
    value: dict[str, Any] = manifest.model_dump(mode="json")
    return value
