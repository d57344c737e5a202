"""The bundle: experts, router and tokenizer as one folder, and the stage that makes it of a run.

Growth works on what is exported here: `read`, `swap`, `add_folder`, `verify`.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xelm.ensemble import fitting
from xelm.ensemble.manifest import (
    FORMAT,
    NAME,
    SEED,
    ExpertEntry,
    FileEntry,
    Manifest,
    RouterEntry,
    SeedEntry,
    as_json,
    read,
    revision,
    swap,
)
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import Routing
from xelm.ensemble.verify import (
    TOKENIZER_FILES,
    require_same_shape,
    require_same_tokenizer,
    tokenizer_fingerprint,
    verify,
)
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint
from xelm.storage import manifest as contents

__all__ = [
    "Manifest",
    "Part",
    "add_folder",
    "add_router",
    "assemble",
    "create",
    "read",
    "revision",
    "swap",
    "verify",
]

_TOKENIZER_EXTRAS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
_GENERATION = "generation_config.json"


@dataclass(frozen=True)
class Part:
    """A finished model that becomes an expert of a bundle."""

    name: str
    folder: Path
    tokens: dict[str, int]
    """Language -> tokens trained on."""
    parent: str | None = "seed"


class NothingFinished(UserError):
    """An allocation of which no expert came home yet."""


def assemble(run: Path, allocation: str, out: Path) -> Manifest:
    """The `assemble` stage: a bundle of the experts of `allocation` that are finished.

    Done again it does nothing; when more experts are finished than last time the bundle is made
    anew, unless it has grown since.

    Raises:
        UserError: no expert is finished, or the bundle there has grown from other experts.
    """
    run, out = Path(run), Path(out)
    about = fitting.read_allocation(run, allocation)
    parts = [
        Part(name, run / "models" / allocation / name, tokens, _parent(run, f"{allocation}/{name}"))
        for name, tokens in about.experts.items()
        if (run / "models" / allocation / name / contents.MANIFEST).is_file()
    ]
    if not parts:
        raise NothingFinished(
            f"{run / 'models' / allocation}: no expert is finished; run `xelm train {run}` first"
        )
    if (out / NAME).is_file():
        first = revision(out, 1)
        if [e.fingerprint for e in first.experts] == [_fingerprint(p.folder) for p in parts]:
            return read(out)
        if read(out).revision > 1:
            raise UserError(
                f"{out}: has grown (revision {read(out).revision}) from other experts than the "
                "run has now; move it away, or keep it"
            )
    data = fitting.fit(run, about, [part.name for part in parts])
    seed = run / "models" / "seed"
    routing = fitting.default_routing(data)
    return create(out, parts, data, routing, seed=seed if seed.is_dir() else None, replace=True)


def _parent(run: Path, model: str) -> str:
    """What a model of a run branched from: `seed`, or an expert of an earlier round."""
    path = run / "models" / model / "ledger.json"
    record = atomic.read_json(path) if path.is_file() else {}
    return str(record.get("parent") or SEED).removeprefix("models/")


def create(
    out: Path,
    parts: Sequence[Part],
    data: RouterData,
    routing: Routing,
    *,
    seed: Path | None = None,
    replace: bool = False,
) -> Manifest:
    """Write a bundle at revision 1; it appears whole. Files are hard-linked where the disk allows.

    Args:
        parts: the experts, in the order of `data.experts`.
        data: what the router is made of.
        routing: how the bundle routes by default.
        seed: what all branched from; it goes with the experts, to answer when none fits.
        replace: over a bundle that is there.

    Raises:
        UserError: experts of another tokenizer or shape; the file that differs is named.
    """
    from transformers import AutoConfig

    from xelm.ensemble.config import XelmConfig

    assert [part.name for part in parts] == list(data.experts), "router and experts disagree"
    source = parts[0].folder
    config = XelmConfig.of_expert(AutoConfig.from_pretrained(source, trust_remote_code=False))
    with atomic.folder(Path(out), replace=replace, listed=False) as folder:
        atomic.write_json(folder / "config.json", _written(config))
        for name in (*TOKENIZER_FILES, *_TOKENIZER_EXTRAS, _GENERATION):
            if (source / name).is_file():
                link_or_copy(source / name, folder / name)
        tokenizer = tokenizer_fingerprint(folder)
        for part in parts:
            require_same_tokenizer(tokenizer, part.folder, folder)
            require_same_shape(config.expert or {}, part.folder, folder)
        manifest = Manifest(
            format=FORMAT,
            revision=1,
            experts=[_add_expert(folder, part) for part in parts],
            seed=_add_seed(folder, seed),
            router=add_router(folder, data, routing),
            tokenizer=tokenizer,
            files=own_files(folder),
            history=[event("assemble", experts=[part.name for part in parts])],
        )
        atomic.write_json(folder / NAME, as_json(manifest))
    return manifest


def event(action: str, **details: Any) -> dict[str, Any]:
    """An entry of a manifest's history."""
    from xelm import __version__

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"action": action, "time": now, "version": __version__, **details}


def _written(config: Any) -> dict[str, Any]:
    """config.json without the routing fields that nobody set."""
    value: dict[str, Any] = config.to_dict()
    return {key: item for key, item in value.items() if item is not None}


def _add_seed(bundle: Path, seed: Path | None) -> SeedEntry | None:
    if seed is None:
        return None
    return SeedEntry(fingerprint=_fingerprint(seed), folder=add_folder(bundle, seed, SEED))


def _add_expert(bundle: Path, part: Part) -> ExpertEntry:
    name = _fingerprint(part.folder)
    return ExpertEntry(
        name=part.name,
        folder=add_folder(bundle, part.folder, part.name),
        languages=sorted(part.tokens, key=lambda language: -part.tokens[language]),
        tokens=part.tokens,
        parent=part.parent,
        fingerprint=name,
    )


def add_folder(bundle: Path, source: Path, name: str) -> str:
    """Put a finished model's folder into `experts/<name>-<sha8>/`; returns that relative path.

    It appears whole; one that is there already is left alone.
    """
    relative = f"experts/{name}-{_fingerprint(source)[:8]}"
    _put(Path(source), Path(bundle) / relative)
    return relative


def _put(source: Path, target: Path) -> None:
    """`target` becomes what `source` is, whole; with a manifest if the source had none."""
    if target.is_dir():
        return
    with atomic.folder(target, listed=not (source / contents.MANIFEST).is_file()) as temporary:
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            place = temporary / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, place)


def add_router(bundle: Path, data: RouterData, routing: Routing) -> RouterEntry:
    """Write `router/<sha8>/` (one that is there already is left alone); returns its entry."""
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        data.save(made)
        contents.write(made)
        name = _fingerprint(made)
        _put(made, Path(bundle) / "router" / name[:8])
    settings = routing.model_dump(mode="json", exclude={"kind"})
    return RouterEntry(
        folder=f"router/{name[:8]}", kind=routing.kind, settings=settings, fingerprint=name
    )


def own_files(bundle: Path) -> dict[str, FileEntry]:
    """Sizes and hashes of the files beside xelm.json that growth never changes."""
    names = ["config.json", _GENERATION, *TOKENIZER_FILES, *_TOKENIZER_EXTRAS]
    return {
        name: FileEntry(size=path.stat().st_size, sha256=contents.sha256(path))
        for name in names
        if (path := Path(bundle) / name).is_file()
    }


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the disk allows, else a copy. Finished files are never written to again."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _fingerprint(folder: Path) -> str:
    return fingerprint.of_folder(folder)
