"""One revision of a bundle to the next: new folders first, then xelm.json, under one lock.

Whatever growth does goes through `change`. Folders of experts and routers appear whole and are
never written to again; the manifest that was is kept; xelm.json is replaced last, in one rename.
A process killed anywhere between leaves the old revision and perhaps a folder nobody names, which
`xelm prune` removes.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from xelm.ensemble import bundle as bundles
from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import ExpertEntry, Manifest, RouterEntry
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import Routing, parse
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint
from xelm.storage import manifest as contents
from xelm.storage.lock import Held

Say = Callable[[str], None]
CARD = "README.md"
"""The model card tells of one revision: a change takes it away, and reporting writes the next."""
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,80}")
_MODEL_FILES = frozenset({".safetensors", ".json", ".jsonl", ".txt", ".model", ".jinja", ".md"})


class Change:
    """A bundle that this process alone may change; made by `change`."""

    def __init__(self, bundle: Path) -> None:
        self.bundle = Path(bundle)
        self.before = manifests.read(bundle)

    @cached_property
    def data(self) -> RouterData:
        """What the router of the current revision is made of."""
        return RouterData.load(self.bundle / self.before.router.folder)

    @property
    def routing(self) -> Routing:
        """How the bundle routes by default."""
        return parse({"kind": self.before.router.kind, **self.before.router.settings})

    def commit(
        self,
        action: str,
        *,
        experts: Sequence[ExpertEntry] | None = None,
        data: RouterData | None = None,
        router: RouterEntry | None = None,
        **details: Any,
    ) -> Manifest:
        """Make the next revision; what is not given stays as it is.

        Args:
            action: the verb, for the history; `details` go beside it.
            experts: in the order of the router's experts.
            data: a new router, written to a folder of its own; or `router`, one that is there.

        Raises:
            UserError: somebody else changed the bundle all the same (a lock lost on a shared disk).
        """
        if data is not None:
            router = bundles.add_router(self.bundle, data, self.routing)
        revision = self.before.revision + 1
        event = bundles.event(action, revision=revision, **details)
        after = self.before.model_copy(
            update={
                "revision": revision,
                "experts": list(self.before.experts if experts is None else experts),
                "router": router or self.before.router,
                "history": [*self.before.history, event],
            }
        )
        (self.bundle / CARD).unlink(missing_ok=True)  # no card is better than one of another team
        manifests.replace(self.bundle, self.before.revision, after)
        return after


@contextmanager
def change(bundle: Path, say: Say | None = None) -> Iterator[Change]:
    """Hold the bundle's lock for the block; waits for another who has it, and says so."""
    bundle = Path(bundle)
    manifests.read(bundle)  # no lock file is made where there is no bundle
    with _held(bundle, say):
        for folder in (bundle, *(bundle / name for name in ("experts", "router", "revisions"))):
            atomic.remove_leftovers(folder)
        yield Change(bundle)


@contextmanager
def _held(bundle: Path, say: Say | None) -> Iterator[None]:
    lock = manifests.lock(bundle)
    try:
        lock.acquire()
    except Held as held:
        if say is not None:
            say(f"waiting: {held}")
        lock.acquire(blocking=True)
    except PermissionError:
        raise UserError(
            f"{bundle}: may not be written to; copy the bundle to a folder of yours first"
        ) from None
    try:
        yield
    finally:
        lock.release()


def expert_entry(
    change: Change,
    source: Path,
    name: str,
    *,
    languages: Sequence[str],
    tokens: dict[str, int],
    parent: str | None,
) -> ExpertEntry:
    """Put a finished model into the bundle and describe it; no revision names it yet."""
    folder, identity = place(change.bundle, Path(source), name)
    return ExpertEntry(
        name=name,
        folder=folder,
        languages=list(languages),
        tokens=tokens,
        parent=parent,
        fingerprint=identity,
    )


def place(bundle: Path, source: Path, name: str) -> tuple[str, str]:
    """Link or copy a model into `experts/<name>-<sha8>/`; (that relative path, fingerprint).

    Only what a model is made of is taken: what training tools leave beside it (optimizer states,
    pickled arguments) is no business of a bundle.
    """
    every = [path for path in sorted(source.rglob("*")) if path.is_file()]
    wanted = [path for path in every if _belongs(path)]
    if len(wanted) == len(every) - 1 and (source / contents.MANIFEST).is_file():
        return bundles.add_folder(bundle, source, name), fingerprint.of_folder(source)
    hashes = {path.relative_to(source).as_posix(): contents.sha256(path) for path in wanted}
    identity = fingerprint.of_value(hashes)
    relative = f"experts/{name}-{identity[:8]}"
    if not (bundle / relative).is_dir():
        with atomic.folder(bundle / relative) as temporary:
            for file in hashes:
                (temporary / file).parent.mkdir(parents=True, exist_ok=True)
                bundles.link_or_copy(source / file, temporary / file)
    return relative, identity


def _belongs(path: Path) -> bool:
    return path.suffix in _MODEL_FILES and path.name != contents.MANIFEST


def free_name(manifest: Manifest, name: str) -> str:
    """`name`, if no expert has it and it can name a folder; UserError with what to do."""
    if not _NAME.fullmatch(name) or name == manifests.SEED:
        raise UserError(
            f"--name {name!r}: give letters, digits, points and hyphens, beginning with a letter "
            "or a digit, and not `seed`"
        )
    if any(expert.name == name for expert in manifest.experts):
        raise UserError(
            f"expert {name!r} is in this bundle already; give another --name, "
            f"or change it with `xelm upgrade`"
        )
    return name
